import type { MiddlewareHandler } from 'hono'
import type { Env } from '../services.ts'
import { retryLater } from './problem.ts'

/** Milliseconds from a request to its answer, whatever it has to ask of the database; a stream's answer is its beginning. */
const ANSWER_MS = 4_500

/**
 * Answers 503 where the handler would take too long. What it has begun goes on to its end, as after a connection that broke:
 * a statement may be done by then, and a guess has to be counted. Waiting for the client is not counted: how slowly it may
 * send is the server's to say. Nor is what kept a timer waiting, which is a computation, and no wait.
 */
export const answerInTime: MiddlewareHandler<Env> = async (c, next) => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    let left = ANSWER_MS
    let since = 0
    const run = () => {
      since = performance.now()
      timer = setTimeout(end, left)
    }
    const end = () => {
      left = performance.now() - since - left
      if (left >= 100) return run()
      c.set('isAnswered', true)
      c.env.defer(() => work)
      reject(retryLater('unavailable', 2, 'The answer takes too long.'))
    }
    c.set('untimed', async (work) => {
      clearTimeout(timer)
      left -= performance.now() - since
      try {
        return await work()
      } finally {
        run()
      }
    })
    run()
  })
  const work = next()
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
