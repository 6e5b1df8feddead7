import { type AnyColumn, and, eq, inArray, ne, or, type SQL, sql } from 'drizzle-orm'
import type { statuses } from '../database/schema.ts'

/** Narrows a set of assignments, or of their events, by status and people. */
export type Filter = {
  status?: (typeof statuses)[number][] | undefined
  /** A user id, or `me` for the caller. */
  assignee?: string | undefined
  creator?: string | undefined
}

/** The same filter with the caller's id in place of `me`. */
export const withCallerId = <F extends Filter>(filter: F, caller: string): F => ({
  ...filter,
  assignee: filter.assignee === 'me' ? caller : filter.assignee,
  creator: filter.creator === 'me' ? caller : filter.creator,
})

/** The part of a filter that decides the text of a statement. The values have placeholders named as the fields of the filter. */
export type FilterShape = { statuses: number; assignee: Person; creator: Person }

type Person = 'anyone' | 'caller' | 'given'

export const shapeOfFilter = ({ status, assignee, creator }: Filter): FilterShape => ({
  statuses: status?.length ?? 0,
  assignee: shapeOfPerson(assignee),
  creator: shapeOfPerson(creator),
})

const shapeOfPerson = (person: string | undefined): Person =>
  person === undefined ? 'anyone' : person === 'me' ? 'caller' : 'given'

/** Returns the values of the placeholders of a filter. */
export const valuesOfFilter = ({ status = [], assignee, creator }: Filter) => ({
  ...numbered('status', status),
  assignee,
  creator,
})

/** Returns values by the names of numbered placeholders, such as `status_0`. */
export const numbered = (name: string, values: unknown[]): Record<string, unknown> =>
  Object.fromEntries(values.map((value, index) => [`${name}_${index}`, value]))

/** Returns as many numbered placeholders. */
export const placeholders = (name: string, count: number) =>
  Array.from({ length: count }, (_, index) => sql.placeholder(`${name}_${index}`))

/**
 * The id of the caller, in a statement with the common table expression `caller`. In a subselect the planner does not know it and
 * has one plan for every user. For a user with many rows it would otherwise scan everybody's rows in order, or sort all of
 * the user's. Without a caller it is null, and finds nothing.
 */
export const callerId = sql`(select id from caller)`

/** The same for a person of a filter. */
export const personId = (person: Person, name: 'assignee' | 'creator'): SQL =>
  person === 'caller' ? callerId : sql`(select ${sql.placeholder(name)}::uuid)`

type Columns = { status: AnyColumn; assignee: AnyColumn; creator: AnyColumn }

/** Returns the condition for all rows that match a filter; undefined for an empty one. */
export const matches = (columns: Columns, { statuses, assignee, creator }: FilterShape): SQL | undefined =>
  and(
    statuses > 0 ? inArray(columns.status, placeholders('status', statuses)) : undefined,
    assignee === 'anyone' ? undefined : eq(columns.assignee, personId(assignee, 'assignee')),
    creator === 'anyone' ? undefined : eq(columns.creator, personId(creator, 'creator')),
  )

type EventColumns = Columns & { old_status: AnyColumn; old_assignee: AnyColumn }

/**
 * Returns the condition for all events of assignments that match a filter before or after the event, so that a reader learns
 * what leaves the filter; undefined for an empty one.
 */
export const eventMatches = (columns: EventColumns, filter: FilterShape): SQL | undefined =>
  or(
    matches(columns, filter),
    matches({ ...columns, status: columns.old_status, assignee: columns.old_assignee }, filter),
  )

/**
 * Returns the condition for the rows that a caller may see, as one or two parts that no row has in common. Two index scans
 * under UNION ALL cost a sixth of one scan with OR. A filter by the id of a person usually
 * leaves rows in one part only. The other part has rows if that id is the caller's own. If not, its key is null, and it reads
 * nothing.
 */
export function visibleParts(columns: Columns, { assignee, creator }: FilterShape): SQL[] {
  const isAssignee = eq(columns.assignee, callerId)
  const isCreator = eq(columns.creator, callerId)
  if (assignee === 'caller' || creator === 'caller') {
    return [sql`${callerId} in (${columns.assignee}, ${columns.creator})`]
  }
  if (assignee === 'given') {
    return [isCreator, and(eq(columns.assignee, callerIfGiven('assignee')), ne(columns.creator, callerId)) as SQL]
  }
  if (creator === 'given') {
    return [isAssignee, and(eq(columns.creator, callerIfGiven('creator')), ne(columns.assignee, callerId)) as SQL]
  }
  return [isAssignee, and(isCreator, ne(columns.assignee, callerId)) as SQL]
}

/** The caller's id if it is that of a filter, and otherwise null. */
const callerIfGiven = (name: 'assignee' | 'creator') => sql`(select id from caller where id = ${sql.placeholder(name)})`
