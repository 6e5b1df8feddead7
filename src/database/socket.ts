import { connect, type Socket } from 'node:net'
import { userInfo } from 'node:os'
import { setTimeout } from 'node:timers'
import type { Host, Tls } from './url.ts'

/** How long the other end may take to close a connection after this end has closed it. */
const CLOSE_TIMEOUT_MS = 2_000

/** Opens a connection for PostgreSQL's protocol. Rejects if that takes longer than a number of milliseconds. */
export type OpenSocket = (host: Host, tls: Tls, timeout: number) => Promise<Socket>

/**
 * Opens a socket without TLS, on both runtimes. The sockets of postgres.js reconnect endlessly when a connection closes before
 * the login, as a proxy does without its database. They also never give up on a dead peer.
 */
export const openSocket: OpenSocket = async (host, _tls, timeout) => guard(await connectTo(host, timeout))

/** Connects to a server by TCP or by its Unix socket. */
export function connectTo({ address, port, isSocket }: Host, timeout: number): Promise<Socket> {
  const socket = isSocket ? connect(socketPath(address, port)) : connect(port, address)
  return settle(socket, timeout, (resolve) => socket.once('connect', resolve))
}

/** Waits for an event of a socket, and destroys the socket if it fails or takes too long. */
export function settle<S extends Socket>(
  socket: S,
  timeout: number,
  listen: (resolve: () => void) => void,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      clearTimeout(timer)
      // Without a listener, a later error would end the process.
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onClose = () => fail(closedError())
    const timer = setTimeout(() => fail(withCode('The connection took too long.', 'CONNECT_TIMEOUT')), timeout)
    socket.once('error', fail).once('close', onClose)
    listen(() => {
      clearTimeout(timer)
      socket.off('error', fail).off('close', onClose)
      resolve(socket)
    })
  })
}

/** Makes a socket report that it was closed, and close if the other end does not. postgres.js gets such sockets only. */
export function guard<S extends Socket>(socket: S): S {
  socket.on('error', () => {})
  socket.on('close', (hadError) => {
    if (!hadError) socket.emit('error', closedError())
  })
  socket.on('finish', () => setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS).unref())
  return socket
}

/** The user that PostgreSQL's own clients log in as without another. */
export const systemUser = () => userInfo().username

const closedError = () => withCode('The connection was closed.', 'ECONNRESET')

export const withCode = (message: string, code: string) => Object.assign(new Error(message), { code })

/** A folder has PostgreSQL's socket; `@` marks one outside of the file system. */
const socketPath = (address: string, port: number) =>
  (/\.s\.PGSQL\.\d+$/.test(address) ? address : `${address}/.s.PGSQL.${port}`).replace(/^@/, '\0')
