import { sql } from 'drizzle-orm'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import { newId } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import type { assignments } from '../database/schema.ts'
import { addressKey, searchText } from '../database/text.ts'
import { changedAt, eventColumns, eventValues, oldColumns, oldValues } from './event-rows.ts'
import { assignmentFields, columnsOf, writableFields } from './fields.ts'

export type Assignment = Pick<typeof assignments.$inferSelect, (typeof assignmentFields)[number]>

/** The fields that a client can write. The assignee is a user id or an e-mail address. */
export type Fields = { [name in (typeof writableFields)[number]]?: Assignment[name] | undefined }

/** Why a statement returned no assignment or changed nothing. */
export type Refusal =
  | { outcome: 'not_found' | 'precondition_failed' | 'unknown_assignee' }
  /** The caller may not change these fields, which are separated by `, `. Without any, the caller may not delete. */
  | { outcome: 'forbidden'; refused_fields: string }
  /** The caller has named too many unknown addresses. Seconds until the next attempt. */
  | { outcome: 'too_many_requests'; wait: number }

/** The one row that each statement returns. The columns of the assignment have no meaning unless the outcome is `ok`. */
export type OutcomeRow = Assignment & {
  outcome: 'ok' | (Refusal | Unauthenticated)['outcome']
  refused_fields?: string
  wait?: number
}

/** The versions that a change accepts, and those that it does not. Without them it accepts any. */
export type Precondition = { accepted?: number[] | undefined; excluded?: number[] | undefined }

/** The caller, and whether the addresses without an account that they name are limited. */
export type Writer = Bearer & { is_limited: boolean }

// Each function is one statement and so one round trip. The statement checks the token, locks the assignment, checks
// permissions and version, and writes the change, its event and the search index: all or nothing.

/** Creates an assignment and its event. The default assignee is the caller. */
export async function createAssignment(db: Database, writer: Writer, fields: Fields & Pick<Assignment, 'name'>) {
  const parameters = parametersOf(writer, { description: '', status: 'todo', ...fields })
  return toResult(await create(db, { ...parameters, id: newId(new Date(writer.now)) }))
}

/** Returns an assignment that the caller can see. */
export const findAssignment = async (db: Database, bearer: Bearer, id: string) =>
  toResult(await find(db, { ...bearer, id }))

/**
 * Changes the given fields, writes an event and returns the assignment after the change. A change that alters nothing writes
 * nothing. An assignee who is not the creator can change only the status, but may send other fields with their values.
 */
export const changeAssignment = async (
  db: Database,
  writer: Writer,
  id: string,
  fields: Fields,
  when: Precondition = {},
) => toResult(await change(db, { ...parametersOf(writer, fields), ...versionsOf(when), id }))

/** Deletes an assignment that the caller created, writes an event and returns the assignment before it. */
export const deleteAssignment = async (db: Database, writer: Writer, id: string, when: Precondition = {}) =>
  toResult(await remove(db, { ...parametersOf(writer, {}), ...versionsOf(when), id }))

/** Returns the assignment of a statement's row, or why there is none. */
export function toResult(rows: OutcomeRow[]): Assignment | Refusal | Unauthenticated {
  const [{ outcome, refused_fields = '', wait = 0, ...assignment }] = rows as [OutcomeRow]
  if (outcome === 'ok') return assignment
  if (outcome === 'unauthenticated') return UNAUTHENTICATED
  if (outcome === 'forbidden') return { outcome, refused_fields }
  return outcome === 'too_many_requests' ? { outcome, wait } : { outcome }
}

function parametersOf(writer: Writer, fields: Fields) {
  const { name = null, description = null, status = null, assignee = null } = fields
  const [assignee_id, assignee_email] = assignee?.includes('@') ? [null, assignee] : [assignee, null]
  return { ...writer, event: newId(new Date(writer.now)), name, description, status, assignee_id, assignee_email }
}

const versionsOf = ({ accepted, excluded }: Precondition) => ({
  accepted: accepted ? `{${accepted.join(',')}}` : null,
  excluded: excluded ? `{${excluded.join(',')}}` : null,
})

const { placeholder } = sql

const now = sql`${placeholder('now')}::timestamptz`

