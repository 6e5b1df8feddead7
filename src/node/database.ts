import type { Database } from '../database/connect.ts'
import { isMigrated } from '../database/migration-status.ts'
import type { TimescaleSupport } from '../database/timescale.ts'
import { describeError } from '../logger.ts'
import { type Settings, StartupError } from '../settings.ts'

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
  return module.migrate(url, historyDays).catch((error) => failUnusable(url, error))
}

/** Throws a StartupError if a database cannot be used, or is not migrated to this version. */
export async function assertMigrated(db: Database, url: string) {
  if (!(await isMigrated(db).catch((error) => failUnusable(url, error)))) {
    throw new StartupError(
      `The database ${nameOf(url)} is not migrated to this version of Docket. Run: npm run db:migrate`,
    )
  }
}

/** Names a database for the terminal, without its password: `docket at 127.0.0.1:5432`. */
export function nameOf(url: string) {
  const { hostname, port, pathname } = new URL(url)
  return `${pathname.slice(1)} at ${hostname}:${port || 5432}`
}

function failUnusable(url: string, error: unknown): never {
  const { code, type } = describeError(error)
  throw new StartupError(
    `The database ${nameOf(url)} cannot be used (${code ?? type}). Check that it is running and that DATABASE_URL is right.`,
  )
}
