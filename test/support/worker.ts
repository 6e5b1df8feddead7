import type { ExecutionContext } from 'hono'
import { createWorker } from '../../src/worker.ts'
import { type ClockKind, createClockOpener } from './clock.ts'
import { assertBelowCap, overrideScryptCost } from './worker-crypto.ts'

// The Worker under test: the real one with a clock that the test sets. Each request carries the time, and the Worker reports
// to the test when the request's background tasks are done.

const { deriveBits } = SubtleCrypto.prototype
SubtleCrypto.prototype.deriveBits = function (algorithm, key, length) {
  assertBelowCap((algorithm as { iterations?: number }).iterations)
  return deriveBits.call(this, algorithm, key, length as number)
}

type Bindings = Parameters<typeof worker.fetch>[1] & { DONE: string; CLOCK_KIND: ClockKind; SCRYPT_COST?: string }

/** The time of the test at its last request, and how far it is ahead of the time of this machine. */
let [time, ahead] = [0, 0]
let openClock: ReturnType<typeof createClockOpener> | undefined
const worker = createWorker((db) => openClock?.(db))

function setTime(milliseconds: number, { CLOCK_KIND }: Bindings) {
  time = milliseconds
  ahead = milliseconds - Date.now()
  const now = () => new Date(CLOCK_KIND === 'test' ? time : Date.now() + ahead)
  const write = (_: object, message?: string) => console.log(message)
  openClock ??= createClockOpener(CLOCK_KIND, now, { info: write, warn: write, error: write })
}

/** Returns the request as its client sent it: wrangler calls the Worker over HTTP in any case. */
const withScheme = (request: Request) =>
  request.headers.has('X-Test-Scheme') ? new Request(request.url.replace(/^http:/, 'https:'), request) : request

export default {
  async fetch(request: Request, env: Bindings, context: ExecutionContext) {
    if (env.SCRYPT_COST) overrideScryptCost(JSON.parse(env.SCRYPT_COST))
    setTime(Number(request.headers.get('X-Test-Time')), env)
    const tasks: Promise<unknown>[] = []
    try {
      return await worker.fetch(withScheme(request), env, { ...context, waitUntil: (promise) => tasks.push(promise) })
    } finally {
      context.waitUntil(Promise.allSettled(tasks).then(() => fetch(env.DONE, { method: 'POST' })))
    }
  },
  async scheduled(event: { scheduledTime: number }, env: Bindings) {
    setTime(event.scheduledTime, env)
    await worker.scheduled(event, env)
  },
}