const isWithoutAssignee = sql`${placeholder('assignee_id')}::uuid is null and ${placeholder('assignee_email')}::text is null`

const namedAssignee = sql`
  select id from users where id = ${placeholder('assignee_id')} and deleted_at is null
  union all select id from users where ${addressKey(sql`email`)} = ${addressKey(sql`${placeholder('assignee_email')}`)}`

/**
 * The assignment to change, as `target`. Its row is locked before anything is decided, so what is decided about the latest
 * version stays true.
 *
 * The advisory lock comes before the row lock, which gives the transaction its id. A transaction that waited for the row with
 * an id could have a lower one than the transaction before it, and the event log would have their events in reverse.
 */
const lockedTarget = sql`
  advisory_lock as materialized (
    select pg_advisory_xact_lock(hashtextextended(${placeholder('id')}::uuid::text, 0)) from caller
  ), target as (
    select a.*, a.version <> all(${placeholder('accepted')}::int[]) or a.version = any(${placeholder('excluded')}::int[])
      as has_other_version
    from assignments as a
    where a.id = ${placeholder('id')} and (select id from caller) in (a.creator, a.assignee)
      and exists (select from advisory_lock)
    for update
  )`

const failureKey = sql`(select 'unknown-assignee:' || id from caller)`

const namesLimitedAddress = sql`${placeholder('assignee_email')}::text is not null and ${placeholder('is_limited')}::boolean`

/**
 * Whether the caller has named 30 addresses without an account within an hour, as a row of `limited`. Without a limit anybody
 * could find out which addresses have an account. The count is locked, so that parallel attempts learn no more than sequential
 * ones.
 */
const limitedFailures = sql`
  failures as (
    select attempts from rate_limits
    where key = ${failureKey} and ${namesLimitedAddress}
    for update
  ), limited as (
    select ceil(extract(epoch from attempts[cardinality(attempts) - 29] + interval '1 hour' - ${now}))::int as wait
    from failures where attempts[cardinality(attempts) - 29] > ${now} - interval '1 hour'
  )`

/** Counts an address without an account. Only the last 30 are kept. */
const countedFailure = sql`
  counted as (
    insert into rate_limits as limits (key, attempts, expires_at)
    select ${failureKey}, array[${now}], ${now} + interval '1 hour'
    from decision where outcome = 'unknown_assignee' and ${namesLimitedAddress}
    on conflict (key) do update
    set attempts = (limits.attempts || excluded.attempts)[greatest(1, cardinality(limits.attempts) - 28):],
      expires_at = excluded.expires_at
  )`

const origin = { id: sql`${placeholder('event')}::uuid`, actor: sql`caller.id` }

const differences = writableFields.map(
  (field) => `case when wanted.${field} is distinct from target.${field} then '${field}' end`,
)
const changedFields = sql.raw(`array_remove(array[${differences.join(', ')}], null)`)

