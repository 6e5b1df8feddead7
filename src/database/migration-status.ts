import { sql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import journal from '../../drizzle/meta/_journal.json' with { type: 'json' }
import { isUnmigrated } from './errors.ts'
import { isLogOfThisCluster } from './log-position.ts'

const latest = Math.max(...journal.entries.map(({ when }) => when))

type Client = Pick<PostgresJsDatabase, 'execute'>

/**
 * Tells whether the database has all migrations of this code and log positions of its own cluster, and whether it is in
 * TimescaleDB's restore mode, in which the event log cannot be written. Rejects if the database is unreachable.
 */
export async function migrationStatus(db: Client): Promise<'migrated' | 'unmigrated' | 'restoring'> {
  try {
    const [row] = await db.execute<{ migrated: boolean }>(sql`
      select coalesce(max(created_at) >= ${latest}, false) as migrated from drizzle.__drizzle_migrations`)
    if (row?.migrated !== true) return 'unmigrated'
    // Fails if the log was adapted to TimescaleDB, and the extension is gone.
    await db.execute(sql`select history_start() is not null`)
    if (await isRestoring(db)) return 'restoring'
    return (await isLogOfThisCluster(db)) ? 'migrated' : 'unmigrated'
  } catch (error) {
    if (isUnmigrated(error)) return 'unmigrated'
    throw error
  }
}

/** The message about a database in TimescaleDB's restore mode, with the way out. */
export const RESTORING =
  "The database is in TimescaleDB's restore mode, in which the event log cannot be written. After the restore, end it there: select timescaledb_post_restore()"

/**
 * Tells whether new sessions are in TimescaleDB's restore mode. It is a setting of the database, which a session reads when it
 * starts, so the settings are read from the catalogue. A role that may not do that sees only those of its own session.
 */
export async function isRestoring(db: Client): Promise<boolean> {
  const [session] = await db.execute<{ restoring: boolean; hasCatalogue: boolean; hasExtension: boolean }>(sql`
    select coalesce(current_setting('timescaledb.restoring', true), '') = 'on' as restoring,
      has_table_privilege('pg_catalog.pg_db_role_setting', 'select') as "hasCatalogue",
      exists (select from pg_extension where extname = 'timescaledb') as "hasExtension"`)
  if (!session?.hasExtension) return false
  if (!session.hasCatalogue) return session.restoring
  const [row] = await db.execute<{ restoring: boolean }>(sql`
    select exists (
      select from pg_db_role_setting, unnest(setconfig) as setting
      where setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and setrole in (0, (select oid from pg_roles where rolname = session_user))
        and starts_with(setting, 'timescaledb.restoring=') and split_part(setting, '=', 2)::boolean
    ) as restoring`)
  return row?.restoring === true
}
