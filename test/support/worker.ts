import type { ExecutionContext } from 'hono'
import { createWorker } from '../../src/worker.ts'
import { assertBelowCap, overrideScryptCost } from './worker-crypto.ts'

// The Worker under test: the real one with a clock that the test sets. Each request carries the time, and the Worker reports
// to the test when the request's background tasks are done.

const { deriveBits } = SubtleCrypto.prototype
SubtleCrypto.prototype.deriveBits = function (algorithm, key, length) {
  assertBelowCap((algorithm as { iterations?: number }).iterations)
  return deriveBits.call(this, algorithm, key, length as number)
}

let time = 0
const worker = createWorker(() => new Date(time))

type Bindings = Parameters<typeof worker.fetch>[1] & { DONE: string; SCRYPT_COST?: string }

/** Returns the request as its client sent it: wrangler calls the Worker over HTTP in any case. */
const withScheme = (request: Request) =>
  request.headers.has('X-Test-Scheme') ? new Request(request.url.replace(/^http:/, 'https:'), request) : request

export default {
  async fetch(request: Request, env: Bindings, context: ExecutionContext) {
    if (env.SCRYPT_COST) overrideScryptCost(JSON.parse(env.SCRYPT_COST))
    time = Number(request.headers.get('X-Test-Time'))
    const tasks: Promise<unknown>[] = []
    try {
      return await worker.fetch(withScheme(request), env, { ...context, waitUntil: (promise) => tasks.push(promise) })
    } finally {
      context.waitUntil(Promise.allSettled(tasks).then(() => fetch(env.DONE, { method: 'POST' })))
    }
  },
  scheduled: worker.scheduled,
}
