import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

// TCP resets a connection that is closed with unread data, and a client may then lose the response that it was sent. So the
// rest of a request is read and discarded, like with nginx's lingering_close.

/** Milliseconds without data after which the connection is closed. */
const MAX_IDLE_MS = 5_000

/** Milliseconds and bytes after which the connection is closed although its client still sends. */
const MAX_MS = 30_000
const MAX_BYTES = 256 * 1024 * 1024

const CHECK_MS = 250

/** The connections whose request has its response but not its end. */
const lingering = new WeakSet<Socket>()

/** Tells whether the response to the request that a connection is still receiving was sent. */
export const isLingering = (socket: Socket) => lingering.has(socket)

/** Discards the rest of a request whose response is sent before the request has ended. The next request follows after it. */
export function lingerAfter(request: IncomingMessage, response: ServerResponse) {
  // Before Node's own listener, which closes the connection of a last response.
  response.prependOnceListener('finish', () => {
    const { socket } = request
    if (request.complete || socket.destroyed) return
    lingering.add(socket)
    const stopLimiting = limitDiscarding(socket)
    let isLast = false
    socket.destroySoon = () => {
      isLast = true
      socket.end()
    }
    request.once('end', () => {
      stopLimiting()
      lingering.delete(socket)
      Reflect.deleteProperty(socket, 'destroySoon')
      if (isLast) socket.destroySoon()
    })
    // A handler that was reading the request would pause it.
    request.removeAllListeners('data').resume()
  })
}

/** Closes a connection whose data is discarded if it sends nothing, too much or for too long. Returns how to stop that. */
export function limitDiscarding(socket: Socket): () => void {
  const start = { at: performance.now(), bytes: socket.bytesRead }
  const progress = { ...start }
  const timer = setInterval(() => {
    const [at, bytes] = [performance.now(), socket.bytesRead]
    if (bytes > progress.bytes) Object.assign(progress, { at, bytes })
    const isOver = at - progress.at > MAX_IDLE_MS || at - start.at > MAX_MS || bytes - start.bytes > MAX_BYTES
    if (isOver) socket.destroy()
  }, CHECK_MS).unref()
  const stop = () => clearInterval(timer)
  socket.once('close', stop)
  return () => {
    stop()
    socket.off('close', stop)
  }
}
