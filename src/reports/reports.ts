import { and, gte, lt, type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import {
  callerId,
  type Filter,
  type FilterShape,
  matches,
  personId,
  shapeOfFilter,
  valuesOfFilter,
  visibleParts,
} from '../assignments/filter.ts'
import { type Database, shapedStatement } from '../database/connect.ts'
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
  bearer: Bearer,
  people: People,
  range: Range,
): Promise<ThroughputBucket[] | Unauthenticated> {
  const { first, last } = wholeQuarters(range)
  const { from, to } = range
  const shape = { people: shapeOfFilter(people), before: from < first, within: first < last, after: last < to }
  const values = { ...bearer, ...valuesOfFilter(people), from, first, last, to, edges: toArray(range.edges) }
  const [row] = await selectThroughput(db, shape, values)
  if (!row) return UNAUTHENTICATED
  const byBucket = new Map(row.buckets.map(({ bucket, ...counts }) => [bucket, counts]))
  const nothing = { created: 0, started: 0, done: 0, error: 0, deleted: 0, lead_time: null, cycle_time: null }
  return range.edges.slice(0, -1).map((start, index) => ({ start, ...(byBucket.get(index + 1) ?? nothing) }))
}

const toArray = (times: string[]) => `{${times.join(',')}}`

const { placeholder } = sql

/** Which parts a range has: before its whole quarters of an hour, those, and after them. */
type ThroughputShape = { people: FilterShape; before: boolean; within: boolean; after: boolean }

type ThroughputRow = { buckets: (Omit<ThroughputBucket, 'start'> & { bucket: number })[] }

const selectThroughput = shapedStatement<ThroughputShape, ThroughputRow>(
  (shape) => sql`
    with caller as materialized (${callerByToken}), ${edgesOnce},
    -- The events of the range, with the number of their bucket and the status that they moved an assignment to.
    moves as materialized (
      ${movesIn(shape)}
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
    ),
    buckets as (
      select * from counts left join lead using (bucket) left join cycle using (bucket)
    )
    select coalesce((select json_agg(buckets) from buckets), '[]') as buckets from caller`,
)

const summary = sql`
  json_build_object(
    'count', count(*),
    'mean', avg(seconds),
    'p50', percentile_cont(0.5) within group (order by seconds),
    'p90', percentile_cont(0.9) within group (order by seconds)
  )`

/**
 * The events of a range, of assignments that the caller could see and a filter matched. The activity view may hold its events
 * by whole quarters of an hour, so what is left of the range at both ends is read from the movements view.
 */
function movesIn({ people, before, within, after }: ThroughputShape): SQL {
  const parts = [
    { isWanted: before, view: assignment_movements, from: 'from', to: 'first' },
    { isWanted: within, view: assignment_activity, from: 'first', to: 'last' },
    { isWanted: after, view: assignment_movements, from: 'last', to: 'to' },
  ]
  const moves = parts
    .filter(({ isWanted }) => isWanted)
    .flatMap(({ view, from, to }) =>
      visibleParts(view, people).map(
        (part) => sql`
        select ${bucket} as bucket, kind, events, lead_times, cycle_times,
          case when kind <> 'deleted' and status is distinct from old_status then status end as entered
        from ${view}
        where ${and(part, matches(view, people), gte(view.at, placeholder(from)), lt(view.at, placeholder(to)))}`,
      ),
    )
  return sql.join(moves, sql` union all `)
}

const QUARTER_MS = 15 * 60_000

/** Returns the whole quarters of an hour in a range: the start of the first and the end of the last, both `to` without any. */
function wholeQuarters({ from, to }: Range) {
  const quarter = (index: number) => new Date(index * QUARTER_MS).toISOString()
  const first = quarter(Math.ceil(Date.parse(from) / QUARTER_MS))
  const last = quarter(Math.floor(Date.parse(to) / QUARTER_MS))
  return first < last ? { first, last } : { first: to, last: to }
}

/** The number of the bucket of an event: from 1, with 0 before the first bucket and one more after the last. */
const bucket = sql`width_bucket(at, (select edges from edges))`

/** The common table expression of the edges, which every part of a report compares with. */
const edgesOnce = sql`edges as materialized (select ${placeholder('edges')}::timestamptz[] as edges)`

/**
 * Counts the caller's assignments in each status at the end of each bucket. A range in the later half of the account's life
 * is counted backward from the present, an earlier one forward from the beginning of the log, whichever reads fewer events.
 */
