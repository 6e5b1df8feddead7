import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken } from '../accounts/sessions.ts'
import { idTime } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { type OutcomeRow, toResult } from './assignments.ts'
import { assignmentFields, columnsOf } from './fields.ts'

const { placeholder } = sql

const renamed: Record<string, string> = { id: 'assignment as id', updated_at: 'at as updated_at' }

/** The columns of an event as those of the assignment after it. */
const columnsAsOf = sql.raw(assignmentFields.map((field) => renamed[field] ?? field).join(', '))

/** Returns a subquery named `assignments` for all assignments as they were at an instant: the last event of each by then. */
export const assignmentsAsOf = (instant: string): SQL => sql`(
  select ${columnsAsOf} from assignment_events as event
  where at <= ${instant} and kind <> 'deleted' and not exists (
    select from assignment_events as later
    where later.assignment = event.assignment and later.at > event.at and later.at <= ${instant}
  )
) as assignments`

/** Returns an assignment as it was at an instant; `not_found` if the caller could not see it then. */
export const findAssignmentAsOf = async (db: Database, bearer: Bearer, id: string, instant: string) =>
  toResult(await findAsOf(db, { ...bearer, id, instant, created_at: idTime(id) }))

const findAsOf = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), last_event as (
    select * from assignment_events
    -- An assignment has no events before its creation, so older chunks need not be searched.
    where assignment = ${placeholder('id')} and at >= ${placeholder('created_at')} and at <= ${placeholder('instant')}
    order by at desc limit 1
  ), a as (
    select ${columnsAsOf} from last_event where kind <> 'deleted'
  )
  select case when caller.id is null then 'unauthenticated' when a.id is null then 'not_found' else 'ok' end as outcome,
    ${columnsOf('a', assignmentFields)}
  from (select) as one_row left join caller on true left join a on caller.id in (a.creator, a.assignee)`)
