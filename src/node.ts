import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, isIPv6 } from 'node:net'
import pino from 'pino'
import manifest from '../package.json' with { type: 'json' }
import { app } from './app.ts'
import { createBackground } from './background.ts'
import { connect } from './database/connect.ts'
import { isMigrated } from './database/migration-status.ts'
import { purgeExpired } from './database/purge.ts'
import { openSocket } from './database/socket.ts'
import { fillDemo, invitation } from './demo/seed.ts'
import { createHub } from './events/hub.ts'
import { describeError } from './log.ts'
import { createMailer } from './mail/mailer.ts'
import { createNodeKdf } from './node/kdf.ts'
import { createHttpServer, stop } from './node/server.ts'
import type { Services } from './services.ts'
import { readSettings, type Settings, StartupError, warnAboutRateLimits } from './settings.ts'

/** How long requests and deferred work may go on after the order to stop. */
const GRACE_MS = 10_000

const HOUR_MS = 3_600_000

const PART = 64 * 1024

/** Swagger UI's files, once they have been asked for. */
const assets = new Map<string, Promise<Uint8Array>>()

const print = (text: string) => process.stdout.write(`${text}\n`)

const command = process.argv[2]
try {
  if (command === 'migrate') await migrateNow()
  else if (command === 'worker') await develop(readSettings(process.env))
  else await serve(readSettings(process.env), command === 'demo')
} catch (error) {
  console.error(error instanceof StartupError ? `Docket did not start.\n${error.message}` : error)
  process.exit(1)
}

async function migrateNow() {
  const { DATABASE_URL, HISTORY_DAYS } = readSettings(process.env)
  if (!DATABASE_URL)
    throw new StartupError('DATABASE_URL is not set. (The embedded PostgreSQL is migrated at each start.)')
  const { meaning } = await migrateDatabase(DATABASE_URL, HISTORY_DAYS)
  print(`${nameOf(DATABASE_URL)} is migrated.\n${meaning}`)
}

/** Runs the Worker in workerd, over DATABASE_URL or the embedded PostgreSQL, until either ends. */
async function develop(settings: Settings) {
  const embedded = settings.DATABASE_URL ? undefined : await startEmbedded(settings)
  const url = settings.DATABASE_URL ?? (embedded?.url as string)
  const { db, close } = connect(url)
  await requireMigrated(db, url).finally(close)
  const wrangler = spawn('wrangler', ['dev', ...process.argv.slice(3)], {
    stdio: 'inherit',
    // Where npm's commands are scripts of its shell.
    shell: process.platform === 'win32',
    env: { ...process.env, CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: url },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => wrangler.kill(signal))
  const [code] = await once(wrangler, 'exit')
    .catch(() => {
      throw new StartupError('wrangler is not there. Start it as: npm run dev:worker')
    })
    .finally(() => embedded?.stop())
  process.exit(code ?? 0)
}

async function serve(settings: Settings, isDemo: boolean) {
  const log = pino({
    ...{ level: settings.LOG_LEVEL, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    formatters: { level: (level) => ({ level }) },
  })
  // Asked for while still starting, the end comes right after. A second signal ends the process there and then.
  const asked = new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve))
  const { runInBackground, drain } = createBackground(log)

  const embedded = settings.DATABASE_URL ? undefined : await startEmbedded(settings)
  const url = settings.DATABASE_URL ?? (embedded?.url as string)
  const { db, close } = connect(url, { socket: openSocket })
  const end = async () => {
    await close()
    await embedded?.stop()
  }

  const now = () => new Date()
  const hub = createHub(db, { now, log, runInBackground })
  const services = {
    ...{ db, settings, log, runInBackground, now, hub },
    kdf: createNodeKdf(settings.PASSWORD_HASHER ?? 'pbkdf2_sha256'),
    sendMail: createMailer(settings, print),
    asset: async (file) => new Response(await streamAsset(file)),
  } satisfies Omit<Services, 'address'>

  let metrics: Awaited<ReturnType<typeof startMetrics>>
  const server = createHttpServer(
    (request, address) => app.fetch(request, { ...services, address, observe: metrics?.observe }),
    settings.HOST,
  )
  try {
    await requireMigrated(db, url)
    metrics = await startMetrics(settings)
    if (isDemo) await fill(url, services)
    await new Promise<void>((resolve, reject) => {
      // As many may wait to be let in as Linux has by default; TCP would try again only a second or three after a burst.
      const where = { port: settings.PORT, host: settings.HOST, backlog: 4096 }
      server.once('error', reject).listen(where, resolve)
    }).catch((error) => {
      throw new StartupError(whyNotListening(error, settings))
    })
  } catch (error) {
    await end()
    throw error
  }

  const cleaning = setInterval(() => runInBackground(() => purgeExpired(db, new Date())), HOUR_MS)
  runInBackground(() => purgeExpired(db, new Date()))
  warnAboutRateLimits(settings, log)
  print(greeting(settings, server.address() as AddressInfo, isDemo))

  await asked
  clearInterval(cleaning)
  hub.close()
  const grace = setTimeout(() => server.closeAllConnections(), GRACE_MS)
  await stop(server)
  clearTimeout(grace)
  await drain()
  await end()
  metrics?.close()
  process.exit(0)
}

