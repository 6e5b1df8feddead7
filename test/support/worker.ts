import type { ExecutionContext } from 'hono'
import { createWorker } from '../../src/worker.ts'
import { refuseBeyondCap } from './capped-crypto.ts'

// The Worker under test: the real one, with a clock that the test steers, under a rule that production has and the local
// workerd has not. Each request brings the time, and tells the test when all that it put off is done.

const { deriveBits } = SubtleCrypto.prototype
SubtleCrypto.prototype.deriveBits = function (algorithm, key, length) {
  refuseBeyondCap((algorithm as { iterations?: number }).iterations)
  return deriveBits.call(this, algorithm, key, length as number)
}

let time = 0
const worker = createWorker(() => new Date(time))

type Bindings = Parameters<typeof worker.fetch>[1] & { DONE: string }

export default {
  async fetch(request: Request, env: Bindings, context: ExecutionContext) {
    time = Number(request.headers.get('X-Test-Time'))
    const work: Promise<unknown>[] = []
    try {
      return await worker.fetch(request, env, { ...context, waitUntil: (promise) => work.push(promise) })
    } finally {
      context.waitUntil(Promise.allSettled(work).then(() => fetch(env.DONE, { method: 'POST' })))
    }
  },
  scheduled: worker.scheduled,
}
