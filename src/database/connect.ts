import { fillPlaceholders, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { createTurns } from '../concurrency.ts'
import { TooSlow, Unreachable } from './errors.ts'
import * as schema from './schema.ts'
import type { openSocket } from './socket.ts'

/** Those of postgres.js, and one that its types do not have. */
type Options = postgres.Options<Record<string, never>> & { socket?: typeof openSocket }

/** Begins to use a connection once there is room for one more, and ends when told. */
type Room = (use: () => Promise<void>) => Promise<unknown>

/** Beside them, room that several pools share. */
type PoolOptions = Options & { room?: Room }

export type Database = ReturnType<typeof connect>['db']

/** How long a statement may take, waiting for a connection included, before its request is answered 503. */
const STATEMENT_SECONDS = 4

/**
 * Opens a pool on a PostgreSQL URL; nothing is dialled before the first query. `close` lets running queries end,
 * for at most two seconds.
 */
export function connect(url: string, { max = 10, room = (use) => use(), ...options }: PoolOptions = {}) {
  const client = postgres(url, {
    connect_timeout: 3,
    // The default grows to 20 s, and a database that is back would be left alone for that long.
    backoff: () => 0.2,
    // Seconds of silence after which a peer is asked whether it is still there; another ten, and it is not.
    keep_alive: 10,
    onnotice: () => {},
    // A round trip for each connection, to learn of arrays what Drizzle knows from the schema.
    fetch_types: false,
    connection: { application_name: 'docket' },
    ...options,
    max: 1,
  })
  const pool = createPool(client, max, room)
  const db = drizzle(prepared(client, pool.run), { schema })
  // Times as the API speaks them, from every statement: Drizzle leaves them in PostgreSQL's spelling.
  client.options.parsers[TIMESTAMPTZ] = (value: string) => new Date(value).toISOString()
  return { db, close: pool.close }
}

/** The type's OID (PostgreSQL's pg_type.dat). */
const TIMESTAMPTZ = 1184

/**
 * Drizzle sends every statement of its builder unprepared: two round trips and a new plan each. Here they are prepared,
 * which ran 1.7 to 2.2 times as fast, and none is waited for without end.
 */
function prepared(client: postgres.Sql, run: Run): postgres.Sql {
  return new Proxy(client, {
    get: (target, property) => (property === 'unsafe' ? unsafe : Reflect.get(target, property)),
  })

  function unsafe(text: string, parameters: Parameter[]) {
    const begin = (one: postgres.Sql) => one.unsafe(text, parameters, { prepare: parameters.length > 0 })
    return {
      // biome-ignore lint/suspicious/noThenProperty: postgres.js runs a query when it is awaited, and so does this one.
      then: (...handlers: Parameters<Promise<unknown>['then']>) => run(begin).then(...handlers),
      values: () => run((one) => begin(one).values()),
    }
  }
}

const dialect = new PgDialect()

/** A statement that is written out once, and not for every request. Its `sql.placeholder`s are filled at each run. */
export function statement<Row extends object>(query: SQL) {
  const { sql: text, params } = dialect.sqlToQuery(query)
  return async (db: Database, values: Record<string, unknown>): Promise<Row[]> =>
    db.$client.unsafe<Row[]>(text, fillPlaceholders(params, values) as Parameter[])
}

type Parameter = postgres.ParameterOrJSON<never>

const BUSY = 'More is asked of the database than it can answer soon.'

/** Several statements of one request have time to wait that long for each of them. */
const PATIENCE = 2

/** What postgres.js cancels by. Its `cancel` gives no promise, so that a failure to connect for it would end the process. */
type Query = PromiseLike<unknown> & { canceller?: ((query: Query) => Promise<unknown>) | null }
type Run = (begin: (client: postgres.Sql) => Query) => Promise<unknown>

/**
 * Whether a statement failed and its connection is as good as before. After any other failure postgres.js would dial again
 * with what it knows of the statement that broke, and take the greeting of the new connection for the answer to the next.
 */
const isOfStatement = (error: unknown) => error instanceof postgres.PostgresError && error.severity === 'ERROR'

/**
 * Connections that carry one statement at a time, each a client of postgres.js: its own pool sends statements ahead of the
 * answers to others, and once one of those is cancelled it takes each answer for that to the next.
 */
function createPool(first: postgres.Sql, max: number, room: Room): { run: Run; close: () => Promise<void> } {
  const turn = createTurns({ running: max, patience: PATIENCE }, BUSY)
  /** Each with what gives its room to another. */
  const clients = new Map<postgres.Sql, () => void>()
  const idle: postgres.Sql[] = []
  let unused: postgres.Sql | undefined = first
  let isClosed = false

  return {
    run: async (begin) => {
      const deadline = performance.now() + STATEMENT_SECONDS * 1000
      return turn(() => inTime(begin, deadline)).catch((error) => {
        throw Unreachable.from(error)
      })
    },
    close: async () => {
      isClosed = true
      await Promise.all([...clients].map(([client, leave]) => client.end({ timeout: 2 }).finally(leave)))
    },
  }

  async function inTime(begin: (client: postgres.Sql) => Query, deadline: number) {
    const client = idle.pop() ?? (await another())
    if (isClosed) {
      forget(client)
      throw new Unreachable()
    }
    const query = begin(client)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, deadline - performance.now(), 'late')
    })
    try {
      const outcome = await Promise.race([query, late])
      if (outcome === 'late') throw new TooSlow()
      idle.push(client)
      return outcome
    } catch (error) {
      if (error instanceof TooSlow) drop(client, query)
      else if (isOfStatement(error)) idle.push(client)
      else forget(client)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async function another() {
    const leave = await new Promise<() => void>((resolve, reject) => {
      room(() => new Promise((end) => resolve(end))).catch(reject)
    })
    // The options as the first one has read them, and Drizzle has added to them.
    const client = unused ?? postgres(first.options as unknown as Options)
    unused = undefined
    clients.set(client, leave)
    return client
  }

  /**
   * A connection is not used again after a statement that was given up: it may be dead, and a cancellation that comes late
   * would meet another statement. The idle ones may be dead for the same reason.
   */
  async function drop(client: postgres.Sql, query: Query) {
    for (const other of idle.splice(0)) forget(other)
    // Without it the database would go on with what nobody waits for.
    await query.canceller?.(query).catch(() => {})
    forget(client)
  }

  function forget(client: postgres.Sql) {
    const leave = clients.get(client)
    clients.delete(client)
    client.end({ timeout: 0 }).finally(leave)
  }
}
