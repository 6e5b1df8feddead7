import type { ExecutionContext } from 'hono'
import { app } from './app.ts'
import { createDeferred } from './background.ts'
import { createTurns } from './concurrency.ts'
import { connect } from './database/connect.ts'
import { removeExpired } from './database/purge.ts'
import { openSocket } from './database/socket.ts'
import { openFeed } from './events/hub.ts'
import { bareAnswer, Problem } from './http/problem.ts'
import { createMailer } from './mail/mailer.ts'
import type { Log, Services } from './services.ts'
import { readSettings, SettingsError, warnOfLimits } from './settings.ts'
import { workerKdf } from './worker/kdf.ts'

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
      if (!(error instanceof SettingsError)) throw error
      console.error(`Docket cannot answer.\n${error.message}`)
      return bareAnswer(new Problem('internal_error'))
    }
  },

  /** Each hour, as the cron trigger says. */
  async scheduled({ scheduledTime }: { scheduledTime: number }, env: Bindings): Promise<void> {
    const { services, finish } = open(env, now)
    await removeExpired(services.db, new Date(scheduledTime)).finally(finish)
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
  if (!env.HYPERDRIVE) throw new SettingsError('HYPERDRIVE is not bound: wrangler.toml should have its id.')
  const kdf = workerKdf(settings.PASSWORD_HASHER ?? 'scrypt')
  const log = createLog(settings.LOG_LEVEL)
  warnOfLimits(settings, log)
  const services = { settings, kdf, log, send: createMailer(settings, console.log) }
  return { url: env.HYPERDRIVE.connectionString, services }
}

/** Requests that may have a connection at once, each its own, until they are answered; the others wait, with none. */
const turn = createTurns({ running: 50, patience: 2 }, 'More is asked of the database than it can answer soon.')

/** The services of one request: a connection cannot outlive the one that opened it. `finish` waits for deferred work. */
function open(env: Bindings, now: Services['now'], answered = Promise.resolve()) {
  shared ??= prepare(env)
  const { defer, settled } = createDeferred(shared.services.log)
  const room = (use: () => Promise<void>) => turn(() => Promise.race([use(), answered]))
  const { db, close } = connect(shared.url, { max: 1, socket: openSocket, room })
  const services = {
    ...{ ...shared.services, db, defer, now },
    feed: openFeed(db, { now, defer, log: shared.services.log, tick: 1_000, life: 60_000 }),
    asset: (file) => env.ASSETS.fetch(`https://assets/${file}`),
  } satisfies Omit<Services, 'address'>
  return { services, finish: () => settled().then(close) }
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** A log of JSON lines, as on Node. */
function createLog(least: string): Log {
  const write = (level: keyof Log) => (fields: object, msg?: string) => {
    if (levels.indexOf(level) >= levels.indexOf(least)) console[level](JSON.stringify({ level, ...fields, msg }))
  }
  return { info: write('info'), warn: write('warn'), error: write('error') }
}
