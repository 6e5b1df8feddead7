import { lt, or, sql } from 'drizzle-orm'
import type { Database } from './connect.ts'
import { password_resets, rate_limits, sessions, signups, users } from './schema.ts'

/**
 * Removes what nobody can use any more: expired sign-ups, reset codes and limits, and sessions that are expired or of an
 * older password. Safe to run at any time, by several instances at once.
 */
export async function purgeExpired(db: Database, now: Date): Promise<void> {
  const at = now.toISOString()
  for (const table of [signups, rate_limits]) await db.delete(table).where(lt(table.expires_at, at))
  // Within the hour that limits mails to an address, its last code may be asked for again.
  await db
    .delete(password_resets)
    .where(lt(password_resets.expires_at, new Date(now.getTime() - 3_600_000).toISOString()))
  const superseded = sql`${sessions.password_version} < (
    select ${users.password_version} from ${users} where ${users.id} = ${sessions.user_id})`
  await db.delete(sessions).where(or(lt(sessions.expires_at, at), superseded))
}
