import { type AnyColumn, and, eq, inArray, ne, or, type SQL, sql } from 'drizzle-orm'
import type { statuses } from '../database/schema.ts'

/** Narrows a set of assignments, or of their events, by status and people. People are user ids. */
export type Filter = {
  status?: (typeof statuses)[number][] | undefined
  assignee?: string | undefined
  creator?: string | undefined
}

type Columns = { status: AnyColumn; assignee: AnyColumn; creator: AnyColumn }

/** Returns the condition for all rows that match a filter; undefined for an empty one. */
export const matches = (columns: Columns, { status, assignee, creator }: Filter): SQL | undefined =>
  and(
    status && inArray(columns.status, status),
    assignee ? eq(columns.assignee, opaque(assignee)) : undefined,
    creator ? eq(columns.creator, opaque(creator)) : undefined,
  )

type EventColumns = Columns & { old_status: AnyColumn; old_assignee: AnyColumn }

/**
 * Returns the condition for all events of assignments that match a filter before or after the event, so that a reader learns
 * what leaves the filter; undefined for an empty one.
 */
export const eventMatches = (columns: EventColumns, filter: Filter): SQL | undefined =>
  or(
    matches(columns, filter),
    matches({ ...columns, status: columns.old_status, assignee: columns.old_assignee }, filter),
  )

/**
 * Returns the condition for the rows that a caller may see, as one or two parts that no row has in common. Two index scans
 * under UNION ALL cost a sixth of one scan with OR. A filter by person may leave only one part.
 */
export function visibleParts(columns: Columns, caller: string, { assignee, creator }: Filter): SQL[] {
  const isAssignee = eq(columns.assignee, opaque(caller))
  const isCreator = eq(columns.creator, opaque(caller))
  if (assignee === caller || creator === caller) {
    return [sql`${opaque(caller)} in (${columns.assignee}, ${columns.creator})`]
  }
  if (assignee) return [isCreator]
  if (creator) return [isAssignee]
  return [isAssignee, and(isCreator, ne(columns.assignee, opaque(caller))) as SQL]
}

/**
 * Wraps a user id in a subselect, so that the planner does not know whose it is and uses one plan for every user. For a user with
 * many rows it would otherwise scan everybody's rows in order, or sort all of the user's.
 */
export const opaque = (id: string): SQL => sql`(select ${id}::uuid)`
