import { firstInstant, toLocal } from './local-time.ts'

export const bucketSizes = ['hour', 'day', 'week', 'month'] as const
export type BucketSize = (typeof bucketSizes)[number]

const HOUR_MS = 3_600_000

/**
 * Returns the start of each bucket of a range and, last, the end of the last bucket. The first bucket contains `from`. Days,
 * weeks (ISO 8601, from Monday) and months start at midnight in the time zone, and a day can be longer or shorter than 24
 * hours. Hours start at full hours of the local time. One is longer than 60 minutes only where the clock is moved by a part of
 * an hour. Returns undefined if there would be more than `max` buckets.
 */
export function bucketEdges(
  size: BucketSize,
  from: string,
  to: string,
  timezone: string,
  max: number,
): string[] | undefined {
  const [start, end] = [Date.parse(from), Date.parse(to)]
  const edges: number[] = []
  for (const edge of bucketStarts(size, start, timezone)) {
    // A clock that is moved back over midnight can end a day before `from`, although its date is that of `from`.
    if (edge <= start) edges.pop()
    // Zones that moved across the date line have skipped a day, which then starts when the next one does.
    if (edge !== edges.at(-1)) edges.push(edge)
    if (edges.length > max + 1) return undefined
    if (edge >= end) break
  }
  return edges.map((edge) => new Date(edge).toISOString())
}

/** Yields the start of each bucket, without end, from the one that contains the local time of an instant. */
function* bucketStarts(size: BucketSize, time: number, timezone: string): Generator<number, void> {
  if (size === 'hour') return yield* hourStarts(time, timezone)
  const date = new Date(toLocal(time, timezone))
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const monday = day - ((date.getUTCDay() + 6) % 7)
  const midnight = (month: number, day: number) => firstInstant(Date.UTC(year, month, day), timezone)
  for (let index = 0; ; index++) {
    if (size === 'day') yield midnight(month, day + index)
    else if (size === 'week') yield midnight(month, monday + 7 * index)
    else yield midnight(month + index, 1)
  }
}

function* hourStarts(time: number, timezone: string): Generator<number, void> {
  const sinceFullHour = (time: number) => ((toLocal(time, timezone) % HOUR_MS) + HOUR_MS) % HOUR_MS
  let start = time - sinceFullHour(time)
  // The clock may have been moved since that hour.
  start -= sinceFullHour(start)
  for (;;) {
    yield start
    start += HOUR_MS
    const passed = sinceFullHour(start)
    if (passed > 0) start += HOUR_MS - passed
  }
}
