import { OpenAPIHono, z } from '@hono/zod-openapi'
import { readCursor, writeCursor } from '../assignments/cursors.ts'
import { withCallerId } from '../assignments/filter.ts'
import { EventSchema, person, severalStatuses } from '../assignments/schemas.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute, untyped } from '../http/declare-route.ts'
import { pageUrl, setLinks } from '../http/links.ts'
import { methodNotAllowed } from '../http/methods.ts'
import { prefers } from '../http/negotiate.ts'
import { Problem, retryLater } from '../http/problem.ts'
import { CURSOR_PATTERN, cursor, header, id, limit } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { type EventFilter, type EventPage, type LogError, listEvents, publicEvent } from './log.ts'
import { cursorKeys, fromCursorKeys, type LogPosition, START, toCursorKeys } from './position.ts'

const STREAM = 'text/event-stream'

const streamHeaders = {
  'Content-Type': STREAM,
  // A proxy that compresses the stream would keep its events until a block is full.
  'Cache-Control': 'no-store, no-transform',
  // Caddy before 2.6.3 does not know no-transform, but compresses nothing that has an encoding.
  'Content-Encoding': 'identity',
  // nginx would buffer the stream (docs of proxy_buffering).
  'X-Accel-Buffering': 'no',
}

const description = `Returns every change of an assignment that you created or are assigned to, exactly once and in order.

- **Filters** match the assignment before or after the change, so you learn what leaves a filter. You get the change by which you lose an assignment, without its \`name\` and \`description\`, which are null.
- **JSON** has the oldest event first. \`next\` is the URL that returns what has happened since.
- **Server-sent events** need \`Accept: ${STREAM}\` and arrive as they happen: \`event\` is the kind, \`id\` a cursor, and \`data\` the Event. A comment is sent every 15 seconds. A stream ends after at most 5 minutes (1 on Workers), soon after its session ends, or when its reader is too slow. Clients reconnect by themselves and resume with \`Last-Event-ID\` or \`lastEventId\`.
- **Cursors** are valid for one user with the same filters. \`cursor_expired\` means that the position is no longer in the log. Then list your assignments, and start again without a cursor.`

// An empty one is ignored.
const resumed = cursor.openapi({ pattern: CURSOR_PATTERN.replace('+', '*') })

// The name that event-source-polyfill uses.
const lastEventId = resumed.openapi({
  description: 'A cursor. Overrides `cursor`, for clients that cannot send `Last-Event-ID`.',
})

const QuerySchema = z.strictObject({
  status: severalStatuses,
  assignee: person,
  creator: person,
  assignment: id.toLowerCase().optional().openapi({ description: 'The id of an assignment.' }),
  limit: limit.openapi({ description: 'JSON only; ignored for streams.' }),
  cursor: cursor.openapi({
    description:
      'From `next`, or the `id` of an event in a stream. `start` is the beginning of the log. Without a cursor you start from now.',
  }),
  lastEventId,
})

const EventPageSchema = z
  .strictObject({
    next: z.url().openapi({
      description: 'The URL that returns what happened since, also if nothing has happened. It can be streamed, too.',
      example: 'https://docket.example.com/assignments/events/?cursor=W1tbIjc0MiIs',
    }),
    results: z.array(EventSchema).max(100),
  })
  .openapi('EventPage')

const streamSchema = z.string().openapi({
  description: 'The same events as a stream.',
  example:
    'retry: 2000\nid: W1tbIjc0MiIsI…\nevent: changed\ndata: {"id":"01986f5e-…","kind":"changed",…}\nid: W1tbIjc0MiIsI…\n\n',
})

export const eventRoutes = new OpenAPIHono<Env>().openapi(
  protectedRoute({
    method: 'get',
    path: '/events',
    operationId: 'followAssignments',
    summary: 'Follow the changes of your assignments',
    description,
    tags: ['Assignments'],
    request: {
      query: QuerySchema,
      headers: z.object({
        'last-event-id': resumed.openapi({ description: 'A cursor. Overrides `lastEventId` and `cursor`.' }),
      }),
    },
    responses: {
      200: {
        description: 'Events, as JSON or as a stream.',
        headers: { Vary: header('The format depends on `Accept`.') },
        content: { 'application/json': { schema: EventPageSchema }, [STREAM]: { schema: streamSchema } },
      },
    },
    problems: ['invalid_cursor', 'cursor_expired'],
  }),
  async (c) => {
    const { limit, cursor, lastEventId, ...query } = c.req.valid('query')
    const text = c.req.valid('header')['last-event-id'] || lastEventId || cursor
    const from = readPosition(text)
    const result = await asCaller(c, (bearer) => listEvents(c.env.db, bearer, { filter: query, from, limit }))
    const { caller, session } = result
    const filter = withCallerId(query, caller)
    if (from && text !== 'start' && writePosition(from, caller, filter) !== text) throw new Problem('invalid_cursor')
    const page = unwrap(c, result.page)
    const toCursor = (position: LogPosition) => writePosition(position, caller, filter)
    if (!prefers(c, STREAM)) {
      const results = page.events.map((event) => publicEvent(event, caller)) as z.output<typeof EventSchema>[]
      // `lastEventId` would take precedence over the cursor.
      const next = pageUrl(c, toCursor(page.next), ['lastEventId'])
      setLinks(c, next, null)
      return c.json({ next, results }, 200)
    }
    const subscriber = { caller, session, filter, toCursor }
    if (c.req.method === 'HEAD' || c.get('hasTimedOut')) return untyped(c.body(null, 200, streamHeaders))
    return untyped(c.body(c.env.hub.subscribe(subscriber, from, page, c.req.raw.signal), 200, streamHeaders))
  },
)

// Registered here, since the path of an assignment would match it first.
eventRoutes.all('/events', methodNotAllowed('GET, HEAD'))

const listOf = (caller: string, filter: EventFilter) => [caller, filter, 'events']

const writePosition = (position: LogPosition, caller: string, filter: EventFilter) =>
  writeCursor({ keys: toCursorKeys(position), isBackward: false, isInclusive: false }, listOf(caller, filter))

/** Decodes a cursor. Throws 400 if it cannot be one of events. */
function readPosition(cursor: string | undefined): LogPosition | undefined {
  if (cursor === undefined) return undefined
  if (cursor === 'start') return START
  const read = readCursor(cursor, cursorKeys)
  if (!read) throw new Problem('invalid_cursor')
  return fromCursorKeys(read.keys)
}

/** Returns a page. Throws the problem of a position that cannot be read from. */
function unwrap({ env, get }: RequestContext, page: EventPage | LogError): EventPage {
  if (page === 'unknown_position') {
    throw new Problem('cursor_expired', { detail: 'List your assignments again, and start without a cursor.' })
  }
  if (page === 'foreign_log') {
    env.log.error({ request_id: get('requestId') }, 'the event log is from another cluster: run npm run db:migrate')
    throw retryLater('unavailable', 10, 'The database is not migrated.')
  }
  return page
}
