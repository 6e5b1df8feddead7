import { TZDate } from '@date-fns/tz'

export const bucketSizes = ['hour', 'day', 'week', 'month'] as const
export type BucketSize = (typeof bucketSizes)[number]

/** Tells whether this runtime knows a name as an IANA time zone. An offset such as `+05:30` is no name. */
export function isTimezone(name: string): boolean {
  try {
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined
  } catch {
    return false
  }
}

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
  const startOf = bucketStarts(size, new TZDate(from, timezone), timezone)
  const end = Date.parse(to)
  const edges = [startOf(0)]
  for (let index = 1; (edges.at(-1) as number) < end; index++) {
    const start = startOf(index)
    // Zones that moved across the date line have skipped a day, which then starts when the next one does.
    if (start !== edges.at(-1)) edges.push(start)
    if (edges.length > max + 1) return undefined
  }
  return edges.map((edge) => new Date(edge).toISOString())
}

/** Returns a function from a bucket's index to its start. Bucket 0 contains the local time. */
function bucketStarts(size: BucketSize, local: TZDate, timezone: string): (index: number) => number {
  const [year, month, day] = [local.getFullYear(), local.getMonth(), local.getDate()]
  const monday = day - ((local.getDay() + 6) % 7)
  const intoHour = (local.getMinutes() * 60 + local.getSeconds()) * 1000 + local.getMilliseconds()
  switch (size) {
    case 'hour':
      return (index) => local.getTime() - intoHour + index * 3_600_000
    case 'day':
      return (index) => midnight(year, month, day + index, timezone)
    case 'week':
      return (index) => midnight(year, month, monday + 7 * index, timezone)
    case 'month':
      return (index) => midnight(year, month + index, 1, timezone)
  }
}

const midnight = (year: number, month: number, day: number, timezone: string) =>
  new TZDate(year, month, day, timezone).getTime()
