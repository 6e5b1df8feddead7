import { and, eq, type SQL, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import { eventColumns, type eventFields, eventFor } from '../assignments/fields.ts'
import {
  callerId,
  eventMatches,
  type Filter,
  type FilterShape,
  shapeOfFilter,
  valuesOfFilter,
} from '../assignments/filter.ts'
import { idTime } from '../crypto.ts'
import { type Database, shapedStatement } from '../database/connect.ts'
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

/** `from` is the position to read on from; undefined is the head of the log. */
export type EventQuery = { filter: EventFilter; from: LogPosition | undefined; limit: number }

/** Events, oldest first, and the position to read on from. `isFull` tells that there may be more events already. */
export type EventPage = { events: LogEvent[]; next: LogPosition; isFull: boolean }

/**
 * Why a position cannot be read from: its event is not in the log, or the log was restored from another database cluster
 * and not migrated since.
 */
export type LogError = 'unknown_position' | 'foreign_log'

/**
 * Returns the events after a position whose creator or assignee, before or after the change, is the caller. Also returns who
 * the caller is, with the session.
 *
 * Events are in the order of their transaction ids. An event is returned only once no transaction can log an earlier
 * one, so none is missed. Readers take no lock. The price: a long transaction that writes delays all later events.
 */
export async function listEvents(
  db: Database,
  bearer: Bearer,
  query: EventQuery,
): Promise<{ caller: string; session: string; page: EventPage | LogError } | Unauthenticated> {
  const rows = await selectEvents(db, 'token', query, bearer)
  const [{ caller, session }] = rows as [ResultRow]
  if (caller === null) return UNAUTHENTICATED
  return { caller, session: session as string, page: toPage(rows, query.from, query.limit) }
}

/** Returns the events of a caller whose token was checked before. */
export async function listEventsOfUser(db: Database, user: string, query: EventQuery, now: Date) {
  return toPage(await selectEvents(db, 'id', query, { user, now: now.toISOString() }), query.from, query.limit)
}

type AudienceQuery = { audience: string[]; from: LogPosition; mustExist: LogPosition; limit: number }

/**
 * Returns the events after a position for any of several users. `mustExist` is the latest position of the readers, since no
 * event can be added before it.
 */
export async function listEventsOfAudience(db: Database, query: AudienceQuery, now: Date) {
  const { from, mustExist, limit } = query
  const shape = { newChunksStart: newChunksStart(now), from: shapeOf(from, now), known: shapeOf(mustExist, now) }
  const values = { ...valuesOf('from', from), ...valuesOf('known', mustExist), limit }
  const audience = `{${query.audience.join(',')}}`
  return toPage(await selectEventsOfAudience(db, shape, { ...values, audience }), from, limit)
}

/** How a statement knows its caller: by the token, or by the id of a user whose token was checked before. */
type CallerShape = 'token' | 'id'

/** The part of a query that decides its text. `newChunksStart` is the start of a recent day, so the texts change once a day. */
type LogShape = { newChunksStart: string; from: PositionShape; known: PositionShape }

type EventShape = LogShape & { caller: CallerShape; filter: FilterShape }

function selectEvents(
  db: Database,
  caller: CallerShape,
  { filter, from, limit }: EventQuery,
  values: { now: string } & Record<string, unknown>,
) {
  const now = new Date(values.now)
  const position = shapeOf(from ?? START, now)
  const shape = {
    newChunksStart: newChunksStart(now),
    from: position,
    known: position,
    caller,
    filter: shapeOfFilter(filter),
  }
  if (!from) return selectHead(db, shape, values)
  const { assignment } = filter
  const select = assignment ? selectEventsOfAssignment : selectEventsOfCaller
  return select(db, shape, {
    ...values,
    ...valuesOfFilter(filter),
    ...valuesOf('from', from),
    ...valuesOf('known', from),
    ...(assignment && { assignment, created_at: idTime(assignment) }),
    limit,
  })
}

const { placeholder } = sql

const selectHead = shapedStatement<EventShape, ResultRow>(
  (shape) => sql`
    with ${callerOf(shape)}, ${watermarkAndHead(shape, { needsCaller: true })}
    select caller.id as caller, caller.session, ${logState(shape)}
    from (select) as one_row left join caller on true left join head on true`,
)

const selectEventsOfAudience = shapedStatement<LogShape, ResultRow>(
  (shape) => sql`
    with ${watermarkAndHead(shape)},
    -- Materialized, so that the planner does not see the users and makes one plan for every audience.
    audience as materialized (select ${placeholder('audience')}::uuid[] as people),
    page as (
      select ${logColumns} from assignment_events
      where ${isAfterPosition} and ${isBelowWatermark} and ${isNotOlderThan('from', shape)} and (
        creator = any((select people from audience)::uuid[]) or assignee = any((select people from audience)::uuid[])
        or old_assignee = any((select people from audience)::uuid[]))
      order by position, at, id limit (select ${limit})
    )
    select ${logState(shape)}, page.*
    from (select) as one_row left join head on true left join page on true
    order by page.position, page.at, page.id`,
)

const selectEventsOfCaller = shapedStatement<EventShape, ResultRow>((shape) => {
  const isWanted = eventMatches(assignment_events, shape.filter) ?? sql`true`
  const isWantedNearby = eventMatches(alias(assignment_events, 'nearby'), shape.filter) ?? sql`true`
  const isAhead = sql`${isWanted} and position + 0 < (select value from watermark) and ${isNotOlderThan('from', shape)}`
  return sql`
    with ${callerOf(shape)}, ${watermarkAndHead(shape, { needsCaller: true })},
    -- The next events of all users. They are enough for a reader who is close to the head.
    nearby as materialized (
      select position, at, id, creator, assignee, old_assignee, status, old_status from assignment_events
      where ${isAfterPosition} and ${isBelowWatermark} and ${isNotOlderThan('from', shape)}
      order by position, at, id limit (select ${SCAN_LIMIT}::int)
    ),
    nearest as materialized (
      select position, at from nearby where ${isMine} and ${isWantedNearby} order by position, at, id limit ${limit}
    ),
    enough as materialized (
      select (select count(*) from nearest) = ${limit} or (select count(*) from nearby) < ${SCAN_LIMIT}::int as is_enough
    ),
    -- If they are not enough, index-only scans find the caller's events. Those indexes have no id, so events with the same
    -- position and time have one key. The "+ 0" keeps the planner off the index of positions: it may have to read far ahead.
    own as (
      select distinct position, at from (
        select position + 0 as position, at from assignment_events where assignee = ${callerId} and ${isAhead}
        union all
        select position + 0 as position, at from assignment_events where creator = ${callerId} and ${isAhead}
        union all
        select position + 0 as position, at from assignment_events
        where old_assignee = ${callerId} and old_assignee <> assignee and ${isAhead}
      ) as own
      where ${isAtOrAfterKey}
      order by position, at limit (select case when is_enough then 0 else ${limit} + 1 end from enough)
    ),
    keys as (
      select distinct position, at from nearest where (select is_enough from enough) union all select * from own
    ),
    ${pageOfKeys(isWanted)}
    ${selectPage(shape)}`
})

const selectEventsOfAssignment = shapedStatement<EventShape, ResultRow>((shape) => {
  const isWanted = and(
    eventMatches(assignment_events, shape.filter),
    eq(assignment_events.assignment, placeholder('assignment')),
  ) as SQL
  return sql`
    with ${callerOf(shape)}, ${watermarkAndHead(shape, { needsCaller: true })},
    -- By the primary key (assignment, time): no event is older than the id of its assignment. The "+ 0" keeps the planner off
    -- the index of positions.
    keys as (
      select distinct position, at from (
        select position + 0 as position, at from assignment_events
        where exists (select from caller) and ${isMine} and at >= ${placeholder('created_at')} and ${isWanted}
          and position + 0 < (select value from watermark) and ${isNotOlderThan('from', shape)}
      ) as own
      where ${isAtOrAfterKey} order by position, at limit ${limit} + 1
    ),
    ${pageOfKeys(isWanted)}
    ${selectPage(shape)}`
})

const limit = sql`${placeholder('limit')}::int`

const isMine = sql`${callerId} in (creator, assignee, old_assignee)`

/** The common table expression of the caller. */
const callerOf = ({ caller }: EventShape): SQL =>
  caller === 'token'
    ? sql`caller as materialized (${callerByToken})`
    : sql`caller as materialized (select ${placeholder('user')}::uuid as id, null::uuid as session)`

/** How many events of all users are read before the caller's own are looked up by index. */
const SCAN_LIMIT = 2_500

/**
 * The common table expression `page`, which reads whole rows for the keys of `keys` only. The "offset 0" keeps the planner
 * from merging the subquery with the rest.
 */
const pageOfKeys = (isWanted: SQL): SQL => sql`
  page as (
    select event.* from keys, lateral (
      select ${logColumns} from assignment_events
      where position = keys.position and at = keys.at and ${isMine} and ${isWanted} and ${isAfterPosition} offset 0
    ) as event order by position, at, id limit ${limit}
  )`

/**
 * Selects one row for each event of `page`, or a single row if it has none, each with the caller and the state of the log. Without
 * a caller there is one row of nulls.
 */
const selectPage = (shape: EventShape): SQL => sql`
  select caller.id as caller, caller.session, ${logState(shape)}, page.*
  from (select) as one_row left join caller on true left join head on true left join page on true
  order by page.position, page.at, page.id`

const logColumns = sql`position, ${eventColumns}, old_status, old_assignee`

/**
 * The common table expressions of every query: `watermark`, `newest` for the newest event, and `head` for the newest event
 * below the watermark.
 */
function watermarkAndHead({ newChunksStart }: LogShape, options = { needsCaller: false }): SQL {
  const isRecent = sql`at >= ${constant(newChunksStart)}`
  return sql`
    ${watermark(options)},
    newest as materialized (${newestEvent(hasWatermark, isRecent)}),
    head as materialized (${newestEvent(isBelowWatermark, isRecent)})`
}

/**
 * The common table expression `watermark`: `value` is the first position that a transaction may still log, `next` that of the
 * next transaction. A query that needs a caller has no watermark without one. So no event is below it, and none is read.
 */
export function watermark({ needsCaller }: { needsCaller: boolean }): SQL {
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
      ${needsCaller ? sql`cross join caller` : sql``}
    )`
}

const hasWatermark = sql`exists (select from watermark)`

const isBelowWatermark = sql`position < (select value from watermark)`

/** The columns with which every query reports the head of the log, and whether the log can be read from a position. */
const logState = (shape: LogShape): SQL => sql`
  ${hasWatermark} and ${exists(shape)} as is_known,
  coalesce((select position from newest) >= (select next from watermark), false) as is_foreign,
  head.position as head_position, head.at as head_at, ${hashOf(sql`head.id`)} as head_hash`

/** Whether the log has the event that the known position names. */
function exists(shape: LogShape): SQL {
  if (shape.known.kind === 'start') return sql`true`
  const position = opaque('known_position', 'bigint')
  if (shape.known.kind === 'event') {
    return sql`exists (
      select from assignment_events
      where position = ${position} and at = ${placeholder('known_at')} and id = ${placeholder('known_id')}
    )`
  }
  return sql`coalesce(${placeholder('known_hash')} = (
    select ${hashOf(sql`id`)} from assignment_events
    where position = ${position} and at >= ${opaque('known_day', 'timestamptz')} and ${isNotOlderThan('known', shape)}
    order by at desc, id desc limit 1), false)`
}

/** 64 bits: enough against collisions, and they reveal no id. */
const hashOf = (id: SQL) => sql`encode(substring(sha256(uuid_send(${id})) from 1 for 8), 'hex')`

/**
 * A value in a subselect, so that the planner does not know it and one plan serves every position. Otherwise PostgreSQL
 * would plan each statement anew, which takes longer than running it.
 */
const opaque = (name: string, type: 'bigint' | 'timestamptz' | 'uuid') =>
  sql`(select ${placeholder(name)}::${sql.raw(type)})`

const [fromPosition, fromAt, fromId] = [
  opaque('from_position', 'bigint'),
  opaque('from_at', 'timestamptz'),
  opaque('from_id', 'uuid'),
]

/** A comparison of rows, of which the index of positions has the first two columns. */
const isAfterPosition = sql`(position, at, id) > (${fromPosition}, ${fromAt}, ${fromId})`

/** The same without the id, which the indexes of users do not have. */
const isAtOrAfterKey = sql`(position, at) >= (${fromPosition}, ${fromAt})`

type PositionShape = { kind: LogPosition['kind']; isRecent: boolean }

const shapeOf = (position: LogPosition, now: Date): PositionShape => ({
  kind: position.kind,
  isRecent: position.kind !== 'start' && timeOf(position) > daysBefore(now, RECENT_DAYS),
})

/** Returns the values of the placeholders of a position, which begin with its name. */
function valuesOf(name: 'from' | 'known', position: LogPosition) {
  const values = {
    ...lastKeyOf(position),
    oldest: position.kind === 'start' ? null : daysBefore(new Date(timeOf(position)), MAX_CLOCK_SKEW_DAYS),
    ...(position.kind === 'head' && { day: position.day, hash: position.hash }),
  }
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [`${name}_${key}`, value]))
}

/** The greatest key that a position covers. */
function lastKeyOf(from: LogPosition) {
  const position = from.kind === 'start' ? '-1' : from.position
  const [at, id] = from.kind === 'event' ? [from.at, from.id] : ['infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
  return { position, at, id }
}

const timeOf = (position: Exclude<LogPosition, { kind: 'start' }>) =>
  position.kind === 'head' ? position.day : position.at

/**
 * A lower bound of the time of events after a position. They were logged later, so they can be older only by the clocks'
 * skew. With it TimescaleDB skips older chunks, which may have to be decompressed. For a recent position the bound is a
 * constant, because only constants exclude chunks from a plan that is reused.
 */
function isNotOlderThan(name: 'from' | 'known', shape: LogShape): SQL {
  const { kind, isRecent } = shape[name]
  if (kind === 'start') return sql`true`
  return sql`at >= ${isRecent ? constant(shape.newChunksStart) : sql`${placeholder(`${name}_oldest`)}::timestamptz`}`
}

const constant = (time: string) => sql.raw(`timestamptz '${time}'`)

/** The age up to which a position is recent. */
const RECENT_DAYS = 15

/** The earliest time of an event after a recent position. It changes once a day, and the plans with it. */
const newChunksStart = (now: Date) => dayOf(daysBefore(now, RECENT_DAYS + MAX_CLOCK_SKEW_DAYS))

const dayOf = (time: string) => `${time.slice(0, 10)}T00:00:00.000Z`

const daysBefore = (time: Date, days: number) =>
  new Date(Math.max(time.getTime() - days * 86_400_000, Date.parse('0001-01-01T00:00:00Z'))).toISOString()

/** One row for each event; a single row with nulls for its event if there are none. */
type ResultRow = LogEvent & {
  caller: string | null
  session: string | null
  is_known: boolean
  is_foreign: boolean
  head_position: string
  head_at: string
  head_hash: string | null
}

function toPage(rows: ResultRow[], from: LogPosition | undefined, limit: number): EventPage | LogError {
  const [{ is_known, is_foreign, head_position: position, head_at, head_hash: hash }] = rows as [ResultRow]
  if (is_foreign) return 'foreign_log'
  if (!is_known) return 'unknown_position'
  const events = rows
    .filter(({ id }) => id)
    .map(({ caller, session, is_known, is_foreign, head_position, head_at, head_hash, ...event }) => event)
  const last = events.at(-1)
  if (last && events.length === limit) return { events, next: positionOf(last), isFull: true }
  const head: LogPosition = hash ? { kind: 'head', position, day: dayOf(head_at), hash } : START
  // The watermark can fall for a moment, while a transaction of another database ends. The reader must not go back with it.
  return { events, next: from ? later(head, from) : head, isFull: false }
}
