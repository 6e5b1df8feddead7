import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * A proxy before a PostgreSQL that counts round trips: how often the server said that it is ready for the next query. It may
 * be moved before another one.
 */
export async function startProxy(target: string) {
  let { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let trips = 0

  const server = createServer((client) => {
    const upstream = connect(Number(port || 5432), hostname)
    let rest: Buffer = Buffer.alloc(0)
    upstream.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      // A message is a letter and a length, which counts itself (PostgreSQL's protocol, 55.7).
      while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
        if (rest[0] === 'Z'.charCodeAt(0)) trips++
        rest = rest.subarray(rest.readInt32BE(1) + 1)
      }
    })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  url.hostname = '127.0.0.1'

  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  const move = (target: string) => {
    ;({ hostname, port } = new URL(target))
  }
  return { url: url.href, trips: () => trips, move, close }
}
