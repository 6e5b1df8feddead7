import { and, gte, lt, type SQL, sql } from 'drizzle-orm'
import type { Account } from '../accounts/users.ts'
import { type Filter, matches, opaque, visibleParts } from '../assignments/filter.ts'
import type { Database } from '../database/connect.ts'
import { assignment_activity, assignment_movements, assignments, type statuses } from '../database/schema.ts'
import type { BucketSize } from './buckets.ts'

/** A report over one or more consecutive buckets. Times are RFC 3339, and the time zone is an IANA name. */
export type Report<Bucket> = { bucket: BucketSize; from: string; to: string; timezone: string; results: Bucket[] }

export type EventCounts = Record<'created' | 'started' | 'done' | 'error' | 'deleted', number>

/** A summary of durations in seconds; null if there are none. */
export type Durations = { count: number; mean: number; p50: number; p90: number } | null

export type ThroughputBucket = { start: string } & EventCounts & { lead_time: Durations; cycle_time: Durations }

type Status = (typeof statuses)[number]
export type StatusCounts = Record<Status, number>

export type FlowBucket = { start: string } & StatusCounts

/** A period with the edges of its buckets: the start of each, and the end of the last one. */
export type Range = { from: string; to: string; edges: string[] }

type People = Pick<Filter, 'assignee' | 'creator'>

/**
 * Counts, for each bucket, what happened to the assignments that the caller had created or was assigned to at that time.
 * Events outside the range do not count, even if the first or last bucket includes them.
 */
export async function reportThroughput(
  db: Database,
  caller: string,
  people: People,
  range: Range,
): Promise<ThroughputBucket[]> {
  const rows = await db.execute<Omit<ThroughputBucket, 'start'> & { bucket: number }>(sql`
    -- The events of the range, with the number of their bucket and the status that they moved an assignment to.
    with moves as materialized (
      ${movesIn(range, caller, people)}
    ),
    counts as (
      select bucket,
        coalesce(sum(events) filter (where kind = 'created'), 0)::int as created,
        coalesce(sum(events) filter (where entered = 'in progress'), 0)::int as started,
        coalesce(sum(events) filter (where entered = 'done'), 0)::int as done,
        coalesce(sum(events) filter (where entered = 'error'), 0)::int as error,
        coalesce(sum(events) filter (where kind = 'deleted'), 0)::int as deleted
      from moves
      group by bucket
    ),
    -- The time from creation to done, and from the first time in progress to done.
    lead as (
      select bucket, ${summary} as lead_time
      from (select bucket, unnest(lead_times) as seconds from moves) as each group by bucket
    ),
    cycle as (
      select bucket, ${summary} as cycle_time
      from (select bucket, unnest(cycle_times) as seconds from moves) as each group by bucket
    )
    select * from counts left join lead using (bucket) left join cycle using (bucket)`)
  const byBucket = new Map(rows.map(({ bucket, ...counts }) => [bucket, counts]))
  const nothing = { created: 0, started: 0, done: 0, error: 0, deleted: 0, lead_time: null, cycle_time: null }
  return range.edges.slice(0, -1).map((start, index) => ({ start, ...(byBucket.get(index + 1) ?? nothing) }))
}

const summary = sql`
  json_build_object(
    'count', count(*),
    'mean', avg(seconds),
    'p50', percentile_cont(0.5) within group (order by seconds),
    'p90', percentile_cont(0.9) within group (order by seconds)
  )`

/** The events of a range, of assignments that the caller could see and a filter matched. */
function movesIn(range: Range, caller: string, people: People): SQL {
  const moves = splitByView(range).flatMap(({ view, from, to }) =>
    visibleParts(view, caller, people).map(
      (part) => sql`
        select ${bucketOf(range.edges)} as bucket, kind, events, lead_times, cycle_times,
          case when kind <> 'deleted' and status is distinct from old_status then status end as entered
        from ${view}
        where ${and(part, matches(view, people), gte(view.at, from), lt(view.at, to))}`,
    ),
  )
  return sql.join(moves, sql` union all `)
}

const QUARTER_MS = 15 * 60_000

/**
 * Splits a range by the view to read. The activity view may hold its events by whole quarters of an hour, so what is left of
 * the range at both ends is read from the movements view.
 */
function splitByView({ from, to }: Range) {
  const quarter = (index: number) => new Date(index * QUARTER_MS).toISOString()
  const first = quarter(Math.ceil(Date.parse(from) / QUARTER_MS))
  const last = quarter(Math.floor(Date.parse(to) / QUARTER_MS))
  if (first >= last) return [{ view: assignment_movements, from, to }]
  const parts = [
    { view: assignment_movements, from, to: first },
    { view: assignment_activity, from: first, to: last },
    { view: assignment_movements, from: last, to },
  ]
  return parts.filter((part) => part.from < part.to)
}