/** A file of Swagger UI, read from the disk once, and given in parts: an answer holds no more of it than its client has yet to take. */
async function streamAsset(file: string) {
  const reading = assets.get(file) ?? readFile(new URL(import.meta.resolve(`swagger-ui-dist/${file}`)))
  assets.set(file, reading)
  return ReadableStream.from(partsOf(await reading))
}

function* partsOf(bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; at += PART) yield bytes.subarray(at, at + PART)
}

async function startMetrics({ METRICS_PORT }: Settings) {
  if (!METRICS_PORT) return undefined
  const { serveMetrics } = await import('./node/metrics.ts')
  return serveMetrics(METRICS_PORT).catch(({ code }) => {
    throw new StartupError(`METRICS_PORT ${METRICS_PORT} of 127.0.0.1 cannot be listened on (${code}). Choose another.`)
  })
}

// Loaded only where it is used: neither is part of a production install that has a DATABASE_URL, or needed by it.
async function startEmbedded({ DATA_DIR }: Settings) {
  const { openEmbeddedPostgres } = await import('./node/embedded-postgres.ts')
  const embedded = await openEmbeddedPostgres(DATA_DIR)
  await migrateDatabase(embedded.url)
  return embedded
}

async function migrateDatabase(url: string, days?: number) {
  const { migrate } = await import('./database/migrate.ts')
  return migrate(url, days).catch((error) => {
    throw new StartupError(whyNoDatabase(url, error))
  })
}

async function requireMigrated(db: Services['db'], url: string) {
  const migrated = await isMigrated(db).catch((error) => {
    throw new StartupError(whyNoDatabase(url, error))
  })
  if (!migrated)
    throw new StartupError(`${nameOf(url)} is not migrated to this version of Docket. Run: npm run db:migrate`)
}

async function fill(url: string, { kdf, now, settings }: Pick<Services, 'kdf' | 'now' | 'settings'>) {
  const outcome = await fillDemo(url, kdf, now())
  if (outcome === 'refused') {
    const instead = settings.DATABASE_URL ? 'Set DATABASE_URL to' : 'Run DATA_DIR=.data/demo npm run demo, for'
    throw new StartupError(`${nameOf(url)} holds accounts that are not the demo's. ${instead} one that is empty.`)
  }
  // TimescaleDB has yet to count what was dated back.
  if (outcome === 'filled') await migrateDatabase(url, settings.HISTORY_DAYS)
}

/** A database as it may be named on a terminal: without its password. */
function nameOf(url: string) {
  const { hostname, port, pathname } = new URL(url)
  return `The database ${pathname.slice(1)} at ${hostname}:${port || 5432}`
}

function whyNoDatabase(url: string, error: unknown) {
  const { code, type } = describeError(error) as { code?: string; type: string }
  return `${nameOf(url)} cannot be used (${code ?? type}). Check that it runs, and DATABASE_URL.`
}

function whyNotListening({ code }: NodeJS.ErrnoException, { HOST, PORT }: Settings) {
  if (code === 'EADDRINUSE') {
    return `Port ${PORT} of ${HOST} is taken by another program. Choose another: PORT=${PORT + 1} npm start`
  }
  if (code === 'EACCES')
    return `Port ${PORT} needs more rights than this user has. Choose one from 1024 up: PORT=8000 npm start`
  return `${HOST}:${PORT} cannot be listened on (${code}). Check HOST and PORT.`
}

function greeting(settings: Settings, { address, port }: AddressInfo, isDemo: boolean) {
  const { DATABASE_URL, DATA_DIR, RESEND_API_KEY, RATE_LIMITS } = settings
  const origin = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
  return `
Docket ${manifest.version}

  Swagger page   ${origin}/docs/
  Database       ${DATABASE_URL ? nameOf(DATABASE_URL).slice(4) : `embedded PostgreSQL, kept in ${DATA_DIR}`}
  Mail           ${RESEND_API_KEY ? 'sent by Resend' : 'printed here, codes and all (RESEND_API_KEY sends it instead)'}
${RATE_LIMITS === 'off' ? '  Limits         off: anyone may guess passwords and codes without end\n' : ''}${isDemo ? invitation(origin, new Date()) : ''}
Ctrl-C stops it.
`
}
