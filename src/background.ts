import { describe } from './http/problem.ts'
import type { Log, Services } from './services.ts'

/** Work that goes on after answers. A failure is logged; `settled` resolves once none of it runs any more. */
export function createDeferred(log: Log): { defer: Services['defer']; settled: () => Promise<void> } {
  const running = new Set<Promise<void>>()
  return {
    defer: (work) => {
      const run = work()
        .catch((error) => log.error({ error: describe(error) }, 'work after an answer failed'))
        .finally(() => running.delete(run))
      running.add(run)
    },
    settled: async () => {
      while (running.size > 0) await Promise.all(running)
    },
  }
}
