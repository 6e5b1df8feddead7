import { OpenAPIHono, z } from '@hono/zod-openapi'
import { readCursor, writeCursor } from '../assignments/cursors.ts'
import { EventSchema, idOf, person, severalStatuses } from '../assignments/schemas.ts'
import { methodNotAllowed } from '../http/methods.ts'
import { prefers } from '../http/negotiate.ts'
import { Problem, retryLater } from '../http/problem.ts'
import { protectedRoute } from '../http/routes.ts'
import { cursor, header, limit } from '../http/schemas.ts'
import type { Env } from '../services.ts'
import { type Interest, keysOf, listEvents, type Place, placeOf, placeShape, START } from './log.ts'

const STREAM = 'text/event-stream'

const Query = z.strictObject({
  status: severalStatuses,
  ...{ assignee: person, creator: person },
  assignment: z
    .uuid()
    .toLowerCase()
    .optional()
    .openapi({ description: 'The id of an assignment.', example: '01986f5e-7c00-7000-8000-0123456789ab' }),
  limit: limit.openapi({ description: 'Of JSON alone.' }),
  cursor: cursor.openapi({
    description: 'From `next` or an `id:`. `start` is the beginning of all that you may see; none is now.',
  }),
})

const Page = z.strictObject({
  next: z.string().openapi({ description: 'A cursor, always there.', example: 'W1tbIjc0MiIsIjIwMjYtMTEtMjJUMTA6M…' }),
  results: z.array(EventSchema),
})

const rules = `Each change of an assignment of which you were creator or assignee before or after it, once, in order; who loses an assignment gets that change as the last. Filters look at the assignment as it is after the change.

As JSON, oldest first; ask again with \`cursor=<next>\` for what came since. With \`Accept: ${STREAM}\` as server-sent events, as they happen: \`event\` is the kind, \`id\` a cursor, \`data\` the Event. Every 15 seconds comes a comment; after at most 5 minutes, on Workers one, or when its reader does not keep up, a stream ends, and its client goes on with \`Last-Event-ID\`. A cursor is good for its user and filters alone; one whose place the log does not have any more is \`invalid_cursor\`: list what there is, and begin anew.`

export const eventRoutes = new OpenAPIHono<Env>().openapi(
  protectedRoute({
    method: 'get',
    path: '/events',
    operationId: 'followAssignments',
    summary: 'Follow the changes of your assignments, as they happen',
    description: rules,
    tags: ['Assignments'],
    request: {
      query: Query,
      headers: z.object({
        'last-event-id': z
          .string()
          .max(4096)
          .optional()
          .openapi({ description: 'A cursor, which goes before `cursor`.' }),
      }),
    },
    responses: {
      200: {
        description: 'What has changed, or what changes.',
        headers: { Vary: header('The form goes by `Accept`.') },
        content: {
          'application/json': { schema: Page },
          [STREAM]: {
            schema: z.string().openapi({
              description: 'The same as server-sent events.',
              example:
                'retry: 2000\n\nevent: changed\nid: W1tbIjc0MiIsI…\ndata: {"id":"01986f5e-…","kind":"changed",…}\n\n',
            }),
          },
        },
      },
    },
    problems: ['invalid_cursor'],
  }),
  async (c) => {
    const { db, hub, log, now } = c.env
    const { account, id: session } = c.var.session
    const { limit, cursor: given, ...query } = c.req.valid('query')
    const caller = account.id
    const interest = { ...query, assignee: idOf(query.assignee, caller), creator: idOf(query.creator, caller) }
    const place = placeIn(c.req.valid('header')['last-event-id'] || given, [caller, interest, 'events'])
    const page = await listEvents(db, caller, interest, place, limit, now())
    if (page === 'unknown_place') throw new Problem('invalid_cursor', { detail: 'The log does not have it any more.' })
    if (page === 'foreign_log') {
      log.error({ request_id: c.var.requestId }, 'the log is of another cluster: run npm run db:migrate')
      throw retryLater('unavailable', 10, 'The database is not migrated.')
    }

    const follower = { caller, session, interest, cursorOf: cursorsOf(caller, interest) }
    if (!prefers(c, STREAM)) {
      const results = page.events.map(({ position, old_assignee, ...event }) => event as z.output<typeof EventSchema>)
      return c.json({ next: follower.cursorOf(page.next), results }, 200)
    }
    // A proxy that gathers an answer first would hold back its events (nginx's documentation of proxy_buffering).
    const headers = { 'Content-Type': STREAM, 'X-Accel-Buffering': 'no' }
    if (c.req.method === 'HEAD' || c.var.hasTimedOut) return c.body(null, 200, headers)
    return c.body(hub.follow(follower, place, page, c.req.raw.signal), 200, headers)
  },
)

// Here, since an assignment's path would take it.
eventRoutes.all('/events', methodNotAllowed('GET, HEAD'))

const listOf = (caller: string, interest: Interest) => [caller, interest, 'events']

const cursorsOf = (caller: string, interest: Interest) => (place: Place) =>
  writeCursor({ keys: keysOf(place), isBackward: false, isInclusive: false }, listOf(caller, interest))

/** The place that a cursor of this list stands for; undefined for none. */
function placeIn(cursor: string | undefined, list: unknown): Place | undefined {
  if (cursor === undefined) return undefined
  if (cursor === 'start') return START
  const read = readCursor(cursor, list, placeShape)
  if (!read) throw new Problem('invalid_cursor')
  return placeOf(read.keys)
}
