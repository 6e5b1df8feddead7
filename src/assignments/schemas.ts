import { z } from '@hono/zod-openapi'
import { getTableColumns } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { assignment_events, assignments, event_kinds, statuses } from '../database/schema.ts'
import { invalidRequest } from '../http/problem.ts'
import { id, instant, integer, openEnum, wellFormed } from '../http/schemas.ts'
import type { RequestContext } from '../services.ts'
import type { BeforeHistory } from './as-of.ts'
import { assignmentFields, eventFields, loggedFields, pick, writableFields } from './fields.ts'
import { parseInstant } from './instants.ts'

export const status = z.enum(statuses).openapi('Status', { example: 'in progress' })
export const version = integer(1).openapi({ example: 3 })

/** The schemas of responses by the SQL type of a column. */
const columnSchemas: Record<string, z.ZodType> = {
  uuid: id,
  text: z.string(),
  'text[]': z.array(openEnum(z.enum(writableFields)).openapi({ example: 'status' })).max(100),
  integer: version,
  'timestamp (3) with time zone': instant,
  assignment_status: status,
  assignment_event_kind: z.enum(event_kinds).openapi('EventKind', { example: 'changed' }),
}

/** Returns the schema of an object with some columns of a table. */
function schemaOf<T extends PgTable, F extends string & keyof T['$inferSelect']>(table: T, fields: readonly F[]) {
  const columns = getTableColumns(table)
  const shape = fields.map((field) => [field, columnSchemas[columns[field]?.getSQLType() ?? '']])
  type Value<K extends F> = z.ZodType<T['$inferSelect'][K], T['$inferSelect'][K]>
  return z.strictObject(Object.fromEntries(shape) as { [K in F]: Value<K> })
}

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

export const AssignmentSchema = schemaOf(assignments, assignmentFields).openapi('Assignment', { example })

const lostText = z.string().nullable().openapi({ description: 'Null in the event by which you lose the assignment.' })

/** A change of an assignment: who made it, and the assignment after it. */
export const EventSchema = schemaOf(assignment_events, eventFields)
  .extend({ name: lostText, description: lostText })
  .openapi('Event', {
    example: {
      id: '01986f61-0a00-7000-8000-0123456789ac',
      at: example.updated_at,
      kind: 'changed',
      actor: example.creator,
      assignment: example.id,
      ...pick(example, loggedFields),
      changed: ['status'],
    },
  })

const instantForms = {
  anyOf: [
    { type: 'string' as const, format: 'date-time' },
    { type: 'string' as const, format: 'date' },
  ],
}

/** A time or a date in a query, as it was sent. */
export const instantText = z
  .string()
  .refine((value) => parseInstant(value, 'up') !== undefined, { error: ({ input }) => instantMessage(String(input)) })
  .openapi({ ...instantForms, example: '2026-11-22T10:00:00Z' })

/** A time in a query, in whole milliseconds. A finer one is rounded up or down. */
const queryInstant = (round: 'up' | 'down') =>
  instantText
    .transform((value) => parseInstant(value, round) as string)
    .optional()
    .openapi(instantForms)

function instantMessage(value: string): string {
  const rule = 'Must be an RFC 3339 time with a zone, or a date, in the years 1 to 9999'
  // In a query `+` means a space.
  return /:\d\d(\.\d+)? \d\d:?\d\d$/.test(value) ? `${rule}. Write the + of the zone as %2B` : rule
}

const instantFormat = 'An RFC 3339 time with a zone, or a date, which means midnight UTC.'

/** A bound of a range. Rounding up keeps both inclusive lower bounds and exclusive upper bounds exact. */
export const moment = queryInstant('up').openapi({ description: instantFormat })

/** The time as of which assignments are read. */
export const asOf = queryInstant('down').openapi({
  description: `Returns what you could see at that time, as it was. ${instantFormat} Up to one minute ahead counts as now. A time before the history that is kept (\`HISTORY_DAYS\`) is a 400 that names the earliest time.`,
})

/** How far a client's clock may be ahead. */
const CLOCK_TOLERANCE_MS = 60_000

/** How far the database's time of two instances may differ, since each measures it over the network. */
const INSTANCE_TOLERANCE_MS = 1_000

/**
 * Returns the instant to read: now, if `as_of` is ahead, so that all pages read the same instant. What another instance has
 * just written may be dated slightly ahead, so such a time stays. Throws 400 for an `as_of` more than a minute ahead.
 */
export function resolveAsOf(c: RequestContext, as_of: string | undefined): string | undefined {
  const now = c.env.now().getTime()
  if (as_of === undefined || Date.parse(as_of) <= now + INSTANCE_TOLERANCE_MS) return as_of
  if (Date.parse(as_of) <= now + CLOCK_TOLERANCE_MS) return new Date(now).toISOString()
  throw invalidRequest([{ in: 'query', pointer: '/as_of', message: 'Must not be in the future' }])
}

/** Returns the 400 for an `as_of` before the history that is kept. */
export const beforeHistory = ({ earliest }: BeforeHistory) =>
  invalidRequest([
    {
      in: 'query',
      pointer: '/as_of',
      message: `Must not be before ${earliest}, where the history that is kept begins`,
    },
  ])

/** A user to filter by. */
export const person = z
  .string()
  .refine((value) => value === 'me' || id.safeParse(value).success, 'Must be a user id, or `me`')
  .toLowerCase()
  .optional()
  .openapi({
    description: 'A user id, or `me`.',
    example: 'me',
    // Not an enum, for which Swagger UI would offer no other value.
    anyOf: [
      { type: 'string', format: 'uuid' },
      { type: 'string', pattern: '^me$' },
    ],
  })

/** Splits a list at its commas. White space around them does not count. */
export const splitList = (value: string) => value.split(',').map((item) => item.trim())

/** Statuses to filter by, in the order of the enum and without duplicates, so that equal filters share their cursors. */
export const severalStatuses = z
  .union([z.string(), z.array(z.string())])
  .transform((values) => [values].flat().flatMap(splitList))
  .pipe(z.array(status))
  .transform((values) => statuses.filter((status) => values.includes(status)))
  .optional()
  .openapi({
    type: 'array',
    items: { $ref: '#/components/schemas/Status' },
    description: 'One or several statuses, as `status=todo,done` or `status=todo&status=done`.',
    example: ['todo', 'done'],
  })

// Phones and word processors type others than `"`.
const quotes = '"“”„‟«»‹›〝〞〟＂「」『』'

/** A phrase in quotes of any kind, without the spaces that French puts inside, or a word. */
const terms = new RegExp(
  `"([^${quotes}]*)[${quotes}]|[${quotes}]\\s*([^${quotes}]*?)\\s*[${quotes}]|[^\\s,${quotes}]+`,
  'g',
)

// Decomposed texts, as macOS writes them, have the same limit as composed ones.
/** The terms of a search, as texts. */
export const search = wellFormed
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
