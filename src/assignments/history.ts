import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import { idTime } from '../crypto.ts'
import { type Database, shapedStatement } from '../database/connect.ts'
import type { assignment_events } from '../database/schema.ts'
import type { Cursor } from './cursors.ts'
import { eventColumns, type eventFields, eventFor } from './fields.ts'
import { type Page, toPage } from './keyset.ts'

type Event = Pick<typeof assignment_events.$inferSelect, (typeof eventFields)[number] | 'old_assignee'>

type HistoryEvent = ReturnType<typeof eventFor<Event>>

type HistoryOptions = { cursor: Cursor | undefined; limit: number }

/**
 * Returns a page of an assignment's events, oldest first, and who the caller is. There is none if the caller cannot see the
 * assignment or, for a deleted one, could not see it when it was deleted. The key of a cursor is the time of an event.
 */
export async function listHistory(
  db: Database,
  bearer: Bearer,
  id: string,
  { cursor, limit }: HistoryOptions,
): Promise<{ caller: string; history: Page<HistoryEvent> | undefined } | Unauthenticated> {
  const { isBackward = false, isInclusive = false, keys: [key] = [] } = cursor ?? {}
  const shape = { isBackward, isInclusive, hasCursor: cursor !== undefined }
  const values = { ...bearer, assignment: id, created_at: idTime(id), key, rows: limit + 1 }
  const rows = await selectHistory(db, shape, values)
  const [{ caller, is_visible }] = rows as [HistoryRow]
  if (caller === null) return UNAUTHENTICATED
  if (!is_visible) return { caller, history: undefined }
  const events = rows
    // Without an event there is one row of nulls.
    .filter(({ id }) => id !== null)
    .map(({ caller: _, is_visible, ...event }) => eventFor(caller, event))
  return { caller, history: toPage(events, limit, (event) => [event.at], cursor) }
}

type HistoryShape = Pick<Cursor, 'isBackward' | 'isInclusive'> & { hasCursor: boolean }

type HistoryRow = Event & { caller: string | null; is_visible: boolean }

const { placeholder } = sql

// The lower bound spares a search of older chunks: an assignment has no events before its creation.
const isOfAssignment = sql`assignment = ${placeholder('assignment')} and at >= ${placeholder('created_at')}`

const selectHistory = shapedStatement<HistoryShape, HistoryRow>((shape) => {
  const direction = sql.raw(shape.isBackward ? 'desc' : 'asc')
  return sql`
    with caller as materialized (${callerByToken}),
    -- The events of an assignment may have been dropped, so its row says who can see it. A deleted one has only its events.
    present as materialized (
      select creator, assignee from assignments
      where id = ${placeholder('assignment')} and exists (select from caller)
    ), last_event as (
      select creator, assignee from assignment_events
      where ${isOfAssignment} and not exists (select from present) and exists (select from caller)
      order by at desc limit 1
    ), visible as materialized (
      select from (select * from present union all select * from last_event) as latest
      where (select id from caller) in (creator, assignee)
    ), page as (
      select ${eventColumns}, old_assignee from assignment_events
      where ${isOfAssignment} ${isAfterCursor(shape)} and exists (select from visible)
      order by at ${direction} limit ${placeholder('rows')}::int
    )
    select caller.id as caller, exists (select from visible) as is_visible, page.*
    from (select) as one_row left join caller on true left join page on true
    order by page.at ${direction}`
})

function isAfterCursor({ hasCursor, isBackward, isInclusive }: HistoryShape): SQL {
  if (!hasCursor) return sql``
  return sql`and at ${sql.raw(`${isBackward ? '<' : '>'}${isInclusive ? '=' : ''}`)} ${placeholder('key')}`
}
