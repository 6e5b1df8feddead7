import { and, gte, like, lt, type SQL, sql } from 'drizzle-orm'
import { type Bearer, callerByToken, UNAUTHENTICATED, type Unauthenticated } from '../accounts/sessions.ts'
import { lowestIdAt } from '../crypto.ts'
import { type Database, shapedStatement } from '../database/connect.ts'
import { assignment_search, assignments } from '../database/schema.ts'
import { searchText } from '../database/text.ts'
import { assignmentsAsOf, type BeforeHistory, earliestAsOf, valuesAsOf } from './as-of.ts'
import type { Assignment } from './assignments.ts'
import type { Cursor } from './cursors.ts'
import { assignmentFields, columnsOf, pick } from './fields.ts'
import {
  callerId,
  type Filter,
  type FilterShape,
  matches,
  numbered,
  placeholders,
  shapeOfFilter,
  valuesOfFilter,
  visibleParts,
} from './filter.ts'
import { keyColumns, type Order, orderBy, type Page, rowsAfter, type SortKey, sortKeys, toPage } from './keyset.ts'

/**
 * Narrows a list. A filter of lists alone is added here, to `shapeOf`, `valuesOf` and `conditionsOf`, and to the query of the
 * route.
 */
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

/** The part of a list's options that decides the text of its statement. */
type ListShape = {
  filter: ListFilterShape
  order: Order
  cursor: Pick<Cursor, 'isBackward' | 'isInclusive'> | undefined
  withCount: boolean
}

/** Which filters there are, and how many search terms. */
type ListFilterShape = FilterShape & Record<(typeof bounds)[number] | 'as_of', boolean> & { terms: number }

const bounds = ['created_after', 'created_before', 'updated_after', 'updated_before'] as const

type ListOptions = { order: Order; limit: number; cursor: Cursor | undefined; withCount: boolean }

type ListRow = Assignment & Record<string, string> & { caller: string | null; count?: number; earliest?: string | null }

/** A page and, if it was asked for, the number of all matches. */
type List = Page<Assignment> & { count: number | undefined }

/**
 * Returns a page of the assignments that the caller can see, and who that is. If `as_of` is before the history that is kept, it
 * returns when that begins.
 */
export async function listAssignments(
  db: Database,
  bearer: Bearer,
  filter: ListFilter,
  options: ListOptions,
): Promise<{ caller: string; list: List | BeforeHistory } | Unauthenticated> {
  const { order, limit, cursor } = options
  const rows = await selectList(db, shapeOf(filter, options), { ...bearer, ...valuesOf(filter, options) })
  const [{ caller, count, earliest }] = rows as [ListRow]
  if (caller === null) return UNAUTHENTICATED
  if (earliest) return { caller, list: { earliest } }
  const aliases = sortKeys(order).map(({ alias }) => alias)
  // An empty page is one row of nulls.
  const matching = rows.filter(({ id }) => id !== null)
  const page = toPage(matching, limit, (row) => aliases.map((alias) => String(row[alias])), cursor)
  return { caller, list: { ...page, rows: page.rows.map((row) => pick(row, assignmentFields)), count } }
}

function shapeOf(filter: ListFilter, { order, cursor, withCount }: ListOptions): ListShape {
  const hasBound = Object.fromEntries(bounds.map((bound) => [bound, filter[bound] !== undefined]))
  return {
    filter: {
      ...shapeOfFilter(filter),
      ...(hasBound as Record<(typeof bounds)[number], boolean>),
      terms: filter.search?.length ?? 0,
      as_of: filter.as_of !== undefined,
    },
    order,
    cursor: cursor && { isBackward: cursor.isBackward, isInclusive: cursor.isInclusive },
    withCount,
  }
}

function valuesOf(filter: ListFilter, { limit, cursor }: ListOptions) {
  const { created_after, created_before, updated_after, updated_before, search = [], as_of } = filter
  // The longest term, as the rarest, is compared first.
  const terms = search.toSorted((a, b) => b.length - a.length)
  return {
    ...valuesOfFilter(filter),
    // Ids are indexed and sort by their creation.
    created_after: created_after && lowestIdAt(created_after),
    created_before: created_before && lowestIdAt(created_before),
    updated_after,
    updated_before,
    ...numbered('pattern', terms.map(patternOf)),
    ...(as_of && valuesAsOf(as_of)),
    ...numbered('key', cursor?.keys ?? []),
    rows: limit + 1,
  }
}

/** Returns the LIKE pattern of a term. */
const patternOf = (term: string) => `%${term.replace(/[\\%_]/g, '\\$&')}%`

const { placeholder } = sql

/** The rows of a page, and one more that tells whether there is another page. */
const pageSize = placeholder('rows')

const selectList = shapedStatement<ListShape, ListRow>((shape) => {
  const query = { ...shape, keys: sortKeys(shape.order, shape.cursor?.isBackward) }
  const { filter, keys, withCount } = query
  // The search index has only the present.
  const [page, count] =
    filter.terms > 0 && !filter.as_of
      ? [searchPage(query, pageSize), searchCount(query)]
      : [plainPage(query, pageSize), plainCount(query)]
  const columns = [
    sql`caller.id as caller`,
    ...(withCount ? [sql`(${count})::int as count`] : []),
    ...(filter.as_of ? [sql`${earliestAsOf} as earliest`] : []),
    sql`page.*`,
  ]
  return sql`
    with caller as materialized (${callerByToken})
    select ${sql.join(columns, sql`, `)}
    from (select) as one_row left join caller on true left join (${page}) as page on true
    ${orderBy(keys)}`
})

