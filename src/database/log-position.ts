import { type SQL, sql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { assignment_events } from './schema.ts'

/** By how much clocks may be apart: no event is logged later than another whose time is so many days after its own. */
export const MAX_CLOCK_SKEW_DAYS = 30

/**
 * The event of the greatest position; looked for among recent ones and, only where there are none, among all. A limit of
 * none is sure not to look: a condition would be, but not where TimescaleDB unpacks columns.
 */
export const newestEvent = (condition: SQL, recent: SQL): SQL => {
  const newest = sql`select position, at, id from ${assignment_events} where ${condition}`
  const order = sql`order by position desc, at desc, id desc`
  return sql`
    with recent as materialized (${newest} and ${recent} ${order} limit 1)
    select * from recent union all (${newest} ${order} limit (select 1 - count(*) from recent))`
}

/**
 * Whether the log's positions are of this cluster's transactions. They are not after a dump was restored in another one,
 * which counts its own: what is logged then would come before what followers have read.
 */
export async function isOfThisCluster(db: Pick<PostgresJsDatabase, 'execute'>): Promise<boolean> {
  const [row] = await db.execute<{ fits: boolean }>(sql`
    select coalesce((select position from (${newest}) as newest) < log_position(pg_snapshot_xmax(pg_current_snapshot())), true) as fits`)
  return row?.fits ?? true
}

/** Lets the positions of all that is logged from now on follow those that the log has. No migration, but a step of every one. */
export async function continuePositions(db: PostgresJsDatabase): Promise<void> {
  if (await isOfThisCluster(db)) return
  await db.transaction(async (transaction) => {
    // Whoever logs meanwhile waits, and has the new function by then.
    await transaction.execute(sql`lock table assignment_events in exclusive mode`)
    const [row] = await transaction.execute<{ shift: string }>(sql`
      select (select position from (${newest}) as newest) + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint as shift`)
    await transaction.execute(
      sql.raw(`create or replace function log_position(transaction xid8) returns bigint
        language sql stable strict parallel safe return transaction::text::bigint + ${row?.shift}`),
    )
  })
}

const newest: SQL = newestEvent(sql`true`, sql`at >= now() - ${sql.raw(`interval '${MAX_CLOCK_SKEW_DAYS} days'`)}`)
