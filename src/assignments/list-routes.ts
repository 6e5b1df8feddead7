import { OpenAPIHono, z } from '@hono/zod-openapi'
import { statuses } from '../database/schema.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute } from '../http/declare-route.ts'
import { pageUrl, setLinks } from '../http/links.ts'
import { Problem } from '../http/problem.ts'
import { cursor, id, integer, limit, pageOf, pageResponse, wellFormed } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { type Cursor, instantKey, isCursorOf, readCursor, writeCursor } from './cursors.ts'
import { withCallerId } from './filter.ts'
import { listHistory } from './history.ts'
import { cursorKeysSchema, type Order, orderings, type Page } from './keyset.ts'
import { type ListFilter, listAssignments } from './listing.ts'
import {
  AssignmentSchema,
  asOf,
  beforeHistory,
  EventSchema,
  moment,
  person,
  resolveAsOf,
  severalStatuses,
  splitList,
} from './schemas.ts'

// Phones and word processors type others than `"`.
const quotes = '"“”„‟«»‹›〝〞〟＂「」『』'

/** A phrase in quotes of any kind, without the spaces that French puts inside, or a word. */
const terms = new RegExp(
  `"([^${quotes}]*)[${quotes}]|[${quotes}]\\s*([^${quotes}]*?)\\s*[${quotes}]|[^\\s,${quotes}]+`,
  'g',
)

// Decomposed texts, as macOS writes them, have the same limit as composed ones.
const search = wellFormed
  .refine(
    (value) => isWithin(200, value) || isWithin(200, value.normalize('NFC')),
    'Must be at most 200 characters long',
  )
  .transform((value) =>
    [...value.normalize('NFC').matchAll(terms)].map(([term, phrase, inner]) => phrase ?? inner ?? term).filter(Boolean),
  )
  .refine((terms) => terms.length <= 10, 'Must be at most 10 terms')
  .transform((terms) => [...new Set(terms)])
  .optional()
  .openapi({
    type: 'string',
    maxLength: 200,
    description: `Up to 10 terms, separated by white space or commas. \`"a phrase"\` is one term. Every term must occur in the name or the description, ignoring case (Unicode's full case folding: \`strasse\` finds \`Straße\`) and normalization. Typographic quotes work, too.`,
    example: 'report "two pages"',
  })

const isWithin = (max: number, value: string) => [...value].length <= max

const sortPattern = `-?(${orderings.join('|')})`

const sortField = z.string().regex(new RegExp(`^${sortPattern}$`), `Must be one of ${orderings.join(', ')}`)

const ordering = z
  .string()
  .transform(splitList)
  .pipe(z.array(sortField).max(3))
  .transform((fields) =>
    fields.map((field) => ({ by: field.replace('-', ''), descending: field[0] === '-' }) as Order[number]),
  )
  .refine((order) => new Set(order.map(({ by }) => by)).size === order.length, 'Must not repeat a field')
  .default([{ by: 'created_at', descending: true }])
  .openapi({
    type: 'string',
    description: `Up to 3 of \`${orderings.join('`, `')}\`, each with \`-\` for descending. \`name\` ignores case, as \`search\` does. \`status\` sorts as ${statuses.join(', ')}.`,
    example: 'status,-updated_at',
    default: '-created_at',
    pattern: `^\\s*${sortPattern}\\s*(,\\s*${sortPattern}\\s*){0,2}$`,
  })

// Python writes `True`.
const count = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['true', 'false']))
  .transform((value) => value === 'true')
  .optional()
  .openapi({ type: 'boolean', description: '`true` adds `count`, the exact number of matches.' })

const ListQuery = z.strictObject({
  status: severalStatuses,
  assignee: person,
  creator: person,
  created_after: moment,
  created_before: moment,
  updated_after: moment,
  updated_before: moment,
  as_of: asOf,
  search,
  ordering,
  limit,
  cursor,
  count,
})

