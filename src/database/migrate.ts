import { dictionary } from '@zxcvbn-ts/language-common'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type postgres from 'postgres'
import { migrationsFolder } from '../files.ts'
import { Opener } from './client.ts'
import { continuePositions } from './log-position.ts'
import { isRestoring, RESTORING } from './migration-status.ts'
import { common_passwords } from './schema.ts'
import { defineHistoryStart, setPolicies, setUpTimescale, type TimescaleSupport } from './timescale.ts'
import { onNode } from './tls.ts'
import { parseDatabaseUrl } from './url.ts'

/** The key of the advisory lock, which must be the same in every version of Docket. */
const ADVISORY_LOCK = 0x646f636b

/** The oldest version of PostgreSQL that the tests run on. */
const MIN_VERSION = 15

/** The database cannot be migrated as it is. The message says why, and what to do. */
export class MigrationError extends Error {}

type MigrateOptions = {
  /** Seconds to wait for another migration. */
  maxWait?: number
  /** Called when another migration is running. */
  onWait?: (seconds: number) => void
}

/**
 * Migrates a database to the schema of this code, and returns how it stores the event log. `historyDays` is the retention of
 * the log; without it all events are kept. Concurrent migrations wait for each other. Throws a MigrationError if Docket cannot
 * use the database, or if the wait is too long.
 *
 * Nearly all of it is one transaction, which holds the lock. So a migration is done or not done, and its lock ends with it,
 * also behind a pooler, where a lock of the session would stay with a connection that others use.
 */
export async function migrate(
  url: string,
  historyDays?: number,
  { maxWait = 60, onWait }: MigrateOptions = {},
): Promise<TimescaleSupport> {
  const target = parseDatabaseUrl(url)
  const connectTimeout = target.connectTimeout ?? 10
  const connection = { statement_timeout: '0', ...target.parameters }
  const options = { prepare: false, connection } as object
  const opener = new Opener(target, { ...onNode, connectTimeout }, options)
  const client = await opener.open(performance.now() + connectTimeout * 1000 * target.hosts.length)
  try {
    // With this isolation, statements see what a migration that held the lock has committed.
    const support = await client.begin('isolation level read committed', async (transaction) => {
      await removeTimeouts(transaction)
      await assertUsable(transaction)
      await lock(transaction, maxWait, onWait)
      await setSearchPath(transaction)
      return migrateLocked(transaction, client.options, historyDays)
    })
    // Refreshing the continuous aggregate may not run in a transaction.
    if (support.level === 'community') await setPolicies(client, historyDays)
    return support
  } finally {
    await client.end({ timeout: 5 })
  }
}

/** Removes the limits of the role and the database, which may be too short for migrations. */
async function removeTimeouts(transaction: postgres.TransactionSql) {
  // PostgreSQL 15 and 16 have no transaction_timeout.
  await transaction`
    select set_config(name, '0', true) from pg_settings
    where name in ('transaction_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout')`
}

async function assertUsable(transaction: postgres.TransactionSql) {
  const [row] = await transaction<[{ version: number; encoding: string; lacks_library: boolean }]>`
    select current_setting('server_version_num')::int / 10000 as version, current_setting('server_encoding') as encoding,
      -- A setting that exists on every server that has loaded TimescaleDB.
      current_setting('timescaledb.disable_load', true) is null
        and exists (select from pg_extension where extname = 'timescaledb') as lacks_library`
  if (row.version < MIN_VERSION) {
    throw new MigrationError(`It is PostgreSQL ${row.version}. Docket needs PostgreSQL ${MIN_VERSION} or newer.`)
  }
  if (row.encoding !== 'UTF8') {
    throw new MigrationError(
      `Its encoding is ${row.encoding}, and Docket needs UTF8. Create another one: create database docket encoding 'UTF8' template template0`,
    )
  }
  if (row.lacks_library) {
    throw new MigrationError(
      'It has the extension timescaledb, which its server does not load. Add timescaledb to shared_preload_libraries, and restart PostgreSQL.',
    )
  }
}

