import { sql } from 'drizzle-orm'
import { type Bearer, callerByToken, isOwn, type OwnSession } from '../accounts/sessions.ts'
import { type Account, accountColumns, accountList } from '../accounts/users.ts'
import { columnsBefore } from '../assignments/as-of.ts'
import type { Assignment } from '../assignments/assignments.ts'
import { assignmentFields, columnsOf, eventColumns, type eventFields, eventFor, pick } from '../assignments/fields.ts'
import { callerId } from '../assignments/filter.ts'
import { type Database, statement } from '../database/connect.ts'
import { MAX_CLOCK_SKEW_DAYS } from '../database/log-position.ts'
import type { assignment_events } from '../database/schema.ts'
import { watermark } from './log.ts'

/** What waits for a code, without the code. */
type Pending = {
  email_change: { email: string; expires_at: string } | null
  password_reset: { expires_at: string } | null
}

/**
 * Everything about an account but its assignments and events, and the boundary of the export: a position of the log below
 * which no transaction is running. The export has what is below, so it is one snapshot of the past, however long it takes to
 * read and whatever changes meanwhile.
 */
export type ExportStart = { account: Account; sessions: OwnSession[]; pending: Pending; boundary: string }

/** The rows that are read at once. With the longest texts they take 8 MB. */
const PAGE_SIZE = 200

/** Milliseconds between looks at the log, and how often it is looked at. A transaction is a statement of at most 5 seconds. */
const [PAUSE_MS, MAX_LOOKS] = [100, 35]

/**
 * Starts the export of the caller's account. First waits until all transactions that are running now have ended, so that nothing
 * that the caller has done before is missing. Returns `unauthenticated` for a bad token, and `busy` if one runs for too long.
 */
