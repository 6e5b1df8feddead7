import type { ExecutionContext } from 'hono'
import { app } from './app.ts'
import { createBackground } from './background.ts'
import { createLimiter } from './concurrency.ts'
import { connect } from './database/connect.ts'
import { purgeExpired } from './database/purge.ts'
import { openSocket } from './database/socket.ts'
import { createHub } from './events/hub.ts'
import { Problem } from './http/problem.ts'
import { problemResponse } from './http/security.ts'
import type { Log } from './log.ts'
import { createMailer } from './mail/mailer.ts'
import type { Services } from './services.ts'
import { readSettings, StartupError, warnAboutRateLimits } from './settings.ts'
import { createWorkerKdf } from './worker/kdf.ts'

/** What `wrangler.toml` binds, beside the settings. */
type Bindings = { HYPERDRIVE?: { connectionString: string }; ASSETS: { fetch(url: string): Promise<Response> } }

/** The Worker. Its clock is the caller's, so that tests can steer it. */
export const createWorker = (now: Services['now']) => ({
  async fetch(request: Request, env: Bindings, context: ExecutionContext): Promise<Response> {
    try {
      const { promise: answered, resolve: leave } = Promise.withResolvers<void>()
      const { services, finish } = open(env, now, answered)
      const address = request.headers.get('CF-Connecting-IP') ?? ''
      const answer = Promise.resolve(app.fetch(request, { ...services, address })).finally(leave)
      // From the start, so that a client that hangs up does not leave work half done, and its turn taken.
      context.waitUntil(answer.then(finish))
      return keepTag(await answer)
    } catch (error) {
      if (!(error instanceof StartupError)) throw error
      console.error(`Docket cannot answer.\n${error.message}`)
      return problemResponse(new Problem('internal_error'))
    }
  },

  /** Each hour, as the cron trigger says. */
  async scheduled({ scheduledTime }: { scheduledTime: number }, env: Bindings): Promise<void> {
    const { services, finish } = open(env, now)
    await purgeExpired(services.db, new Date(scheduledTime)).finally(finish)
  },
})

export default createWorker(() => new Date())

/** Cloudflare would compress an answer for most clients and make its entity tag a weak one, which no If-Match takes. */
function keepTag(answer: Response): Response {
  if (answer.headers.has('ETag')) answer.headers.append('Cache-Control', 'no-transform')
  return answer
}

/** What stays the same from request to request, made by the first; bindings do not change while an isolate lives. */
let shared: ReturnType<typeof prepare> | undefined

function prepare(env: Bindings) {
  const settings = readSettings(env)
  if (!env.HYPERDRIVE)
    throw new StartupError('HYPERDRIVE is not bound. Put the id of your Hyperdrive into wrangler.toml.')
  const kdf = createWorkerKdf(settings.PASSWORD_HASHER ?? 'scrypt')
  const log = createLog(settings.LOG_LEVEL)
  warnAboutRateLimits(settings, log)
  const services = { settings, kdf, log, sendMail: createMailer(settings, console.log) }
  return { url: env.HYPERDRIVE.connectionString, services }
}

/** The requests of an isolate that may have a connection at a time. */
const limitConnections = createLimiter({
  concurrency: 50,
  maxWait: 2,
  overloadMessage: 'The database has more work than it can finish soon.',
})

/**
 * Opens the services of one request, since on Workers a connection cannot be used by another request. Its slot is released
 * when the connection is closed or the request is answered. `finish` waits for background tasks.
 */
function open(env: Bindings, now: Services['now'], answered = Promise.resolve()) {
  shared ??= prepare(env)
  const { runInBackground, drain } = createBackground(shared.services.log)
  const acquireSlot = () =>
    new Promise<() => void>((resolve, reject) => {
      const holdSlot = () => Promise.race([new Promise<void>((release) => resolve(release)), answered])
      limitConnections(holdSlot).catch(reject)
    })
  const { db, close } = connect(shared.url, { max: 1, socket: openSocket, acquireSlot })
  const services = {
    ...shared.services,
    db,
    runInBackground,
    now,
    hub: createHub(db, { now, runInBackground, log: shared.services.log, tick: 1_000, life: 60_000 }),
    asset: (file) => env.ASSETS.fetch(`https://assets/${file}`),
  } satisfies Omit<Services, 'address'>
  return { services, finish: () => drain().then(close) }
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** A log of JSON lines, as on Node. */
function createLog(least: string): Log {
  const write = (level: keyof Log) => (fields: object, msg?: string) => {
    if (levels.indexOf(level) >= levels.indexOf(least)) console[level](JSON.stringify({ level, ...fields, msg }))
  }
  return { info: write('info'), warn: write('warn'), error: write('error') }
}