const assignmentColumns = columnsOf('assignments', assignmentFields)

type PageQuery = ListShape & { keys: SortKey[] }

const conditionsOf = (filter: ListFilterShape): SQL | undefined =>
  and(
    matches(assignments, filter),
    filter.created_after ? gte(assignments.id, placeholder('created_after')) : undefined,
    filter.created_before ? lt(assignments.id, placeholder('created_before')) : undefined,
    filter.updated_after ? gte(assignments.updated_at, placeholder('updated_after')) : undefined,
    filter.updated_before ? lt(assignments.updated_at, placeholder('updated_before')) : undefined,
  )

/** Returns the condition for the rows of the page of a cursor. */
const isAfterCursor = ({ keys, cursor }: PageQuery): SQL | undefined =>
  cursor && rowsAfter(keys, { ...cursor, keys: placeholders('key', keys.length) })

/** Returns the statement of a page. It reads each part of what the caller can see in order from its own index. */
function plainPage(query: PageQuery, limit: unknown): SQL {
  const { filter, keys } = query
  const parts = partsOf(filter).map(
    ({ table, isVisible }) => sql`(
      select ${assignmentColumns}, ${keyColumns(keys)} from ${table}
      where ${and(isVisible, conditionsOf(filter), containsTerms(filter.terms), isAfterCursor(query))}
      ${orderBy(keys)} limit (select ${limit}::int)
    )`,
  )
  return sql`
    select * from (${sql.join(parts, sql` union all `)}) as visible
    ${orderBy(keys)} limit (select ${limit}::int)`
}

/** Returns the expression of a count, with one scan for each part. */
function plainCount({ filter }: PageQuery): SQL {
  const counts = partsOf(filter).map(
    ({ table, isVisible }) => sql`(
      select count(*) from ${table}
      where ${and(isVisible, conditionsOf(filter), containsTerms(filter.terms))}
    )`,
  )
  return sql.join(counts, sql` + `)
}

/** How many rows a search reads first, in the order of the list. If none matches, the terms are rare, and it uses the search index. */
const SAMPLE_SIZE = 500

/** How many rows a search of other terms reads before it uses the index, which has to sort all matches. */
const SCAN_LIMIT = 10_000

/** Returns the statement of a page with search terms. */
function searchPage(query: PageQuery, limit: unknown): SQL {
  const { keys, filter } = query
  const nextRows = (rows: unknown) => plainPage({ ...query, filter: { ...filter, terms: 0 } }, rows)
  const scan = (rows: unknown) => sql`select * from (${nextRows(rows)}) as scanned where ${containsTerms(filter.terms)}`
  return sql`
    with sample as materialized (
      select case when exists (${scan(SAMPLE_SIZE)}) then ${sql.raw(String(SCAN_LIMIT))} else 0 end as rows_to_scan
    ),
    -- Matches among the next rows of the list.
    near as materialized (
      ${scan(sql`(select rows_to_scan from sample)`)} ${orderBy(keys)} limit ${limit}::int
    ), enough as (
      select case
        when count(*) = ${limit}::int then true
        -- The list has no more rows than the sample, and all of them were read.
        else (select count(*) from (${nextRows(SAMPLE_SIZE)}) as scanned) < ${sql.raw(String(SAMPLE_SIZE))}
      end as is_complete from near
    )
    select * from (
      select * from near where (select is_complete from enough)
      union all
      -- If they do not fill the page, and the list has more rows, all matches.
      select ${assignmentColumns}, ${keyColumns(keys)}
      from assignment_search join assignments on assignments.id = assignment_search.assignment
      where ${and(matchesSearch(filter), isAfterCursor(query))} and not (select is_complete from enough)
    ) as matching
    ${orderBy(keys)} limit ${limit}::int`
}

const searchCount = ({ filter }: PageQuery): SQL => sql`(
  select count(*) from assignment_search join assignments on assignments.id = assignment_search.assignment
  where ${matchesSearch(filter)}
)`

/** Returns the parts of what the caller can see: each a table, and the condition for its rows. */
function partsOf(filter: ListFilterShape) {
  const tables = filter.as_of ? assignmentsAsOf : [sql`assignments`]
  return visibleParts(assignments, filter).flatMap((isVisible) => tables.map((table) => ({ table, isVisible })))
}

/** Returns the condition for rows of the search index, joined with their assignments, that match a filter. */
const matchesSearch = (filter: ListFilterShape): SQL | undefined =>
  and(
    sql`${assignment_search.people} @> array[${callerId}]`,
    ...patterns(filter.terms).map((pattern) => like(assignment_search.text, pattern)),
    sql`${callerId} in (${assignments.assignee}, ${assignments.creator})`,
    conditionsOf(filter),
  )

/** Returns the condition for rows that contain every term; undefined without terms. */
const containsTerms = (count: number): SQL | undefined =>
  count > 0
    ? sql`${searchText(sql`name`, sql`description`)} like all (array[${sql.join(patterns(count), sql`, `)}])`
    : undefined

/** Returns the patterns of the terms, in subselects so that each is folded once and not for each row. */
const patterns = (count: number): SQL[] =>
  placeholders('pattern', count).map((pattern) => sql`(select fold(${pattern}))`)
