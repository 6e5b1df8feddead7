import { retryLater } from './problem.ts'

/** How many works may run at once, what one of them takes at first, and how long one may wait for its turn, in seconds. */
type Pace = { running: number; seconds: number; patience: number }

/**
 * Lets so many works run at once, and the others in their order. Who would have to wait too long, by what the last ones took,
 * is turned away at once: 503 with the time that the queue needs. So what is let in is served in time, however many ask.
 */
export function createTurns({ running, seconds, patience }: Pace, why: string) {
  let active = 0
  const waiting = new Set<() => void>()

  async function turn() {
    const wait = ((waiting.size + 1) / running) * seconds
    if (wait > patience) throw retryLater('unavailable', wait, why)
    let timer: ReturnType<typeof setTimeout> | undefined
    await new Promise<void>((resolve, reject) => {
      waiting.add(resolve)
      // Who has given up is passed over: on Workers nobody would be there any more to pass the turn on.
      timer = setTimeout(
        () => waiting.delete(resolve) && reject(retryLater('unavailable', patience, why)),
        patience * 1000,
      )
    }).finally(() => clearTimeout(timer))
  }

  return async <T>(work: () => PromiseLike<T>): Promise<T> => {
    if (active < running) active++
    else await turn()
    const start = performance.now()
    try {
      return await work()
    } finally {
      seconds += ((performance.now() - start) / 1000 - seconds) / 32
      const [next] = waiting
      if (next && waiting.delete(next)) next()
      else active--
    }
  }
}
