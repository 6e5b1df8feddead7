import { retryLater } from './http/problem.ts'

/**
 * How many works may run at once, and how many seconds one may wait for its turn. Where works take alike, `seconds` is what
 * one of them takes at first, and twice what it takes at least.
 */
type Pace = { running: number; patience: number; seconds?: number }

/**
 * Lets so many works run at once, and the others in their order. Who has waited too long is turned away: 503 with the time to
 * wait. Where `seconds` is given, who would have to, by what the last ones took, is turned away at once. It is no measure of
 * works that the load itself slows down: each refusal would make for more of them, and little would be done.
 */
export function createTurns({ running, patience, seconds }: Pace, why: string) {
  const least = (seconds ?? 0) / 2
  let active = 0
  const waiting = new Set<() => void>()

  async function turn() {
    const wait = seconds === undefined ? 0 : ((waiting.size + 1) / running) * seconds
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
      // Not by the clock alone: on Workers it stands still while something is computed.
      if (seconds !== undefined) seconds += (Math.max((performance.now() - start) / 1000, least) - seconds) / 8
      const [next] = waiting
      if (next && waiting.delete(next)) next()
      else active--
    }
  }
}
