import { type SQL, sql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { MOST_SKEW_DAYS, newestEvent } from './schema.ts'

/**
 * Whether the log's positions are of this cluster's transactions. They are not after a dump was restored in another one,
 * which counts its own: what is logged then would come before what followers have read.
 */
export async function isOfThisCluster<Schema extends Record<string, unknown>>(
  db: PostgresJsDatabase<Schema>,
): Promise<boolean> {
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

const newest: SQL = newestEvent(sql`true`, sql`at >= now() - ${sql.raw(`interval '${MOST_SKEW_DAYS} days'`)}`)