export async function startExport(
  db: Database,
  bearer: Bearer,
): Promise<ExportStart | { outcome: 'unauthenticated' | 'busy' }> {
  let wanted: bigint | undefined
  for (let look = 0; look < MAX_LOOKS; look++) {
    if (look > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    const rows = await selectStart(db, bearer)
    const [first] = rows
    if (!first) return { outcome: 'unauthenticated' }
    wanted ??= BigInt(first.next)
    if (BigInt(first.boundary) >= wanted) return toStart(rows)
  }
  return { outcome: 'busy' }
}

type StartRow = Account & {
  boundary: string
  next: string
  session: string
  session_created_at: string
  session_expires_at: string
  user_agent: string | null
  current: boolean
  new_email: string | null
  change_expires_at: string
  reset_expires_at: string | null
}

/** One row for each session. There is at least that of the token. */
const selectStart = statement<StartRow>(sql`
  with caller as materialized (${callerByToken}), ${watermark({ needsCaller: true })}
  select ${accountList}, watermark.value as boundary, watermark.next,
    sessions.id as session, sessions.created_at as session_created_at, sessions.expires_at as session_expires_at,
    sessions.user_agent, sessions.id = caller.session as current,
    email_changes.email as new_email, email_changes.expires_at as change_expires_at,
    password_resets.expires_at as reset_expires_at
  from caller cross join watermark join users on users.id = caller.id join sessions on ${isOwn}
  left join email_changes on email_changes.user_id = caller.id
  left join password_resets on password_resets.user_id = caller.id
  order by sessions.id desc`)

function toStart(rows: StartRow[]): ExportStart {
  const [first] = rows as [StartRow]
  const { new_email: email, change_expires_at, reset_expires_at, boundary } = first
  return {
    account: pick(first, Object.keys(accountColumns) as (keyof Account)[]),
    sessions: rows.map(({ session: id, session_created_at, session_expires_at, user_agent, current }) => {
      return { id, created_at: session_created_at, expires_at: session_expires_at, user_agent, current }
    }),
    pending: {
      email_change: email === null ? null : { email, expires_at: change_expires_at },
      password_reset: reset_expires_at === null ? null : { expires_at: reset_expires_at },
    },
    boundary,
  }
}

/**
 * Yields the JSON of an export in parts, each of which is read when it is asked for. Throws if a part cannot be read, also because
 * the session has ended.
 */
export async function* writeExport(
  db: Database,
  bearer: () => Promise<Bearer>,
  start: ExportStart,
): AsyncGenerator<string> {
  const { boundary, ...first } = start
  yield `${JSON.stringify(first).slice(0, -1)},"assignments":[`
  yield* join(assignmentPages(db, bearer, boundary))
  yield '],"events":['
  yield* join(eventPages(db, bearer, boundary))
  yield ']}\n'
}

/** Yields the JSON of pages as the elements of one array. */
async function* join(pages: AsyncGenerator<object[]>): AsyncGenerator<string> {
  let separator = ''
  for await (const page of pages) {
    if (page.length === 0) continue
    yield separator + JSON.stringify(page).slice(1, -1)
    separator = ','
  }
}

async function* assignmentPages(
  db: Database,
  bearer: () => Promise<Bearer>,
  boundary: string,
): AsyncGenerator<Assignment[]> {
  // No new event is older.
  let oldest: string | undefined
  for (let after = FIRST_ID; ; ) {
    const token = await bearer()
    oldest ??= new Date(Date.parse(token.now) - MAX_CLOCK_SKEW_DAYS * 86_400_000).toISOString()
    const rows = await selectAssignments(db, { ...token, boundary, oldest, after })
    if (rows.length === 0) throw new SessionEnded()
    // Without an assignment there is one row of nulls.
    const page = rows.filter(({ id }) => id !== null)
    yield page
    const last = page.at(-1)
    if (!last || page.length < PAGE_SIZE) return
    after = last.id
  }
}

/** The session of an export has ended before its last part was read. */
class SessionEnded extends Error {
  override name = 'SessionEnded'
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000'

const { placeholder } = sql

const boundary = sql`(select ${placeholder('boundary')}::bigint)`

const isNext = sql`id > (select ${placeholder('after')}::uuid)`

const fields = sql.raw(assignmentFields.join(', '))

const limit = sql.raw(String(PAGE_SIZE))

// An assignment that has no event since the boundary was as it is now. Any other was as the first of these events says of
// the time before it. That event involves whoever could see the assignment at the boundary.
const selectAssignments = statement<Assignment>(sql`
  with caller as materialized (${callerByToken}), new_events as materialized (
    -- The limit, which is never reached, makes the planner use the index of positions.
    select * from assignment_events where position >= ${boundary} and at >= ${placeholder('oldest')}::timestamptz
    order by position, at limit (select 1000000000)
  ), changed as materialized (
    select distinct on (assignment) * from new_events
    where ${callerId} in (creator, assignee, old_assignee) order by assignment, position, at
  ), page as (
    select ${fields} from (
      (select ${fields} from assignments
        where creator = ${callerId} and ${isNext} and id not in (select assignment from changed) order by id limit ${limit})
      -- Without the duplicates, which a condition would have to search for among all that the caller has created.
      union
      (select ${fields} from assignments
        where assignee = ${callerId} and ${isNext} and id not in (select assignment from changed) order by id limit ${limit})
      union all
      (select ${columnsBefore()} from changed
        where kind <> 'created' and ${callerId} in (creator, old_assignee) and assignment > (select ${placeholder('after')}::uuid))
    ) as visible order by id limit ${limit}
  )
  select ${columnsOf('page', assignmentFields)} from caller left join page on true order by page.id`)

/** An event is found by these. Several events of one transaction may share them. */
type EventKey = { position: string; at: string }

/** The keys that are read at once, by reading all of the account's keys from an index. */
const KEYS_SIZE = 20_000

async function* eventPages(db: Database, bearer: () => Promise<Bearer>, boundary: string): AsyncGenerator<object[]> {
  for (let after: EventKey = { position: '-1', at: '-infinity' }; ; ) {
    const rows = await selectKeys(db, { ...(await bearer()), boundary, ...after })
    if (rows.length === 0) throw new SessionEnded()
    const keys = rows.filter(({ position }) => position !== null)
    for (let start = 0; start < keys.length; start += PAGE_SIZE) {
      const page = keys.slice(start, start + PAGE_SIZE)
      const [positions, times] = [page.map(({ position }) => position), page.map(({ at }) => at)]
      const events = await selectEvents(db, {
        ...(await bearer()),
        positions: `{${positions.join(',')}}`,
        times: `{${times.join(',')}}`,
      })
      // Each key has at least one event.
      const [first] = events
      if (!first) throw new SessionEnded()
      yield events.map(({ caller, ...event }) => eventFor(caller, event))
    }
    const last = keys.at(-1)
    if (!last || keys.length < KEYS_SIZE) return
    after = last
  }
}

const isOld = sql`(position + 0, at) > (${placeholder('position')}::bigint, ${placeholder('at')}::timestamptz)
      and position + 0 < ${boundary}`

// In the order of the log, for which no index of a person exists. The "+ 0" keeps the planner off that of positions, which has
// the events of everybody.
const selectKeys = statement<EventKey>(sql`
  with caller as materialized (${callerByToken}), keys as (
    select position, at from assignment_events where assignee = ${callerId} and ${isOld}
    union
    select position, at from assignment_events where creator = ${callerId} and ${isOld}
    union
    select position, at from assignment_events
    where old_assignee = ${callerId} and old_assignee <> assignee and ${isOld}
    order by position, at limit ${sql.raw(String(KEYS_SIZE))}
  )
  select keys.* from caller left join keys on true order by position, at`)

type OwnEvent = Pick<typeof assignment_events.$inferSelect, (typeof eventFields)[number] | 'old_assignee'> & {
  caller: string
}

const selectEvents = statement<OwnEvent>(sql`
  with caller as materialized (${callerByToken})
  select caller.id as caller, event.* from caller, unnest(${placeholder('positions')}::bigint[], ${placeholder('times')}::timestamptz[])
    as key (position, at), lateral (
      select ${eventColumns}, old_assignee from assignment_events
      where position = key.position and assignment_events.at = key.at and caller.id in (creator, assignee, old_assignee) offset 0
    ) as event
  order by key.position, event.at, event.id`)
