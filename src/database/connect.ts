import { fillPlaceholders, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { createTurns } from '../turns.ts'
import { TooSlow, Unreachable } from './errors.ts'
import * as schema from './schema.ts'

export type Database = ReturnType<typeof connect>['db']

/** How long a statement may take, waiting for a connection included, before its request is answered 503. */
const STATEMENT_SECONDS = 4

/**
 * Opens a pool on a PostgreSQL URL; nothing is dialled before the first query. `close` lets running queries end,
 * for at most two seconds.
 */
export function connect(url: string, options: postgres.Options<Record<string, never>> = {}) {
  const client = postgres(url, {
    connect_timeout: 3,
    // The default grows to 20 s, and a database that is back would be left alone for that long.
    backoff: () => 0.2,
    onnotice: () => {},
    // A round trip for each connection, to learn of arrays what Drizzle knows from the schema.
    fetch_types: false,
    connection: { application_name: 'docket' },
    ...options,
  })
  const db = drizzle(prepared(client), { schema })
  // Times as the API speaks them, from every statement: Drizzle leaves them in PostgreSQL's spelling.
  client.options.parsers[TIMESTAMPTZ] = (value: string) => new Date(value).toISOString()
  return { db, close: () => client.end({ timeout: 2 }) }
}

/** The type's OID (PostgreSQL's pg_type.dat). */
const TIMESTAMPTZ = 1184

/**
 * Drizzle sends every statement of its builder unprepared: two round trips and a new plan each. Here they are prepared,
 * which ran 1.7 to 2.2 times as fast, and none is waited for without end.
 */
function prepared(client: postgres.Sql): postgres.Sql {
  return new Proxy(client, {
    get: (target, property) => (property === 'unsafe' ? unsafe : Reflect.get(target, property)),
  })

  function unsafe(text: string, parameters: Parameter[]) {
    const query = client.unsafe(text, parameters, { prepare: parameters.length > 0 })
    return {
      // biome-ignore lint/suspicious/noThenProperty: postgres.js runs a query when it is awaited, and so does this one.
      then: (...handlers: Parameters<Promise<unknown>['then']>) => inTime(query).then(...handlers),
      values: () => inTime(query.values()),
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

/**
 * Statements that run at once, of all clients together: on Node more than the pool has connections, on Workers, where each
 * request brings its own connection, as many as an isolate can keep busy.
 */
const turn = createTurns(50, 0.01, 'More is asked of the database than it can answer soon.')

async function inTime<T>(query: PromiseLike<T> & { cancel(): void }): Promise<T> {
  const asked = performance.now()
  return turn(async () => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      const left = STATEMENT_SECONDS * 1000 - (performance.now() - asked)
      timer = setTimeout(() => {
        query.cancel()
        reject(new TooSlow())
      }, left)
    })
    return Promise.race([query, late]).finally(() => clearTimeout(timer))
  }).catch((error) => {
    throw Unreachable.from(error)
  })
}
