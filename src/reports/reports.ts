import { type SQL, sql } from 'drizzle-orm'
import type { Assignment } from '../assignments/assignments.ts'
import { all, branchesOf, conditions, type Filter, opaque } from '../assignments/listing.ts'
import type { Database } from '../database/connect.ts'
import { assignments } from '../database/schema.ts'

/** The buckets of a report: the instants at which they begin, and that at which the last of them ends. */
export type Range = { from: string; to: string; edges: string[] }

export type Times = { count: number; mean: number; p50: number; p90: number } | null

export type Throughput = {
  start: string
  created: number
  started: number
  done: number
  error: number
  deleted: number
  lead_time: Times
  cycle_time: Times
}

export type Flow = { start: string } & Record<Assignment['status'], number>

/**
 * What happened in each bucket to the assignments that were the caller's then, as creator or assignee: how many were created
 * and deleted, how many entered a status, and how long those that became done had taken, in seconds, since they were made and
 * since they were first in progress.
 */
export async function reportThroughput(
  db: Database,
  caller: string,
  people: Pick<Filter, 'assignee' | 'creator'>,
  { from, to, edges }: Range,
): Promise<Throughput[]> {
  const bucket = bucketIn(edges)
  const rows = sources(from, to).flatMap(([source, since, until]) =>
    branchesOf(caller, opaque(caller), people).map(
      (branch) => sql`
        select ${bucket} as bucket, kind, status, old_status, events, lead_times, cycle_times from ${sql.raw(source)}
        where ${all([branch, ...conditions(people), sql`at >= ${since}`, sql`at < ${until}`])}`,
    ),
  )
  const events = (condition: SQL) => sql`coalesce(sum(events) filter (where ${condition}), 0)::int`
  const entered = (status: Assignment['status']) =>
    events(sql`kind <> 'deleted' and status = ${status} and old_status is distinct from ${status}`)
  const timesOf = (times: SQL) => sql`
    select bucket, json_build_object('count', count(*), 'mean', avg(seconds),
      'p50', percentile_cont(0.5) within group (order by seconds), 'p90', percentile_cont(0.9) within group (order by seconds)) as times
    from (select bucket, unnest(${times}) as seconds from moved) as each group by bucket`
  const found = await db.execute<Omit<Throughput, 'start'> & { bucket: number }>(sql`
    with moved as materialized (${sql.join(rows, sql` union all `)}), counts as (
      select bucket, ${events(sql`kind = 'created'`)} as created, ${entered('in progress')} as started,
        ${entered('done')} as done, ${entered('error')} as error, ${events(sql`kind = 'deleted'`)} as deleted
      from moved group by bucket
    ), lead as (${timesOf(sql`lead_times`)}), cycle as (${timesOf(sql`cycle_times`)})
    select counts.*, lead.times as lead_time, cycle.times as cycle_time
    from counts left join lead using (bucket) left join cycle using (bucket)`)
  const byBucket = new Map(found.map(({ bucket, ...counts }) => [bucket, counts]))
  const nothing = { created: 0, started: 0, done: 0, error: 0, deleted: 0, lead_time: null, cycle_time: null }
  return edges.slice(0, -1).map((start, index) => ({ start, ...(byBucket.get(index + 1) ?? nothing) }))
}

/**
 * How many of the caller's assignments stood in each status at the end of each bucket: by adding up all changes until then
 * or, for a recent range, by taking what changed since from what stands now. Fewer events are read the one way or the other.
 */
export async function reportFlow(
  db: Database,
  id: string,
  people: Pick<Filter, 'assignee' | 'creator'>,
  { edges }: Range,
  isRecent: boolean,
): Promise<Flow[]> {
  const caller = opaque(id)
  const within = isRecent ? sql`at >= ${edges[0]}` : sql`at < ${edges.at(-1)}`
  const moves = [
    sql`creator = ${caller}`,
    sql`assignee = ${caller} and creator <> ${caller}`,
    sql`old_assignee = ${caller} and old_assignee <> assignee and creator <> ${caller}`,
  ].map(
    (branch) => sql`
      select ${bucketIn(edges)} as bucket, kind, status, old_status, creator, assignee, old_assignee, events
      from assignment_activity where ${branch} and ${within}`,
  )
  // A change takes an assignment from where it stood, if that was the caller's to see, to where it stands.
  const holds = (assignee: SQL) =>
    all([
      sql`${caller} in (creator, ${assignee})`,
      ...(people.creator ? [sql`creator = ${people.creator}`] : []),
      ...(people.assignee ? [sql`${assignee} = ${people.assignee}`] : []),
    ])
  const present = branchesOf(id, caller, people).map(
    (branch) => sql`
      union all select null, status, count(*) from ${assignments}
      where ${all([branch, ...conditions(people)])} group by status`,
  )
  const found = await db.execute<{ bucket: number | null; status: Assignment['status']; change: number }>(sql`
    with moved as materialized (${sql.join(moves, sql` union all `)})
    select bucket, status, sum(change)::int as change from (
      select bucket, status, events as change from moved where kind <> 'deleted' and ${holds(sql`assignee`)} union all
      select bucket, old_status, -events from moved where old_status is not null and ${holds(sql`old_assignee`)}
      ${isRecent ? sql.join(present, sql` `) : sql``}
    ) as changes group by bucket, status`)
  const standing = { todo: 0, 'in progress': 0, done: 0, error: 0 }
  // Bucket 0 is before the first one; none is the present, from which all that has changed since is taken back.
  for (const { bucket, status, change } of found) {
    if (bucket === null || bucket === 0) standing[status] += change
    else if (isRecent) standing[status] -= change
  }
  const byBucket = Map.groupBy(found, ({ bucket }) => bucket)
  return edges.slice(0, -1).map((start, index) => {
    for (const { status, change } of byBucket.get(index + 1) ?? []) standing[status] += change
    return { start, ...standing }
  })
}

/** The number of the bucket that a time is in: from 1, with 0 before them and one more after them. */
const bucketIn = (edges: string[]) => sql`width_bucket(at, ${`{${edges.join(',')}}`}::timestamptz[])`

const QUARTER_MS = 15 * 60_000

/**
 * Where a range's events are found: within whole quarters of an hour in what may be an aggregate by these, and at its two
 * ends one by one.
 */
function sources(from: string, to: string): [source: string, since: string, until: string][] {
  const at = (quarters: number) => new Date(quarters * QUARTER_MS).toISOString()
  const first = at(Math.ceil(Date.parse(from) / QUARTER_MS))
  const last = at(Math.floor(Date.parse(to) / QUARTER_MS))
  if (first >= last) return [['assignment_movements', from, to]]
  const parts: [string, string, string][] = [
    ['assignment_movements', from, first],
    ['assignment_activity', first, last],
    ['assignment_movements', last, to],
  ]
  return parts.filter(([, since, until]) => since < until)
}
