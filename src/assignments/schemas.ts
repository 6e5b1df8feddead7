import { z } from '@hono/zod-openapi'
import { event_kinds, statuses } from '../database/schema.ts'
import { invalidRequest } from '../http/problem.ts'
import { id, instant } from '../http/schemas.ts'
import type { RequestContext } from '../services.ts'

export const status = z.enum(statuses).openapi({ example: 'in progress' })
const version = z.int().openapi({ example: 3 })

const example = {
  id: '01986f5e-7c00-7000-8000-0123456789ab',
  name: 'Write the report',
  description: 'Two pages, with figures.',
  status: 'in progress' as const,
  assignee: '01986f5e-7c00-7000-8000-00000000000a',
  creator: '01986f5e-7c00-7000-8000-00000000000b',
  created_at: '2026-11-22T10:00:00.000Z',
  updated_at: '2026-11-23T09:30:00.000Z',
  version: 3,
}

const columns = { name: z.string(), description: z.string(), status, assignee: id, creator: id, version }

/** An assignment as its creator and its assignee see it. */
export const AssignmentSchema = z
  .strictObject({ id, ...columns, created_at: instant, updated_at: instant })
  .openapi('Assignment', { example })

const { created_at: at, updated_at: _, ...was } = example
/** A change, and the assignment as it was afterwards. */
export const EventSchema = z
  .strictObject({
    ...{ id, at: instant, kind: z.enum(event_kinds), actor: id, assignment: id },
    ...columns,
    changed: z.array(z.enum(['name', 'description', 'status', 'assignee'])),
  })
  .openapi('Event', {
    example: { ...was, at, kind: 'changed', actor: was.creator, assignment: was.id, changed: ['status'] },
  })

/** An instant in a query, in whole milliseconds; what is finer is rounded up or down. */
const instantIn = (round: 'up' | 'down') =>
  z
    .string()
    // RFC 3339 (5.6) allows both cases.
    .transform((value) => value.toUpperCase())
    .pipe(z.union([z.iso.datetime({ offset: true }), z.iso.date()], 'Must be an RFC 3339 time with a zone, or a date'))
    .transform((value) => new Date(Date.parse(value) + (round === 'up' && /\.\d{3}\d*[1-9]/.test(value) ? 1 : 0)))
    .refine((value) => value.getUTCFullYear() >= 1 && value.getUTCFullYear() <= 9999, 'Must be in the years 1 to 9999')
    .transform((value) => value.toISOString())
    .optional()
    .openapi({ type: 'string', example: '2026-11-22T10:00:00Z' })

const form = 'An RFC 3339 time with a zone, or a date, which is its midnight in UTC.'

/** A bound in a query: rounding up keeps both «from» and «before» exact. */
export const moment = instantIn('up').openapi({ description: form })

/** Whose assignments a list or a report is of. */
export const person = z
  .union([z.literal('me'), z.uuid()], 'Must be a user id, or `me`')
  .optional()
  .openapi({ type: 'string', description: 'A user id, or `me`.', example: 'me' })

/** The id that a parameter means. */
export const idOf = (person: string | undefined, caller: string) => (person === 'me' ? caller : person?.toLowerCase())

/** The moment that a list or an assignment is shown of. */
export const asOf = instantIn('down').openapi({
  description: `As it was at that moment, of what was yours then. ${form}`,
})

/** Refuses a moment of the past that is yet to come. */
export function refuseFuture(c: RequestContext, as_of: string | undefined) {
  if (as_of !== undefined && as_of > c.env.now().toISOString()) {
    throw invalidRequest([{ in: 'query', pointer: '/as_of', message: 'Must not be in the future' }])
  }
}

/** One status or several, with commas between them or a parameter each. */
export const severalStatuses = z
  .union([z.string(), z.array(z.string())])
  .transform((given) => [given].flat().flatMap((one) => one.split(',')))
  .pipe(z.array(status))
  .transform((given) => statuses.filter((one) => given.includes(one)))
  .optional()
  .openapi({ type: 'array', items: { type: 'string', enum: [...statuses] }, example: ['todo', 'done'] })
