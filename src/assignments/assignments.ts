import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken } from '../accounts/sessions.ts'
import { newId } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { assignment_events, assignment_search, assignments, users } from '../database/schema.ts'
import { caseless, searchText } from '../database/text.ts'

export type Assignment = Omit<typeof assignments.$inferSelect, 'started_at'>

const fieldNames = ['name', 'description', 'status', 'assignee'] as const

/** What a caller may write of an assignment; the assignee as an id or an e-mail address. */
export type Fields = { [name in (typeof fieldNames)[number]]?: Assignment[name] | undefined }

/** Why a statement did nothing. */
export type WriteError = 'unauthenticated' | 'not_found' | 'forbidden' | 'precondition_failed' | 'unknown_assignee'

// Each verb is one statement: it judges the token, and who may what and in which version on the row that it has locked,
// and writes the change, its event and what is searched. So no verdict is out of date, and all is done or nothing.

/** Makes an assignment with its event; for the caller, where no assignee is given. */
export async function createAssignment(
  db: Database,
  bearer: Bearer,
  fields: Fields & Pick<Assignment, 'name'>,
): Promise<Assignment | WriteError> {
  const id = newId(new Date(bearer.now))
  const [row] = await create(db, { ...parametersOf(bearer, { description: '', status: 'todo', ...fields }), id })
  return toResult(row, 'unknown_assignee')
}

/** An assignment that the caller may see. */
export async function findAssignment(db: Database, bearer: Bearer, id: string): Promise<Assignment | WriteError> {
  const [row] = await find(db, { ...bearer, id })
  return toResult(row)
}

/**
 * Changes the fields that are given, with one event, and gives the assignment as it is then; where nothing would change,
 * as it is. `versions` are those that the caller will have it in; undefined takes any.
 */
export async function changeAssignment(
  db: Database,
  bearer: Bearer,
  id: string,
  fields: Fields,
  versions: number[] | undefined,
): Promise<Assignment | WriteError> {
  const is_status_alone = Object.keys(fields).every((name) => name === 'status')
  const [row] = await change(db, { ...parametersOf(bearer, fields, versions), id, is_status_alone })
  return toResult(row)
}

/** Deletes an assignment, logs it, and gives it as it was. Only its creator may; `versions` as for a change. */
export async function deleteAssignment(
  db: Database,
  bearer: Bearer,
  id: string,
  versions: number[] | undefined,
): Promise<Assignment | WriteError> {
  const [row] = await remove(db, { ...parametersOf(bearer, {}, versions), id, is_status_alone: false })
  return toResult(row)
}

const parametersOf = (
  bearer: Bearer,
  { name, description, status, assignee }: Fields,
  versions?: number[] | undefined,
) => ({
  ...bearer,
  event: newId(new Date(bearer.now)),
  ...{ name: name ?? null, description: description ?? null, status: status ?? null },
  assignee_id: assignee === undefined || assignee.includes('@') ? null : assignee,
  assignee_email: assignee?.includes('@') ? assignee : null,
  versions: versions ? `{${versions.join(',')}}` : null,
})

type Judged = { [column in keyof Assignment]: Assignment[column] | null } & {
  allowed?: boolean
  matches?: boolean
  known?: boolean
}

/** What a statement says: no row of an unknown caller, a row without an assignment where there is none. */
export function toResult(row: Judged | undefined, none: WriteError = 'not_found'): Assignment | WriteError {
  if (!row) return 'unauthenticated'
  const { allowed = true, matches = true, known = true, ...assignment } = row
  if (assignment.id === null) return none
  if (!allowed) return 'forbidden'
  if (!matches) return 'precondition_failed'
  return known ? (assignment as Assignment) : 'unknown_assignee'
}

const { placeholder } = sql
const now = sql`${placeholder('now')}::timestamptz`
const caller = sql`(select id from caller)`

/** Now, or just after the last change where the clock has stepped back: of one assignment no two changes share a time. */
const later = sql`greatest(${now}, a.updated_at + interval '1 millisecond')`

/** A table's columns in the order of Assignment's. */
const columnsOf = (table: string): SQL =>
  sql.raw(
    ['id', ...fieldNames, 'creator', 'created_at', 'updated_at', 'version']
      .map((name) => `${table}.${name}`)
      .join(', '),
  )

/** The account of the assignee that is given; where none is, that of `otherwise`. */
const personOr = (otherwise: SQL): SQL => sql`
  ${otherwise} where ${placeholder('assignee_id')}::uuid is null and ${placeholder('assignee_email')}::text is null
  union all select id from ${users} where id = ${placeholder('assignee_id')}
  union all select id from ${users} where ${caseless(users.email)} = ${caseless(sql`${placeholder('assignee_email')}`)}`