/** Takes the lock until the end of the transaction. */
async function lock(transaction: postgres.TransactionSql, maxWait: number, onWait: MigrateOptions['onWait']) {
  const [row] = await transaction`select pg_try_advisory_xact_lock(${ADVISORY_LOCK}) as is_locked`
  if (row?.is_locked) return
  onWait?.(maxWait)
  await transaction`select set_config('lock_timeout', ${`${maxWait}s`}, true)`
  await transaction`select pg_advisory_xact_lock(${ADVISORY_LOCK})`.catch((error) => {
    if (error.code !== '55P03') throw error
    throw new MigrationError(
      `Another migration has been running for ${maxWait} seconds. Try again when it is done. If there is none, an older version of Docket that migrated through a pooler has left its lock behind. Remove it: select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = ${ADVISORY_LOCK}`,
    )
  })
  await transaction`set local lock_timeout = 0`
}

/** Makes the tables belong to the schema public, and finds extensions in whatever schema they are. */
async function setSearchPath(transaction: postgres.TransactionSql) {
  await transaction`
    select set_config('search_path', concat_ws(', ', 'public', string_agg(distinct quote_ident(nspname), ', ')), true)
    from pg_extension join pg_namespace on pg_namespace.oid = extnamespace
    where extname in ('pg_trgm', 'timescaledb') and nspname <> 'public'`
}

async function migrateLocked(
  transaction: postgres.TransactionSql,
  options: postgres.Sql['options'],
  historyDays: number | undefined,
) {
  // Drizzle adapts the parsers in the options, which a transaction of postgres.js lacks.
  const sqlOfTransaction = Object.assign(transaction, { options }) as unknown as postgres.Sql
  const db = drizzle(sqlOfTransaction)
  if (await isRestoring(db)) throw new MigrationError(RESTORING)
  await applyMigrations(db)
  const passwords = [...dictionary['passwords-common'], ...keyboardPasswords()].filter(
    (password) => password.length >= 8,
  )
  await db.execute(sql`
    insert into ${common_passwords} select jsonb_array_elements_text(${JSON.stringify(passwords)}::jsonb)
    on conflict do nothing`)
  const support = await setUpTimescale(sqlOfTransaction, historyDays)
  await defineHistoryStart(sqlOfTransaction, support.level, historyDays)
  await continuePositions(db)
  return support
}

/** Applies the migrations that are newer than the last one, and records them where Drizzle's own migrator does. */
async function applyMigrations(db: PostgresJsDatabase) {
  await db.execute(sql`create schema if not exists drizzle`)
  await db.execute(sql`
    create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`)
  const [last] = await db.execute<{ created_at: string | null }>(
    sql`select max(created_at) as created_at from drizzle.__drizzle_migrations`,
  )
  for (const { sql: statements, hash, folderMillis } of readMigrationFiles({ migrationsFolder })) {
    if (folderMillis <= Number(last?.created_at ?? 0)) continue
    for (const statement of statements) await db.execute(sql.raw(statement))
    await db.execute(sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`)
  }
}

/** Returns passwords that the dictionary leaves to rules: one repeated key, and runs of the alphabet, digits and keyboard. */
function keyboardPasswords(): string[] {
  const keys = [...'abcdefghijklmnopqrstuvwxyz0123456789 .*!']
  const rows = 'abcdefghijklmnopqrstuvwxyz 01234567890 qwertyuiop asdfghjkl; zxcvbnm,./ 1qaz2wsx3edc4rfv'.split(' ')
  const lengths = [8, 9, 10, 11, 12]
  const repeated = keys.flatMap((key) => lengths.map((length) => key.repeat(length)))
  const runs = rows.flatMap((row) =>
    lengths.flatMap((length) =>
      Array.from({ length: row.length - length + 1 }, (_, start) => row.slice(start, start + length)),
    ),
  )
  const reversed = runs.map((run) => [...run].reverse().join(''))
  return [...repeated, ...runs, ...reversed]
}
