import { connect } from 'node:net'
import { setTimeout } from 'node:timers'
import type postgres from 'postgres'

/** How long the other end may take to close a connection after this end has closed it. */
const CLOSE_TIMEOUT_MS = 2_000

/**
 * Opens the socket of a postgres.js connection, on both runtimes. The sockets of postgres.js reconnect endlessly when a
 * connection closes before the login, as a proxy does without its database. They also never give up on a dead peer.
 */
export function openSocket({ host, port, path }: postgres.ParsedOptions) {
  const [hostname, portNumber] = [host[0] as string, port[0] as number]
  const socket = path ? connect(path) : connect(portNumber, hostname)
  socket.on('close', (hadError) => {
    if (!hadError) socket.emit('error', Object.assign(new Error('The connection was closed.'), { code: 'ECONNRESET' }))
  })
  socket.on('finish', () => setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS).unref())
  // From `host`, postgres.js takes the name that the TLS certificate must have.
  return Object.assign(socket, { host: hostname, port: portNumber })
}