const AssignmentPage = pageOf(AssignmentSchema)
  .extend({ count: integer(0).optional().openapi({ description: 'With `count=true`.', example: 42 }) })
  .openapi('AssignmentPage')

const HistoryPage = pageOf(EventSchema).openapi('HistoryPage')

export const listRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'listAssignments',
      summary: 'List, filter, search and sort your assignments',
      description: `Returns assignments that you created or are assigned to.

- \`created_after\` and \`updated_after\` are inclusive. \`created_before\` and \`updated_before\` are exclusive.
- Rows that sort the same are ordered by id, in the direction of the last field.
- Following \`next\` returns every row exactly once, even if rows are inserted or changed. A change of a sort field may move a row.
- Only \`limit\` and \`count\` may change with a \`cursor\`.`,
      tags: ['Assignments'],
      request: { query: ListQuery },
      responses: { 200: pageResponse(AssignmentPage, 'A page of assignments.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const { limit, cursor: text, count: withCount = false, ordering: order, ...query } = c.req.valid('query')
      const filter: ListFilter = { ...query, as_of: resolveAsOf(c, query.as_of) }
      const cursor = parseCursor(text, cursorKeysSchema(order))
      const { caller, list } = await asCaller(c, (bearer) =>
        listAssignments(c.env.db, bearer, filter, { order, limit, cursor, withCount }),
      )
      const identity = [caller, withCallerId(filter, caller), order]
      assertCursorOf(identity, text, cursor)
      if ('earliest' in list) throw beforeHistory(list)
      return c.json({ ...linkPages(c, list, identity, filter.as_of), results: list.rows, count: list.count }, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/{id}/history',
      operationId: 'listHistory',
      summary: 'List the events of an assignment, oldest first',
      description:
        'The users who could see the assignment when it was deleted can still read its history. With `HISTORY_DAYS`, it lacks older events.',
      tags: ['Assignments'],
      request: { params: z.strictObject({ id }), query: z.strictObject({ limit, cursor }) },
      responses: { 200: pageResponse(HistoryPage, 'A page of events.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const { limit, cursor: text } = c.req.valid('query')
      const cursor = parseCursor(text, z.tuple([instantKey]))
      const { caller, history } = await asCaller(c, (bearer) => listHistory(c.env.db, bearer, id, { cursor, limit }))
      const identity = [caller, id]
      assertCursorOf(identity, text, cursor)
      if (!history) throw new Problem('not_found')
      return c.json({ ...linkPages(c, history, identity), results: history.rows }, 200)
    },
  )

/** Decodes the `cursor` parameter. Throws 400 if it cannot be one of the list. `assertCursorOf` must follow. */
function parseCursor(text: string | undefined, keys: z.ZodType<string[]>): Cursor | undefined {
  const cursor = text === undefined ? undefined : readCursor(text, keys)
  if (text !== undefined && !cursor) throw new Problem('invalid_cursor')
  return cursor
}

/** Throws 400 if a cursor does not belong to a list, which is known only with its caller. */
function assertCursorOf(identity: unknown, text: string | undefined, cursor: Cursor | undefined) {
  if (text !== undefined && cursor && !isCursorOf(identity, text, cursor)) throw new Problem('invalid_cursor')
}

/** Returns the URLs of the pages around a page, and sets them as the `Link` header. They read the list as of one instant. */
function linkPages(c: RequestContext, page: Page<unknown>, identity: unknown, as_of?: string) {
  const urlOf = (cursor: Cursor | undefined) =>
    cursor ? withAsOf(pageUrl(c, writeCursor(cursor, identity)), as_of) : null
  const links = { next: urlOf(page.next), previous: urlOf(page.previous) }
  setLinks(c, links.next, links.previous)
  return links
}

/** Writes the instant that was read into a page's URL, in place of one that was ahead of this clock. */
function withAsOf(href: string, as_of: string | undefined): string {
  if (as_of === undefined) return href
  const url = new URL(href)
  url.searchParams.set('as_of', as_of)
  return url.href
}
