import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken, type Unauthenticated } from '../accounts/sessions.ts'
import { lowestIdAt } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { type Assignment, type OutcomeRow, type Refusal, toResult } from './assignments.ts'
import { assignmentFields, columnsOf } from './fields.ts'

const { placeholder } = sql

// The past is derived backward from the present, so that it does not depend on older events, which may have been dropped.
// An assignment that has not changed since an instant is as its row is now. Any other is as it was before the one event that
// is after the instant and whose old_updated_at is not.

/** The events of an instant, each with the assignment before it. */
const isOfInstant = sql`at > ${placeholder('instant')} and old_updated_at <= ${placeholder('instant')}`

const old: Record<string, string> = {
  // An expression keeps the planner from reading the whole log in the order of its primary key.
  id: 'coalesce(assignment, assignment) as id',
  name: 'coalesce(old_name, name) as name',
  description: 'coalesce(old_description, description) as description',
  status: 'old_status as status',
  assignee: 'old_assignee as assignee',
  updated_at: 'old_updated_at as updated_at',
  version: 'version - 1 as version',
}

/** The columns of an event as those of the assignment before it. */
export const columnsBefore = (kept: readonly string[] = []): SQL =>
  sql.raw(assignmentFields.map((field) => (kept.includes(field) ? field : (old[field] ?? field))).join(', '))

/** The instant is before the history that is kept, which begins at `earliest`. */
export type BeforeHistory = { earliest: string }

/** When the history begins; null if the instant is not before that, or without a caller. */
export const earliestAsOf = sql`(
  select earliest from history_start() as earliest
  where earliest > ${placeholder('instant')} and exists (select from caller)
)`

/**
 * Subqueries named `assignments`, which together have all assignments as they were at an instant. The events are in two
 * parts, since each has an index for the assignee before the event.
 */
export const assignmentsAsOf: SQL[] = [
  // Ids sort by their creation, so an index of them can start at the instant.
  sql`select * from assignments where updated_at <= ${placeholder('instant')} and id < ${placeholder('next_id')}`,
  sql`select ${columnsBefore(['assignee'])} from assignment_events
    where ${isOfInstant} and old_assignee = assignee`,
  sql`select ${columnsBefore()} from assignment_events
    where ${isOfInstant} and old_assignee <> assignee`,
].map((part) => sql`(${part}) as assignments`)

/** Returns the values of the placeholders of `assignmentsAsOf`. */
export const valuesAsOf = (instant: string) => ({
  instant,
  /** The lowest id after the instant. */
  next_id: lowestIdAt(new Date(Date.parse(instant) + 1).toISOString()),
})

/** Returns an assignment as it was at an instant; `not_found` if the caller could not see it then. */
export async function findAssignmentAsOf(
  db: Database,
  bearer: Bearer,
  id: string,
  instant: string,
): Promise<Assignment | Refusal | Unauthenticated | BeforeHistory> {
  const [{ earliest, ...row }] = (await findAsOf(db, { ...bearer, id, instant })) as [AsOfRow]
  return earliest ? { earliest } : toResult([row])
}

type AsOfRow = OutcomeRow & { earliest: string | null }

const findAsOf = statement<AsOfRow>(sql`
  with caller as (${callerByToken}), unchanged as (
    select ${columnsOf('assignments', assignmentFields)} from assignments
    where id = ${placeholder('id')} and updated_at <= ${placeholder('instant')}
  ), changed as (
    select ${columnsBefore()} from assignment_events
    where assignment = ${placeholder('id')} and ${isOfInstant}
      and not exists (select from unchanged)
    order by at limit 1
  ), a as (
    select * from unchanged union all select * from changed
  )
  select case when caller.id is null then 'unauthenticated' when a.id is null then 'not_found' else 'ok' end as outcome,
    ${earliestAsOf} as earliest,
    ${columnsOf('a', assignmentFields)}
  from (select) as one_row left join caller on true left join a on caller.id in (a.creator, a.assignee)`)
