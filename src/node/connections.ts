import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * The connections of an HTTP server.
 *
 * A client may send several requests on one connection without waiting for the responses (pipelining; RFC 9112, 9.3.2).
 * Node would call the handler for all of them at once, so that a single client could start thousands of requests. Here a
 * request starts when the response before it has been sent, and the socket is paused while requests are waiting.
 *
 * Above `maxConnections` the connection that has been idle longest is closed, so that a client that opens many connections
 * and sends nothing does not keep others out.
 */
export class Connections {
  readonly #maxConnections: number
  /** The connections without an unfinished response. The one that has been idle longest comes first. */
  readonly #idle = new Set<Socket>()
  /** The last unfinished response of each busy connection. */
  readonly #lastResponse = new Map<Socket, ServerResponse>()
  /** The unfinished response that another response of the same connection waits for. */
  readonly #previousResponse = new WeakMap<ServerResponse, ServerResponse>()
  readonly #rejected = new WeakSet<Socket>()

  constructor(maxConnections: number) {
    this.#maxConnections = maxConnections
  }

  /** Adds a new connection, and closes an idle one if there are too many. */
  add(socket: Socket) {
    this.#idle.add(socket)
    // Node removes its own error listener when it hands a connection over, as it does for CONNECT.
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#idle.delete(socket)
      this.#lastResponse.delete(socket)
    })
    if (this.#idle.size + this.#lastResponse.size <= this.#maxConnections) return
    const [longestIdle] = this.#idle
    longestIdle?.destroy()
  }

  /** Starts a request once the earlier responses of its connection have been sent; never after a rejected request. */
  startInOrder(socket: Socket, response: ServerResponse, start: () => void) {
    if (this.#rejected.has(socket)) return void response.req.resume()
    const previous = this.#lastResponse.get(socket)
    this.#lastResponse.set(socket, response)
    this.#idle.delete(socket)
    response.once('close', () => {
      if (this.#lastResponse.get(socket) !== response) return
      this.#lastResponse.delete(socket)
      this.#idle.add(socket)
      socket.resume()
    })
    if (!previous) return start()
    this.#previousResponse.set(response, previous)
    previous.once('close', () => {
      this.#previousResponse.delete(response)
      // Not at once, so that requests of other connections are served in between.
      setImmediate(() => socket.destroyed || start())
    })
    // After the requests that Node has already read, since it resumes reading after each of them.
    process.nextTick(() => socket.pause())
  }

  /** Tells whether `stopRequests` was called for a connection. */
  isRejected(socket: Socket) {
    return this.#rejected.has(socket)
  }

  /** Starts no further request of a connection, and resolves when the responses to its earlier requests have been sent. */
  async stopRequests(socket: Socket) {
    this.#rejected.add(socket)
    const last = this.#lastResponse.get(socket)
    // If the request itself broke off, its own response will never come.
    const awaited = last && !last.req.complete ? this.#previousResponse.get(last) : last
    if (awaited) await once(awaited, 'close')
  }
}
