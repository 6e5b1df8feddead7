import { finishDeletions } from './assignments/account-deletion.ts'
import type { Clock } from './database/clock.ts'
import type { Database } from './database/connect.ts'
import { purgeExpired } from './database/purge.ts'

/**
 * Does what is due every hour: deletes expired rows, and continues the deletions of accounts that were interrupted. Several
 * instances may run it at once.
 */
export async function maintain(db: Database, clock: Clock): Promise<void> {
  await purgeExpired(db, clock)
  await finishDeletions(db, clock.now)
}