/** The number of the bucket of an event: from 1, with 0 before the first bucket and one more after the last. */
const bucketOf = (edges: string[]) => sql`width_bucket(at, ${`{${edges.join(',')}}`}::timestamptz[])`

/**
 * Counts the caller's assignments in each status at the end of each bucket. A range in the later half of the account's life
 * is counted backward from the present, an earlier one forward from the beginning of the log, whichever reads fewer events.
 */
export function reportFlow(
  db: Database,
  account: Pick<Account, 'id' | 'created_at'>,
  people: People,
  { from, edges }: Range,
  now: Date,
): Promise<FlowBucket[]> {
  const isRecent = Date.parse(from) > (Date.parse(account.created_at) + now.getTime()) / 2
  return isRecent ? countBackward(db, account.id, people, edges) : countForward(db, account.id, people, edges)
}

/** The change of a status's count in a bucket. The present has no bucket. */
type Change = { bucket: number | null; status: Status; change: number }

const none: StatusCounts = { todo: 0, 'in progress': 0, done: 0, error: 0 }

/** Adds up all changes since the beginning of the log. */
async function countForward(db: Database, caller: string, people: People, edges: string[]): Promise<FlowBucket[]> {
  const rows = await db.execute<Change>(sql`
    select bucket, status, sum(change)::int as change
    from (${changesIn(sql`at < ${edges.at(-1)}`, caller, people, edges)}) as changes
    group by bucket, status`)
  const changes = Map.groupBy(rows, ({ bucket }) => bucket)
  let counts = add(none, changes.get(0))
  return edges.slice(0, -1).map((start, index) => {
    counts = add(counts, changes.get(index + 1))
    return { start, ...counts }
  })
}

/** Takes all changes since the first bucket, the latest first, from the counts of the present. */
async function countBackward(db: Database, caller: string, people: People, edges: string[]): Promise<FlowBucket[]> {
  const present = visibleParts(assignments, caller, people).map(
    (part) => sql`
      select null, status, count(*) from ${assignments} where ${and(part, matches(assignments, people))} group by status`,
  )
  const rows = await db.execute<Change>(sql`
    select bucket, status, sum(change)::int as change
    from (
      ${changesIn(sql`at >= ${edges[0]}`, caller, people, edges)}
      union all
      -- The present.
      ${sql.join(present, sql` union all `)}
    ) as changes
    group by bucket, status`)
  const changes = Map.groupBy(rows, ({ bucket }) => bucket)
  let counts = add(none, changes.get(null))
  const results: FlowBucket[] = []
  for (let bucket = edges.length - 1; bucket > 0; bucket--) {
    counts = add(counts, changes.get(bucket + 1), -1)
    results.unshift({ start: edges[bucket - 1] as string, ...counts })
  }
  return results
}

/** The changes of the counts in a period: what each event adds to a status, and what it takes from another. */
function changesIn(isInPeriod: SQL, id: string, people: People, edges: string[]): SQL {
  const caller = opaque(id)
  const columns = sql`${bucketOf(edges)} as bucket, kind, status, old_status, creator, assignee, old_assignee, events`
  const isVisible = (assignee: SQL) =>
    and(
      sql`${caller} in (creator, ${assignee})`,
      people.creator ? sql`creator = ${people.creator}` : undefined,
      people.assignee ? sql`${assignee} = ${people.assignee}` : undefined,
    )
  return sql`
    with moves as materialized (
      -- The events of assignments that the caller created,
      select ${columns} from ${assignment_activity} where creator = ${caller} and ${isInPeriod}
      union all
      -- or is assigned to afterwards,
      select ${columns} from ${assignment_activity}
      where assignee = ${caller} and creator <> ${caller} and ${isInPeriod}
      union all
      -- or was assigned to until then.
      select ${columns} from ${assignment_activity}
      where old_assignee = ${caller} and old_assignee <> assignee and creator <> ${caller} and ${isInPeriod}
    )
    -- An event adds an assignment to its new status, if the caller can see it afterwards,
    select bucket, status, events as change from moves where kind <> 'deleted' and ${isVisible(sql`assignee`)}
    union all
    -- and takes it from its old status, if the caller could see it before.
    select bucket, old_status, -events from moves where old_status is not null and ${isVisible(sql`old_assignee`)}`
}

function add(counts: StatusCounts, changes: Change[] = [], sign = 1): StatusCounts {
  const sum = { ...counts }
  for (const { status, change } of changes) sum[status] += sign * change
  return sum
}
