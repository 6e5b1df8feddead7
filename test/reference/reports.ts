import { expect } from 'vitest'
import { type assignment_events, statuses } from '../../src/database/schema.ts'

const HOUR = 3_600_000
const QUARTER = HOUR / 4
const iso = (time: number) => new Date(time).toISOString()

export type LogEvent = typeof assignment_events.$inferSelect

/** A query of a report, with instants in milliseconds. */
export type ReportQuery = {
  bucket: string
  from: number
  to: number
  timezone: string
  assignee?: string
  creator?: string
}

/** Computes both reports for a caller from the whole log, in order of time, in the plainest way. */
export function computeReports(log: LogEvent[], caller: string, query: ReportQuery) {
  const { from, to, assignee, creator } = query
  const resolve = (person: string) => (person === 'me' ? caller : person)
  const isIncluded = (event: Pick<LogEvent, 'assignee' | 'creator'>) =>
    [event.creator, event.assignee].includes(caller) &&
    (!assignee || event.assignee === resolve(assignee)) &&
    (!creator || event.creator === resolve(creator))
  const buckets = bucketsOf(query)
  const transitions = log.map((event) => transitionOf(event, log))

  const throughput = buckets.map(({ start, end }) => {
    const within = transitions.filter(({ event }) => {
      const at = Date.parse(event.at)
      return isIncluded(event) && at >= Math.max(start, from) && at < Math.min(end, to)
    })
    const done = within.filter(({ entered }) => entered === 'done')
    return {
      start: iso(start),
      created: within.filter(({ event }) => event.kind === 'created').length,
      started: within.filter(({ entered }) => entered === 'in progress').length,
      done: done.length,
      error: within.filter(({ entered }) => entered === 'error').length,
      deleted: within.filter(({ event }) => event.kind === 'deleted').length,
      lead_time: durationStatistics(done.flatMap(({ leadTime }) => leadTime ?? [])),
      cycle_time: durationStatistics(done.flatMap(({ cycleTime }) => cycleTime ?? [])),
    }
  })
  const flow = buckets.map(({ start, end }) => {
    const last = new Map(log.filter(({ at }) => Date.parse(at) < end).map((event) => [event.assignment, event]))
    const present = [...last.values()].filter((event) => event.kind !== 'deleted' && isIncluded(event))
    const counts = statuses.map((status) => [status, present.filter((event) => event.status === status).length])
    return { start: iso(start), ...Object.fromEntries(counts) }
  })
  return { throughput, flow }
}

/** Returns the status that an event changed to, and the seconds since the assignment was created and started. */
function transitionOf(event: LogEvent, log: LogEvent[]) {
  const history = log.filter(({ assignment, at }) => assignment === event.assignment && at <= event.at)
  const previous = history.at(-2)
  const secondsSince = (start: LogEvent | undefined) => start && (Date.parse(event.at) - Date.parse(start.at)) / 1000
  return {
    event,
    entered: event.kind !== 'deleted' && previous?.status !== event.status ? event.status : undefined,
    leadTime: secondsSince(history[0]),
    cycleTime: secondsSince(history.find(({ status }) => status === 'in progress')),
  }
}

/** Finds the buckets of a range by walking through it in quarters of an hour. */
function bucketsOf({ bucket, from, to, timezone }: ReportQuery) {
  const name = (time: number) => bucketName(bucket, time, timezone)
  const buckets: { name: string; start: number; end: number }[] = []
  let start = from - (from % QUARTER)
  while (name(start - QUARTER) === name(from)) start -= QUARTER
  for (let time = start; ; time += QUARTER) {
    const last = buckets.at(-1)
    if (last?.name === name(time)) continue
    if (last) last.end = time
    if (last && time >= to) return buckets
    buckets.push({ name: name(time), start: time, end: 0 })
  }
}

/** Returns a name that all instants of one bucket share. */
function bucketName(bucket: string, time: number, timezone: string): string {
  const { date } = localTime(time, timezone)
  if (bucket === 'month') return date.slice(0, 7)
  if (bucket === 'week') {
    const day = new Date(`${date}T00:00:00Z`)
    return iso(day.getTime() - ((day.getUTCDay() + 6) % 7) * 24 * HOUR)
  }
  if (bucket === 'day') return date
  let fullHour = time - (time % QUARTER)
  while (localTime(fullHour, timezone).minutes !== 0) fullHour -= QUARTER
  return iso(fullHour)
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Returns the local date and time of day of an instant, using nothing but Intl. */
function localTime(time: number, timeZone: string) {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-CA', {
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      timeZone,
    })
  formats.set(timeZone, format)
  const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]))
  return { date: `${parts.year}-${parts.month}-${parts.day}`, minutes: Number(parts.minute) }
}

function durationStatistics(values: number[]) {
  if (values.length === 0) return null
  const sorted = values.sort((a, b) => a - b)
  const close = (value: number) => expect.closeTo(value, 3)
  return {
    count: sorted.length,
    mean: close(sorted.reduce((sum, value) => sum + value, 0) / sorted.length),
    p50: close(quantile(sorted, 0.5)),
    p90: close(quantile(sorted, 0.9)),
  }
}

/** Returns a quantile of sorted values, interpolated as PostgreSQL's percentile_cont does. */
function quantile(values: number[], share: number) {
  const rank = (values.length - 1) * share
  const [low, high] = [values[Math.floor(rank)] as number, values[Math.ceil(rank)] as number]
  return low + (high - low) * (rank - Math.floor(rank))
}
