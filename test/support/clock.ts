import { type Clock, ClockOffset, openClock } from '../../src/database/clock.ts'
import type { Database } from '../../src/database/connect.ts'
import type { Logger } from '../../src/logger.ts'

/**
 * Where the API of a test gets its time:
 *
 * - `test`: from the test, where it stands still.
 * - `database`: from the database. The test sets the clock of the instance, which may be wrong.
 */
export type ClockKind = 'test' | 'database'

/** Returns a function that opens a clock. `now` is the time or, for the kind `database`, what the instance takes for it. */
export function createClockOpener(kind: ClockKind, now: () => Date, log: Logger): (db: Database) => Clock {
  if (kind === 'test') {
    return () => ({ now, ensureSynced: async () => {}, sync: async () => now(), warning: () => undefined })
  }
  const offset = new ClockOffset(log, { wall: () => now().getTime(), monotonic: () => performance.now() })
  return (db) => openClock(db, offset)
}
