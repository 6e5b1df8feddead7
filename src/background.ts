import { describeError, type Logger } from './logger.ts'

/** Work that continues after the response. */
export type Background = {
  /** Starts a task and keeps the process, or the isolate, alive until it is done. A failure is logged. */
  runInBackground: (task: () => Promise<unknown>) => void
  /** Resolves once no task runs. */
  drain: () => Promise<void>
}

/** Creates an empty set of background tasks. */
export function createBackground(log: Logger): Background {
  const running = new Set<Promise<unknown>>()
  return {
    runInBackground: (task) => {
      const run = task()
        .catch((error) => log.error({ error: describeError(error) }, 'a background task failed'))
        .finally(() => running.delete(run))
      running.add(run)
    },
    drain: async () => {
      while (running.size > 0) await Promise.all(running)
    },
  }
}
