import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { connect } from '../database/connect.ts'
import { onNode } from '../database/tls.ts'
import { nameOf } from '../database/url.ts'
import { type Settings, StartupError } from '../settings.ts'
import { assertMigrated, migrate, openDatabase } from './database.ts'
import { stopSignal } from './signals.ts'

/** Migrates the database of DATABASE_URL and prints how it stores the event log. */
export async function migrateDatabase({ DATABASE_URL, HISTORY_DAYS }: Settings) {
  if (!DATABASE_URL) {
    throw new StartupError('DATABASE_URL is not set. The embedded PostgreSQL is migrated at every start.')
  }
  const { description } = await migrate(DATABASE_URL, HISTORY_DAYS)
  console.log(`The database ${nameOf(DATABASE_URL)} is migrated.\n${description}`)
}

/** Writes the OpenAPI document, for the address of a server with default settings, to `openapi.json` in the current folder. */
export async function saveOpenApi() {
  // Loaded only when needed, because the other commands do without the app.
  const { writeOpenApi } = await import('../app.ts')
  const document = JSON.parse(writeOpenApi('http://127.0.0.1:8000'))
  await writeFile('openapi.json', `${JSON.stringify(document, null, 2)}\n`)
}

/** Runs `wrangler dev` with the arguments until it exits. Its Hyperdrive is DATABASE_URL or the embedded PostgreSQL. */
export async function developWorker(settings: Settings, args: string[]) {
  const stopped = stopSignal()
  // Before anything starts, because it may be refused.
  const ownUrl = settings.DATABASE_URL && toHyperdriveUrl(settings.DATABASE_URL)
  const { url, stop } = await openDatabase(settings)
  const { db, close } = connect(url, { max: 1, ...onNode })
  await assertMigrated(db, url).finally(close)
  const wrangler = spawn('wrangler', ['dev', ...addressOptions(settings, args), ...args], {
    stdio: 'inherit',
    // On Windows npm installs commands as scripts, which only a shell can run.
    shell: process.platform === 'win32',
    env: {
      ...process.env,
      CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: ownUrl ?? url,
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_SEND_ERROR_REPORTS: 'false',
    },
  })
  // wrangler would leave its own processes behind after a SIGHUP.
  stopped.then((signal) => wrangler.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal))
  const [code] = await once(wrangler, 'exit')
    .catch(() => {
      throw new StartupError('wrangler was not found. Start the Worker with: npm run dev:worker')
    })
    .finally(stop)
  process.exit(code ?? 0)
}

/**
 * Returns a URL that wrangler's local Hyperdrive accepts: it insists on a user, a password and a database, and connects over
 * TCP. Throws a StartupError if there is no such URL.
 */
function toHyperdriveUrl(databaseUrl: string): string {
  const url = URL.canParse(databaseUrl) ? new URL(databaseUrl) : undefined
  const isOverTcp = url?.hostname && !url.hostname.toLowerCase().startsWith('%2f') && !url.searchParams.has('host')
  if (!isOverTcp || url.hostname.includes(',')) {
    throw new StartupError(
      'The Worker on this machine reaches its database over TCP at one host. Set DATABASE_URL to a URL such as postgres://user:password@127.0.0.1:5432/name, or leave it out to use the embedded PostgreSQL.',
    )
  }
  url.username ||= encodeURIComponent(userInfo().username)
  // A server that trusts its clients does not look at the password.
  url.password ||= 'none'
  if (url.pathname.length <= 1) url.pathname = url.username
  return url.href
}

/** Returns wrangler's options for HOST and PORT, if they are set and the arguments do not say otherwise. */
function addressOptions({ HOST, PORT }: Settings, args: string[]): string[] {
  const isGiven = (option: string) => args.some((arg) => arg === option || arg.startsWith(`${option}=`))
  return [
    ...(process.env.PORT && !isGiven('--port') ? ['--port', String(PORT)] : []),
    ...(process.env.HOST && !isGiven('--ip') ? ['--ip', HOST] : []),
  ]
}
