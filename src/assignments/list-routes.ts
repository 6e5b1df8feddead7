import { OpenAPIHono, z } from '@hono/zod-openapi'
import { pageUrl, setLinks } from '../http/links.ts'
import { Problem } from '../http/problem.ts'
import { protectedRoute } from '../http/routes.ts'
import { cursor, id, limit, pageOf, pageResponse, wellFormed } from '../http/schemas.ts'
import type { Env } from '../services.ts'
import { instantKey, readCursor, writeCursor } from './cursors.ts'
import { listHistory } from './history.ts'
import { type Filter, listAssignments, type Order, orderings, placeIn } from './listing.ts'
import {
  AssignmentSchema,
  asOf,
  assertNotFuture,
  EventSchema,
  idOf,
  moment,
  person,
  severalStatuses,
} from './schemas.ts'

const Page = pageOf(AssignmentSchema).extend({ count: z.int().optional().openapi({ example: 42 }) })

const Query = z.strictObject({
  status: severalStatuses,
  assignee: person,
  creator: person,
  created_after: moment,
  created_before: moment,
  updated_after: moment,
  updated_before: moment,
  as_of: asOf,
  search: wellFormed
    .refine((value) => [...value].length <= 200, 'Must be at most 200 characters long')
    .transform((value) =>
      [...value.matchAll(/"([^"]*)"|[^\s,"]+/g)].map(([term, phrase]) => phrase ?? term).filter(Boolean),
    )
    .refine((terms) => terms.length <= 10, 'Must be at most 10 terms')
    .transform((terms) => [...new Set(terms)])
    .optional()
    .openapi({ type: 'string', maxLength: 200, example: 'report "two pages"' }),
  ordering: z
    .string()
    .transform((value) => value.split(','))
    .pipe(
      z
        .array(z.string().regex(new RegExp(`^-?(${orderings.join('|')})$`), `Must be of ${orderings.join(', ')}`))
        .max(3),
    )
    .transform((fields) =>
      fields.map((field) => ({ by: field.replace('-', ''), descending: field[0] === '-' }) as Order[number]),
    )
    .refine((order) => new Set(order.map(({ by }) => by)).size === order.length, 'Must name a field once')
    .default([{ by: 'created_at', descending: true }])
    .openapi({ type: 'string', example: 'status,-updated_at', default: '-created_at' }),
  limit,
  cursor,
  count: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional()
    .openapi({ type: 'boolean' }),
})

const HistoryQuery = z.strictObject({ limit, cursor })

export const listRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'listAssignments',
      summary: 'List, filter, search and sort the assignments that you created or are assigned to',
      tags: ['Assignments'],
      request: { query: Query },
      responses: { 200: pageResponse(Page, 'A page of assignments.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const caller = c.var.session.account.id
      assertNotFuture(c, c.req.valid('query').as_of)
      const { limit, cursor: given, count, ordering, ...query } = c.req.valid('query')
      const filter: Filter = { ...query, assignee: idOf(query.assignee, caller), creator: idOf(query.creator, caller) }
      const list = [caller, filter, ordering]
      const cursor = given === undefined ? undefined : readCursor(given, list, placeIn(ordering))
      if (given !== undefined && !cursor) throw new Problem('invalid_cursor')

      const page = await listAssignments(c.env.db, caller, filter, ordering, {
        limit,
        cursor,
        withCount: count ?? false,
      })
      // Beyond the page there is what the look-ahead found; behind it, what the cursor came from.
      const { keys, hasMore } = page
      const isBack = cursor?.isBackward ?? false
      const [first, last] = [keys[0], keys.at(-1)]
      const goesOn = isBack ? first !== undefined && hasMore : cursor !== undefined
      const comesAfter = isBack ? true : last !== undefined && hasMore
      const linkTo = (isBackward: boolean, place?: string[]) =>
        pageUrl(
          c,
          writeCursor({ keys: place ?? cursor?.keys ?? [], isBackward, isInclusive: place === undefined }, list),
        )
      const previous = goesOn ? linkTo(true, first) : null
      const next = comesAfter ? linkTo(false, last) : null
      setLinks(c, next, previous)
      return c.json({ next, previous, results: page.rows, ...(page.count !== undefined && { count: page.count }) }, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/{id}/history',
      operationId: 'listHistory',
      summary: 'List every change of an assignment, oldest first, also after it was deleted',
      tags: ['Assignments'],
      request: { params: z.strictObject({ id }), query: HistoryQuery },
      responses: { 200: pageResponse(pageOf(EventSchema), 'A page of events.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const { limit, cursor: given } = c.req.valid('query')
      const { id } = c.req.valid('param')
      const caller = c.var.session.account.id
      const list = [caller, id]
      const cursor = given === undefined ? undefined : readCursor(given, list, timePlace)
      if (given !== undefined && !cursor) throw new Problem('invalid_cursor')
      const page = await listHistory(c.env.db, caller, id, cursor, limit)
      if (!page) throw new Problem('not_found')
      const linkTo = (isBackward: boolean, event: { at: string } | undefined) =>
        event ? pageUrl(c, writeCursor({ keys: [event.at], isBackward, isInclusive: false }, list)) : null
      const next = page.hasLater ? linkTo(false, page.events.at(-1)) : null
      const previous = page.hasEarlier ? linkTo(true, page.events[0]) : null
      setLinks(c, next, previous)
      return c.json({ next, previous, results: page.events as z.output<typeof EventSchema>[] }, 200)
    },
  )

const timePlace = z.tuple([instantKey])