export async function reportFlow(
  db: Database,
  bearer: Bearer,
  people: People,
  { from, edges }: Range,
): Promise<FlowBucket[] | Unauthenticated> {
  const values = { from, edges: toArray(edges), first_edge: edges[0], last_edge: edges.at(-1) }
  const shape = { people: shapeOfFilter(people) }
  const [row] = await selectFlow(db, shape, { ...bearer, ...valuesOfFilter(people), ...values })
  if (!row) return UNAUTHENTICATED
  const changes = Map.groupBy(row.changes, ({ bucket }) => bucket)
  return row.is_backward ? countBackward(changes, edges) : countForward(changes, edges)
}

/** The change of a status's count in a bucket. The present has no bucket. */
type Change = { bucket: number | null; status: Status; change: number }

type FlowRow = { is_backward: boolean; changes: Change[] }

const selectFlow = shapedStatement<{ people: FilterShape }, FlowRow>(({ people }) => {
  const present = visibleParts(assignments, people).map(
    (part) => sql`
      select null, status, count(*) from assignments
      where ${and(part, matches(assignments, people))} and (select is_backward from direction) group by status`,
  )
  return sql`
    with caller as materialized (${callerByToken}), ${edgesOnce},
    direction as materialized (
      select ${placeholder('from')} > created_at + (${placeholder('now')}::timestamptz - created_at) / 2 as is_backward
      from caller
    ),
    ${changesIn(people)},
    sums as (
      select bucket, status, sum(change)::int as change
      from (select * from changes union all ${sql.join(present, sql` union all `)}) as changes
      group by bucket, status
    )
    select is_backward, coalesce((select json_agg(sums) from sums), '[]') as changes from direction`
})

/** The common table expression `changes` of the counts in a period: what each event adds to a status, and takes from another. */
function changesIn(people: FilterShape): SQL {
  const isVisible = (assignee: SQL) =>
    and(
      sql`${callerId} in (creator, ${assignee})`,
      people.creator === 'anyone' ? undefined : sql`creator = ${personId(people.creator, 'creator')}`,
      people.assignee === 'anyone' ? undefined : sql`${assignee} = ${personId(people.assignee, 'assignee')}`,
    )
  return sql`
    moves as materialized (
      -- Everything until the last bucket,
      ${eventsIn(sql`at < ${placeholder('last_edge')} and not (select is_backward from direction)`)}
      union all
      -- or everything since the first one. Only constants exclude chunks, so each direction has scans of its own.
      ${eventsIn(sql`at >= ${placeholder('first_edge')} and (select is_backward from direction)`)}
    ),
    changes as (
      -- An event adds an assignment to its new status, if the caller can see it afterwards,
      select bucket, status, events as change from moves where kind <> 'deleted' and ${isVisible(sql`assignee`)}
      union all
      -- and takes it from its old status, if the caller could see it before.
      select bucket, old_status, -events from moves where old_status is not null and ${isVisible(sql`old_assignee`)}
    )`
}

/** The caller's events of a period. */
function eventsIn(isInPeriod: SQL): SQL {
  const columns = sql`${bucket} as bucket, kind, status, old_status, creator, assignee, old_assignee, events`
  return sql`
      -- The events of assignments that the caller created,
      select ${columns} from assignment_activity where creator = ${callerId} and ${isInPeriod}
      union all
      -- or is assigned to afterwards,
      select ${columns} from assignment_activity
      where assignee = ${callerId} and creator <> ${callerId} and ${isInPeriod}
      union all
      -- or was assigned to until then.
      select ${columns} from assignment_activity
      where old_assignee = ${callerId} and old_assignee <> assignee and creator <> ${callerId} and ${isInPeriod}`
}

type ChangesByBucket = Map<Change['bucket'], Change[]>

const none: StatusCounts = { todo: 0, 'in progress': 0, done: 0, error: 0 }

/** Adds up all changes since the beginning of the log. */
function countForward(changes: ChangesByBucket, edges: string[]): FlowBucket[] {
  let counts = add(none, changes.get(0))
  return edges.slice(0, -1).map((start, index) => {
    counts = add(counts, changes.get(index + 1))
    return { start, ...counts }
  })
}

/** Takes all changes since the first bucket, the latest first, from the counts of the present, which have no bucket. */
function countBackward(changes: ChangesByBucket, edges: string[]): FlowBucket[] {
  let counts = add(none, changes.get(null))
  const results: FlowBucket[] = []
  for (let bucket = edges.length - 1; bucket > 0; bucket--) {
    counts = add(counts, changes.get(bucket + 1), -1)
    results.unshift({ start: edges[bucket - 1] as string, ...counts })
  }
  return results
}

function add(counts: StatusCounts, changes: Change[] = [], sign = 1): StatusCounts {
  const sum = { ...counts }
  for (const { status, change } of changes) sum[status] += sign * change
  return sum
}
