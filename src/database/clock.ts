import { sql } from 'drizzle-orm'
import type { Logger } from '../logger.ts'
import type { Database } from './connect.ts'
import { ClockUnknown } from './errors.ts'

/** The clocks of a process, in milliseconds: the time of day, which can be set, and the time since some start. */
export type LocalClocks = { wall: () => number; monotonic: () => number }

/** The time that is stored and compared: the same on all instances, whatever their own clocks say. */
export type Clock = {
  /** Returns the database's time. Throws a ClockUnknown unless it was synced lately. */
  now: () => Date
  /** Syncs if `now` could be wrong. Otherwise it costs nothing. */
  ensureSynced: () => Promise<void>
  /** Reads the database's clock, and returns its time. */
  sync: () => Promise<Date>
  /** Returns a sentence for the operator if the clock of this instance is off by more than a minute. */
  warning: () => string | undefined
}

/** Milliseconds after which the difference to the database's clock is measured again. */
const MAX_AGE = 60_000

/** Milliseconds that a request may still use a difference that was young enough when it began. */
const MAX_REQUEST = 60_000

/** Milliseconds by which the two clocks of a process may move apart before one of them must have been set. */
const MAX_DIVERGENCE = 500

/** Milliseconds that a measurement may take. A statement is given up earlier. */
const MAX_MEASUREMENT = 5_000

/** Milliseconds above which an operator should know. */
const NOTABLE = 60_000

const systemClocks: LocalClocks = { wall: () => Date.now(), monotonic: () => performance.now() }

/** The difference between the clock of a process, or of an isolate, and that of its database. */
export class ClockOffset {
  readonly #log: Logger
  readonly #clocks: LocalClocks
  /** Milliseconds to add to the local time. */
  #offset = 0
  /** When the offset was measured. */
  #measuredAt: Reading | undefined
  /** The offset that was logged last; 0 if it was not worth a line. */
  #logged = 0

  constructor(log: Logger, clocks = systemClocks) {
    this.#log = log
    this.#clocks = clocks
  }

  /** Whether the offset could be wrong: it is old or was never measured, or a clock has been set since. */
  get isDoubtful() {
    return !this.#isValidFor(MAX_AGE)
  }

  /** Returns the database's time. Throws a ClockUnknown if the offset could be wrong. */
  now(): Date {
    if (!this.#isValidFor(MAX_AGE + MAX_REQUEST)) throw new ClockUnknown()
    return new Date(this.#clocks.wall() + this.#offset)
  }

  /** Measures the offset, and returns the time of the database. */
  async measure(db: Database): Promise<Date> {
    let measured: { time: number; hasMoved: boolean } | undefined
    for (let attempt = 0; attempt < 3; attempt++) {
      const isRepeated = measured !== undefined
      measured = await this.#measureOnce(db)
      // A new offset is measured twice: the first statement may have waited for a connection, which makes it inexact.
      if (measured && (isRepeated || !measured.hasMoved)) break
    }
    if (!measured) throw new ClockUnknown()
    this.#report()
    return new Date(measured.time)
  }

  /** Returns a sentence for the operator if the offset is more than a minute. */
  get warning(): string | undefined {
    if (Math.abs(this.#offset) <= NOTABLE) return undefined
    const seconds = Math.round(Math.abs(this.#offset) / 1000).toLocaleString('en-US')
    const direction = this.#offset < 0 ? 'ahead of' : 'behind'
    return `The clock of this instance is ${seconds} seconds ${direction} the database's clock.`
  }

  /** Logs that the offset has become notable, has changed by more than a minute since, or is small again. */
  #report() {
    const { warning } = this
    if (warning && Math.abs(this.#offset - this.#logged) > NOTABLE) {
      this.#log.warn({}, warning)
      this.#logged = this.#offset
    } else if (!warning && this.#logged !== 0) {
      this.#log.info({}, "The clock of this instance agrees with the database's clock again.")
      this.#logged = 0
    }
  }

  /** Returns undefined if a clock of the process was set meanwhile. */
  async #measureOnce(db: Database): Promise<{ time: number; hasMoved: boolean } | undefined> {
    const before = this.#read()
    const [row] = await db.execute<{ time: string }>(sql`select clock_timestamp() as time`)
    const after = this.#read()
    if (!isEven(before, after, MAX_MEASUREMENT)) return undefined
    const time = Date.parse((row as { time: string }).time)
    // The true offset is within these bounds. One that already is stays, so that the time does not jitter.
    const offset = Math.min(Math.max(this.#offset, time - after.wall), time - before.wall)
    const hasMoved = offset !== this.#offset
    this.#offset = offset
    this.#measuredAt = after
    return { time, hasMoved }
  }

  #isValidFor(age: number) {
    return this.#measuredAt !== undefined && isEven(this.#measuredAt, this.#read(), age)
  }

  #read(): Reading {
    return { wall: this.#clocks.wall(), monotonic: this.#clocks.monotonic() }
  }
}

/** The times of both clocks of a process at one moment. */
type Reading = { wall: number; monotonic: number }

/** Tells whether at most `maxAge` has passed between two readings, and neither clock was set in between. */
function isEven(before: Reading, after: Reading, maxAge: number): boolean {
  const age = after.monotonic - before.monotonic
  return age >= 0 && age <= maxAge && Math.abs(after.wall - before.wall - age) <= MAX_DIVERGENCE
}

/** Returns a clock that measures an offset through a database. Calls of `sync` at the same time share one measurement. */
export function openClock(db: Database, offset: ClockOffset): Clock {
  let running: Promise<Date> | undefined
  const sync = () => {
    running ??= offset.measure(db).finally(() => {
      running = undefined
    })
    return running
  }
  return {
    now: () => offset.now(),
    ensureSynced: async () => {
      if (offset.isDoubtful) await sync()
    },
    sync,
    warning: () => offset.warning,
  }
}
