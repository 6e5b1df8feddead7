import postgres from 'postgres'
import { codeOf, StatementTimeout } from './errors.ts'
import { type OpenSocket, systemUser } from './socket.ts'
import type { DatabaseUrl, Host } from './url.ts'

/** A query of postgres.js. Its public `cancel` returns no promise, so a failure of it would end the process. */
export type Query = PromiseLike<unknown> & { canceller?: ((query: Query) => Promise<unknown>) | null }

/** The options of postgres.js, one that its types lack. */
export type DriverOptions = postgres.Options<Record<string, never>> & { onexecute?: unknown }

export type OpenerOptions = {
  openSocket: OpenSocket
  /** Seconds for each server, unless the URL has its own. */
  connectTimeout: number
  /**
   * Whether a new connection runs a statement first, at the cost of a round trip. It finds the server that accepts writes,
   * and does without settings that a pooler refuses. With several hosts it always runs.
   */
  probe: boolean
}

/** Settings that every pooler knows. The code relies on these formats. */
const FORMATS = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' }

// Other settings that the code relies on. Some poolers refuse them.
const SESSION = {
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  default_transaction_isolation: 'read committed',
  search_path: 'public',
  // The pool has deadlines of its own. The limit of statements ends those of a server that is gone.
  statement_timeout: '5s',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
}

/** Milliseconds after which a server of several that does not answer is given up. */
const HOST_TIMEOUT_MS = 1_000

/**
 * Opens clients of postgres.js with one connection each. Nothing of them depends on PG* variables of the environment, which
 * postgres.js would read.
 */
export class Opener {
  /** Shared by all clients, as parsed by postgres.js. */
  readonly options: postgres.Sql['options']
  readonly #target: DatabaseUrl
  readonly #settings: OpenerOptions
  /** The index of the server that was used last. */
  #current = 0

  constructor(target: DatabaseUrl, settings: OpenerOptions, options: DriverOptions = {}) {
    this.#target = target
    this.#settings = settings
    this.options = postgres(driverOptions(target, settings, options)).options
    Object.assign(this.options, { target_session_attrs: null })
  }

  /** Whether another server may take over from one. */
  get hasAlternatives() {
    return this.#target.hosts.length > 1
  }

  /**
   * Returns a client that is connected to the first server that accepts writes, or else to the first one that answers. Gives
   * up at a deadline, in milliseconds of `performance.now()`. `onClose` is called when the connection is closed.
   */
  async open(deadline: number, onClose: (client: postgres.Sql) => void = () => {}): Promise<postgres.Sql> {
    const { hosts } = this.#target
    const failures: unknown[] = []
    let fallback: { client: postgres.Sql; index: number } | undefined
    for (let offset = 0; offset < hosts.length; offset++) {
      const index = (this.#current + offset) % hosts.length
      try {
        const { client, isReadOnly } = await this.#openHost(hosts[index] as Host, deadline, onClose)
        if (!isReadOnly) {
          fallback?.client.end({ timeout: 0 })
          this.#current = index
          return client
        }
        if (fallback) client.end({ timeout: 0 })
        fallback ??= { client, index }
      } catch (error) {
        failures.push(error)
      }
    }
    if (!fallback) throw failures[0]
    this.#current = fallback.index
    return fallback.client
  }

  async #openHost(
    host: Host,
    deadline: number,
    onClose: (client: postgres.Sql) => void,
  ): Promise<{ client: postgres.Sql; isReadOnly: boolean }> {
    const { openSocket, connectTimeout, probe } = this.#settings
    const { tls } = this.#target
    const allowed = this.hasAlternatives ? HOST_TIMEOUT_MS : connectTimeout * 1000
    const end = Math.min(deadline, performance.now() + allowed)
    const open = () => openSocket(host, tls, Math.max(end - performance.now(), 1))
    let first: Awaited<ReturnType<OpenSocket>> | undefined = await open()
    // postgres.js also opens a socket to cancel a statement, which must reach the same server.
    const socket = () => {
      const opened = first ?? openSocket(host, tls, connectTimeout * 1000)
      first = undefined
      return opened
    }
    const onclose = (id: number) => {
      this.options.onclose?.(id)
      onClose(client)
    }
    const hasSession = this.#sessionNames().length > 0
    // With a copy, since the settings of the session may be removed before this connection has sent them.
    const connection = { ...this.options.connection }
    const client = postgres({ ...this.options, connection, socket, onclose } as object)
    if (!probe && !this.hasAlternatives) return { client, isReadOnly: false }
    try {
      const rows = await raceDeadline(client.unsafe(PROBE), end)
      return {
        client,
        isReadOnly: this.hasAlternatives && (rows as { is_read_only: boolean }[])[0]?.is_read_only === true,
      }
    } catch (error) {
      client.end({ timeout: 0 })
      if (!hasSession || !isUnknownToPooler(error)) throw error
      this.#removeSession()
      return this.#openHost(host, deadline, onClose)
    }
  }

  /** Removes the settings that a pooler may refuse, for all further connections. */
  #removeSession() {
    for (const name of this.#sessionNames()) delete this.options.connection[name]
  }

  #sessionNames(): string[] {
    const { connection } = this.options
    return Object.keys(SESSION).filter((name) => name in connection && !(name in this.#target.parameters))
  }
}

const PROBE = `select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as is_read_only`

function driverOptions(target: DatabaseUrl, { connectTimeout, probe }: OpenerOptions, options: DriverOptions) {
  const { hosts, password, parameters, isPrepared } = target
  const [{ address, port }] = hosts as [Host]
  const user = target.user ?? systemUser()
  return {
    connect_timeout: connectTimeout,
    // By default the wait between attempts grows to 20 s, and a database that is back would stay unused for that long.
    backoff: () => 0.2,
    // Seconds of silence before the peer is probed.
    keep_alive: 10,
    onnotice: () => {},
    // Saves a round trip per connection: Drizzle knows the array types from the schema.
    fetch_types: false,
    prepare: isPrepared,
    debug: false,
    idle_timeout: 0,
    // Seconds, spread so that not all connections end together.
    max_lifetime: () => 60 * (30 + Math.random() * 30),
    max_pipeline: 100,
    ...options,
    max: 1,
    // One host and port, for the messages of postgres.js.
    host: [address],
    port: [port],
    user,
    // As a function, because an empty password would be taken from PGPASSWORD.
    pass: () => password,
    database: target.database ?? user,
    // The socket has TLS already.
    ssl: false,
    sslnegotiation: 'postgres',
    publications: 'alltables',
    // Without one, PGTARGETSESSIONATTRS would be read. The Opener removes it.
    target_session_attrs: 'primary',
    connection: {
      application_name: 'docket',
      ...(probe && SESSION),
      ...parameters,
      ...FORMATS,
      ...options.connection,
    },
  } as object
}

/** Tells whether a pooler refused a setting that it does not know, as pgbouncer does. */
const isUnknownToPooler = (error: unknown) =>
  codeOf(error) === '08P01' && /unsupported startup parameter/i.test((error as Error).message)

/** Rejects with a StatementTimeout if a query is not done at a deadline, in milliseconds of `performance.now()`. */
export function raceDeadline(query: Query, deadline: number): Promise<unknown> {
  // Not Promise.race, which costs more promises for each statement.
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StatementTimeout()), deadline - performance.now())
    query.then(resolve, reject).then(() => clearTimeout(timer))
  })
}
