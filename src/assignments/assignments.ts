import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken } from '../accounts/sessions.ts'
import { newId } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import type { assignments } from '../database/schema.ts'
import { addressKey, searchText } from '../database/text.ts'
import { assignmentFields, columnsOf, loggedFields, writableFields } from './fields.ts'

export type Assignment = Pick<typeof assignments.$inferSelect, (typeof assignmentFields)[number]>

/** The fields that a client can write. The assignee is a user id or an e-mail address. */
export type Fields = { [name in (typeof writableFields)[number]]?: Assignment[name] | undefined }

/** Why a statement returned no assignment or changed nothing. */
export type WriteError = 'unauthenticated' | 'not_found' | 'forbidden' | 'precondition_failed' | 'unknown_assignee'

/** The one row that each statement returns. Its other columns have no meaning unless the outcome is `ok`. */
export type OutcomeRow = Assignment & { outcome: 'ok' | WriteError }

// Each function is one statement and so one round trip. The statement checks the token, locks the assignment, checks
// permissions and version, and writes the change, its event and the search index: all or nothing.

/** Creates an assignment and its event. The default assignee is the caller. */
export async function createAssignment(db: Database, bearer: Bearer, fields: Fields & Pick<Assignment, 'name'>) {
  const parameters = parametersOf(bearer, { description: '', status: 'todo', ...fields })
  return toResult(await create(db, { ...parameters, id: newId(new Date(bearer.now)) }))
}

/** Returns an assignment that the caller can see. */
export const findAssignment = async (db: Database, bearer: Bearer, id: string) =>
  toResult(await find(db, { ...bearer, id }))

/**
 * Changes the given fields, writes an event and returns the assignment after the change. A change that alters nothing writes
 * nothing. `versions` are the versions that the caller accepts; undefined accepts any.
 */
export async function changeAssignment(db: Database, bearer: Bearer, id: string, fields: Fields, versions?: number[]) {
  const is_status_only = Object.keys(fields).every((name) => name === 'status')
  return toResult(await change(db, { ...parametersOf(bearer, fields, versions), id, is_status_only }))
}

/** Deletes an assignment that the caller created, writes an event and returns the assignment before it. */
export const deleteAssignment = async (db: Database, bearer: Bearer, id: string, versions?: number[]) =>
  toResult(await remove(db, { ...parametersOf(bearer, {}, versions), id, is_status_only: false }))

/** Returns the assignment of a statement's row, or its error. */
export function toResult(rows: OutcomeRow[]): Assignment | WriteError {
  const [{ outcome, ...assignment }] = rows as [OutcomeRow]
  return outcome === 'ok' ? assignment : outcome
}

function parametersOf(bearer: Bearer, fields: Fields, accepted?: number[]) {
  const { name = null, description = null, status = null, assignee = null } = fields
  const [assignee_id, assignee_email] = assignee?.includes('@') ? [null, assignee] : [assignee, null]
  const event = newId(new Date(bearer.now))
  const versions = accepted ? `{${accepted.join(',')}}` : null
  return { ...bearer, event, name, description, status, assignee_id, assignee_email, versions }
}

const { placeholder } = sql

const now = sql`${placeholder('now')}::timestamptz`

/** The time of a change: after the last change even if the clock has stepped back, since events of one time would collide. */
const changedAt = sql`greatest(${now}, a.updated_at + interval '1 millisecond')`

const isWithoutAssignee = sql`${placeholder('assignee_id')}::uuid is null and ${placeholder('assignee_email')}::text is null`

const namedAssignee = sql`
  select id from users where id = ${placeholder('assignee_id')}
  union all select id from users where ${addressKey(sql`email`)} = ${addressKey(sql`${placeholder('assignee_email')}`)}`

/**
 * The assignment to change, as `target`. Its row is locked before the outcome is decided, so the outcome is that of the latest
 * version and stays true.
 *
 * The advisory lock comes before the row lock, which gives the transaction its id. A transaction that waited for the row with
 * an id could have a lower one than the transaction before it, and the event log would have their events in reverse.
 */
const lockedTarget = sql`
  advisory_lock as materialized (
    select pg_advisory_xact_lock(hashtextextended(${placeholder('id')}::uuid::text, 0)) from caller
  ), target as (
    select a.*,
      case
        when a.creator <> (select id from caller) and not ${placeholder('is_status_only')}::boolean then 'forbidden'
        when a.version <> all(${placeholder('versions')}::int[]) then 'precondition_failed'
        else 'ok'
      end as outcome
    from assignments as a
    where a.id = ${placeholder('id')} and (select id from caller) in (a.creator, a.assignee)
      and exists (select from advisory_lock)
    for update
  )`

const eventColumns = sql.raw(`id, at, kind, actor, assignment, created_at, started_at, ${loggedFields.join(', ')}`)

