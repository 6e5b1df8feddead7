import { createHash } from 'node:crypto'
import { bucketEdges } from '../../src/reports/buckets.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A change of a zone's offset, in milliseconds. */
type Move = { at: number; offset: number }

/** Finds all moves of a zone's clock between two instants with nothing but Intl's name of the offset. */
function movesOf(timeZone: string, from: number, to: number): Move[] {
  const { format } = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  const offsetAt = (time: number) => {
    const [, sign, hours = 0, minutes = 0, seconds = 0] =
      /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format(time)) ?? []
    return (sign === '-' ? -1 : 1) * ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
  }
  const moves = [{ at: -Infinity, offset: offsetAt(from) }]
  for (let time = from; time < to; time += 2 * DAY) {
    const { offset } = moves.at(-1) as Move
    if (offsetAt(time + 2 * DAY) === offset) continue
    // To the second.
    let [low, high] = [time / 1000, (time + 2 * DAY) / 1000]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (offsetAt(middle * 1000) === offset) low = middle
      else high = middle
    }
    moves.push({ at: high * 1000, offset: offsetAt(high * 1000) })
  }
  return moves
}

/** Returns the first instant whose local time is `local` or later, by looking at each stretch of constant offset. */
function startOf(local: number, moves: Move[]): number {
  for (const [index, { at, offset }] of moves.entries()) {
    const start = Math.max(at, local - offset)
    if (start < (moves[index + 1]?.at ?? Infinity)) return start
  }
  throw new Error('unreachable')
}

/**
 * Compares the days of a zone with the reference, in those years in or next to which its clock is moved. Returns the differences, at most ten, and a digest of all days
 * for a comparison between processes.
 */
export function compareDays(timezone: string, firstYear: number, lastYear: number) {
  const moves = movesOf(timezone, Date.UTC(firstYear - 1, 11, 1), Date.UTC(lastYear + 1, 1, 1))
  const differences: string[] = []
  const digest = createHash('sha256')
  for (let year = firstYear; year <= lastYear; year++) {
    const [first, end] = [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)]
    if (!moves.some(({ at }) => at > first - 2 * DAY && at < end + 2 * DAY)) continue
    const days = Array.from({ length: (end - first) / DAY + 1 }, (_, day) => startOf(first + day * DAY, moves))
    const expected = [...new Set(days)].map((time) => new Date(time).toISOString())
    const [from, to] = [expected[0] as string, expected.at(-1) as string]
    const actual = bucketEdges('day', from, to, timezone, 1000) ?? []
    digest.update(actual.join())
    if (actual.join() !== expected.join() && differences.length < 10) {
      const index = actual.findIndex((edge, index) => edge !== expected[index])
      differences.push(`${timezone}: ${actual[index]} instead of ${expected[index]}`)
    }
  }
  return { differences, digest: digest.digest('hex') }
}
