import { connect, type SocketConstructorOpts } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A connection on which bytes are sent as they are. Nothing is read of it before `rest`, which gives all until its end. */
export function openRaw(url: string, bytes: string, options: SocketConstructorOpts = {}) {
  const { port, hostname } = new URL(url)
  const socket = connect({ ...options, port: Number(port), host: hostname })
  socket.write(bytes)
  const isClosed = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()))
  return { socket, isClosed, rest: () => buffer(socket).then(String) }
}

/** The statuses, in order, of answers that came on one connection. */
export const statusesOf = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