/** The values of `eventColumns`, from `caller` and the row of an assignment after a change. */
const eventValues = (kind: 'created' | 'changed' | 'deleted', row: string): SQL => sql`
  ${placeholder('event')}::uuid, ${columnsOf(row, ['updated_at'])}, ${sql.raw(`'${kind}'`)}::assignment_event_kind,
  caller.id, ${columnsOf(row, ['id', 'created_at', 'started_at', ...loggedFields])}`

const differences = writableFields.map((field) => `case when changed.${field} <> target.${field} then '${field}' end`)
const changedFields = sql.raw(`array_remove(array[${differences.join(', ')}], null)`)

const create = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), assignee as (
    select id from caller where ${isWithoutAssignee} union all ${namedAssignee}
  ), created as (
    insert into assignments
      (id, name, description, status, assignee, creator, created_at, updated_at, version, started_at)
    select ${placeholder('id')}::uuid, ${placeholder('name')}, ${placeholder('description')},
      ${placeholder('status')}::assignment_status, assignee.id, caller.id, ${now}, ${now}, 1,
      case when ${placeholder('status')} = 'in progress' then ${now} end
    from caller, assignee
    returning *
  ), logged as (
    insert into assignment_events (${eventColumns}, changed)
    select ${eventValues('created', 'created')}, '{}' from caller, created
  ), indexed as (
    insert into assignment_search
    select id, array[assignee, creator], ${searchText(sql`name`, sql`description`)} from created
  )
  select
    case when caller.id is null then 'unauthenticated' when created.id is null then 'unknown_assignee' else 'ok' end
      as outcome,
    ${columnsOf('created', assignmentFields)}
  from (select) as one_row left join caller on true left join created on true`)

const find = statement<OutcomeRow>(sql`
  with caller as (${callerByToken})
  select case when caller.id is null then 'unauthenticated' when a.id is null then 'not_found' else 'ok' end as outcome,
    ${columnsOf('a', assignmentFields)}
  from (select) as one_row left join caller on true
  left join assignments as a on a.id = ${placeholder('id')} and caller.id in (a.creator, a.assignee)`)

const change = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), ${lockedTarget},
  -- One row, unless the new assignee has no account.
  assignee as (
    select assignee as id from target where ${isWithoutAssignee} union all ${namedAssignee}
  ), wanted as (
    select target.id, assignee.id as assignee,
      coalesce(${placeholder('name')}, target.name) as name,
      coalesce(${placeholder('description')}, target.description) as description,
      coalesce(${placeholder('status')}::assignment_status, target.status) as status
    from target, assignee where target.outcome = 'ok'
  ), changed as (
    update assignments as a
    set (${sql.raw(writableFields.join(', '))}) = row(${columnsOf('wanted', writableFields)}),
      version = a.version + 1, updated_at = ${changedAt},
      started_at = coalesce(a.started_at, case when wanted.status = 'in progress' then ${changedAt} end)
    from wanted
    where a.id = wanted.id
      and (${columnsOf('a', writableFields)}) is distinct from (${columnsOf('wanted', writableFields)})
    returning a.*
  ), logged as (
    insert into assignment_events (${eventColumns}, changed, old_status, old_assignee)
    select ${eventValues('changed', 'changed')}, ${changedFields}, target.status, target.assignee
    from caller, changed, target
  ),
  -- A change of the status alone need not touch the search index.
  indexed as (
    update assignment_search as s
    set people = array[changed.assignee, changed.creator],
      text = ${searchText(sql`changed.name`, sql`changed.description`)}
    from changed join target using (id)
    where s.assignment = changed.id and (changed.name, changed.description, changed.assignee)
      is distinct from (target.name, target.description, target.assignee)
  ), latest as (
    select ${columnsOf('changed', assignmentFields)} from changed union all
    select ${columnsOf('target', assignmentFields)} from target where not exists (select from changed)
  )
  select
    case
      when caller.id is null then 'unauthenticated'
      when target.id is null then 'not_found'
      when target.outcome <> 'ok' then target.outcome
      when not exists (select from assignee) then 'unknown_assignee'
      else 'ok'
    end as outcome,
    ${columnsOf('latest', assignmentFields)}
  from (select) as one_row left join caller on true left join target on true left join latest on true`)

const remove = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), ${lockedTarget},
  -- The event has a version and a time of its own.
  deleted as (
    delete from assignments as a using target where a.id = target.id and target.outcome = 'ok'
    returning ${columnsOf('a', ['id', ...writableFields, 'creator', 'created_at', 'started_at'])},
      ${changedAt} as updated_at, a.version + 1 as version
  ), logged as (
    insert into assignment_events (${eventColumns}, changed, old_status, old_assignee)
    select ${eventValues('deleted', 'deleted')}, '{}', target.status, target.assignee
    from caller, deleted, target
  ), unindexed as (
    delete from assignment_search where assignment in (select id from deleted)
  )
  select
    case when caller.id is null then 'unauthenticated' when target.id is null then 'not_found' else target.outcome end
      as outcome,
    ${columnsOf('target', assignmentFields)}
  from (select) as one_row left join caller on true left join target on true`)
