import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from '../database/connect.ts'
import { onNode } from '../database/tls.ts'
import { nameOf } from '../database-url.ts'
import { type Settings, StartupError } from '../settings.ts'
import { assertMigrated, migrate, openDatabase } from './database.ts'

/** Migrates the database of DATABASE_URL and prints how it stores the event log. */
export async function migrateDatabase({ DATABASE_URL, HISTORY_DAYS }: Settings) {
  if (!DATABASE_URL) {
    throw new StartupError('DATABASE_URL is not set. The embedded PostgreSQL is migrated at every start.')
  }
  const { description } = await migrate(DATABASE_URL, HISTORY_DAYS)
  console.log(`The database ${nameOf(DATABASE_URL)} is migrated.\n${description}`)
}

/** Runs `wrangler dev` with the arguments until it exits. Its Hyperdrive is DATABASE_URL or the embedded PostgreSQL. */
export async function developWorker(settings: Settings, args: string[]) {
  const { url, stop } = await openDatabase(settings)
  const { db, close } = connect(url, { max: 1, ...onNode })
  await assertMigrated(db, url).finally(close)
  const wrangler = spawn('wrangler', ['dev', ...args], {
    stdio: 'inherit',
    // On Windows npm installs commands as scripts, which only a shell can run.
    shell: process.platform === 'win32',
    env: { ...process.env, CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: url },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => wrangler.kill(signal))
  const [code] = await once(wrangler, 'exit')
    .catch(() => {
      throw new StartupError('wrangler was not found. Start the Worker with: npm run dev:worker')
    })
    .finally(stop)
  process.exit(code ?? 0)
}
