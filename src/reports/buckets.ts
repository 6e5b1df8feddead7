import { TZDate } from '@date-fns/tz'

export const bucketSizes = ['hour', 'day', 'week', 'month'] as const
export type BucketSize = (typeof bucketSizes)[number]

/** Whether a name is one of IANA's time zones, as this runtime knows them; an offset as `+05:30` is not. */
export function isTimezone(name: string): boolean {
  try {
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined
  } catch {
    return false
  }
}

/**
 * The instants at which the buckets of a range begin, from the one that holds its beginning on, and at the end the one at
 * which the last of them ends. A day, a week (ISO 8601's, from Monday) and a month begin with a day of the time zone, however
 * long that day is; hours are of 60 minutes each. Undefined where there would be more than `most`.
 */
export function bucketsOf(
  size: BucketSize,
  from: string,
  to: string,
  timezone: string,
  most: number,
): string[] | undefined {
  const startOf = starts(size, new TZDate(from, timezone), timezone)
  const end = Date.parse(to)
  const edges: number[] = []
  for (let index = 0; edges.length === 0 || (edges.at(-1) as number) < end; index++) {
    const start = startOf(index)
    // Where a zone has left a day out, that day is none.
    if (start !== edges.at(-1)) edges.push(start)
    if (edges.length > most + 1) return undefined
  }
  return edges.map((edge) => new Date(edge).toISOString())
}

/** The instant at which a bucket begins, by how many come between it and the one that an instant is in. */
function starts(size: BucketSize, local: TZDate, timezone: string): (index: number) => number {
  const [year, month, day] = [local.getFullYear(), local.getMonth(), local.getDate()]
  if (size === 'hour') {
    const since = (local.getMinutes() * 60 + local.getSeconds()) * 1000 + local.getMilliseconds()
    return (index) => local.getTime() - since + index * 3_600_000
  }
  if (size === 'month') return (index) => midnight(year, month + index, 1, timezone)
  const monday = day - ((local.getDay() + 6) % 7)
  return size === 'week'
    ? (index) => midnight(year, month, monday + 7 * index, timezone)
    : (index) => midnight(year, month, day + index, timezone)
}

const midnight = (year: number, month: number, day: number, timezone: string) =>
  new TZDate(year, month, day, timezone).getTime()
