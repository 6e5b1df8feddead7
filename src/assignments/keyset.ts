import { type SQL, sql } from 'drizzle-orm'
import { z } from 'zod'
import { assignments, statuses } from '../database/schema.ts'
import { isStorable, nameOrder } from '../database/text.ts'
import { type Cursor, instantKey } from './cursors.ts'

/** The fields that a list can be sorted by. */
export const orderings = ['created_at', 'updated_at', 'name', 'status'] as const

/** The fields that a list is sorted by, most significant first. */
export type Order = { by: (typeof orderings)[number]; descending: boolean }[]

/** One of the columns that together give each row of a sorted list a position of its own. */
export type SortKey = Column & { alias: string; descending: boolean }

type Column = { expression: SQL; type: string; schema: z.ZodType<string> }

// A cursor may be forged: the schemas allow no value that PostgreSQL cannot read.
const sortColumns: Record<Order[number]['by'] | 'id', Column> = {
  id: { expression: sql`${assignments.id}`, type: 'uuid', schema: z.guid() },
  created_at: { expression: sql`${assignments.created_at}`, type: 'timestamptz', schema: instantKey },
  updated_at: { expression: sql`${assignments.updated_at}`, type: 'timestamptz', schema: instantKey },
  name: { expression: nameOrder(assignments.name), type: 'text', schema: z.string().refine(isStorable) },
  status: { expression: sql`${assignments.status}`, type: 'assignment_status', schema: z.enum(statuses) },
}

/**
 * Returns the sort keys of an order, in reverse to read backward. The id comes last, in the direction of the last field. It
 * also replaces `created_at` there, since ids sort by their creation.
 */
export function sortKeys(order: Order, isBackward = false): SortKey[] {
  const last = order.at(-1)
  const leading = last?.by === 'created_at' ? order.slice(0, -1) : order
  const id = { by: 'id' as const, descending: last?.descending ?? true }
  return [...leading, id].map(({ by, descending }) => ({
    ...sortColumns[by],
    alias: `key_${by}`,
    descending: descending !== isBackward,
  }))
}

/** Returns the sort keys as columns of a select list. */
export const keyColumns = (keys: SortKey[]): SQL =>
  list(keys.map(({ expression, alias }) => sql`${expression} as ${sql.raw(alias)}`))

/** Returns an ORDER BY clause over the aliases of the sort keys. */
export const orderBy = (keys: SortKey[]): SQL =>
  sql.raw(`order by ${keys.map(({ alias, descending }) => `${alias} ${descending ? 'desc' : 'asc'}`).join(', ')}`)

/** Returns the schema for the keys of a cursor. */
export const cursorKeysSchema = (order: Order): z.ZodType<string[]> =>
  z.tuple(sortKeys(order).map(({ schema }) => schema) as [z.ZodType<string>])

/** Returns the condition for the rows that come after a cursor, in the direction of the sort keys. */
export function rowsAfter(keys: SortKey[], cursor: Omit<Cursor, 'keys'> & { keys: unknown[] }): SQL {
  const values = keys.map(({ type }, index) => sql`${cursor.keys[index]}::${sql.raw(type)}`)
  const operators = keys.map(({ descending }) => sql.raw(descending ? '<' : '>'))
  const orEqual = sql.raw(cursor.isInclusive ? '=' : '')
  // An index can follow a comparison of rows, which needs one direction for all keys.
  if (keys.every(({ descending }) => descending === keys[0]?.descending)) {
    return sql`(${list(keys.map(({ expression }) => expression))}) ${operators[0]}${orEqual} (${list(values)})`
  }
  const nested = keys.reduceRight<SQL | undefined>((rest, { expression }, index) => {
    const [operator, value] = [operators[index], values[index]]
    return rest
      ? sql`(${expression} ${operator} ${value} or (${expression} = ${value} and ${rest}))`
      : sql`${expression} ${operator}${orEqual} ${value}`
  }, undefined)
  // The first comparison is redundant, but an index can follow it.
  return sql`${keys[0]?.expression} ${operators[0]}= ${values[0]} and ${nested}`
}

const list = (parts: SQL[]) => sql.join(parts, sql`, `)

/** A page in the order of its list, with the cursors of the pages around it. */
export type Page<Row> = { rows: Row[]; next: Cursor | undefined; previous: Cursor | undefined }

/**
 * Makes a page of rows that were read in the direction of a cursor. There is another page in that direction if one row more
 * than `limit` was read, and in the other direction if a cursor led here.
 */
export function toPage<Row>(rows: Row[], limit: number, keysOf: (row: Row) => string[], cursor?: Cursor): Page<Row> {
  const isBackward = cursor?.isBackward ?? false
  const hasMore = rows.length > limit
  const page = rows.slice(0, limit)
  if (isBackward) page.reverse()
  const cursorFrom = (row: Row | undefined, isBackward: boolean): Cursor | undefined => {
    if (row !== undefined) return { keys: keysOf(row), isBackward, isInclusive: false }
    // From an empty page, reading resumes at the cursor that led to it, that row included.
    return cursor && { keys: cursor.keys, isBackward, isInclusive: true }
  }
  return {
    rows: page,
    next: isBackward || hasMore ? cursorFrom(page.at(-1), false) : undefined,
    previous: (isBackward ? hasMore : cursor !== undefined) ? cursorFrom(page[0], true) : undefined,
  }
}
