import { connect, type SocketConstructorOpts } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** Opens a connection and sends bytes on it. Nothing is read before `readAll`, which returns everything up to the end. */
export function openRaw(url: string, bytes: string, options: SocketConstructorOpts = {}) {
  const { port, hostname } = new URL(url)
  const socket = connect({ ...options, port: Number(port), host: hostname })
  socket.write(bytes)
  const closed = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()))
  return { socket, closed, readAll: () => buffer(socket).then(String) }
}

/** Returns the statuses of the responses on one connection, in order. */
export const statusesOf = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
