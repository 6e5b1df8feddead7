import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** A proxy in front of a PostgreSQL server. */
export type Proxy = Awaited<ReturnType<typeof startProxy>>

/**
 * Starts a proxy in front of a PostgreSQL server that counts round trips and simulates a network that is slow or dead.
 */
export async function startProxy(target: string) {
  let { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const deadClients = new Set<Socket>()
  let roundTrips = 0
  let delayMs = 0
  let isBlackHole = false

  const server = createServer((client) => {
    sockets.add(client)
    if (isBlackHole) return void client.on('error', () => {}).resume()
    const upstream = connect(Number(port || 5432), hostname)
    const countReady = createReadyCounter()
    upstream.on('data', (chunk) => {
      roundTrips += countReady(chunk)
    })
    upstream.pipe(client)
    let sent: Promise<unknown> = Promise.resolve()
    client.on('data', (chunk) => {
      if (isBlackHole) deadClients.add(client)
      if (deadClients.has(client)) return
      // Chunks stay in order when the delay changes.
      const wait = delayMs > 0 ? delay(delayMs) : undefined
      sent = Promise.all([sent, wait]).then(() => upstream.writable && upstream.write(chunk))
    })
    const pairs = [
      [client, upstream],
      [upstream, client],
    ] as const
    for (const [from, to] of pairs) {
      sockets.add(from)
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  url.hostname = '127.0.0.1'

  return {
    url: url.href,
    /** Returns how often the server was ready for the next query. */
    roundTrips: () => roundTrips,
    /** Connects new clients to another server. */
    redirect: (target: string) => {
      ;({ hostname, port } = new URL(target))
    },
    /** Delays everything that clients send, in milliseconds. */
    setDelay: (milliseconds: number) => {
      delayMs = milliseconds
    },
    /** Drops all data without closing connections. Connections from that time stay dead. */
    setBlackHole: (isOn: boolean) => {
      isBlackHole = isOn
      if (isOn) for (const socket of sockets) deadClients.add(socket)
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** Returns a function that counts ReadyForQuery in a stream of messages: a letter and a length (PostgreSQL's protocol, 55.7). */
function createReadyCounter() {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer) => {
    let count = 0
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      if (rest[0] === 'Z'.charCodeAt(0)) count++
      rest = rest.subarray(rest.readInt32BE(1) + 1)
    }
    return count
  }
}
