import { type SQL, sql } from 'drizzle-orm'
import { z } from 'zod'
import { lowestIdAt } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { assignment_search, assignments, statuses } from '../database/schema.ts'
import { isStorable, nameOrder, searchText } from '../database/text.ts'
import { assignmentsAsOf } from './as-of.ts'
import type { Assignment } from './assignments.ts'
import { type Cursor, instantKey } from './cursors.ts'

/** What a list is narrowed to: a plain value, so that a cursor can be held to it. */
export type Filter = {
  status?: Assignment['status'][] | undefined
  assignee?: string | undefined
  creator?: string | undefined
  created_after?: string | undefined
  created_before?: string | undefined
  updated_after?: string | undefined
  updated_before?: string | undefined
  search?: string[] | undefined
  /** The instant at which the list is taken; now, where there is none. */
  as_of?: string | undefined
}

export const orderings = ['created_at', 'updated_at', 'name', 'status'] as const
export type Order = { by: (typeof orderings)[number]; descending: boolean }[]

export type Page = { rows: Assignment[]; keys: string[][]; hasMore: boolean; count?: number | undefined }

/** The conditions of a filter. To add a filter, add it to the type above, here, and to the route's query. */
export const conditions = (filter: Filter): SQL[] =>
  [
    filter.status && sql`status in ${filter.status}`,
    filter.assignee && sql`assignee = ${opaque(filter.assignee)}`,
    filter.creator && sql`creator = ${opaque(filter.creator)}`,
    // By the id, whose own time it is, and which is indexed.
    filter.created_after && sql`id >= ${lowestIdAt(filter.created_after)}`,
    filter.created_before && sql`id < ${lowestIdAt(filter.created_before)}`,
    filter.updated_after && sql`updated_at >= ${filter.updated_after}`,
    filter.updated_before && sql`updated_at < ${filter.updated_before}`,
  ].filter((condition) => typeof condition === 'object')

/**
 * A person whom the planner does not know: of one with many rows it would rather read everybody's in order, or sort them all
 * for a page. So all get one plan, by the index that is in order already.
 */
export const opaque = (id: string): SQL => sql`(select ${id}::uuid)`

/** The pattern of a term, folded once and not for each row. */
const pattern = (term: string) => sql`(select fold(${`%${term.replace(/[\\%_]/g, '\\$&')}%`}))`

/** Whether a row says every term: its text is folded once, and the longest term, which fewest have, is looked for first. */
const saysAll = (terms: string[]) => {
  const patterns = terms.toSorted((a, b) => b.length - a.length).map(pattern)
  return sql`${searchText(sql`name`, sql`description`)} like all (array[${sql.join(patterns, sql`, `)}])`
}

/**
 * How many rows a search reads in the list's own order before it asks the index of texts for all that match: the first
 * page of a word that one row in a hundred has is found in about 2,100, and a rarer one by the index.
 */
const NEAREST = 2_500

/**
 * A page of what the caller may see, as assignee or creator, in an order; after or before a cursor's place. `keys` are the
 * rows' own places. The count is of all that match, wherever the page stands.
 */
export async function listAssignments(
  db: Database,
  id: string,
  filter: Filter,
  order: Order,
  { limit, cursor, withCount }: { limit: number; cursor?: Cursor | undefined; withCount: boolean },
): Promise<Page> {
  const terms = filter.search ?? []
  const caller = opaque(id)
  const isBack = cursor?.isBackward ?? false
  const keys = keysOf(order, isBack)
  // The index of texts knows the present alone.
  const isIndexed = terms.length > 0 && !filter.as_of
  const shared = isIndexed ? conditions(filter) : [...conditions(filter), ...(terms.length > 0 ? [saysAll(terms)] : [])]
  const table = filter.as_of ? assignmentsAsOf(filter.as_of) : sql`${assignments}`
  const place = cursor ? [beyond(keys, cursor)] : []
  const sorted = sql`order by ${sql.join(
    keys.map(({ name, descending }) => sql.raw(`${name} ${descending ? 'desc' : 'asc'}`)),
    sql`, `,
  )}`
  const selected = sql`select id, name, description, status, assignee, creator, created_at, updated_at, version,
    ${sql.join(
      keys.map(({ name, value }) => sql`${value} as ${sql.raw(name)}`),
      sql`, `,
    )}`
  // Each in its own index, already in order, and merged: as one OR it would be read whole and sorted.
  const nearest = (most: number) => {
    const branches = branchesOf(id, caller, filter).map(
      (branch) =>
        sql`(${selected} from ${table} where ${all([branch, ...shared, ...place])} ${sorted} limit (select ${most}::int))`,
    )
    return sql`select * from (${sql.join(branches, sql` union all `)}) as visible ${sorted} limit (select ${most}::int)`
  }
  const matching = sql`
    from ${assignment_search} as searched join ${assignments} on id = searched.assignment
    where people @> array[${caller}] and ${all(terms.map((term) => sql`searched.text like ${pattern(term)}`))}
      and ${all([sql`${caller} in (assignee, creator)`, ...shared])}`

  const page = isIndexed
    ? sql`
      with near as materialized (
        select * from (${nearest(NEAREST)}) as nearest
        where ${saysAll(terms)} ${sorted} limit ${limit + 1}
      ), enough as (select count(*) > ${limit} as found from near)
      select * from (
        select * from near where (select found from enough) union all
        ${selected} ${matching} and ${all(place)} and not (select found from enough)
      ) as found ${sorted} limit ${limit + 1}`
    : nearest(limit + 1)
  const counts = isIndexed
    ? [sql`(select count(*) ${matching})`]
    : branchesOf(id, caller, filter).map(
        (branch) => sql`(select count(*) from ${table} where ${all([branch, ...shared])})`,
      )
  const query = withCount
    ? sql`select (${sql.join(counts, sql` + `)})::int as count, page.* from (select) as one left join (${page}) as page on true ${sorted}`
    : page
  const rows = await db.execute<Assignment & Record<string, string> & { count: number }>(query)
  const found = rows.filter(({ id }) => id !== null)
  const shown = found.slice(0, limit)
  if (isBack) shown.reverse()
  return {
    rows: shown.map(({ id, name, description, status, assignee, creator, created_at, updated_at, version }) => ({
      ...{ id, name, description, status, assignee, creator, created_at, updated_at, version },
    })),
    keys: shown.map((row) => keys.map(({ name }) => String(row[name]))),
    hasMore: found.length > limit,
    count: withCount ? rows[0]?.count : undefined,
  }
}

