import { z } from '@hono/zod-openapi'
import { type SQL, sql } from 'drizzle-orm'
import { instantKey } from '../assignments/cursors.ts'
import { all, conditions, type Filter, opaque } from '../assignments/listing.ts'
import { idTime } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { MOST_SKEW_DAYS, newestEvent } from '../database/log-position.ts'
import type { assignment_events } from '../database/schema.ts'

type Row = typeof assignment_events.$inferSelect

/** A change as it is shown. */
export type Event = Omit<Row, 'created_at' | 'started_at' | 'old_status' | 'old_assignee' | 'position'>

/** A change with its position in the log, and whose the assignment was before. */
export type Logged = Event & { position: string; old_assignee: string | null }

/** What a follower wants to hear of: the assignment as it is after the change. */
export type Interest = Pick<Filter, 'status' | 'assignee' | 'creator'> & { assignment?: string | undefined }

/**
 * How far the log is read, always named by an event that it has, so that a place of another log is found out. `event` is an
 * id: that event is the last one read; or the hash of one, the last of its position: so is all of that position, and what
 * is named may be somebody else's. Empty: nothing is read. `at` is the event's time, or the day of a hashed one.
 */
export type Place = { position: string; at: string; event: string }

/** Before all that the log has. */
export const START: Place = { position: '-1', at: '0001-01-01T00:00:00.000Z', event: '' }

/** What of a place a cursor holds, and how it looks there. */
export const keysOf = (place: Place): string[] => (place === START ? [] : [place.position, place.at, place.event])
export const placeShape = z.union([
  z.tuple([]),
  z.tuple([
    z.string().regex(/^(0|[1-9]\d{0,17})$/),
    instantKey,
    z.union([z.uuid().toLowerCase(), z.string().regex(/^[0-9a-f]{16}$/)]),
  ]),
])
export const placeOf = ([position, at, event]: string[]): Place =>
  position && at && event ? { position, at, event } : START

/** Whether a place has all events of its position behind it. */
export const isWhole = ({ event }: Place) => event.length < 36

/** Whether an event, or a place, comes after a place. */
export function isBeyond(one: Place | Logged, place: Place): boolean {
  if (one.position !== place.position) return BigInt(one.position) > BigInt(place.position)
  if (isWhole(place)) return false
  const id = 'id' in one ? one.id : one.event
  if (!('id' in one) && isWhole(one)) return true
  return one.at === place.at ? id > place.event : one.at > place.at
}

/** Events, oldest first, and the place that they lead to. `isFull` says that there may be more already. */
export type Page = { events: Logged[]; next: Place; isFull: boolean }

/**
 * Why there is no page: the log does not have what the place is named by, or it was written in another cluster, whose
 * positions go beyond this one's, and not migrated since.
 */
export type Unreadable = 'unknown_place' | 'foreign_log'

/** How many events after its place a follower reads, before it asks the indexes for its own. */
const NEAREST = 2_500

/**
 * The changes after a place that concerned the caller, who was creator or assignee before or after them, and that are of
 * interest; without a place none, and the place that stands for now.
 *
 * Events are in the order of their transactions, and only such are shown as no running transaction can come before any more:
 * what commits late is late, and never missed. No lock is needed for it, but a transaction that runs for long, and writes,
 * holds back what is logged after it began.
 */
