import type { Server } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import manifest from '../../package.json' with { type: 'json' }
import { app } from '../app.ts'
import { createBackground } from '../background.ts'
import { ClockOffset, openClock } from '../database/clock.ts'
import { connect } from '../database/connect.ts'
import { onNode } from '../database/tls.ts'
import { nameOf } from '../database/url.ts'
import { demoGreeting, fillDemo } from '../demo/seed.ts'
import { Hub } from '../events/hub.ts'
import { maintain } from '../maintenance.ts'
import type { Services } from '../services.ts'
import { type Settings, StartupError, warnAboutRateLimits } from '../settings.ts'
import { encode, readAsset } from './assets.ts'
import { assertMigrated, migrate, openDatabase } from './database.ts'
import { createHttpServer, stopServer } from './http-server.ts'
import { createNodeKdf } from './kdf.ts'
import { createLog } from './log.ts'
import { nameOfMail, openMailer } from './mail.ts'
import { stopSignal } from './signals.ts'

/** Milliseconds that open requests may take after the signal to stop. */
const GRACE_MS = 10_000

const HOUR_MS = 3_600_000

/**
 * Serves the API until a signal, and then stops gracefully: open requests and background tasks are finished. Throws a
 * StartupError if the server cannot start.
 */
export async function serve(settings: Settings, { isDemo }: { isDemo: boolean }) {
  // Registered before start-up, so that an early signal stops the server as soon as it is up.
  const stopped = stopSignal()
  const resources = await openServices(settings)
  const { services, drain, close } = resources
  const { server, metrics, demoTime } = await start(resources, isDemo).catch(async (error) => {
    await close()
    throw error
  })
  const doMaintenance = () => services.runInBackground(() => maintain(services.db, services.clock))
  const maintaining = setInterval(doMaintenance, HOUR_MS)
  doMaintenance()
  warnAboutRateLimits(settings, services.log)
  console.log(greeting(settings, server.address() as AddressInfo, demoTime))

  await stopped
  clearInterval(maintaining)
  services.hub.close()
  const grace = setTimeout(() => server.closeAllConnections(), GRACE_MS)
  await stopServer(server)
  clearTimeout(grace)
  await drain()
  await close()
  metrics?.close()
  process.exit(0)
}

type Resources = Awaited<ReturnType<typeof openServices>>

async function openServices(settings: Settings) {
  const log = createLog(settings.LOG_LEVEL)
  const { runInBackground, drain } = createBackground(log)
  const { url, stop } = await openDatabase(settings)
  const { db, close } = connect(url, { max: settings.POOL_SIZE, ...onNode })
  const clock = openClock(db, new ClockOffset(log))
  const services = {
    db,
    settings,
    log,
    runInBackground,
    clock,
    now: clock.now,
    hub: new Hub(db, { clock, log, runInBackground }),
    kdf: createNodeKdf(settings.PASSWORD_HASHER ?? 'pbkdf2_sha256'),
    sendMail: await openMailer(settings),
    asset: readAsset,
    encode,
  } satisfies Omit<Services, 'address'>
  return { services, url, drain, close: () => close().then(stop) }
}

async function start({ services, url }: Resources, isDemo: boolean) {
  const { db, settings } = services
  await assertMigrated(db, url)
  // Loaded only when needed, because prom-client takes memory.
  const metrics = settings.METRICS_PORT
    ? await (await import('./metrics.ts')).serveMetrics(settings.METRICS_PORT)
    : undefined
  const demoTime = isDemo ? await addDemoData(url, services) : undefined
  const server = createHttpServer(
    (request, address, setHeader) => app.fetch(request, { ...services, address, setHeader, observe: metrics?.observe }),
    settings.HOST,
  )
  await listen(server, settings)
  return { server, metrics, demoTime }
}

/** Fills the database with the demo, and returns the time at which it ends. */
async function addDemoData(url: string, { kdf, clock, settings }: Resources['services']) {
  const time = await clock.sync()
  const outcome = await fillDemo(url, kdf, time)
  if (outcome === 'refused') {
    throw new StartupError(
      `The database ${nameOf(url)} has accounts that do not belong to the demo. The demo needs an empty database: ${
        settings.DATABASE_URL ? 'set DATABASE_URL to one.' : 'DATA_DIR=.data/demo npm run demo'
      }`,
    )
  }
  // The demo's events are dated in the past, where TimescaleDB aggregates them only when the database is migrated again.
  if (outcome === 'filled') await migrate(url, settings.HISTORY_DAYS)
  return time
}

/** Resolves when the server listens, and rejects with a StartupError if it cannot. */
function listen(server: Server, { HOST, PORT }: Settings) {
  return new Promise<void>((resolve, reject) => {
    const rejectWith = ({ code }: NodeJS.ErrnoException) => reject(new StartupError(explain(code, HOST, PORT)))
    // The backlog is the default limit of Linux. If it is full in a burst, TCP retries only after one to three seconds.
    server.once('error', rejectWith).listen({ port: PORT, host: HOST, backlog: 4096 }, resolve)
  })
}

function explain(code: string | undefined, HOST: string, PORT: number) {
  if (code === 'EADDRINUSE') {
    return `Port ${PORT} on ${HOST} is already in use. Choose another port: PORT=${PORT + 1} npm start`
  }
  if (code === 'EACCES') {
    return `This user is not allowed to listen on port ${PORT}. Choose a port above 1023: PORT=8000 npm start`
  }
  return `Docket cannot listen on ${HOST}:${PORT} (${code}). Check HOST and PORT.`
}

function greeting(settings: Settings, { address, port }: AddressInfo, demoTime: Date | undefined) {
  const { DATABASE_URL, DATA_DIR, RATE_LIMITS } = settings
  const origin = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
  const database = DATABASE_URL ? nameOf(DATABASE_URL) : `embedded PostgreSQL in ${DATA_DIR}`
  const limits = RATE_LIMITS === 'off' ? '  Rate limits    off: passwords and codes can be guessed without limit\n' : ''
  return `
Docket ${manifest.version} is running.

  API and docs   ${origin}/docs/
  Database       ${database}
  Mail           ${nameOfMail(settings)}
${limits}${demoTime ? demoGreeting(origin, demoTime) : ''}
Press Ctrl-C to stop.
`
}
