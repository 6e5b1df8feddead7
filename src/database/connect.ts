import { fillPlaceholders, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
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

class TooSlow extends Error {
  readonly code = 'STATEMENT_TIMEOUT'
}

class Unreachable extends Error {
  readonly code = 'CONNECTION_FAILED'
}

function inTime<T>(query: PromiseLike<T> & { cancel(): void }): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      query.cancel()
      reject(new TooSlow())
    }, STATEMENT_SECONDS * 1000)
    query.then(resolve, (error) => reject(isBare(error) ? new Unreachable() : error)).then(() => clearTimeout(timer))
  })
}

/** Whether an error is what a socket of Workers says: those of PostgreSQL, of the driver and of Node have a code. */
const isBare = (error: unknown) => error instanceof Error && error.name === 'Error' && !('code' in error)

/** The driver's own error: Drizzle wraps it in one whose message quotes every bound parameter. */
export function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause ? rootCause(error.cause) : error
}

const driverCodes = /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_\w+|STATEMENT_TIMEOUT)$/

// SQLSTATE classes and codes (PostgreSQL's appendix A): connection exceptions, refused log-ins, an unknown database,
// insufficient resources, operator intervention, a read-only server, and work that lost against other work.
const serverCodes = /^(08...|28...|3D000|53...|57...|58...|25006|40...)$/

/** Whether an error says that the database, and not the request, is at fault, so that trying again may help. */
export function isUnavailable(error: unknown): boolean {
  const cause = rootCause(error)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return driverCodes.test(code) || serverCodes.test(code)
}
