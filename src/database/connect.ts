import { encodeHexLowerCase } from '@oslojs/encoding'
import { fillPlaceholders, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type postgres from 'postgres'
import { type DriverOptions, Opener } from './client.ts'
import { Pool } from './pool.ts'
import * as schema from './schema.ts'
import { type OpenSocket, openSocket } from './socket.ts'
import { parseDatabaseUrl } from './url.ts'

/**
 * Drizzle over the pool. Each statement may run on another connection, so there are no transactions: what belongs together
 * is one statement.
 */
export type Database = Omit<PostgresJsDatabase<typeof schema>, 'transaction'> & { $client: Client }

type Options = DriverOptions & {
  /** How to open a connection; by default without TLS. */
  openSocket?: OpenSocket
  /** Whether a new connection is probed: see OpenerOptions. */
  probe?: boolean
  acquireSlot?: () => Promise<() => void>
}

type Parameter = postgres.ParameterOrJSON<never>

/** The part of a postgres.js client that Drizzle uses. */
type Client = Pick<postgres.Sql, 'options' | 'unsafe'>

/** The OID of `timestamptz` (PostgreSQL's pg_type.dat). */
const TIMESTAMPTZ = 1184

/** Opens a pool for a DATABASE_URL. Nothing connects before the first statement. */
export function connect(url: string, settings: Options = {}) {
  const {
    max = 10,
    acquireSlot = async () => () => {},
    probe = false,
    openSocket: open = openSocket,
    ...options
  } = settings
  const target = parseDatabaseUrl(url)
  const connectTimeout = target.connectTimeout ?? 3
  const opener = new Opener(target, { openSocket: open, connectTimeout, probe }, options)
  const pool = new Pool(opener, { max, acquireSlot })
  const db = drizzle(pooledClient(opener.options, pool) as postgres.Sql, { schema }) as Database
  // Drizzle leaves times in PostgreSQL's format; the API uses RFC 3339.
  opener.options.parsers[TIMESTAMPTZ] = toRfc3339
  // Parameters are texts already. When postgres.js repeats a statement, because a migration has invalidated its plan, it
  // would serialize them a second time, and a hash or a `true` would become another value (porsager/postgres#1197).
  opener.options.serializers = {}
  return { db, close: () => pool.close() }
}

/** PostgreSQL's format of a time in UTC in the years 1 to 9999: `2026-11-22 10:00:00.12+00`. */
const UTC_TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00$/

/** Returns a time in RFC 3339 with milliseconds. Cutting the text takes a sixth of the time of a Date. */
function toRfc3339(value: string): string {
  if (!UTC_TIME.test(value)) return new Date(value).toISOString()
  const milliseconds = value.slice(20, -3).slice(0, 3).padEnd(3, '0')
  return `${value.slice(0, 10)}T${value.slice(11, 19)}.${milliseconds}Z`
}

/**
 * Runs each statement on the pool, and prepared: Drizzle's builder sends statements unprepared, which costs two round trips
 * and a new plan each. Prepared ones ran 1.7 to 2.2 times as fast.
 */
function pooledClient(options: Client['options'], pool: Pool): Client {
  const unsafe = (text: string, parameters: Parameter[]) => {
    const texts = parameters.map(toText)
    const preparable = options.prepare && texts.length > 0 ? text : undefined
    const start: Start = (connection, { isPrepared }) =>
      connection.unsafe(text, texts, { prepare: isPrepared && preparable !== undefined })
    return {
      // biome-ignore lint/suspicious/noThenProperty: a query of postgres.js is a thenable that runs when it is awaited.
      then: (...handlers: Parameters<Promise<unknown>['then']>) => pool.run({ preparable, start }).then(...handlers),
      values: () => pool.run({ preparable, start: (connection, options) => start(connection, options).values() }),
    }
  }
  return { options, unsafe: unsafe as unknown as Client['unsafe'] }
}

type Start = (connection: postgres.Sql, options: { isPrepared: boolean }) => ReturnType<postgres.Sql['unsafe']>

/** Returns a parameter in PostgreSQL's text format, which is the same for every type that it may have there. */
function toText(value: unknown): Parameter {
  if (value === null || typeof value === 'string') return value
  if (value instanceof Uint8Array) return `\\x${encodeHexLowerCase(value)}`
  if (['number', 'bigint', 'boolean'].includes(typeof value)) return String(value)
  throw new TypeError('A parameter must be a text, bytes, a number, a boolean or null.')
}

const dialect = new PgDialect()

/** Builds the text of a statement once, and returns a function that fills in its `sql.placeholder`s and runs it. */
export function statement<Row extends object>(query: SQL) {
  const { sql: text, params } = dialect.sqlToQuery(query)
  return async (db: Database, values: Record<string, unknown>): Promise<Row[]> =>
    db.$client.unsafe<Row[]>(text, fillPlaceholders(params, values) as Parameter[])
}

/** The most texts that are kept of a statement. */
const MAX_TEXTS = 200

/**
 * Returns a function that fills in and runs a statement which has several shapes. `build` gets a shape, and no values, so that
 * the text can be kept for all requests of the shape.
 */
export function shapedStatement<Shape extends object, Row extends object>(build: (shape: Shape) => SQL) {
  const built = new Map<string, ReturnType<typeof statement<Row>>>()
  return (db: Database, shape: Shape, values: Record<string, unknown>): Promise<Row[]> => {
    const key = JSON.stringify(shape)
    let run = built.get(key)
    if (!run) {
      run = statement<Row>(build(shape))
      const [oldest] = built.keys()
      if (oldest !== undefined && built.size === MAX_TEXTS) built.delete(oldest)
      built.set(key, run)
    }
    return run(db, values)
  }
}
