/** A task was refused because it waited, or would have to wait, too long for its start. */
export class OverloadError extends Error {
  override name = 'OverloadError'
  /** Seconds after which a retry may succeed. */
  readonly retryAfter: number

  constructor(message: string, retryAfter: number) {
    super(message)
    this.retryAfter = retryAfter
  }
}

type LimiterOptions = {
  /** Tasks that may run at a time; a function if that changes. */
  concurrency: number | (() => number)
  /** Seconds that a task may wait for its start. */
  maxWait: number
  /** Seconds that a task takes at first; for tasks of similar length only. */
  taskSeconds?: number
  /** The message of the OverloadError. */
  overloadMessage: string
}

/**
 * Runs at most `concurrency` tasks at a time; the rest queue in order. A task that has waited for `maxWait` seconds is
 * rejected with an OverloadError. With `taskSeconds`, a task that would have to wait that long is rejected at once; the
 * estimate follows the time that recent tasks took. Do not use it for tasks that the load itself slows down: each early
 * refusal would invite another request, and little would be done.
 */
export function createLimiter({ concurrency, maxWait, taskSeconds, overloadMessage }: LimiterOptions) {
  const shortestTask = (taskSeconds ?? 0) / 2
  const maxRunning = typeof concurrency === 'number' ? () => concurrency : concurrency
  const queue = new Set<() => void>()
  let running = 0
  let estimate = taskSeconds

  async function waitForStart() {
    const expectedWait = estimate === undefined ? 0 : ((queue.size + 1) / maxRunning()) * estimate
    if (expectedWait > maxWait) throw new OverloadError(overloadMessage, expectedWait)
    let timer: ReturnType<typeof setTimeout> | undefined
    await new Promise<void>((resolve, reject) => {
      queue.add(resolve)
      // Removed from the queue: on Workers the request may be gone, and then nothing would start the next task.
      const giveUp = () => queue.delete(resolve) && reject(new OverloadError(overloadMessage, maxWait))
      timer = setTimeout(giveUp, maxWait * 1000)
    }).finally(() => clearTimeout(timer))
  }

  function startNext() {
    running--
    for (const next of queue) {
      if (running >= maxRunning()) return
      running++
      queue.delete(next)
      next()
    }
  }

  return async <T>(task: () => PromiseLike<T>): Promise<T> => {
    if (running < maxRunning()) running++
    else await waitForStart()
    const start = performance.now()
    try {
      return await task()
    } finally {
      if (estimate !== undefined) {
        // With a lower bound: on Workers the clock stands still while a task computes.
        const seconds = Math.max((performance.now() - start) / 1000, shortestTask)
        estimate += (seconds - estimate) / 8
      }
      startNext()
    }
  }
}
