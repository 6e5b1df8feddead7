import postgres from 'postgres'
import { createLimiter } from '../concurrency.ts'
import { ConnectionFailed, StatementTimeout } from './errors.ts'

/** Seconds that a statement may take, its wait for a connection included. Shorter than the timeout of a request. */
const STATEMENT_SECONDS = 4

/** Seconds that a statement may wait for a connection, so that a request with several statements can still be answered. */
const MAX_WAIT_SECONDS = 2

/** A query of postgres.js. Its public `cancel` returns no promise, so a failure of it would end the process. */
export type Query = PromiseLike<unknown> & { canceller?: ((query: Query) => Promise<unknown>) | null }

type PoolOptions = {
  /** The most connections that may be open. */
  max: number
  /** Waits until one more connection may be opened, where several pools share a limit. Resolves to its release. */
  acquireSlot: () => Promise<() => void>
}

/**
 * A pool of connections that carry one statement at a time, each a client of postgres.js with one connection. The pool of
 * postgres.js sends statements ahead of the answers to others. When it cancels one of those, it assigns every later answer
 * to the wrong statement, and users see each other's rows.
 */
export class Pool {
  readonly #limit
  readonly #acquireSlot
  readonly #options: object
  /** The open connections, each with the release of its slot. */
  readonly #open = new Map<postgres.Sql, () => void>()
  readonly #idle: postgres.Sql[] = []
  #spare: postgres.Sql | undefined
  #isClosed = false

  /** Nothing connects before the first statement. `first` becomes the first connection, and its options those of all. */
  constructor(first: postgres.Sql, { max, acquireSlot }: PoolOptions) {
    this.#spare = first
    this.#options = first.options
    this.#acquireSlot = acquireSlot
    this.#limit = createLimiter({
      concurrency: max,
      maxWait: MAX_WAIT_SECONDS,
      overloadMessage: 'The database has more work than it can finish soon.',
    })
  }

  /**
   * Runs one statement on a connection of its own. Rejects with an OverloadError when none became free in time, with a
   * StatementTimeout when the statement took too long, and with a ConnectionFailed or the driver's error otherwise.
   */
  async run(start: (connection: postgres.Sql) => Query): Promise<unknown> {
    const deadline = performance.now() + STATEMENT_SECONDS * 1000
    return this.#limit(() => this.#runBefore(deadline, start)).catch((error) => {
      throw ConnectionFailed.from(error)
    })
  }

  /** Closes all connections. Running statements may end first, for at most two seconds. */
  async close(): Promise<void> {
    this.#isClosed = true
    const closing = [...this.#open].map(([connection, releaseSlot]) =>
      connection.end({ timeout: 2 }).finally(releaseSlot),
    )
    await Promise.all(closing)
  }

  async #runBefore(deadline: number, start: (connection: postgres.Sql) => Query): Promise<unknown> {
    const connection = await this.#acquire()
    const query = start(connection)
    try {
      const result = await raceDeadline(query, deadline)
      this.#release(connection)
      return result
    } catch (error) {
      if (error instanceof StatementTimeout) this.#cancel(connection, query)
      else if (isConnectionIntact(error)) this.#release(connection)
      else this.#discard(connection)
      throw error
    }
  }

  async #acquire(): Promise<postgres.Sql> {
    const connection = this.#idle.pop() ?? (await this.#connect())
    if (!this.#isClosed) return connection
    this.#discard(connection)
    throw new ConnectionFailed()
  }

  async #connect(): Promise<postgres.Sql> {
    const releaseSlot = await this.#acquireSlot()
    const connection = this.#spare ?? postgres(this.#options)
    this.#spare = undefined
    this.#open.set(connection, releaseSlot)
    return connection
  }

  #release(connection: postgres.Sql) {
    this.#idle.push(connection)
  }

  #discard(connection: postgres.Sql) {
    const releaseSlot = this.#open.get(connection)
    this.#open.delete(connection)
    connection.end({ timeout: 0 }).finally(releaseSlot)
  }

  /**
   * Asks the database to stop a statement that took too long, and discards its connection: it may be dead, and a late
   * cancellation would hit the next statement. The idle connections may be dead for the same reason.
   */
  async #cancel(connection: postgres.Sql, query: Query) {
    for (const idle of this.#idle.splice(0)) this.#discard(idle)
    await query.canceller?.(query).catch(() => {})
    this.#discard(connection)
  }
}

/** Rejects with a StatementTimeout if a query is not done at a deadline, in milliseconds of `performance.now()`. */
async function raceDeadline(query: Query, deadline: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StatementTimeout()), deadline - performance.now())
  })
  try {
    return await Promise.race([query, expired])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Tells whether a statement failed and left its connection usable. After any other failure postgres.js would reconnect, and
 * take the greeting of the new connection for the answer to the next statement.
 */
const isConnectionIntact = (error: unknown) => error instanceof postgres.PostgresError && error.severity === 'ERROR'
