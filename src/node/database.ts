import type { Database } from '../database/connect.ts'
import { migrationStatus, RESTORING } from '../database/migration-status.ts'
import type { TimescaleSupport } from '../database/timescale.ts'
import { InvalidDatabaseUrl, nameOf } from '../database/url.ts'
import { describeError } from '../logger.ts'
import { type Settings, StartupError } from '../settings.ts'
import { adviceFor } from './database-problems.ts'

/** Returns the URL of DATABASE_URL or of the embedded PostgreSQL, which is started and migrated. `stop` ends the latter. */
export async function openDatabase(settings: Settings): Promise<{ url: string; stop: () => Promise<void> }> {
  if (settings.DATABASE_URL) return { url: settings.DATABASE_URL, stop: async () => {} }
  // Not loaded with a DATABASE_URL: a production install has no embedded PostgreSQL.
  const { openEmbeddedPostgres } = await import('./embedded-postgres.ts')
  const embedded = await openEmbeddedPostgres(settings.DATA_DIR)
  await migrate(embedded.url).catch(async (error) => {
    await embedded.stop()
    throw error
  })
  return embedded
}

/** Migrates a database. Throws a StartupError if it cannot be used. */
export async function migrate(url: string, historyDays?: number): Promise<TimescaleSupport> {
  // Loaded only when needed, because it holds the list of common passwords.
  const module = await import('../database/migrate.ts')
  const onWait = (seconds: number) =>
    console.log(`Another migration of the database is running. Waiting for it, at most ${seconds} seconds.`)
  return module.migrate(url, historyDays, { onWait }).catch((error) => {
    if (error instanceof module.MigrationError) {
      throw new StartupError(`The database ${nameOf(url)} cannot be migrated. ${error.message}`)
    }
    return failUnusable(url, error)
  })
}

/** Throws a StartupError if a database cannot be used, is not migrated to this version, or is being restored. */
export async function assertMigrated(db: Database, url: string) {
  const status = await migrationStatus(db).catch((error) => failUnusable(url, error))
  if (status === 'restoring') throw new StartupError(`The database ${nameOf(url)} cannot be used. ${RESTORING}`)
  if (status === 'unmigrated') {
    throw new StartupError(
      `The database ${nameOf(url)} is not migrated to this version of Docket. Run: npm run db:migrate`,
    )
  }
}

function failUnusable(url: string, error: unknown): never {
  if (error instanceof InvalidDatabaseUrl) throw new StartupError(`DATABASE_URL cannot be used. ${error.message}`)
  const { code, type } = describeError(error)
  throw new StartupError(`The database ${nameOf(url)} cannot be used (${code ?? type}). ${adviceFor(error)}`)
}
