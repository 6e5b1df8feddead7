import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * A proxy before a PostgreSQL that counts round trips: how often the server said that it is ready for the next query. It may
 * be moved before another one, hold back what clients send for so many milliseconds, or swallow all of it: what is connected by
 * then, or connects until it ends that, gets no answer ever.
 */
export async function startProxy(target: string) {
  let { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const dead = new Set<Socket>()
  let trips = 0
  let lag = 0
  let isSwallowing = false

  const server = createServer((client) => {
    sockets.add(client)
    if (isSwallowing) return void client.on('error', () => {}).resume()
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
    upstream.pipe(client)
    client.on('data', (chunk) => {
      if (isSwallowing) dead.add(client)
      if (!dead.has(client)) setTimeout(() => upstream.writable && upstream.write(chunk), lag)
    })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
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
  const hold = (milliseconds: number) => {
    lag = milliseconds
  }
  const swallow = (does: boolean) => {
    isSwallowing = does
    if (does) for (const socket of sockets) dead.add(socket)
  }
  return { url: url.href, trips: () => trips, move, hold, swallow, close }
}
