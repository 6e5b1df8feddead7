import { OpenAPIHono, z } from '@hono/zod-openapi'
import { Problem } from '../http/problem.ts'
import { header, id, json, protectedRoute, wellFormed } from '../http/routes.ts'
import type { Asked, Env } from '../services.ts'
import { instantPlace, readCursor, writeCursor } from './cursors.ts'
import { listHistory } from './history.ts'
import { type Filter, listAssignments, type Order, orderings, placeIn } from './listing.ts'
import {
  AssignmentShown,
  asOf,
  cursor,
  Event,
  idOf,
  limit,
  moment,
  person,
  refuseFuture,
  severalStatuses,
} from './schemas.ts'

const link = z.string().nullable().openapi({ example: 'https://docket.example.com/assignments/?cursor=W1siMDE5O…' })
const pageOf = <S extends z.ZodType>(schema: S) =>
  z.strictObject({ next: link, previous: link, results: z.array(schema) })
const Page = pageOf(AssignmentShown).extend({ count: z.int().optional().openapi({ example: 42 }) })

const page = <S extends z.ZodType>(schema: S, description: string) => ({
  ...json(schema, description),
  headers: { Link: header('`next` and `previous` once more (RFC 8288), where there are any.', false) },
})

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

export const lists = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'listAssignments',
      summary: 'List, filter, search and sort the assignments that you created or are assigned to',
      tags: ['Assignments'],
      request: { query: Query },
      responses: { 200: page(Page, 'A page of assignments.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const caller = c.var.session.account.id
      await refuseFuture(c, c.req.valid('query').as_of)
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
      const isBack = cursor?.back ?? false
      const [first, last] = [keys[0], keys.at(-1)]
      const goesOn = isBack ? first !== undefined && hasMore : cursor !== undefined
      const comesAfter = isBack ? true : last !== undefined && hasMore
      const linkTo = (back: boolean, place?: string[]) =>
        pageUrl(c, writeCursor({ at: place ?? cursor?.at ?? [], back, inclusive: place === undefined }, list))
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
      responses: { 200: page(pageOf(Event), 'A page of events.') },
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
      const linkTo = (back: boolean, event: { at: string } | undefined) =>
        event ? pageUrl(c, writeCursor({ at: [event.at], back, inclusive: false }, list)) : null
      const next = page.hasLater ? linkTo(false, page.events.at(-1)) : null
      const previous = page.hasEarlier ? linkTo(true, page.events[0]) : null
      setLinks(c, next, previous)
      return c.json({ next, previous, results: page.events as z.output<typeof Event>[] }, 200)
    },
  )

const timePlace = z.tuple([instantPlace])

/** This request's URL as its client knows it, at another cursor. */
function pageUrl(c: Asked, cursor: string): string {
  const url = new URL(c.req.url)
  const scheme = c.env.settings.TRUST_PROXY ? c.req.header('X-Forwarded-Proto')?.split(',').at(-1)?.trim() : undefined
  if (scheme === 'https' || scheme === 'http') url.protocol = scheme
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  url.searchParams.set('cursor', cursor)
  return url.href
}

/** RFC 8288. */
function setLinks(c: Asked, next: string | null, previous: string | null) {
  const links = [next && `<${next}>; rel="next"`, previous && `<${previous}>; rel="prev"`].filter(Boolean)
  if (links.length > 0) c.header('Link', links.join(', '))
}
