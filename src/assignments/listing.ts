import { and, gte, like, lt, type SQL, sql } from 'drizzle-orm'
import { lowestIdAt } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { assignment_search, assignments } from '../database/schema.ts'
import { searchText } from '../database/text.ts'
import { assignmentsAsOf, type BeforeHistory, earliestAsOf } from './as-of.ts'
import type { Assignment } from './assignments.ts'
import type { Cursor } from './cursors.ts'
import { assignmentFields, columnsOf, pick } from './fields.ts'
import { type Filter, matches, opaque, visibleParts } from './filter.ts'
import { keyColumns, type Order, orderBy, type Page, rowsAfter, type SortKey, sortKeys, toPage } from './keyset.ts'

/** Narrows a list. A filter of lists alone is added here, to `conditionsOf` and to the query of the route. */
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

type ListOptions = { order: Order; limit: number; cursor: Cursor | undefined; withCount: boolean }

type ListRow = Assignment & Record<string, string> & { count?: number; earliest?: string | null }

/**
 * Returns a page of the assignments that the caller can see and, in the same round trip, the number of all matches. If `as_of`
 * is before the history that is kept, it returns when that begins.
 */
export async function listAssignments(
  db: Database,
  caller: string,
  filter: ListFilter,
  options: ListOptions,
): Promise<(Page<Assignment> & { count: number | undefined }) | BeforeHistory> {
  const { order, limit, cursor, withCount } = options
  const keys = sortKeys(order, cursor?.isBackward)
  const query = { caller, filter, keys, cursor }
  // The search index has only the present.
  const usesSearchIndex = filter.search !== undefined && filter.search.length > 0 && !filter.as_of
  const [buildPage, buildCount] = usesSearchIndex ? [searchPage, searchCount] : [plainPage, plainCount]
  const page = buildPage(query, limit + 1)
  const columns = [
    ...(withCount ? [sql`(${buildCount(query)})::int as count`] : []),
    ...(filter.as_of ? [sql`${earliestAsOf(filter.as_of)} as earliest`] : []),
  ]
  const rows = await db.execute<ListRow>(columns.length > 0 ? pageWith(columns, page, keys) : page)
  if (rows[0]?.earliest) return { earliest: rows[0].earliest }
  // An empty page with other columns is one row of nulls.
  const matching = rows.filter(({ id }) => id !== null)
  const result = toPage(matching, limit, (row) => keys.map(({ alias }) => String(row[alias])), cursor)
  return { ...result, rows: result.rows.map((row) => pick(row, assignmentFields)), count: rows[0]?.count }
}

const selectList = columnsOf('assignments', assignmentFields)

type PageQuery = { caller: string; filter: ListFilter; keys: SortKey[]; cursor: Cursor | undefined }

/** Returns the statement of a page. It reads each part of what the caller can see in order from its own index. */
function plainPage({ caller, filter, keys, cursor }: PageQuery, limit: number): SQL {
  const parts = partsOf(caller, filter).map(
    ({ table, isVisible }) => sql`(
      select ${selectList}, ${keyColumns(keys)} from ${table}
      where ${and(isVisible, conditionsOf(filter), containsTerms(filter.search), cursor && rowsAfter(keys, cursor))}
      ${orderBy(keys)} limit (select ${limit}::int)
    )`,
  )
  return sql`
    select * from (${sql.join(parts, sql` union all `)}) as visible
    ${orderBy(keys)} limit (select ${limit}::int)`
}

/** Returns the expression of a count, with one scan for each part. */
function plainCount({ caller, filter }: PageQuery): SQL {
  const counts = partsOf(caller, filter).map(
    ({ table, isVisible }) => sql`(
      select count(*) from ${table}
      where ${and(isVisible, conditionsOf(filter), containsTerms(filter.search))}
    )`,
  )
  return sql.join(counts, sql` + `)
}

/**
 * How many rows a search reads in the list's order before it uses the search index. A page of a term that one row in a
 * hundred contains takes about 2,100 rows. Rarer terms are faster by the index.
 */
const SCAN_LIMIT = 2_500

/** Returns the statement of a page with search terms. */
function searchPage(query: PageQuery, limit: number): SQL {
  const { keys, cursor } = query
  const { search, ...filter } = query.filter
  return sql`
    -- Matches among the next rows of the list.
    with near as materialized (
      select * from (${plainPage({ ...query, filter }, SCAN_LIMIT)}) as scanned
      where ${containsTerms(search)}
      ${orderBy(keys)} limit ${limit}
    ), enough as (
      select count(*) = ${limit} as is_full from near
    )
    select * from (
      select * from near where (select is_full from enough)
      union all
      -- If they do not fill the page, all matches.
      select ${selectList}, ${keyColumns(keys)}
      from assignment_search join assignments on assignments.id = assignment_search.assignment
      where ${and(matchesQuery(query), cursor && rowsAfter(keys, cursor))} and not (select is_full from enough)
    ) as matching
    ${orderBy(keys)} limit ${limit}`
}

const searchCount = (query: PageQuery): SQL => sql`(
  select count(*) from assignment_search join assignments on assignments.id = assignment_search.assignment
  where ${matchesQuery(query)}
)`

/** Returns the statement of a page with columns that each row has, also the row of nulls of an empty page. */
const pageWith = (columns: SQL[], page: SQL, keys: SortKey[]): SQL => sql`
  select ${sql.join(columns, sql`, `)}, page.* from (select) as one_row left join (${page}) as page on true
  ${orderBy(keys)}`

/** Returns the parts of what the caller can see: each a table, and the condition for its rows. */
function partsOf(caller: string, filter: ListFilter) {
  const tables = filter.as_of ? assignmentsAsOf(filter.as_of) : [sql`assignments`]
  return visibleParts(assignments, caller, filter).flatMap((isVisible) => tables.map((table) => ({ table, isVisible })))
}

/** Returns the condition for rows of the search index, joined with their assignments, that match a filter. */
const matchesQuery = ({ caller, filter }: PageQuery): SQL | undefined =>
  and(
    sql`${assignment_search.people} @> array[${opaque(caller)}]`,
    ...(filter.search ?? []).map((term) => like(assignment_search.text, pattern(term))),
    sql`${opaque(caller)} in (${assignments.assignee}, ${assignments.creator})`,
    conditionsOf(filter),
  )

/** Returns the condition for rows that contain every term. The longest term, as the rarest, is compared first. */
function containsTerms(terms: string[] = []): SQL | undefined {
  if (terms.length === 0) return undefined
  const patterns = terms.toSorted((a, b) => b.length - a.length).map(pattern)
  return sql`${searchText(sql`name`, sql`description`)} like all (array[${sql.join(patterns, sql`, `)}])`
}

/** Returns the LIKE pattern of a term, in a subselect so that it is folded once and not for each row. */
const pattern = (term: string): SQL => sql`(select fold(${`%${term.replace(/[\\%_]/g, '\\$&')}%`}))`
