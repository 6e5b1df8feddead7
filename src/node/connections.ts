import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Keeps a server's connections in order, and in number. Requests that a client sends ahead (pipelining; RFC 9112, 9.3.2) begin one
 * after the other: Node would begin with all of them at once, and one client could so bring thousands. Of more than `most`
 * connections the one that has been waiting longest for a request is closed, so that whoever opens many and says nothing
 * keeps nobody else out.
 */
export function keepConnections(server: Server, most: number) {
  /** The answer that a connection is to have last, of those that it still waits for. */
  const owed = new Map<Socket, ServerResponse>()
  /** The answer that goes before another, while that is still to come. */
  const ahead = new WeakMap<ServerResponse, ServerResponse>()
  const idle = new Set<Socket>()
  const refused = new WeakSet<Socket>()

  server.on('connection', (socket: Socket) => {
    idle.add(socket)
    // Node's own listener for errors goes where a connection is handed over, as by CONNECT.
    socket.on('error', () => {})
    socket.once('close', () => {
      idle.delete(socket)
      owed.delete(socket)
    })
    if (idle.size + owed.size > most) for (const oldest of idle) return oldest.destroy()
  })

  function begin(socket: Socket, response: ServerResponse, work: () => void) {
    if (refused.has(socket)) return
    const before = owed.get(socket)
    owed.set(socket, response)
    idle.delete(socket)
    response.once('close', () => {
      if (owed.get(socket) !== response) return
      owed.delete(socket)
      idle.add(socket)
      socket.resume()
    })
    if (!before) return work()
    ahead.set(response, before)
    before.once('close', () => ahead.delete(response))
    // Other connections have their turn in between.
    before.once('close', () => setImmediate(() => socket.destroyed || work()))
    // Nothing is read ahead any more, once Node is through with what it has: it reads on after each request in there.
    process.nextTick(() => socket.pause())
  }

  /** Waits until a connection has all the answers that it still waits for. Nothing that it brings from here on is begun. */
  async function refuse(socket: Socket) {
    const last = owed.get(socket)
    refused.add(socket)
    // Where a request is refused in its midst there will be no other answer to it.
    const before = last && !last.req.complete ? ahead.get(last) : last
    if (before) await once(before, 'close')
  }

  return { begin, refuse }
}
