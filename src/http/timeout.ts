import type { MiddlewareHandler } from 'hono'
import type { Env } from '../services.ts'
import { retryLater } from './problem.ts'

/** Milliseconds from the request to its response; for a stream, to its start. */
const TIMEOUT_MS = 4_500

/**
 * Answers 503 when a handler takes too long. The handler still runs to its end: its statement may have been committed, and
 * a wrong password has to be counted. The time stands still during `pauseTimeout`, and while a computation blocks the
 * thread.
 */
export const timeout: MiddlewareHandler<Env> = async (c, next) => {
  let timer: ReturnType<typeof setTimeout> | undefined
  let remaining = TIMEOUT_MS
  let startedAt = 0
  let expire = () => {}

  function start() {
    if (c.get('hasTimedOut')) return
    startedAt = performance.now()
    timer = setTimeout(check, remaining)
  }

  function check() {
    const overrun = performance.now() - startedAt - remaining
    // A timer that fires this late was held up by a computation, which is not a wait.
    if (overrun < 100) return expire()
    remaining = overrun
    start()
  }

  c.set('pauseTimeout', async (task) => {
    clearTimeout(timer)
    remaining -= performance.now() - startedAt
    try {
      return await task()
    } finally {
      start()
    }
  })

  start()
  try {
    await new Promise<void>((resolve, reject) => {
      const handled = next()
      expire = () => {
        c.set('hasTimedOut', true)
        c.env.runInBackground(() => handled)
        reject(retryLater('unavailable', 2, 'The request took too long.'))
      }
      handled.then(resolve, reject)
    })
  } finally {
    clearTimeout(timer)
  }
}
