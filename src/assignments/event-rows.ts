import { type SQL, sql } from 'drizzle-orm'
import type { event_kinds } from '../database/schema.ts'
import { columnsOf, loggedFields } from './fields.ts'

// What the statements that write events have in common.

type EventKind = (typeof event_kinds)[number]

/** The columns of every event. */
export const eventColumns = sql.raw(
  `id, at, kind, actor, assignment, created_at, started_at, ${loggedFields.join(', ')}`,
)

/** The values of `eventColumns`, from the row of an assignment after a change, the id of the event and the user who did it. */
export const eventValues = (kind: EventKind, row: string, { id, actor }: { id: SQL; actor: SQL }): SQL => sql`
  ${id}, ${columnsOf(row, ['updated_at'])}, ${sql.raw(`'${kind}'`)}::assignment_event_kind,
  ${actor}, ${columnsOf(row, ['id', 'created_at', 'started_at', ...loggedFields])}`

/** The columns for the values before a change. Those of texts, `old_name` and `old_description`, are stored only if they differ. */
export const oldColumns = sql.raw('old_status, old_assignee, old_updated_at')

/** The values of `oldColumns`, from the row `target` of an assignment before a change. */
export const oldValues = columnsOf('target', ['status', 'assignee', 'updated_at'])

/** The time of a change of `a`: after its last change even if the clock has stepped back, since events of one time would collide. */
export const changedAt = (now: SQL): SQL => sql`greatest(${now}, a.updated_at + interval '1 millisecond')`