/** Who may see a row, as one or two scans that have no row in common. A filter on a person may leave only one. */
export function branchesOf(id: string, caller: SQL, { assignee, creator }: Filter): SQL[] {
  if (assignee === id || creator === id) return [sql`${caller} in (assignee, creator)`]
  if (assignee) return [sql`creator = ${caller}`]
  if (creator) return [sql`assignee = ${caller}`]
  return [sql`assignee = ${caller}`, sql`creator = ${caller} and assignee <> ${caller}`]
}

type Key = { name: string; value: SQL; type: string; descending: boolean }

/** What a row's place in an order is made of. The id ends it; it stands for the time of creation too, which is its own. */
function keysOf(order: Order, isBack: boolean): Key[] {
  const last = order.at(-1)
  const leading = last?.by === 'created_at' ? order.slice(0, -1) : order
  const keys = leading.map(({ by, descending }, index) => ({ ...keyOf(by), name: `key_${index}`, descending }))
  const id = { name: 'key_id', value: sql`id`, type: 'uuid', descending: last?.descending ?? true }
  return [...keys, id].map((key) => ({ ...key, descending: key.descending !== isBack }))
}

function keyOf(by: Order[number]['by']): Pick<Key, 'value' | 'type'> {
  if (by === 'name') return { value: nameOrder(assignments.name), type: 'text' }
  if (by === 'status') return { value: sql`status`, type: 'assignment_status' }
  return { value: sql.raw(by), type: 'timestamptz' }
}

const shapes: Record<string, z.ZodType<string>> = {
  text: z.string().refine(isStorable),
  uuid: z.uuid(),
  timestamptz: instantKey,
  assignment_status: z.enum(statuses),
}

/** What a place in an order looks like, so that a forged cursor is not one. */
export const placeIn = (order: Order) =>
  z.array(z.string()).refine((place) => {
    const keys = keysOf(order, false)
    return (
      place.length === keys.length && keys.every(({ type }, index) => shapes[type]?.safeParse(place[index]).success)
    )
  })

/** The rows beyond a place: one comparison of rows where all keys run one way, which an index can follow. */
function beyond(keys: Key[], { keys: position, isInclusive }: Cursor): SQL {
  const [first] = keys as [Key, ...Key[]]
  const values = keys.map(({ type }, index) => sql`${position[index] ?? ''}::${sql.raw(type)}`)
  const comparison = ({ descending }: Key, orEqual = false) => sql.raw((descending ? '<' : '>') + (orEqual ? '=' : ''))
  if (keys.every(({ descending }) => descending === first.descending)) {
    const columns = keys.map(({ value }) => value)
    return sql`(${sql.join(columns, sql`, `)}) ${comparison(first, isInclusive)} (${sql.join(values, sql`, `)})`
  }
  const nested = keys.reduceRight<SQL | undefined>((rest, key, index) => {
    const value = values[index] as SQL
    return rest
      ? sql`(${key.value} ${comparison(key)} ${value} or (${key.value} = ${value} and ${rest}))`
      : sql`${key.value} ${comparison(key, isInclusive)} ${value}`
  }, undefined) as SQL
  return sql`${first.value} ${comparison(first, true)} ${values[0] as SQL} and ${nested}`
}

/** Whether all of the conditions hold; with none, that is so. */
export const all = (conditions: SQL[]) => (conditions.length > 0 ? sql.join(conditions, sql` and `) : sql`true`)
