import { firstInstant, toLocal } from './local-time.ts'

export const bucketSizes = ['hour', 'day', 'week', 'month'] as const
export type BucketSize = (typeof bucketSizes)[number]

const HOUR_MS = 3_600_000

/**
 * Returns the start of each bucket of a range and, last, the end of the last bucket. The first bucket contains `from`. Days,
 * weeks (ISO 8601, from Monday) and months start at midnight in the time zone, and a day can be longer or shorter than 24
 * hours. Hours always have 60 minutes. Returns undefined if there would be more than `max` buckets.
 */
export function bucketEdges(
  size: BucketSize,
  from: string,
  to: string,
  timezone: string,
  max: number,
): string[] | undefined {
  const [start, end] = [Date.parse(from), Date.parse(to)]
  const startOf = bucketStarts(size, start, timezone)
  const edges = [startOf(0)]
  for (let index = 1; (edges.at(-1) as number) < end; index++) {
    const edge = startOf(index)
    // A clock that is moved back over midnight can end a day before `from`, although its date is that of `from`.
    if (edge <= start) edges.pop()
    // Zones that moved across the date line have skipped a day, which then starts when the next one does.
    if (edge !== edges.at(-1)) edges.push(edge)
    if (edges.length > max + 1) return undefined
  }
  return edges.map((edge) => new Date(edge).toISOString())
}

/** Returns a function from a bucket's index to its start. Bucket 0 contains the local time of an instant. */
function bucketStarts(size: BucketSize, time: number, timezone: string): (index: number) => number {
  const local = toLocal(time, timezone)
  const date = new Date(local)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const monday = day - ((date.getUTCDay() + 6) % 7)
  const midnight = (month: number, day: number) => firstInstant(Date.UTC(year, month, day), timezone)
  switch (size) {
    case 'hour':
      return (index) => time - local + (Math.floor(local / HOUR_MS) + index) * HOUR_MS
    case 'day':
      return (index) => midnight(month, day + index)
    case 'week':
      return (index) => midnight(month, monday + 7 * index)
    case 'month':
      return (index) => midnight(month + index, 1)
  }
}
