import { and, eq, type SQL, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { eventFields, eventFor } from '../assignments/fields.ts'
import { eventMatches, type Filter, opaque } from '../assignments/filter.ts'
import { idTime } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { MAX_CLOCK_SKEW_DAYS, newestEvent } from '../database/log-position.ts'
import { assignment_events } from '../database/schema.ts'
import { type LogPosition, later, positionOf, START } from './position.ts'

type Row = typeof assignment_events.$inferSelect

/** A change with the assignment after it, its status and assignee before it, and its position in the log. */
export type LogEvent = Pick<Row, (typeof eventFields)[number] | 'old_status' | 'old_assignee'> & { position: string }

/** Returns what a reader gets of an event. */
export const publicEvent = ({ position, old_status, ...event }: LogEvent, reader: string) => eventFor(reader, event)

/** Narrows a caller's events by the assignment before or after the change. */
export type EventFilter = Filter & { assignment?: string | undefined }

export type EventQuery = { caller: string; filter: EventFilter; from: LogPosition; limit: number }

/** Events, oldest first, and the position to read on from. `isFull` tells that there may be more events already. */
export type EventPage = { events: LogEvent[]; next: LogPosition; isFull: boolean }

/**
 * Why a position cannot be read from: its event is not in the log, or the log was restored from another database cluster
 * and not migrated since.
 */
export type LogError = 'unknown_position' | 'foreign_log'

/** Returns a page without events, whose `next` is the head of the log. */
export async function readHead(db: Database, now: Date): Promise<EventPage | LogError> {
  const rows = await db.execute(sql`
    with ${watermarkAndHead(now)}
    select ${logState(START, now)} from (select) as one_row left join head on true`)
  return toPage(rows, START, 0)
}

/**
 * Returns the events after a position whose creator or assignee, before or after the change, is the caller.
 *
 * Events are in the order of their transaction ids. An event is returned only once no transaction can log an earlier
 * one, so none is missed. Readers take no lock. The price: a long transaction that writes delays all later events.
 */
export async function listEvents(db: Database, query: EventQuery, now: Date): Promise<EventPage | LogError> {
  const { assignment } = query.filter
  const select = assignment ? selectEventsOfAssignment(query, assignment, now) : selectEventsOfCaller(query, now)
  return toPage(await db.execute(select), query.from, query.limit)
}

type AudienceQuery = { audience: string[]; from: LogPosition; mustExist: LogPosition; limit: number }

/**
 * Returns the events after a position for any of several users. `mustExist` is the latest position of the readers, since no
 * event can be added before it.
 */
export async function listEventsOfAudience(db: Database, query: AudienceQuery, now: Date) {
  const { audience, from, mustExist, limit } = query
  const rows = await db.execute(sql`
    with ${watermarkAndHead(now)},
    -- Materialized, so that the planner does not see the users and makes one plan for every audience.
    audience as materialized (select ${`{${audience.join(',')}}`}::uuid[] as people),
    page as (
      select ${eventColumns} from assignment_events
      where ${isAfterPosition(from)} and ${isBelowWatermark} and ${isNotOlderThan(from, now)} and (
        creator = any((select people from audience)::uuid[]) or assignee = any((select people from audience)::uuid[])
        or old_assignee = any((select people from audience)::uuid[]))
      order by position, at, id limit (select ${limit}::int)
    )
    ${selectPage(mustExist, now)}`)
  return toPage(rows, from, limit)
}

function selectEventsOfCaller(query: EventQuery, now: Date): SQL {
  const { caller, filter, from, limit } = query
  const isMine = sql`${opaque(caller)} in (creator, assignee, old_assignee)`
  const isWanted = eventMatches(assignment_events, filter) ?? sql`true`
  const isWantedNearby = eventMatches(alias(assignment_events, 'nearby'), filter) ?? sql`true`
  const isAhead = sql`${isWanted} and position + 0 < (select value from watermark) and ${isNotOlderThan(from, now)}`
  return sql`
    with ${watermarkAndHead(now)},
    -- The next events of all users. They are enough for a reader who is close to the head.
    nearby as materialized (
      select position, at, id, creator, assignee, old_assignee, status, old_status from assignment_events
      where ${isAfterPosition(from)} and ${isBelowWatermark} and ${isNotOlderThan(from, now)}
      order by position, at, id limit (select ${SCAN_LIMIT}::int)
    ),
    nearest as materialized (
      select position, at from nearby where ${isMine} and ${isWantedNearby} order by position, at, id limit ${limit}::int
    ),
    enough as materialized (
      select (select count(*) from nearest) = ${limit}::int or (select count(*) from nearby) < ${SCAN_LIMIT}::int as is_enough
    ),
    -- If they are not enough, index-only scans find the caller's events. Those indexes have no id, so events with the same
    -- position and time have one key. The "+ 0" keeps the planner off the index of positions: it may have to read far ahead.
    own as (
      select distinct position, at from (
        select position + 0 as position, at from assignment_events where assignee = ${opaque(caller)} and ${isAhead}
        union all
        select position + 0 as position, at from assignment_events where creator = ${opaque(caller)} and ${isAhead}
        union all
        select position + 0 as position, at from assignment_events
        where old_assignee = ${opaque(caller)} and old_assignee <> assignee and ${isAhead}
      ) as own
      where ${isAtOrAfterKey(from)}
      order by position, at limit (select case when is_enough then 0 else ${limit + 1}::int end from enough)
    ),
    keys as (
      select distinct position, at from nearest where (select is_enough from enough) union all select * from own
    ),
    ${pageOfKeys(query, isMine, isWanted)}
    ${selectPage(from, now)}`
}

function selectEventsOfAssignment(query: EventQuery, assignment: string, now: Date): SQL {
  const { caller, filter, from, limit } = query
  const isMine = sql`${opaque(caller)} in (creator, assignee, old_assignee)`
  const isWanted = and(eventMatches(assignment_events, filter), eq(assignment_events.assignment, assignment)) as SQL
  return sql`
    with ${watermarkAndHead(now)},
    -- By the primary key (assignment, time): no event is older than the id of its assignment. The "+ 0" keeps the planner off
    -- the index of positions.
    keys as (
      select distinct position, at from (
        select position + 0 as position, at from assignment_events
        where ${isMine} and at >= ${idTime(assignment)} and ${isWanted}
          and position + 0 < (select value from watermark) and ${isNotOlderThan(from, now)}
      ) as own
      where ${isAtOrAfterKey(from)} order by position, at limit ${limit + 1}::int
    ),
    ${pageOfKeys(query, isMine, isWanted)}
    ${selectPage(from, now)}`
}

/** How many events of all users are read before the caller's own are looked up by index. */
const SCAN_LIMIT = 2_500

/**
 * The common table expression `page`, which reads whole rows for the keys of `keys` only. The "offset 0" keeps the planner
 * from merging the subquery with the rest.
 */
const pageOfKeys = ({ from, limit }: EventQuery, isMine: SQL, isWanted: SQL): SQL => sql`
  page as (
    select event.* from keys, lateral (
      select ${eventColumns} from assignment_events
      where position = keys.position and at = keys.at and ${isMine} and ${isWanted} and ${isAfterPosition(from)} offset 0
    ) as event order by position, at, id limit ${limit}::int
  )`

/** Selects one row for each event of `page`, or a single row if it has none, each with the state of the log. */
const selectPage = (known: LogPosition, now: Date): SQL => sql`
  select ${logState(known, now)}, page.*
  from (select) as one_row left join head on true left join page on true
  order by page.position, page.at, page.id`

// The connection does not parse arrays, but it does parse JSON.
const publicColumns = eventFields.map((field) => (field === 'changed' ? 'to_json(changed) as changed' : field))

const eventColumns = sql.raw(`position, ${publicColumns.join(', ')}, old_status, old_assignee`)

/**
 * The common table expressions of every query:
 *
 * - `watermark`: `value` is the first position that a transaction may still log, `next` that of the next transaction.
 * - `newest`: the newest event.
 * - `head`: the newest event below the watermark.
 */
function watermarkAndHead(now: Date): SQL {
  const isRecent = sql`at >= ${newChunksStart(now)}`
  return sql`
    watermark as materialized (
      select
        log_position(coalesce((
          -- The oldest running transaction.
          select running from (select xmin as running where xmin < xmax union select pg_snapshot_xip(snapshot)) as running
          -- Not one of another database. One that ended after the snapshot has no row here, so it counts in any case.
          where not exists (
            select from pg_stat_get_activity(null) where backend_xid = running::xid
              and datid <> (select oid from pg_database where datname = current_database())
          )
          order by running limit 1
        ), xmax)) as value,
        log_position(xmax) as next
      from pg_current_snapshot() as snapshot,
        lateral (select pg_snapshot_xmin(snapshot) as xmin, pg_snapshot_xmax(snapshot) as xmax) as ends
    ),
    newest as materialized (${newestEvent(sql`true`, isRecent)}),
    head as materialized (${newestEvent(isBelowWatermark, isRecent)})`
}

const isBelowWatermark = sql`position < (select value from watermark)`

/** The columns with which every query reports the head of the log, and whether the log can be read from a position. */
const logState = (known: LogPosition, now: Date): SQL => sql`
  ${exists(known, now)} as is_known,
  coalesce((select position from newest) >= (select next from watermark), false) as is_foreign,
  head.position as head_position, head.at as head_at, ${hashOf(sql`head.id`)} as head_hash`

/** Whether the log has the event that a position names. */
function exists(known: LogPosition, now: Date): SQL {
  if (known.kind === 'start') return sql`true`
  const position = opaqueValue(known.position, 'bigint')
  if (known.kind === 'event') {
    return sql`exists (select from assignment_events where position = ${position} and at = ${known.at} and id = ${known.id})`
  }
  return sql`coalesce(${known.hash} = (
    select ${hashOf(sql`id`)} from assignment_events
    where position = ${position} and at >= ${opaqueValue(known.day, 'timestamptz')} and ${isNotOlderThan(known, now)}
    order by at desc, id desc limit 1), false)`
}

/** 64 bits: enough against collisions, and they reveal no id. */
const hashOf = (id: SQL) => sql`encode(substring(sha256(uuid_send(${id})) from 1 for 8), 'hex')`

/** A comparison of rows, of which the index of positions has the first two columns. */
function isAfterPosition(from: LogPosition): SQL {
  const { position, at, id } = lastKeyOf(from)
  return sql`(position, at, id) > (${position}, ${at}, ${id})`
}

/** The same without the id, which the indexes of users do not have. */
function isAtOrAfterKey(from: LogPosition): SQL {
  const { position, at } = lastKeyOf(from)
  return sql`(position, at) >= (${position}, ${at})`
}

/** The greatest key that a position covers. */
function lastKeyOf(from: LogPosition) {
  const [at, id] = from.kind === 'event' ? [from.at, from.id] : ['infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
  const position = from.kind === 'start' ? '-1' : from.position
  return { position: opaqueValue(position, 'bigint'), at: opaqueValue(at, 'timestamptz'), id: opaqueValue(id, 'uuid') }
}

/**
 * A value in a subselect, so that the planner does not know it and one plan serves every position. Otherwise PostgreSQL
 * would plan each statement anew, which takes longer than running it.
 */
const opaqueValue = (value: string, type: 'bigint' | 'timestamptz' | 'uuid') => sql`(select ${value}::${sql.raw(type)})`

/**
 * A lower bound of the time of events after a position. They were logged later, so they can be older only by the clocks'
 * skew. With it TimescaleDB skips older chunks, which may have to be decompressed. For a recent position the bound is a
 * constant, because only constants exclude chunks from a plan that is reused.
 */
function isNotOlderThan(from: LogPosition, now: Date): SQL {
  if (from.kind === 'start') return sql`true`
  const time = from.kind === 'head' ? from.day : from.at
  if (time > daysBefore(now, RECENT_DAYS)) return sql`at >= ${newChunksStart(now)}`
  return sql`at >= ${daysBefore(new Date(time), MAX_CLOCK_SKEW_DAYS)}::timestamptz`
}

/** The age up to which a position is recent. */
const RECENT_DAYS = 15

/** The earliest time of an event after a recent position, as a constant that changes once a day, and the plan with it. */
const newChunksStart = (now: Date) =>
  sql.raw(`timestamptz '${dayOf(daysBefore(now, RECENT_DAYS + MAX_CLOCK_SKEW_DAYS))}'`)

const dayOf = (time: string) => `${time.slice(0, 10)}T00:00:00.000Z`

const daysBefore = (time: Date, days: number) =>
  new Date(Math.max(time.getTime() - days * 86_400_000, Date.parse('0001-01-01T00:00:00Z'))).toISOString()

/** One row for each event; a single row with nulls for its event if there are none. */
type ResultRow = LogEvent & {
  is_known: boolean
  is_foreign: boolean
  head_position: string
  head_at: string
  head_hash: string | null
}

function toPage(result: object[], from: LogPosition, limit: number): EventPage | LogError {
  const rows = result as [ResultRow, ...ResultRow[]]
  const [{ is_known, is_foreign, head_position: position, head_at, head_hash: hash }] = rows
  if (is_foreign) return 'foreign_log'
  if (!is_known) return 'unknown_position'
  const events = rows
    .filter(({ id }) => id)
    .map(({ is_known, is_foreign, head_position, head_at, head_hash, ...event }) => event)
  const last = events.at(-1)
  if (last && events.length === limit) return { events, next: positionOf(last), isFull: true }
  const head: LogPosition = hash ? { kind: 'head', position, day: dayOf(head_at), hash } : START
  // The watermark can fall for a moment, while a transaction of another database ends. The reader must not go back with it.
  return { events, next: later(head, from), isFull: false }
}