export async function listEvents(
  db: Database,
  id: string,
  interest: Interest,
  place: Place | undefined,
  limit: number,
  now: Date,
): Promise<Page | Unreadable> {
  if (!place) return read(db, START, sql`select from mark limit ${0}::int`, 0, now)
  const caller = opaque(id)
  const isOf = sql`${caller} in (creator, assignee, old_assignee)`
  const { assignment, ...filter } = interest
  const wanted = all([...conditions(filter), ...(assignment ? [sql`assignment = ${assignment}`] : [])])
  const after = sql`${beyond(place)} and ${isSafe} and ${isRecent(place, now)}`
  // Not by the index of positions too: how much of it lies ahead is not known when a plan is made.
  const keysWhere = (condition: SQL) =>
    sql`select position + 0 as position, at from assignment_events
      where ${condition} and ${wanted} and position + 0 < (select safe from mark) and ${isRecent(place, now)}`
  // Of position and time, since the indexes of people have no id: events that share both have one key, and come by it.
  const keys = assignment
    ? sql`keys as (
        select distinct position, at
        from (${keysWhere(sql`${isOf} and at >= ${idTime(assignment)}`)}) as its where ${beyondKey(place)}
        order by position, at limit ${limit + 1}::int
      )`
    : sql`near as materialized (
        select position, at, id, assignment, creator, assignee, old_assignee, status from assignment_events
        where ${after} order by position, at, id limit (select ${NEAREST}::int)
      ), nearest as materialized (
        select position, at from near where ${isOf} and ${wanted} order by position, at, id limit ${limit}::int
      ), enough as materialized (
        select (select count(*) from nearest) = ${limit}::int or (select count(*) from near) < ${NEAREST}::int as found
      ), own as (
        select distinct position, at from (
          ${keysWhere(sql`assignee = ${caller}`)} union all ${keysWhere(sql`creator = ${caller}`)} union all
          ${keysWhere(sql`old_assignee = ${caller} and old_assignee <> assignee`)}
        ) as own where ${beyondKey(place)}
        order by position, at limit (select case when found then 0 else ${limit + 1}::int end from enough)
      ), keys as (
        select distinct position, at from nearest where (select found from enough) union all select * from own
      )`
  return read(
    db,
    place,
    sql`select event.* from keys, lateral (
        select ${columns} from assignment_events
        where position = keys.position and at = keys.at and ${isOf} and ${wanted} and ${beyond(place)} offset 0
      ) as event order by position, at, id limit ${limit}::int`,
    limit,
    now,
    keys,
  )
}

/**
 * The changes after a place that concerned any of some people, at most so many. `known` is the place that the log is held
 * to: of several the greatest, since behind one that it has nothing can be added any more.
 */
export const listEventsOf = (
  db: Database,
  people: string[],
  place: Place,
  known: Place,
  limit: number,
  now: Date,
): Promise<Page | Unreadable> =>
  read(
    db,
    known,
    sql`select ${columns} from assignment_events
      where ${beyond(place)} and ${isSafe} and ${isRecent(place, now)} and (
        creator = any((select people from audience)::uuid[]) or assignee = any((select people from audience)::uuid[])
        or old_assignee = any((select people from audience)::uuid[]))
      order by position, at, id limit (select ${limit}::int)`,
    limit,
    now,
    sql`audience as materialized (select ${`{${people.join(',')}}`}::uuid[] as people)`,
  )

type Answer = Logged & { knows: boolean; is_foreign: boolean; tip_position: string; tip_at: string; tip: string }

/** One statement for a page, for the place that all of the log has by then, and for what may be wrong with it. */
async function read(db: Database, known: Place, page: SQL, limit: number, now: Date, before?: SQL) {
  const recent = sql`at >= ${firstRecent(now)}`
  const rows = await db.execute<Answer>(sql`
    with mark as materialized (${mark}), newest as materialized (${newestEvent(sql`true`, recent)}),
    tip as materialized (${newestEvent(isSafe, recent)})${before ? sql`, ${before}` : sql``},
    page as (${page})
    select ${has(known, now)} as knows, coalesce((select position from newest) >= (select next from mark), false) as is_foreign,
      tip.position as tip_position, tip.at as tip_at, ${hashOf(sql`tip.id`)} as tip, page.*
    from (select) as one left join tip on true left join page on true
    ${limit > 0 ? sql`order by page.position, page.at, page.id` : sql``}`)
  const [first] = rows as unknown as [Answer, ...Answer[]]
  if (first.is_foreign) return 'foreign_log'
  if (!first.knows) return 'unknown_place'
  const events = rows.flatMap(({ knows, is_foreign, tip_position, tip_at, tip, ...event }) => (event.id ? event : []))
  const last = events.at(-1)
  const isFull = last !== undefined && events.length === limit
  const tip = first.tip ? { position: first.tip_position, at: dayOf(first.tip_at), event: first.tip } : START
  return { events, next: isFull ? { position: last.position, at: last.at, event: last.id } : tip, isFull }
}

