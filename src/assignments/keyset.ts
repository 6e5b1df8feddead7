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
export type SortKey = { alias: string; expression: SQL; type: keyof typeof keySchemas; descending: boolean }

const keySchemas = {
  text: z.string().refine(isStorable),
  uuid: z.uuid(),
  timestamptz: instantKey,
  assignment_status: z.enum(statuses),
}

const columns = {
  id: { alias: 'key_id', expression: sql`${assignments.id}`, type: 'uuid' },
  created_at: { alias: 'key_created_at', expression: sql`${assignments.created_at}`, type: 'timestamptz' },
  updated_at: { alias: 'key_updated_at', expression: sql`${assignments.updated_at}`, type: 'timestamptz' },
  name: { alias: 'key_name', expression: nameOrder(assignments.name), type: 'text' },
  status: { alias: 'key_status', expression: sql`${assignments.status}`, type: 'assignment_status' },
} as const

/**
 * Returns the sort keys of an order, in reverse to read backward. The id comes last, in the direction of the last field. It
 * also replaces `created_at` there, since ids sort by their creation.
 */
export function sortKeys(order: Order, isBackward = false): SortKey[] {
  const last = order.at(-1)
  const leading = last?.by === 'created_at' ? order.slice(0, -1) : order
  return [...leading, { by: 'id' as const, descending: last?.descending ?? true }].map(({ by, descending }) => ({
    ...columns[by],
    descending: descending !== isBackward,
  }))
}

/** Returns the sort keys as columns for a select list. */
export const keyColumns = (keys: SortKey[]): SQL =>
  sql.join(
    keys.map(({ alias, expression }) => sql`${expression} as ${sql.raw(alias)}`),
    sql`, `,
  )

/** Returns an ORDER BY clause over the aliases of the sort keys. */
export const orderBy = (keys: SortKey[]): SQL =>
  sql.raw(`order by ${keys.map(({ alias, descending }) => `${alias} ${descending ? 'desc' : 'asc'}`).join(', ')}`)

/** Returns the schema for the keys of a cursor. A forged cursor must not cause an error in PostgreSQL. */
export const cursorKeysSchema = (order: Order): z.ZodType<string[]> =>
  z.tuple(sortKeys(order).map(({ type }): z.ZodType<string> => keySchemas[type]) as [z.ZodType<string>])

/** Returns the condition for the rows that come after a cursor in the direction of the sort keys. */
export function rowsAfter(keys: SortKey[], cursor: Cursor): SQL {
  const terms = keys.map(({ expression, type, descending }, index) => ({
    expression,
    operator: sql.raw(descending ? '<' : '>'),
    value: sql`${cursor.keys[index]}::${sql.raw(type)}`,
  }))
  const orEqual = sql.raw(cursor.isInclusive ? '=' : '')
  const [first] = terms as [(typeof terms)[number]]
  // An index can follow a comparison of rows, which needs one direction for all keys.
  if (keys.every(({ descending }) => descending === keys[0]?.descending)) {
    const expressions = terms.map(({ expression }) => expression)
    const values = terms.map(({ value }) => value)
    return sql`(${sql.join(expressions, sql`, `)}) ${first.operator}${orEqual} (${sql.join(values, sql`, `)})`
  }
  const nested = terms.reduceRight<SQL | undefined>(
    (rest, { expression, operator, value }) =>
      rest
        ? sql`(${expression} ${operator} ${value} or (${expression} = ${value} and ${rest}))`
        : sql`${expression} ${operator}${orEqual} ${value}`,
    undefined,
  )
  // The first part is redundant, but an index can follow it.
  return sql`${first.expression} ${first.operator}= ${first.value} and ${nested}`
}

/** A page in the order of its list, with the cursors of the pages around it. */
export type Page<Row> = { rows: Row[]; next: Cursor | undefined; previous: Cursor | undefined }

/**
 * Makes a page of rows that were read in the direction of a cursor. One row more than `limit` shows that there is another
 * page in that direction. In the other direction there is one if a cursor led here.
 */
export function toPage<Row>(
  read: Row[],
  limit: number,
  cursor: Cursor | undefined,
  keysOf: (row: Row) => string[],
): Page<Row> {
  const isBackward = cursor?.isBackward ?? false
  const hasMore = read.length > limit
  const rows = read.slice(0, limit)
  if (isBackward) rows.reverse()
  const cursorFrom = (row: Row | undefined, isBackward: boolean): Cursor | undefined => {
    if (row !== undefined) return { keys: keysOf(row), isBackward, isInclusive: false }
    // An empty page is left from the position that led to it, including the row there.
    return cursor && { keys: cursor.keys, isBackward, isInclusive: true }
  }
  return {
    rows,
    next: isBackward || hasMore ? cursorFrom(rows.at(-1), false) : undefined,
    previous: (isBackward ? hasMore : cursor !== undefined) ? cursorFrom(rows[0], true) : undefined,
  }
}
