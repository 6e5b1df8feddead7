import { and, eq, or, type SQL, sql } from 'drizzle-orm'
import { newId } from '../crypto.ts'
import { type Database, perDatabase } from '../database/connect.ts'
import { assignment_events, assignments, caseless, users } from '../database/schema.ts'

export type Assignment = typeof assignments.$inferSelect

/** What a caller may write of an assignment; the assignee as an id or an e-mail address. */
type Field = 'name' | 'description' | 'status' | 'assignee'
export type Fields = { [name in Field]?: Assignment[name] | undefined }

/** Why a statement did nothing. */
export type Refusal = 'not_found' | 'forbidden' | 'precondition_failed' | 'unknown_assignee'

/** Makes an assignment with its event. Undefined when the assignee has no account. */
export async function createAssignment(
  db: Database,
  caller: string,
  { name, description = '', status = 'todo', assignee = caller }: Fields & Pick<Assignment, 'name'>,
  now: Date,
): Promise<Assignment | undefined> {
  const at = now.toISOString()
  const [made] = await db.execute<Assignment>(sql`
    with person as (${personOf(assignee)}), made as (
      insert into ${assignments} (id, name, description, status, assignee, creator, created_at, updated_at, version)
      select ${newId(now)}, ${name}, ${description}, ${status}, person.id, ${caller}, ${at}, ${at}, 1 from person
      returning *
    ), logged as (${logOf('created', caller, newId(now), sql`made`)})
    select * from made`)
  return made && read(made)
}

/** An assignment that the caller may see; undefined for any other id. */
export async function findAssignment(db: Database, caller: string, id: string): Promise<Assignment | undefined> {
  const [found] = await byId(db).execute({ id, caller })
  return found
}

const byId = perDatabase((db) => {
  const caller = sql.placeholder('caller')
  const isVisible = or(eq(assignments.creator, caller), eq(assignments.assignee, caller))
  return db
    .select()
    .from(assignments)
    .where(and(eq(assignments.id, sql.placeholder('id')), isVisible))
    .prepare('find_assignment')
})

/**
 * Changes the fields that are given, with one event, and gives the assignment as it is then; where nothing would change,
 * as it is. `versions` are those that the caller will have it in; undefined takes any. Who may what, and what stands now,
 * are judged on the row that the statement has locked, so of changes at once none is lost and none slips by.
 */
export async function changeAssignment(
  db: Database,
  caller: string,
  id: string,
  fields: Fields,
  versions: number[] | undefined,
  now: Date,
): Promise<Assignment | Refusal> {
  const isStatusAlone = Object.keys(fields).every((name) => name === 'status')
  const [row] = await db.execute<Judged>(sql`
    with target as (${lock(caller, id, versions, isStatusAlone)}),
    person as (${fields.assignee === undefined ? sql`select assignee as id from target` : personOf(fields.assignee)}),
    wanted as (
      select target.id as target, target.updated_at as since, person.id as assignee,
        coalesce(${fields.name ?? null}, target.name) as name,
        coalesce(${fields.description ?? null}, target.description) as description,
        coalesce(${fields.status ?? null}::assignment_status, target.status) as status
      from target, person where allowed and matches
    ), changed as (
      update ${assignments} as a set name = wanted.name, description = wanted.description, status = wanted.status,
        assignee = wanted.assignee, version = a.version + 1,
        updated_at = greatest(${now.toISOString()}::timestamptz, a.updated_at + interval '1 millisecond')
      from wanted
      where a.id = wanted.target and (a.name, a.description, a.status, a.assignee)
        is distinct from (wanted.name, wanted.description, wanted.status, wanted.assignee)
      returning a.*
    ), logged as (${logOf('changed', caller, newId(now), sql`changed join target on true`, differences)})
    select allowed, matches, exists (select from person) as known, shown.* from target, lateral (
      select * from changed union all
      select ${columnsOf('target')} where not exists (select from changed)
    ) as shown`)
  return judge(row)
}

/** Deletes an assignment and logs it. Only its creator may; `versions` as for a change. */
export async function deleteAssignment(
  db: Database,
  caller: string,
  id: string,
  versions: number[] | undefined,
  now: Date,
): Promise<Assignment | Refusal> {
  const [row] = await db.execute<Judged>(sql`
    with target as (${lock(caller, id, versions, false)}), gone as (
      delete from ${assignments} as a using target where a.id = target.id and allowed and matches
      returning a.id, a.name, a.description, a.status, a.assignee, a.creator, a.created_at,
        greatest(${now.toISOString()}::timestamptz, a.updated_at + interval '1 millisecond') as updated_at,
        a.version + 1 as version
    ), logged as (${logOf('deleted', caller, newId(now), sql`gone`)})
    select allowed, matches, true as known, ${columnsOf('target')} from target`)
  return judge(row)
}

type Judged = Assignment & { allowed: boolean; matches: boolean; known: boolean }

function judge(row: Judged | undefined): Assignment | Refusal {
  if (!row) return 'not_found'
  const { allowed, matches, known, ...assignment } = row
  if (!allowed) return 'forbidden'
  if (!matches) return 'precondition_failed'
  return known ? read(assignment) : 'unknown_assignee'
}

/** The row, locked until the statement is through, as whoever had it before has left it, with the verdict on the caller. */
function lock(caller: string, id: string, versions: number[] | undefined, isStatusAlone: boolean): SQL {
  const matches = versions ? sql`a.version in ${versions.length > 0 ? versions : [0]}` : sql`true`
  return sql`
    select a.*, (a.creator = ${caller} or ${isStatusAlone}) as allowed, ${matches} as matches from ${assignments} as a
    where a.id = ${id} and (a.creator = ${caller} or a.assignee = ${caller}) for update`
}

const personOf = (assignee: string): SQL =>
  sql`select id from ${users} where ${assignee.includes('@') ? sql`${caseless(users.email)} = ${caseless(assignee)}` : sql`id = ${assignee}`}`

const names = ['name', 'description', 'status', 'assignee'] as const

const differences = sql`array_remove(array[${sql.join(
  names.map((name) => sql.raw(`case when changed.${name} <> target.${name} then '${name}' end`)),
  sql`, `,
)}], null)`

/** The insert of an event: what was changed, from the rows of a change, in the statement that made it. */
function logOf(
  kind: 'created' | 'changed' | 'deleted',
  actor: string,
  id: string,
  rows: SQL,
  changed = sql`'{}'::text[]`,
): SQL {
  const row = sql.raw({ created: 'made', changed: 'changed', deleted: 'gone' }[kind])
  return sql`
    insert into ${assignment_events}
      (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed)
    select ${id}::uuid, ${row}.updated_at, ${kind}::assignment_event_kind, ${actor}::uuid, ${row}.id, ${row}.name,
      ${row}.description, ${row}.status, ${row}.assignee, ${row}.creator, ${row}.version, ${changed}
    from ${rows}`
}

const columnsOf = (table: string): SQL =>
  sql.raw(
    ['id', 'name', 'description', 'status', 'assignee', 'creator', 'created_at', 'updated_at', 'version']
      .map((name) => `${table}.${name}`)
      .join(', '),
  )

/** A row of a raw statement, whose times the driver leaves in PostgreSQL's spelling. */
export const read = <Row extends Assignment>(row: Row): Row => ({
  ...row,
  created_at: new Date(row.created_at).toISOString(),
  updated_at: new Date(row.updated_at).toISOString(),
})
