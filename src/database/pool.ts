import postgres from 'postgres'
import { createLimiter } from '../concurrency.ts'
import { type Opener, type Query, raceDeadline } from './client.ts'
import { ConnectionFailed, isConflict, isFull, isRestoreMode, isStalePlan, StatementTimeout } from './errors.ts'

/** Seconds that a statement may take, its wait for a connection included. Shorter than the timeout of a request. */
const STATEMENT_SECONDS = 4

/** Seconds that a statement may wait for a connection, so that a request with several statements can still be answered. */
const MAX_WAIT_SECONDS = 2

/** Milliseconds between attempts to connect while the server has no connection at all. */
const RETRY_MS = 100

/**
 * The most statements that a connection keeps prepared. PostgreSQL and postgres.js forget none before the connection ends. Lists
 * have millions of texts, by their filters and orders, and the plan of one takes up to 0.4 MB in PostgreSQL.
 */
const MAX_PREPARED = 200

/** How a statement starts on a connection, prepared or not, and its text if it may be prepared. */
export type Statement = {
  preparable: string | undefined
  start: (connection: postgres.Sql, options: { isPrepared: boolean }) => Query
}

type OpenConnection = { releaseSlot: () => void; prepared: Set<string> }

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
 *
 * If the server has fewer connections for this role than the pool may open, the pool uses as many as it gets, and tries one
 * more each second.
 */
export class Pool {
  readonly #limit
  readonly #max: number
  readonly #acquireSlot
  readonly #opener: Opener
  /** The open connections, each with the release of its slot and the texts that it has prepared. */
  readonly #open = new Map<postgres.Sql, OpenConnection>()
  readonly #idle: postgres.Sql[] = []
  /** When the server refused another connection, in milliseconds of `performance.now()`. */
  #fullSince = Number.NEGATIVE_INFINITY
  #isClosed = false

  /** Nothing connects before the first statement. */
  constructor(opener: Opener, { max, acquireSlot }: PoolOptions) {
    this.#opener = opener
    this.#max = max
    this.#acquireSlot = acquireSlot
    this.#limit = createLimiter({
      concurrency: () => this.#capacity(),
      maxWait: MAX_WAIT_SECONDS,
      overloadMessage: 'The database has more work than it can finish soon.',
    })
  }

  /**
   * Runs one statement on a connection of its own. Rejects with an OverloadError when none became free in time, with a
   * StatementTimeout when the statement took too long, and with a ConnectionFailed or the driver's error otherwise.
   */
  async run(statement: Statement): Promise<unknown> {
    const now = performance.now()
    const [deadline, maxWait] = [now + STATEMENT_SECONDS * 1000, now + MAX_WAIT_SECONDS * 1000]
    for (;;) {
      try {
        return await this.#limit(() => this.#runUntilDone(deadline, statement))
      } catch (error) {
        if (!isFull(error) || performance.now() > maxWait) throw ConnectionFailed.from(error)
        // The statement has not run: it waits for a connection that others use.
      }
    }
  }

  /** Closes all connections. Running statements may end first, for at most two seconds. */
  async close(): Promise<void> {
    this.#isClosed = true
    const closing = [...this.#open].map(([connection, { releaseSlot }]) =>
      connection.end({ timeout: 2 }).finally(releaseSlot),
    )
    await Promise.all(closing)
  }

  /**
   * Runs a statement again if that can help. Each statement is a transaction of its own, so one that failed has changed
   * nothing.
   */
  async #runUntilDone(deadline: number, { preparable, start }: Statement): Promise<unknown> {
    let isPrepared = true
    for (;;) {
      try {
        return await this.#runBefore(deadline, (connection) => {
          if (isPrepared && preparable) this.#open.get(connection)?.prepared.add(preparable)
          return start(connection, { isPrepared })
        })
      } catch (error) {
        const mayHaveStalePlan = isPrepared && isStalePlan(error)
        if (!(mayHaveStalePlan || isConflict(error)) || performance.now() > deadline) throw error
        // Poolers share prepared statements between connections, so only one that is not prepared is surely planned anew.
        if (mayHaveStalePlan) isPrepared = false
      }
    }
  }

  async #runBefore(deadline: number, start: (connection: postgres.Sql) => Query): Promise<unknown> {
    const connection = this.#idle.pop() ?? (await this.#connect(deadline))
    if (this.#isClosed) {
      this.#discard(connection)
      throw new ConnectionFailed()
    }
    const query = start(connection)
    try {
      const result = await raceDeadline(query, deadline)
      this.#release(connection)
      return result
    } catch (error) {
      if (error instanceof StatementTimeout) this.#cancel(connection, query)
      else if (isRestoreMode(error)) this.#discardAll(connection)
      else if (isReusable(error)) this.#release(connection)
      else this.#discard(connection)
      throw error
    }
  }

  async #connect(deadline: number): Promise<postgres.Sql> {
    const releaseSlot = await this.#acquireSlot()
    try {
      const connection = await this.#opener.open(deadline, (closed) => this.#removeIdle(closed))
      this.#open.set(connection, { releaseSlot, prepared: new Set() })
      return connection
    } catch (error) {
      releaseSlot()
      if (isFull(error)) await this.#shrink()
      throw error
    }
  }

  /** Limits the pool to its open connections. Without any, it waits, so that the server is not asked all the time. */
  async #shrink() {
    this.#fullSince = performance.now()
    if (this.#open.size === 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }

  #capacity(): number {
    const seconds = Math.floor((performance.now() - this.#fullSince) / 1000)
    return Math.min(this.#max, Math.max(this.#open.size, 1) + seconds)
  }

  /** Removes a connection that the server closed while it was idle, so that no statement has to fail for it. */
  #removeIdle(connection: postgres.Sql) {
    const index = this.#idle.indexOf(connection)
    if (index < 0) return
    this.#idle.splice(index, 1)
    this.#discard(connection)
  }

  #release(connection: postgres.Sql) {
    const prepared = this.#open.get(connection)?.prepared.size ?? 0
    if (prepared < MAX_PREPARED) this.#idle.push(connection)
    else this.#discard(connection)
  }

  #discard(connection: postgres.Sql) {
    const open = this.#open.get(connection)
    this.#open.delete(connection)
    connection.end({ timeout: 0 }).finally(open?.releaseSlot)
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

  /** Discards a connection and the idle ones, whose sessions keep the restore mode after its end. */
  #discardAll(connection: postgres.Sql) {
    for (const other of [connection, ...this.#idle.splice(0)]) this.#discard(other)
  }
}

/**
 * Tells whether a statement failed and left its connection usable. After an error that is not the statement's, postgres.js would
 * reconnect, and take the greeting of the new connection for the answer to the next statement. A connection with stale plans,
 * or with a transaction that is read-only or failed (class 25), would fail the next statements as well.
 */
const isReusable = (error: unknown) =>
  error instanceof postgres.PostgresError &&
  error.severity === 'ERROR' &&
  !isStalePlan(error) &&
  !error.code.startsWith('25')
