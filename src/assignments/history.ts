import { and, asc, desc, eq, getTableColumns, gt, gte, lt, lte, sql } from 'drizzle-orm'
import { idTime } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { assignment_events, assignments } from '../database/schema.ts'
import type { Cursor } from './cursors.ts'
import { eventFields, eventFor, pick } from './fields.ts'
import { toPage } from './keyset.ts'

const event = pick(getTableColumns(assignment_events), [...eventFields, 'old_assignee'])

const { at } = assignment_events

/**
 * Returns a page of an assignment's events, oldest first; undefined if the caller cannot see the assignment or, for a deleted
 * one, could not see it when it was deleted. The key of a cursor is the time of an event.
 */
export async function listHistory(db: Database, caller: string, id: string, cursor: Cursor | undefined, limit: number) {
  // The lower bound spares a search of older chunks: an assignment has no events before its creation.
  const isOfAssignment = and(eq(assignment_events.assignment, id), gte(at, idTime(id)))
  // The events of an assignment may have been dropped, so its row says who can see it. A deleted one has only its events.
  const visible = sql`(
    with present as (
      select creator, assignee from ${assignments} where id = ${id}
    ), last_event as (
      select creator, assignee from ${assignment_events} where ${isOfAssignment} and not exists (select from present)
      order by at desc limit 1
    )
    select from (select * from present union all select * from last_event) as latest
    where ${caller}::uuid in (creator, assignee)
  ) as visible`
  const rows = await db
    .select({ event })
    .from(visible)
    .leftJoin(assignment_events, and(isOfAssignment, cursor && eventsAfter(cursor)))
    .orderBy(cursor?.isBackward ? desc(at) : asc(at))
    .limit(limit + 1)
  if (rows.length === 0) return undefined
  // Without an event after the cursor, the join leaves one row of nulls.
  const events = rows.flatMap(({ event }) => (event ? eventFor(caller, event) : []))
  return toPage(events, limit, (event) => [event.at], cursor)
}

function eventsAfter({ keys: [time], isBackward, isInclusive }: Cursor) {
  const compare = isBackward ? (isInclusive ? lte : lt) : isInclusive ? gte : gt
  return compare(at, time as string)
}