/** The row, locked until the statement is through, as whoever had it before has left it, with the verdict on the caller. */
const target = sql`
  select a.*, (a.creator = ${caller} or ${placeholder('is_status_alone')}::boolean) as allowed,
    coalesce(a.version = any(${placeholder('versions')}::int[]), true) as matches
  from ${assignments} as a where a.id = ${placeholder('id')} and ${caller} in (a.creator, a.assignee) for update`

/** The insert of an event into the log, from the one row of a change that was made and the row that was there before. */
const log = (kind: 'created' | 'changed' | 'deleted', row: string, changed = sql`'{}'::text[]`): SQL => sql`
  insert into ${assignment_events}
    (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at,
     started_at, old_status, old_assignee)
  select ${placeholder('event')}::uuid, row.updated_at, ${sql.raw(`'${kind}'`)}::assignment_event_kind, ${caller},
    row.id, row.name, row.description, row.status, row.assignee, row.creator, row.version, ${changed}, row.created_at,
    row.started_at, ${sql.raw(kind === 'created' ? 'null, null' : 'target.status, target.assignee')}
  from ${sql.raw(row + (kind === 'created' ? ' as row' : ' as row, target'))}`

const differences = sql`array_remove(array[${sql.join(
  fieldNames.map((name) => sql.raw(`case when row.${name} <> target.${name} then '${name}' end`)),
  sql`, `,
)}], null)`

const create = statement<Judged>(sql`
  with caller as (${callerByToken}), person as (${personOr(sql`select id from caller`)}), made as (
    insert into ${assignments}
      (id, name, description, status, assignee, creator, created_at, updated_at, version, started_at)
    select ${placeholder('id')}::uuid, ${placeholder('name')}, ${placeholder('description')},
      ${placeholder('status')}::assignment_status, person.id, ${caller}, ${now}, ${now}, 1,
      case when ${placeholder('status')} = 'in progress' then ${now} end
    from person where ${caller} is not null
    returning *
  ), logged as (${log('created', 'made')}), searchable as (
    insert into ${assignment_search} select id, array[assignee, creator], ${searchText(sql`name`, sql`description`)} from made
  )
  select ${columnsOf('made')} from caller left join made on true`)

const find = statement<Judged>(sql`
  with caller as (${callerByToken})
  select ${columnsOf('a')} from caller
  left join ${assignments} as a on a.id = ${placeholder('id')} and caller.id in (a.creator, a.assignee)`)

const change = statement<Judged>(sql`
  with caller as (${callerByToken}), target as (${target}),
  person as (${personOr(sql`select assignee as id from target`)}), wanted as (
    select target.id as target, person.id as assignee,
      coalesce(${placeholder('name')}, target.name) as name,
      coalesce(${placeholder('description')}, target.description) as description,
      coalesce(${placeholder('status')}::assignment_status, target.status) as status
    from target, person where allowed and matches
  ), changed as (
    update ${assignments} as a set name = wanted.name, description = wanted.description, status = wanted.status,
      assignee = wanted.assignee, version = a.version + 1, updated_at = ${later},
      started_at = coalesce(a.started_at, case when wanted.status = 'in progress' then ${later} end)
    from wanted
    where a.id = wanted.target and (a.name, a.description, a.status, a.assignee)
      is distinct from (wanted.name, wanted.description, wanted.status, wanted.assignee)
    returning a.*
  ), logged as (${log('changed', 'changed', differences)}), searchable as (
    update ${assignment_search} as s
    set people = array[changed.assignee, changed.creator], text = ${searchText(sql`changed.name`, sql`changed.description`)}
    from changed join target using (id)
    where s.assignment = changed.id and (changed.name, changed.description, changed.assignee)
      is distinct from (target.name, target.description, target.assignee)
  )
  select ${columnsOf('shown')}, shown.allowed, shown.matches, exists (select from person) as known
  from caller left join (
    select ${columnsOf('changed')}, true as allowed, true as matches from changed union all
    select ${columnsOf('target')}, allowed, matches from target where not exists (select from changed)
  ) as shown on true`)

const remove = statement<Judged>(sql`
  with caller as (${callerByToken}), target as (${target}), gone as (
    delete from ${assignments} as a using target where a.id = target.id and allowed and matches
    returning a.id, a.name, a.description, a.status, a.assignee, a.creator, a.created_at,
      ${later} as updated_at, a.version + 1 as version, a.started_at
  ), logged as (${log('deleted', 'gone')}), searchable as (
    delete from ${assignment_search} where assignment in (select id from gone)
  )
  select ${columnsOf('target')}, allowed, matches from caller left join target on true`)
