import { type SQL, sql } from 'drizzle-orm'
import {
  type Bearer,
  callerByToken,
  type Session,
  UNAUTHENTICATED,
  type Unauthenticated,
} from '../accounts/sessions.ts'
import { type Database, statement } from '../database/connect.ts'
import { addressKey } from '../database/text.ts'
import { changedAt, eventColumns, eventValues, oldColumns, oldValues } from './event-rows.ts'

// An account is deleted in steps, so that one with any number of assignments is deleted without a long statement:
//
// 1. `beginDeletion`, one statement: the account has no name, address, password and session any more, and up to BATCH_SIZE
//    of its assignments are gone. For most accounts these are all. A row of `users` with `deleted_at` remains.
// 2. `finishDeletion`: the other assignments in batches, then the texts in the log that nobody else can see, then the row.
//
// A process that ends between two steps leaves the row, and `finishDeletions` continues.
//
// Locks are taken in this order: the advisory locks of the assignments by id, the row of the user, the rows of the
// assignments. A change of one assignment takes its advisory lock first as well, so the two cannot wait for each other.

/** The assignments of one statement. It holds a lock for each, of which a small server has about a thousand. */
const BATCH_SIZE = 200

/** The events of the account that are read at once. */
const PAGE_SIZE = 500

/**
 * The assignments whose texts one statement erases. In the columnstore of TimescaleDB, each may be in another batch of a
 * thousand rows, and a statement may unpack 100,000 rows.
 */
const ERASED_ASSIGNMENTS = 50

const { placeholder } = sql

const now = sql`${placeholder('now')}::timestamptz`

const accountId = sql`(select id from account)`

/** The common table expressions that lock the next assignments of a user: `account` follows them, and then `removals`. */
const lockedAssignments = (user: SQL): SQL => sql`
  next as materialized (
    select id from (
      (select id from assignments where creator = ${user} order by id limit ${batchSize}) union
      (select id from assignments where assignee = ${user} order by id limit ${batchSize})
    ) as own order by id limit ${batchSize}
  ), advisory_locks as materialized (
    select count(pg_advisory_xact_lock(hashtextextended(id::text, 0))) from (select id from next order by id offset 0) as next
  )`

const batchSize = sql.raw(String(BATCH_SIZE))

const hasLocks = sql`exists (select from advisory_locks)`

/** A new UUIDv7 with the time of a row (RFC 9562, 5.7). PostgreSQL makes them itself only from version 18 on. */
const newEventId = (row: string): SQL =>
  sql.raw(
    `(lpad(to_hex((extract(epoch from ${row}.updated_at) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid`,
  )

const originOf = (row: string) => ({ id: newEventId(row), actor: accountId })

/**
 * The common table expressions that delete what the account has created and give back what others assigned to it, each with
 * an event. An assignment that nobody else can see at its end has no text in its last event.
 */
const removals = sql`
  target as materialized (
    select a.* from assignments as a
    where a.id in (select id from next) and ${accountId} in (a.creator, a.assignee)
    order by a.id for update
  ), deleted as (
    delete from assignments as a using target where a.id = target.id and target.creator = ${accountId}
    returning a.id, a.status, a.assignee, a.creator, a.created_at, a.started_at,
      case when a.assignee = a.creator then '' else a.name end as name,
      case when a.assignee = a.creator then '' else a.description end as description,
      ${changedAt(now)} as updated_at, a.version + 1 as version
  ), returned as (
    update assignments as a set assignee = a.creator, version = a.version + 1, updated_at = ${changedAt(now)}
    from target where a.id = target.id and target.creator <> ${accountId}
    returning a.*
  ), logged as (
    insert into assignment_events (${eventColumns}, changed, ${oldColumns})
    select ${eventValues('deleted', 'deleted', originOf('deleted'))}, '{}'::text[], ${oldValues}
    from deleted join target using (id)
    union all
    select ${eventValues('changed', 'returned', originOf('returned'))}, '{assignee}', ${oldValues}
    from returned join target using (id)
  ), unindexed as (
    delete from assignment_search where assignment in (select id from deleted)
  ), indexed as (
    update assignment_search as search set people = array[returned.assignee, returned.creator]
    from returned where search.assignment = returned.id
  )`

/**
 * The common table expressions that take everything personal from `account`. The address, which must be unique, becomes one that
 * no request can name: it has a control character.
 */
const emptying = sql`
  emptied as (
    update users set email = chr(1) || account.id, first_name = '', last_name = '', password = '',
      password_version = users.password_version + 1, updated_at = ${now}, deleted_at = ${now}
    from account where users.id = account.id
  ), ended_sessions as (
    delete from sessions using account where user_id = account.id
  ), ended_reset as (
    delete from password_resets using account where user_id = account.id
  ), ended_changes as (
    delete from email_changes using account
    where user_id = account.id or ${addressKey(sql`email_changes.email`)} = ${addressKey(sql`account.email`)}
  ), ended_signups as (
    delete from signups using account where ${addressKey(sql`signups.email`)} = ${addressKey(sql`account.email`)}
  )`

/**
 * Deletes the caller's account, whose password was just checked, with up to 200 of its assignments. Returns `wrong_password`
 * if the password has changed since. `finishDeletion` must follow.
 */
export async function beginDeletion(
  db: Database,
  bearer: Bearer,
  { password_version }: Pick<Session, 'password_version'>,
): Promise<{ outcome: 'deleted' | 'wrong_password' } | Unauthenticated> {
  const [row] = await deleteCaller(db, { ...bearer, password_version })
  return row ?? UNAUTHENTICATED
}

