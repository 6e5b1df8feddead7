import { connect } from 'node:net'
import { setTimeout } from 'node:timers'
import type postgres from 'postgres'

/** Milliseconds that the other end may take to close a connection that is closed here. */
const CLOSING_MS = 2_000

/**
 * What postgres.js speaks through, on both runtimes. Its own socket is dialled again at once and without end where one is
 * closed before the log-in is done, as by a proxy whose database is gone; and it is kept for good where the other end is dead.
 */
export function openSocket({ host, port, path }: postgres.ParsedOptions) {
  const [name, number] = [host[0] as string, port[0] as number]
  const socket = path ? connect(path) : connect(number, name)
  socket.on('close', (hadError) => {
    if (!hadError) socket.emit('error', Object.assign(new Error('The connection was closed.'), { code: 'ECONNRESET' }))
  })
  socket.on('finish', () => setTimeout(() => socket.destroy(), CLOSING_MS).unref())
  // Where postgres.js finds the name that a certificate has to be of.
  return Object.assign(socket, { host: name, port: number })
}
