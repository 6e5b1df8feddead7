import { and, gte, like, lt, type SQL, sql } from 'drizzle-orm'
import { lowestIdAt } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { assignment_search, assignments } from '../database/schema.ts'
import { searchText } from '../database/text.ts'
import { assignmentsAsOf } from './as-of.ts'
import type { Assignment } from './assignments.ts'
import type { Cursor } from './cursors.ts'
import { assignmentFields, columnsOf, pick } from './fields.ts'
import { type Filter, matches, opaque, visibleParts } from './filter.ts'
import { keyColumns, type Order, orderBy, type Page, rowsAfter, type SortKey, sortKeys, toPage } from './keyset.ts'

/** Narrows a list. To add a filter, add it here, to `conditionsOf`, and to the query of the route. */
export type ListFilter = Filter & {
  created_after?: string | undefined
  created_before?: string | undefined
  updated_after?: string | undefined
  updated_before?: string | undefined
  /** Terms that the name or the description contains. */
  search?: string[] | undefined
  /** The instant as of which the list is read; undefined reads the present. */
  as_of?: string | undefined
}

const conditionsOf = (filter: ListFilter): SQL | undefined =>
  and(
    matches(assignments, filter),
    // Ids are indexed and sort by their creation.
    filter.created_after ? gte(assignments.id, lowestIdAt(filter.created_after)) : undefined,
    filter.created_before ? lt(assignments.id, lowestIdAt(filter.created_before)) : undefined,
    filter.updated_after ? gte(assignments.updated_at, filter.updated_after) : undefined,
    filter.updated_before ? lt(assignments.updated_at, filter.updated_before) : undefined,
  )

type ListOptions = { limit: number; cursor?: Cursor | undefined; withCount: boolean }

type ListRow = Assignment & Record<string, string> & { count?: number }

/**
 * Returns a page of the assignments that the caller can see. With `withCount` it has the number of all matches, in the same
 * round trip.
 */
export async function listAssignments(
  db: Database,
  caller: string,
  filter: ListFilter,
  order: Order,
  { limit, cursor, withCount }: ListOptions,
): Promise<Page<Assignment> & { count: number | undefined }> {
  const keys = sortKeys(order, cursor?.isBackward)
  const query = { caller, filter, keys, cursor }
  // The search index knows only the present.
  const isIndexed = filter.search !== undefined && filter.search.length > 0 && !filter.as_of
  const page = isIndexed ? searchPage(query, limit + 1) : plainPage(query, limit + 1)
  const count = isIndexed ? searchCount(query) : plainCount(query)
  const rows = await db.execute<ListRow>(withCount ? pageWithCount(page, count, keys) : page)
  // An empty page with a count is one row of nulls.
  const matching = rows.filter(({ id }) => id !== null)
  const keysOf = (row: ListRow) => keys.map(({ alias }) => String(row[alias]))
  const result = toPage(matching, limit, cursor, keysOf)
  return { ...result, rows: result.rows.map((row) => pick(row, assignmentFields)), count: rows[0]?.count }
}

type ListQuery = { caller: string; filter: ListFilter; keys: SortKey[]; cursor: Cursor | undefined }

/**
 * Returns the statement of a page. Each part of what the caller can see comes from its own index, already in order, and the
 * parts are merged.
 */
function plainPage({ caller, filter, keys, cursor }: ListQuery, limit: number): SQL {
  const parts = visibleParts(assignments, caller, filter).map(
    (isVisible) => sql`(
      select ${columnsOf('assignments', assignmentFields)}, ${keyColumns(keys)}
      from ${tableOf(filter)}
      where ${and(isVisible, conditionsOf(filter), containsTerms(filter.search), cursor && rowsAfter(keys, cursor))}
      ${orderBy(keys)} limit (select ${limit}::int)
    )`,
  )
  return sql`
    select * from (${sql.join(parts, sql` union all `)}) as visible
    ${orderBy(keys)} limit (select ${limit}::int)`
}

