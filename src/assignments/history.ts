import { and, asc, desc, eq, getTableColumns, gt, gte, lt, sql } from 'drizzle-orm'
import { idTime } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { assignment_events } from '../database/schema.ts'
import type { Cursor } from './cursors.ts'

const { old_status, old_assignee, created_at, started_at, position, ...event } = getTableColumns(assignment_events)

/**
 * A page of an assignment's events, oldest first, before or after the time of a cursor. Undefined when the caller could not
 * see the assignment as it is, or as it was at its end.
 */
export async function listHistory(db: Database, caller: string, id: string, cursor: Cursor | undefined, limit: number) {
  const { at } = assignment_events
  // Its log begins with itself: what is older need not be opened.
  const itsOwn = and(eq(assignment_events.assignment, id), gte(at, idTime(id)))
  const last = db
    .select({ creator: assignment_events.creator, assignee: assignment_events.assignee })
    .from(assignment_events)
    .where(itsOwn)
    .orderBy(desc(at))
    .limit(1)
    .as('last')
  const place = cursor?.keys[0]
  const rows = await db
    .select({ event })
    .from(last)
    .leftJoin(
      assignment_events,
      and(itsOwn, place === undefined ? undefined : cursor?.isBackward ? lt(at, place) : gt(at, place)),
    )
    .where(sql`${caller}::uuid in (${last.creator}, ${last.assignee})`)
    .orderBy(cursor?.isBackward ? desc(at) : asc(at))
    .limit(limit + 1)
  if (rows.length === 0) return undefined
  const events = rows.flatMap(({ event }) => event ?? [])
  const shown = events.slice(0, limit)
  const hasMore = events.length > limit
  if (cursor?.isBackward) shown.reverse()
  // The log only grows, so what a cursor came from is there still.
  return {
    events: shown,
    hasLater: cursor?.isBackward || hasMore,
    hasEarlier: cursor?.isBackward ? hasMore : cursor !== undefined,
  }
}