const deleteCaller = statement<{ outcome: 'deleted' | 'wrong_password' }>(sql`
  with caller as materialized (${callerByToken}), ${lockedAssignments(sql`(select id from caller)`)},
  account as materialized (
    select users.id, users.email from users
    where id = (select id from caller) and password_version = ${placeholder('password_version')} and ${hasLocks}
    for no key update
  ), ${emptying}, ${removals}
  select case when account.id is null then 'wrong_password' else 'deleted' end as outcome
  from caller left join account on true`)

/** Deletes an account for an operator, completely. Returns false if there is none with this id. */
export async function deleteAccount(db: Database, user: string, time: () => Date): Promise<boolean> {
  const [deleted] = await deleteUser(db, { user, now: time().toISOString() })
  if (deleted) await finishDeletion(db, user, time)
  return deleted !== undefined
}

const deleteUser = statement<{ id: string }>(sql`
  with ${lockedAssignments(sql`${placeholder('user')}::uuid`)}, account as materialized (
    select id, email from users where id = ${placeholder('user')} and deleted_at is null and ${hasLocks} for no key update
  ), ${emptying}, ${removals}
  select id from account`)

/** Removes what is left of a deleted account. Several instances may do it at once. */
export async function finishDeletion(db: Database, user: string, time: () => Date): Promise<void> {
  do {
    while ((await removeBatch(db, { user, now: time().toISOString() })).length > 0);
    await eraseTexts(db, user)
    // A change that ran at the same time may have assigned something to the account.
  } while ((await removeRow(db, { user }))[0]?.remains)
}

/** Removes what is left of all deleted accounts whose deletion was interrupted. */
export async function finishDeletions(db: Database, time: () => Date): Promise<void> {
  for (const { id } of await selectDeleted(db, {})) await finishDeletion(db, id, time)
}

const selectDeleted = statement<{ id: string }>(sql`select id from users where deleted_at is not null`)

const removeBatch = statement<{ id: string }>(sql`
  with ${lockedAssignments(sql`${placeholder('user')}::uuid`)}, account as materialized (
    select id from users where id = ${placeholder('user')} and deleted_at is not null and ${hasLocks} for no key update
  ), ${removals}
  select id from next`)

const removeRow = statement<{ remains: boolean }>(sql`
  with removed as (
    delete from users
    where id = ${placeholder('user')} and deleted_at is not null
      and not exists (select from assignments where creator = users.id)
      and not exists (select from assignments where assignee = users.id)
    returning id
  )
  select exists (select from users where id = ${placeholder('user')}) and not exists (select from removed) as remains`)

/**
 * Erases from the log what only the deleted account could read. Whoever sees an assignment at its end can read its whole
 * history. If that was only the account, each event keeps just the texts of which somebody else was a reader at the time.
 */
async function eraseTexts(db: Database, user: string): Promise<void> {
  let page = await selectEvents(db, { user, ...START })
  for (; page.length > 0; page = await selectEvents(db, { user, ...page.at(-1) })) {
    const own = [...new Set(page.filter(({ is_private }) => is_private).map(({ assignment }) => assignment))]
    const period = { from: page[0]?.at, to: page.at(-1)?.at }
    for (let start = 0; start < own.length; start += ERASED_ASSIGNMENTS) {
      const ids = own.slice(start, start + ERASED_ASSIGNMENTS)
      await erase(db, { user, ...period, assignments: `{${ids.join(',')}}` })
    }
  }
}

/** An event of an assignment that the account created, and whether only the account could see the assignment at its end. */
type OwnEvent = { at: string; assignment: string; is_private: boolean }

const START = { at: '-infinity', assignment: '00000000-0000-0000-0000-000000000000' }

// Not one statement with the update: in the columnstore of TimescaleDB, an update finds no rows that its statement reads.
const selectEvents = statement<OwnEvent>(sql`
  select at, assignment, (
    select assignee from assignment_events as latest where latest.assignment = event.assignment order by at desc limit 1
  ) = creator as is_private
  from assignment_events as event
  where creator = ${placeholder('user')}
    and (at, assignment) > (${placeholder('at')}::timestamptz, ${placeholder('assignment')}::uuid)
  order by at, assignment limit ${sql.raw(String(PAGE_SIZE))}`)

// The creator is the account. So if somebody else can see an event, it is the assignee after or before it.
const isOthers = sql`assignee <> creator`
const wasOthers = sql`coalesce(old_assignee <> creator, false)`

// A text that the event did not change is also the text before it, which the former assignee could read.
const isOthersName = sql`(${isOthers} or ${wasOthers} and old_name is null)`
const isOthersDescription = sql`(${isOthers} or ${wasOthers} and old_description is null)`

const erase = statement(sql`
  update assignment_events set
    name = case when ${isOthersName} then name else '' end,
    description = case when ${isOthersDescription} then description else '' end,
    old_name = case when ${wasOthers} then old_name end,
    old_description = case when ${wasOthers} then old_description end
  where assignment = any(${placeholder('assignments')}::uuid[])
    and at between ${placeholder('from')}::timestamptz and ${placeholder('to')}::timestamptz
    and creator = ${placeholder('user')} and (
      name <> '' and not ${isOthersName} or description <> '' and not ${isOthersDescription}
      or not ${wasOthers} and (old_name is not null or old_description is not null))`)
