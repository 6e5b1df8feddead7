import { lt, or, sql } from 'drizzle-orm'
import type { Clock } from './clock.ts'
import type { Database } from './connect.ts'
import { email_changes, password_resets, rate_limits, sessions, signups, users } from './schema.ts'

/**
 * Deletes expired sign-ups, reset codes, e-mail changes, rate limits and sessions, and sessions of replaced passwords. Several instances may
 * run it at once. It reads the database's clock first, since a wrong clock would delete what is still valid.
 */
export async function purgeExpired(db: Database, clock: Pick<Clock, 'sync'>): Promise<void> {
  const time = await clock.sync()
  const [now, hourAgo] = [time.toISOString(), new Date(time.getTime() - 3_600_000).toISOString()]
  for (const table of [signups, rate_limits]) await db.delete(table).where(lt(table.expires_at, now))
  // Beyond the limit of mails in an hour, a new request extends the last code instead of replacing it.
  for (const table of [password_resets, email_changes]) await db.delete(table).where(lt(table.expires_at, hourAgo))
  const isSuperseded = sql`${sessions.password_version} < (
    select ${users.password_version} from ${users} where ${users.id} = ${sessions.user_id})`
  await db.delete(sessions).where(or(lt(sessions.expires_at, now), isSuperseded))
}
