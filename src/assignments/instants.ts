import { z } from 'zod'

const FIRST = Date.parse('0001-01-01T00:00:00.000Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')

const schema = z.union([z.iso.datetime({ offset: true }), z.iso.date()])

/**
 * Reads an RFC 3339 time with a zone, or a date, which means midnight UTC. Returns it in UTC with milliseconds, a finer one
 * rounded up or down; undefined for any other text. A time that its offset or the rounding moves out of the years 1 to 9999
 * becomes the first or the last one, so that the extreme values of .NET and others can be sent.
 */
export function parseInstant(text: string, round: 'up' | 'down'): string | undefined {
  // RFC 3339 (5.6) allows both cases.
  const upper = text.toUpperCase()
  const withoutLeap = upper.replace(/(T\d\d:\d\d):60/, '$1:59')
  const isLeap = withoutLeap !== upper
  if (!schema.safeParse(withoutLeap).success) return undefined
  const time = Date.parse(withoutLeap)
  // A leap second is always the last one of a day in UTC (RFC 3339, 5.7). It counts as the second after it.
  if (isLeap && !/T23:59:59\.\d+Z$/.test(new Date(time).toISOString())) return undefined
  const rounded = time + (isLeap ? 1000 : 0) + (round === 'up' && /\.\d{3}\d*[1-9]/.test(upper) ? 1 : 0)
  if (rounded < FIRST && upper.startsWith('0000')) return undefined
  return new Date(Math.min(Math.max(rounded, FIRST), LAST)).toISOString()
}
