import { type SQL, sql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'

/** The largest clock difference that is allowed. An event may be this much older than one that was logged before it. */
export const MAX_CLOCK_SKEW_DAYS = 30

/**
 * Returns a query for the event with the greatest position. It searches the recent events first, and all events only if none
 * is recent. The second part is disabled by its limit: with a condition, TimescaleDB decompresses chunks all the same.
 */
export const newestEvent = (condition: SQL, isRecent: SQL): SQL => sql`
  with recent as materialized (
    select position, at, id from assignment_events where ${condition} and ${isRecent}
    order by position desc, at desc, id desc limit 1
  )
  select * from recent
  union all (
    select position, at, id from assignment_events where ${condition}
    order by position desc, at desc, id desc limit (select 1 - count(*) from recent)
  )`

/**
 * Tells whether the positions in the log are those of this database cluster's transactions. They are not after a dump was
 * restored in another cluster, which counts its own: new events would get positions before those that readers have read.
 */
export async function isLogOfThisCluster(db: Pick<PostgresJsDatabase, 'execute'>): Promise<boolean> {
  const [row] = await db.execute<{ fits: boolean }>(sql`
    select coalesce(
      (select position from (${newest}) as newest) < log_position(pg_snapshot_xmax(pg_current_snapshot())), true
    ) as fits`)
  return row?.fits ?? true
}

/**
 * Makes new positions follow those in the log, by a new definition of log_position(). It runs with every migration, because
 * a dump can be restored at any time. It must run in a transaction.
 */
export async function continuePositions(db: PostgresJsDatabase): Promise<void> {
  if (await isLogOfThisCluster(db)) return
  // Writers wait for the lock, and use the new function after it.
  await db.execute(sql`lock table assignment_events in exclusive mode`)
  const [row] = await db.execute<{ shift: string }>(sql`
    select (select position from (${newest}) as newest) + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint as shift`)
  await db.execute(
    sql.raw(`create or replace function log_position(transaction xid8) returns bigint
      language sql stable strict parallel safe return transaction::text::bigint + ${row?.shift}`),
  )
}

const newest: SQL = newestEvent(sql`true`, sql`at >= now() - ${sql.raw(`interval '${MAX_CLOCK_SKEW_DAYS} days'`)}`)
