const HOUR_MS = 3_600_000

/** The most that a zone's time differs from UTC, and some more. */
const MAX_OFFSET_MS = 16 * HOUR_MS

/** Tells whether this runtime knows a name as an IANA time zone. An offset such as `+05:30` is no name. */
export function isTimezone(name: string): boolean {
  try {
    return /^[A-Za-z]/.test(name) && formatOf(name) !== undefined
  } catch {
    return false
  }
}

/** Returns the local time of an instant, as the UTC time with the same date and time of day. */
export function toLocal(time: number, timezone: string): number {
  // Only Intl: the local methods of Date, and libraries that use them, depend on the zone of this process.
  const fields = formatOf(timezone).format(time).match(/\d+/g) ?? []
  const [month = 1, day, year = 1970, hour, minute, second] = fields.map(Number)
  return Date.UTC(year, month - 1, day, hour, minute, second) + (((time % 1000) + 1000) % 1000)
}

/**
 * Returns the first instant whose local time is `local` or later: for the midnight of a day its start. A day with two
 * midnights starts at the first one, and a day without midnight when the clock is moved past it.
 */
export function firstInstant(local: number, timezone: string): number {
  const offset = (time: number) => toLocal(time, timezone) - time
  let [before, after] = [local - MAX_OFFSET_MS, local + MAX_OFFSET_MS]
  const [oldOffset, newOffset] = [offset(before), offset(after)]
  if (oldOffset === newOffset) return local - oldOffset
  // The clock is moved between the two: find out when.
  while (after - before > 1000) {
    const middle = Math.floor((before + after) / 2000) * 1000
    if (offset(middle) === oldOffset) before = middle
    else after = middle
  }
  const isBeforeMove = local - oldOffset < after
  return isBeforeMove ? local - oldOffset : Math.max(after, local - newOffset)
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Returns the format `1/31/2026, 13:05:09`. */
function formatOf(timeZone: string): Intl.DateTimeFormat {
  const numeric = 'numeric' as const
  // Intl ignores case, so another spelling must not add another format.
  const key = timeZone.toLowerCase()
  const known = formats.get(key)
  if (known) return known
  const time = { hour: numeric, minute: numeric, second: numeric, hourCycle: 'h23' as const }
  const options = {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: numeric,
    month: numeric,
    day: numeric,
  }
  const format = new Intl.DateTimeFormat('en', { ...options, ...time })
  formats.set(key, format)
  return format
}