const columns = sql`position, id, at, kind, actor, assignment, name, description, status, assignee, creator, version,
  to_json(changed) as changed, old_assignee`

/**
 * Before which position no transaction can log any more: the first one that runs, or the next that will. Those that run in
 * other databases of the cluster do not count, where it is certain that they do: a transaction that ends between the
 * snapshot and the look at who runs is not seen there, and counts.
 */
const mark = sql`
  select log_position(coalesce((
    select running from (select xmin as running where xmin < xmax union select pg_snapshot_xip(snapshot)) as running
    where not exists (
      select from pg_stat_get_activity(null) where backend_xid = running::xid
        and datid <> (select oid from pg_database where datname = current_database())
    ) order by running limit 1), xmax)) as safe, log_position(xmax) as next
  from pg_current_snapshot() as snapshot,
    lateral (select pg_snapshot_xmin(snapshot) as xmin, pg_snapshot_xmax(snapshot) as xmax) as ends`

const isSafe = sql`position < (select safe from mark)`

/** So much of a hash of an id that it is not met twice, and tells nothing. */
const hashOf = (id: SQL) => sql`encode(substring(sha256(uuid_send(${id})) from 1 for 8), 'hex')`

/** Whether the log has what a place is named by. */
function has(place: Place, now: Date): SQL {
  const { position, at, event } = place
  if (place === START) return sql`true`
  if (!isWhole(place)) {
    return sql`exists (select from assignment_events where position = ${hiddenAs(position, 'bigint')} and at = ${at} and id = ${event})`
  }
  return sql`coalesce(${event} = (
    select ${hashOf(sql`id`)} from assignment_events
    where position = ${hiddenAs(position, 'bigint')} and at >= ${hiddenAs(at, 'timestamptz')} and ${isRecent(place, now)}
    order by at desc, id desc limit 1), false)`
}

/** Hidden from the planner, or it would make a new plan for each place, which takes longer than to run it. */
const hiddenAs = (value: string, type: 'bigint' | 'timestamptz' | 'uuid') => sql`(select ${value}::${sql.raw(type)})`

/** The events after a place, as a comparison of rows, whose first two an index has. */
const beyond = (place: Place) => {
  const [at, id] = isWhole(place) ? ['infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff'] : [place.at, place.event]
  return sql`(position, at, id) > (${hiddenAs(place.position, 'bigint')}, ${hiddenAs(at, 'timestamptz')}, ${hiddenAs(id, 'uuid')})`
}

/** The same without the id, which the indexes of people do not have. */
const beyondKey = (place: Place) =>
  sql`(position, at) >= (${hiddenAs(place.position, 'bigint')}, ${hiddenAs(isWhole(place) ? 'infinity' : place.at, 'timestamptz')})`

/**
 * What is after a place was logged after it, so that, for clocks that are not a month apart, chunks of long before need not
 * be opened: what is in columns would be unpacked for it. From a recent place on, as followers have it, the bound is a
 * constant: only by that are chunks left out of every plan.
 */
function isRecent(place: Place, now: Date): SQL {
  if (place === START) return sql`true`
  const first = new Date(Math.min(Date.parse(place.at), now.getTime()))
  return first.getTime() > now.getTime() - RECENT_DAYS * DAY_MS
    ? sql`at >= ${firstRecent(now)}`
    : sql`at >= ${daysBefore(first, MOST_SKEW_DAYS)}::timestamptz`
}

/** How old a place may be to be recent, in days. */
const RECENT_DAYS = 15

const DAY_MS = 86_400_000

/** The day before which nothing is that comes after a recent place; a constant of the statement, for a day. */
const firstRecent = (now: Date) => sql.raw(`timestamptz '${dayOf(daysBefore(now, RECENT_DAYS + MOST_SKEW_DAYS))}'`)

const dayOf = (instant: string) => `${instant.slice(0, 10)}T00:00:00.000Z`

const daysBefore = (instant: Date, days: number) =>
  new Date(Math.max(instant.getTime() - days * DAY_MS, Date.parse(START.at))).toISOString()