/** Returns the statement of a count, with one scan for each part. */
const plainCount = ({ caller, filter }: ListQuery): SQL =>
  sql.join(
    visibleParts(assignments, caller, filter).map(
      (isVisible) => sql`(
        select count(*) from ${tableOf(filter)}
        where ${and(isVisible, conditionsOf(filter), containsTerms(filter.search))}
      )`,
    ),
    sql` + `,
  )

/**
 * How many rows a search reads in the list's order before it uses the search index. A page of a term that one row in a
 * hundred contains takes about 2,100 rows. Rarer terms are faster by the index.
 */
const SCAN_LIMIT = 2_500

/** Returns the statement of a page with search terms. */
function searchPage({ filter, ...query }: ListQuery, limit: number): SQL {
  const { keys, cursor } = query
  const { search, ...others } = filter
  return sql`
    with
    -- Matches among the next rows of the list.
    near as materialized (
      select * from (${plainPage({ ...query, filter: others }, SCAN_LIMIT)}) as scanned
      where ${containsTerms(search)}
      ${orderBy(keys)} limit ${limit}
    ),
    enough as (
      select count(*) = ${limit} as is_full from near
    )
    select * from (
      select * from near where (select is_full from enough)
      union all
      -- All matches, unless those fill the page.
      select ${columnsOf('assignments', assignmentFields)}, ${keyColumns(keys)}
      from assignment_search join assignments on assignments.id = assignment_search.assignment
      where ${and(matchesSearch({ filter, ...query }), cursor && rowsAfter(keys, cursor))}
        and not (select is_full from enough)
    ) as matching
    ${orderBy(keys)} limit ${limit}`
}

const searchCount = (query: ListQuery): SQL => sql`(
  select count(*) from assignment_search join assignments on assignments.id = assignment_search.assignment
  where ${matchesSearch(query)}
)`

const pageWithCount = (page: SQL, count: SQL, keys: SortKey[]): SQL => sql`
  select (${count})::int as count, page.*
  from (select) as one_row left join (${page}) as page on true
  ${orderBy(keys)}`

const tableOf = ({ as_of }: ListFilter): SQL => (as_of ? assignmentsAsOf(as_of) : sql`assignments`)

/** Returns the condition for the rows of the search index, joined with the assignments, that match a filter. */
const matchesSearch = ({ caller, filter }: ListQuery): SQL | undefined =>
  and(
    sql`${assignment_search.people} @> array[${opaque(caller)}]`,
    ...(filter.search ?? []).map((term) => like(assignment_search.text, pattern(term))),
    sql`${opaque(caller)} in (${assignments.assignee}, ${assignments.creator})`,
    conditionsOf(filter),
  )

/** Returns the condition for rows that contain every term. The longest term is compared first, since it is the rarest. */
function containsTerms(terms: string[] = []): SQL | undefined {
  if (terms.length === 0) return undefined
  const patterns = terms.toSorted((a, b) => b.length - a.length).map(pattern)
  return sql`${searchText(sql`name`, sql`description`)} like all (array[${sql.join(patterns, sql`, `)}])`
}

/** Returns the LIKE pattern of a term, in a subselect so that it is folded once and not for each row. */
const pattern = (term: string): SQL => sql`(select fold(${`%${term.replace(/[\\%_]/g, '\\$&')}%`}))`

export type { Filter } from './filter.ts'
export { opaque } from './filter.ts'

export const all = (conditions: SQL[]) => (conditions.length > 0 ? sql.join(conditions, sql` and `) : sql`true`)

export const conditions = (filter: Filter): SQL[] =>
  [
    filter.status && sql`status in ${filter.status}`,
    filter.assignee && sql`assignee = ${opaque(filter.assignee)}`,
    filter.creator && sql`creator = ${opaque(filter.creator)}`,
  ].filter((condition) => typeof condition === 'object')

export function branchesOf(id: string, caller: SQL, { assignee, creator }: Filter): SQL[] {
  if (assignee === id || creator === id) return [sql`${caller} in (assignee, creator)`]
  if (assignee) return [sql`creator = ${caller}`]
  if (creator) return [sql`assignee = ${caller}`]
  return [sql`assignee = ${caller}`, sql`creator = ${caller} and assignee <> ${caller}`]
}
