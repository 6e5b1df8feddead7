import { and, asc, desc, eq, gt, lt, sql } from 'drizzle-orm'
import type { Database } from '../database/connect.ts'
import { assignment_events } from '../database/schema.ts'
import type { Cursor } from './cursors.ts'

/**
 * A page of an assignment's events, oldest first, before or after a cursor's version. Undefined when the caller could not
 * see the assignment as it is, or as it was at its end.
 */
export async function listHistory(db: Database, caller: string, id: string, cursor: Cursor | undefined, limit: number) {
  const place = Number(cursor?.at[0] ?? 0)
  const { version } = assignment_events
  const last = db
    .select({ creator: assignment_events.creator, assignee: assignment_events.assignee })
    .from(assignment_events)
    .where(eq(assignment_events.assignment, id))
    .orderBy(desc(version))
    .limit(1)
    .as('last')
  const rows = await db
    .select({ event: assignment_events })
    .from(last)
    .leftJoin(
      assignment_events,
      and(eq(assignment_events.assignment, id), cursor?.back ? lt(version, place) : gt(version, place)),
    )
    .where(sql`${caller}::uuid in (${last.creator}, ${last.assignee})`)
    .orderBy(cursor?.back ? desc(version) : asc(version))
    .limit(limit + 1)
  if (rows.length === 0) return undefined
  const events = rows.flatMap(({ event }) => event ?? [])
  const shown = events.slice(0, limit)
  const hasMore = events.length > limit
  if (cursor?.back) shown.reverse()
  // The log only grows, so what a cursor came from is there still.
  return { events: shown, hasLater: cursor?.back || hasMore, hasEarlier: cursor?.back ? hasMore : cursor !== undefined }
}