const create = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), ${limitedFailures}, assignee as (
    select id from caller where ${isWithoutAssignee} union all ${namedAssignee}
  ), decision as (
    select case
      when caller.id is null then 'unauthenticated'
      when exists (select from limited) then 'too_many_requests'
      when not exists (select from assignee) then 'unknown_assignee'
      else 'ok'
    end as outcome
    from (select) as one_row left join caller on true
  ), created as (
    insert into assignments
      (id, name, description, status, assignee, creator, created_at, updated_at, version, started_at)
    select ${placeholder('id')}::uuid, ${placeholder('name')}, ${placeholder('description')},
      ${placeholder('status')}::assignment_status, assignee.id, caller.id, ${now}, ${now}, 1,
      case when ${placeholder('status')} = 'in progress' then ${now} end
    from caller, assignee, decision where decision.outcome = 'ok'
    returning *
  ), logged as (
    insert into assignment_events (${eventColumns}, changed)
    select ${eventValues('created', 'created', origin)}, '{}' from caller, created
  ), indexed as (
    insert into assignment_search
    select id, array[assignee, creator], ${searchText(sql`name`, sql`description`)} from created
  ), ${countedFailure}
  select decision.outcome, limited.wait, ${columnsOf('created', assignmentFields)}
  from decision left join limited on true left join created on true`)

const find = statement<OutcomeRow>(sql`
  with caller as (${callerByToken})
  select case when caller.id is null then 'unauthenticated' when a.id is null then 'not_found' else 'ok' end as outcome,
    ${columnsOf('a', assignmentFields)}
  from (select) as one_row left join caller on true
  left join assignments as a on a.id = ${placeholder('id')} and caller.id in (a.creator, a.assignee)`)

const change = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), ${lockedTarget}, ${limitedFailures},
  -- One row, unless the new assignee has no account.
  assignee as (
    select assignee as id from target where ${isWithoutAssignee} union all ${namedAssignee}
  ), wanted as (
    select target.id, assignee.id as assignee,
      coalesce(${placeholder('name')}, target.name) as name,
      coalesce(${placeholder('description')}, target.description) as description,
      coalesce(${placeholder('status')}::assignment_status, target.status) as status
    from target left join assignee on true
  ), difference as (
    select ${changedFields} as fields from target join wanted using (id)
  ), decision as (
    select case
      when caller.id is null then 'unauthenticated'
      when target.id is null then 'not_found'
      when caller.id <> target.creator and difference.fields <> '{}' and difference.fields <> '{status}' then 'forbidden'
      when target.has_other_version then 'precondition_failed'
      when exists (select from limited) then 'too_many_requests'
      when wanted.assignee is null then 'unknown_assignee'
      else 'ok'
    end as outcome
    from (select) as one_row left join caller on true left join target on true left join wanted on true
    left join difference on true
  ), changed as (
    update assignments as a
    set (${sql.raw(writableFields.join(', '))}) = row(${columnsOf('wanted', writableFields)}),
      version = a.version + 1, updated_at = ${changedAt(now)},
      started_at = coalesce(a.started_at, case when wanted.status = 'in progress' then ${changedAt(now)} end)
    from wanted, difference, decision
    where a.id = wanted.id and decision.outcome = 'ok' and difference.fields <> '{}'
    returning a.*
  ), logged as (
    insert into assignment_events (${eventColumns}, changed, ${oldColumns}, old_name, old_description)
    select ${eventValues('changed', 'changed', origin)}, difference.fields, ${oldValues},
      nullif(target.name, changed.name), nullif(target.description, changed.description)
    from caller, changed, target, difference
  ),
  -- A change of the status alone need not touch the search index.
  indexed as (
    update assignment_search as s
    set people = array[changed.assignee, changed.creator],
      text = ${searchText(sql`changed.name`, sql`changed.description`)}
    from changed, difference
    where s.assignment = changed.id and difference.fields <> '{status}'
  ), ${countedFailure}, latest as (
    select ${columnsOf('changed', assignmentFields)} from changed union all
    select ${columnsOf('target', assignmentFields)} from target where not exists (select from changed)
  )
  select decision.outcome, limited.wait, array_to_string(array_remove(difference.fields, 'status'), ', ') as refused_fields,
    ${columnsOf('latest', assignmentFields)}
  from decision left join limited on true left join difference on true left join latest on true`)

const remove = statement<OutcomeRow>(sql`
  with caller as (${callerByToken}), ${lockedTarget}, decision as (
    select case
      when caller.id is null then 'unauthenticated'
      when target.id is null then 'not_found'
      when caller.id <> target.creator then 'forbidden'
      when target.has_other_version then 'precondition_failed'
      else 'ok'
    end as outcome
    from (select) as one_row left join caller on true left join target on true
  ),
  -- The event has a version and a time of its own.
  deleted as (
    delete from assignments as a using target, decision where a.id = target.id and decision.outcome = 'ok'
    returning ${columnsOf('a', ['id', ...writableFields, 'creator', 'created_at', 'started_at'])},
      ${changedAt(now)} as updated_at, a.version + 1 as version
  ), logged as (
    insert into assignment_events (${eventColumns}, changed, ${oldColumns})
    select ${eventValues('deleted', 'deleted', origin)}, '{}', ${oldValues}
    from caller, deleted, target
  ), unindexed as (
    delete from assignment_search where assignment in (select id from deleted)
  )
  select decision.outcome, ${columnsOf('target', assignmentFields)}
  from decision left join target on true`)
