import { type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import { type Database, shapedStatement } from '../database/connect.ts'
import type { users } from '../database/schema.ts'
import { folded } from '../database/text.ts'
import type { Cursor } from './cursors.ts'
import { callerId } from './filter.ts'
import { type Page, toPage } from './keyset.ts'

/** An account as others see it. */
export type Person = Pick<typeof users.$inferSelect, 'id' | 'first_name' | 'last_name'>

/** Narrows the people to those with these ids, and to those whose name has all terms. */
export type PeopleFilter = { id?: string[] | undefined; search?: string[] | undefined }

type PeopleOptions = { cursor: Cursor | undefined; limit: number }

/**
 * Returns a page of the caller and everyone who is the creator or assignee of an assignment that the caller can see, in the order
 * of their ids. Also returns who the caller is. The key of a cursor is an id.
 */
export async function listPeople(
  db: Database,
  bearer: Bearer,
  filter: PeopleFilter,
  { cursor, limit }: PeopleOptions,
): Promise<{ caller: string; people: Page<Person> } | Unauthenticated> {
  const { isBackward = false, isInclusive = false, keys: [key] = [] } = cursor ?? {}
  const shape = { isBackward, isInclusive, hasCursor: cursor !== undefined, hasIds: filter.id !== undefined }
  const values = {
    ...bearer,
    key,
    ids: `{${filter.id?.join(',')}}`,
    terms: JSON.stringify(filter.search ?? []),
    rows: limit + 1,
  }
  const rows = await selectPeople(db, shape, values)
  const [{ caller }] = rows as [PeopleRow]
  if (caller === null) return UNAUTHENTICATED
  // Without a person there is one row of nulls.
  const people = rows.filter(({ id }) => id !== null).map(({ caller: _, ...person }) => person)
  return { caller, people: toPage(people, limit, ({ id }) => [id], cursor) }
}

type PeopleShape = Pick<Cursor, 'isBackward' | 'isInclusive'> & { hasCursor: boolean; hasIds: boolean }

type PeopleRow = Person & { caller: string | null }

const { placeholder } = sql

const key = sql`(select ${placeholder('key')}::uuid)`

const rows = sql`(select ${placeholder('rows')}::int)`

const selectPeople = shapedStatement<PeopleShape, PeopleRow>(
  (shape) => sql`
    with recursive caller as materialized (${callerByToken}), terms as materialized (
      select ${folded(sql`term`)} as term from json_array_elements_text(${placeholder('terms')}::json) as term
    ), ${shape.hasIds ? peopleById(shape) : allPeople(shape)}
    select caller.id as caller, page.*
    from (select) as one_row left join caller on true left join page on true
    order by page.id ${directionOf(shape)}`,
)

/** Whether an account exists and its name has all terms. */
const isFound = sql`
  deleted_at is null and not exists (
    select from terms where strpos(${folded(sql`concat_ws(' ', first_name, last_name)`)}, term) = 0
  )`

/**
 * The common table expression `page` for given ids. Two index scans for each tell whether the caller may see it. With EXISTS,
 * the planner would read all assignments of the caller instead.
 */
const peopleById = (shape: PeopleShape): SQL => sql`
  page as (
    select id, first_name, last_name from users
    where id = any(${placeholder('ids')}::uuid[]) and ${isFound} and (
      id = ${callerId}
      or (select true from assignments
        where creator = ${callerId} and assignee = users.id and creator <> assignee limit 1)
      or (select true from assignments
        where assignee = ${callerId} and creator = users.id and creator <> assignee limit 1)
    ) ${shape.hasCursor ? sql`and id ${operatorOf(shape)} ${key}` : sql``}
    order by id ${directionOf(shape)} limit ${rows}
  )`

/**
 * The common table expression `page` for everybody. Each step finds the next person by two index scans, however many
 * assignments they share with the caller, until the page is full.
 */
const allPeople = (shape: PeopleShape): SQL => sql`
  step as (
    select next.id, found.first_name, found.last_name, (found.id is not null)::int as count
    from ${nextPerson(shape, shape.hasCursor ? sql`${operatorOf(shape)} ${key}` : sql`is not null`)} as next
    left join ${foundPerson} on true where next.id is not null
    union all
    select next.id, found.first_name, found.last_name, step.count + (found.id is not null)::int
    from step cross join lateral ${nextPerson(shape, sql`${operatorOf({ ...shape, isInclusive: false })} step.id`)} as next
    left join ${foundPerson} on true where next.id is not null and step.count < ${rows}
  ), page as (
    select id, first_name, last_name from step where first_name is not null order by id ${directionOf(shape)} limit ${rows}
  )`

const foundPerson = sql`lateral (
  select users.id, first_name, last_name from users where users.id = next.id and ${isFound}
) as found`

/** The next person whose id fulfils a condition, as a subquery with one row. */
function nextPerson(shape: PeopleShape, condition: SQL): SQL {
  const nearest = sql.raw(shape.isBackward ? 'greatest' : 'least')
  const direction = directionOf(shape)
  return sql`(
    select ${nearest}(
      (select assignee from assignments where creator = ${callerId} and creator <> assignee and assignee ${condition}
        order by assignee ${direction} limit 1),
      (select creator from assignments where assignee = ${callerId} and creator <> assignee and creator ${condition}
        order by creator ${direction} limit 1),
      (select id from caller where id ${condition})
    ) as id
    -- Otherwise each use of the id would search again.
    offset 0
  )`
}

const directionOf = ({ isBackward }: PeopleShape) => sql.raw(isBackward ? 'desc' : 'asc')

const operatorOf = ({ isBackward, isInclusive }: PeopleShape) =>
  sql.raw(`${isBackward ? '<' : '>'}${isInclusive ? '=' : ''}`)
