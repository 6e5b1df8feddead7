import { type SQL, sql } from 'drizzle-orm'

// The SQL projections, the columns of the log, the list of changed fields and the response schemas derive from these lists.

/** The fields that a client can write. */
export const writableFields = ['name', 'description', 'status', 'assignee'] as const

/** The fields that an assignment and its events share. An event has their values after the change. */
export const loggedFields = [...writableFields, 'creator', 'version'] as const

/** The fields of an assignment in a response. */
export const assignmentFields = ['id', ...writableFields, 'creator', 'created_at', 'updated_at', 'version'] as const

/** The fields of an event in a response. */
export const eventFields = ['id', 'at', 'kind', 'actor', 'assignment', ...loggedFields, 'changed'] as const

/** The columns of an event for a select list. The connection does not parse arrays, but it does parse JSON. */
export const eventColumns: SQL = sql.raw(
  eventFields.map((field) => (field === 'changed' ? 'to_json(changed) as changed' : field)).join(', '),
)

type Changed = { name: string; description: string; creator: string; assignee: string; old_assignee: string | null }

/**
 * Returns an event for a reader. If it takes the assignment away from them, it has no texts: what they are after the change
 * was never the reader's to see.
 */
export function eventFor<E extends Changed>(reader: string, { old_assignee, ...event }: E) {
  const isLoss = reader === old_assignee && reader !== event.assignee && reader !== event.creator
  return isLoss ? { ...event, name: null, description: null } : event
}

/** Returns the columns of a table for a select list, such as `a.name, a.status`. */
export const columnsOf = (table: string, fields: readonly string[]): SQL =>
  sql.raw(fields.map((field) => `${table}.${field}`).join(', '))

/** Returns a copy of an object with some of its fields. */
export function pick<T, K extends keyof T>(object: T, fields: readonly K[]): Pick<T, K> {
  const copy = {} as Pick<T, K>
  for (const field of fields) copy[field] = object[field]
  return copy
}
