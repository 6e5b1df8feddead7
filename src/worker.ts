import type { ExecutionContext } from 'hono'
import { app } from './app.ts'
import { createBackground } from './background.ts'
import { createLimiter } from './concurrency.ts'
import { type Clock, ClockOffset, openClock } from './database/clock.ts'
import { connect, type Database } from './database/connect.ts'
import { Hub } from './events/hub.ts'
import { Problem } from './http/problem.ts'
import { problemResponse } from './http/security.ts'
import type { Logger } from './logger.ts'
import { createMailer } from './mail/mailer.ts'
import { maintain } from './maintenance.ts'
import type { Services } from './services.ts'
import { readSettings, StartupError, warnAboutRateLimits } from './settings.ts'
import { createWorkerKdf } from './worker/kdf.ts'

/** The bindings in `wrangler.toml`, which the Worker gets together with the settings. */
type Bindings = { HYPERDRIVE?: { connectionString: string }; ASSETS: { fetch(url: string): Promise<Response> } }

type OpenTestClock = (db: Database) => Clock | undefined

/** Creates the Worker. Tests give it a clock that they control. */
export const createWorker = (openTestClock: OpenTestClock = () => undefined) => ({
  async fetch(request: Request, env: Bindings, context: ExecutionContext): Promise<Response> {
    const isHttps = request.url.startsWith('https:')
    try {
      const { promise: responded, resolve: markResponded } = Promise.withResolvers<void>()
      const { services, finish } = openServices(env, openTestClock, responded)
      const address = request.headers.get('CF-Connecting-IP') ?? ''
      const response = Promise.resolve(app.fetch(request, { ...services, address, isHttps })).finally(markResponded)
      // Registered before the response is ready: the request is finished, and its slot released, if the client disconnects.
      context.waitUntil(response.then(finish))
      return keepStrongTag(await response)
    } catch (error) {
      if (!(error instanceof StartupError)) throw error
      console.error(`Docket did not start.\n${error.message}`)
      return problemResponse(new Problem('internal_error'), { isHttps })
    }
  },

  /** The cron trigger calls it every hour. */
  async scheduled(_event: object, env: Bindings): Promise<void> {
    const { services, finish } = openServices(env, openTestClock)
    await maintain(services.db, services.clock).finally(finish)
  },
})

/**
 * Opens the services of one request, since on Workers a connection cannot be used by another request. `finish` waits for
 * background tasks and closes the connection.
 */
function openServices(env: Bindings, openTestClock: OpenTestClock, responded = Promise.resolve()) {
  shared ??= createSharedServices(env)
  const { log } = shared.services
  const { runInBackground, drain } = createBackground(log)
  const { db, close } = connect(shared.url, { max: 1, acquireSlot: () => acquireSlot(responded) })
  const clock = openTestClock(db) ?? openClock(db, shared.clockOffset)
  const services = {
    ...shared.services,
    db,
    runInBackground,
    asset: async (file) => (await env.ASSETS.fetch(`https://assets/${file}`)).body as ReadableStream,
    // Cloudflare compresses responses.
    encode: async ({ read }) => ({ body: new Response(await read()).body as ReadableStream }),
    clock,
    now: clock.now,
    hub: new Hub(db, { clock, runInBackground, log, pollInterval: 1_000, maxLifetime: 60_000 }),
  } satisfies Omit<Services, 'address'>
  return { services, finish: () => drain().then(close) }
}

/** The services that all requests of an isolate share. The first request creates them; bindings never change after that. */
let shared: ReturnType<typeof createSharedServices> | undefined

function createSharedServices(env: Bindings) {
  const settings = readSettings(env)
  if (!env.HYPERDRIVE) {
    throw new StartupError('HYPERDRIVE is not bound. Put the id of your Hyperdrive into wrangler.toml.')
  }
  if (settings.SMTP_URL) {
    throw new StartupError('SMTP_URL works on Node only. On Workers, set RESEND_API_KEY.')
  }
  const kdf = createWorkerKdf(settings.PASSWORD_HASHER ?? 'scrypt')
  const log = createLog(settings.LOG_LEVEL)
  warnAboutRateLimits(settings, log)
  const services = { settings, kdf, log, sendMail: createMailer(settings, console.log) }
  return { url: env.HYPERDRIVE.connectionString, services, clockOffset: new ClockOffset(log) }
}

/** Limits how many requests of an isolate may have a connection at a time. */
const limitConnections = createLimiter({
  concurrency: 50,
  maxWait: 2,
  overloadMessage: 'The database has more work than it can finish soon.',
})

/** Waits until a connection may be opened, and returns the release of its slot. The response releases the slot as well. */
function acquireSlot(responded: Promise<void>): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const holdSlot = () => Promise.race([new Promise<void>((release) => resolve(release)), responded])
    limitConnections(holdSlot).catch(reject)
  })
}

/** Forbids Cloudflare to compress a response with a strong entity tag, which would make the tag weak. */
function keepStrongTag(response: Response): Response {
  if (response.headers.get('ETag')?.startsWith('"')) response.headers.append('Cache-Control', 'no-transform')
  return response
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Creates a log that writes JSON lines, as on Node. */
function createLog(minLevel: string): Logger {
  const write = (level: keyof Logger) => (fields: object, msg?: string) => {
    if (levels.indexOf(level) >= levels.indexOf(minLevel)) console[level](JSON.stringify({ level, ...fields, msg }))
  }
  return { info: write('info'), warn: write('warn'), error: write('error') }
}

export default createWorker()
