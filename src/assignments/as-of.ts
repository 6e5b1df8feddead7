import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken } from '../accounts/sessions.ts'
import { idTime } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { assignment_events } from '../database/schema.ts'
import { type Assignment, toResult, type WriteError } from './assignments.ts'

/** All assignments as they stood at an instant, by the last event of each until then. Before the log began there are none. */
export const assignmentsAsOf = (instant: string): SQL => sql`(
  select ${was} from ${assignment_events} as event
  where at <= ${instant} and kind <> 'deleted' and not exists (
    select from ${assignment_events} as later
    where later.assignment = event.assignment and later.at > event.at and later.at <= ${instant}
  )
) as assignments`

/** An assignment as it stood at an instant, if the caller could see it then. */
export async function findAssignmentAsOf(
  db: Database,
  bearer: Bearer,
  id: string,
  instant: string,
): Promise<Assignment | WriteError> {
  const [row] = await findAsOf(db, { ...bearer, id, instant, made_at: idTime(id) })
  return toResult(row)
}

const was = sql`assignment as id, name, description, status, assignee, creator, created_at, at as updated_at, version`

const { placeholder } = sql

const findAsOf = statement<Assignment>(sql`
  with caller as (${callerByToken}), last as (
    select * from ${assignment_events}
    where assignment = ${placeholder('id')} and at >= ${placeholder('made_at')} and at <= ${placeholder('instant')}
    order by at desc limit 1
  )
  select past.* from caller
  left join (select ${was} from last where kind <> 'deleted') as past on caller.id in (past.creator, past.assignee)`)
