import { OpenAPIHono, z } from '@hono/zod-openapi'
import { statuses } from '../database/schema.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute } from '../http/declare-route.ts'
import { assertCursorOf, linkPages, parseCursor } from '../http/pages.ts'
import { Problem } from '../http/problem.ts'
import { cursor, id, integer, limit, pageOf, pageResponse } from '../http/schemas.ts'
import type { Env } from '../services.ts'
import { instantKey } from './cursors.ts'
import { withCallerId } from './filter.ts'
import { listHistory } from './history.ts'
import { cursorKeysSchema, type Order, orderings } from './keyset.ts'
import { type ListFilter, listAssignments } from './listing.ts'
import {
  AssignmentSchema,
  asOf,
  beforeHistory,
  EventSchema,
  moment,
  person,
  resolveAsOf,
  search,
  severalStatuses,
  splitList,
} from './schemas.ts'

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
