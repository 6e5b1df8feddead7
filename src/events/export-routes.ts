import { OpenAPIHono, z } from '@hono/zod-openapi'
import { AccountSchema, SessionSchema } from '../accounts/schemas.ts'
import { type Bearer, UNAUTHENTICATED } from '../accounts/sessions.ts'
import { AssignmentSchema, EventSchema } from '../assignments/schemas.ts'
import type { Background } from '../background.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute, untyped } from '../http/declare-route.ts'
import { retryLater } from '../http/problem.ts'
import { type Attempt, consume } from '../http/rate-limit.ts'
import { header, instant, jsonResponse } from '../http/schemas.ts'
import { describeError } from '../logger.ts'
import type { Env } from '../services.ts'
import { startExport, writeExport } from './export.ts'

const expires_at = '2026-11-22T10:15:00.000Z'

const PendingSchema = z
  .strictObject({
    email_change: z.strictObject({ email: z.string(), expires_at: instant }).nullable(),
    password_reset: z.strictObject({ expires_at: instant }).nullable(),
  })
  .openapi('Pending', {
    description: 'What waits for a code.',
    example: { email_change: { email: 'ada@example.org', expires_at }, password_reset: null },
  })

const ExportSchema = z
  .strictObject({
    account: AccountSchema,
    sessions: z.array(SessionSchema).max(100),
    pending: PendingSchema,
    assignments: z.array(AssignmentSchema),
    events: z.array(EventSchema),
  })
  .openapi('Export')

/** The exports of one account. */
const exportsOf = (account: string): Attempt => [{ name: 'export', max: 20, seconds: 3600 }, account]

export const exportRoutes = new OpenAPIHono<Env>().openapi(
  protectedRoute({
    method: 'get',
    path: '/export',
    operationId: 'exportAccount',
    summary: 'Download everything about you',
    description: `Everything that is stored about you as one JSON document: your account, your sessions, what waits for a code, your assignments, and the events that you may see. Passwords, tokens and codes are stored only as hashes, and are left out.

- The document is the state at one moment, whatever changes while it is read.
- It is streamed. If it cannot be completed, the connection breaks, and what has arrived is no JSON.
- An account can start 20 exports in an hour.`,
    tags: ['Accounts'],
    responses: {
      200: {
        ...jsonResponse(ExportSchema, 'The document, as a file.'),
        headers: { 'Content-Disposition': header('`attachment` with a file name.') },
      },
    },
    problems: ['too_many_requests'],
  }),
  async (c) => {
    let bearer: Bearer | undefined
    const start = await asCaller(c, async (caller) => {
      bearer = caller
      const started = await startExport(c.env.db, caller)
      if (!('outcome' in started)) return started
      if (started.outcome === 'unauthenticated') return UNAUTHENTICATED
      throw retryLater('unavailable', 5, 'Another transaction of the database has been running for seconds.')
    })
    const headers = {
      'Content-Type': 'application/json',
      'Content-Disposition': `attachment; filename="docket-${c.env.now().toISOString().slice(0, 10)}.json"`,
    }
    if (c.req.method === 'HEAD') return untyped(c.body(null, 200, headers))
    await consume(c.env, exportsOf(start.account.id))
    // The token is checked again for each part, at the time of that part.
    const current = async () => {
      await c.env.clock.ensureSynced()
      return { ...(bearer as Bearer), now: c.env.now().toISOString() }
    }
    const parts = writeExport(c.env.db, current, start)
    const onError = (error: unknown) =>
      c.env.log.error({ request_id: c.get('requestId'), error: describeError(error) }, 'an export broke off')
    const { runInBackground } = c.env
    const stream = toStream(parts, { runInBackground, signal: c.req.raw.signal, onError })
    return untyped(c.body(stream, 200, headers))
  },
)

type StreamOptions = Pick<Background, 'runInBackground'> & { signal: AbortSignal; onError: (error: unknown) => void }

/**
 * Returns a stream of texts that asks for the next one when its reader has room. It keeps the process, or the isolate, alive
 * until it ends, breaks or has no reader any more.
 */
function toStream(
  texts: AsyncGenerator<string>,
  { runInBackground, signal, onError }: StreamOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let isEnded = false
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = () => {
      isEnded = true
      resolve()
    }
  })
  runInBackground(() => ended)
  // When a reader leaves, Workers abort the request but do not cancel the stream.
  signal.addEventListener('abort', end)
  return new ReadableStream({
    pull: async (controller) => {
      try {
        const { done, value } = await texts.next()
        // The reader has left meanwhile.
        if (isEnded) return
        if (!done) return controller.enqueue(encoder.encode(value))
        controller.close()
      } catch (error) {
        onError(error)
        // Without details: the server prints it.
        controller.error(new Error('An export broke off. The log has the reason.'))
      }
      end()
    },
    cancel: end,
  })
}
