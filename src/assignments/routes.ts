import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { event_kinds, statuses } from '../database/schema.ts'
import { body, id, instant, json, protectedRoute, text, wellFormed } from '../openapi.ts'
import { Problem } from '../problem.ts'
import type { Env, SignedIn } from '../services.ts'
import {
  changeAssignment,
  createAssignment,
  deleteAssignment,
  type Fields,
  findAssignment,
  type Refusal,
} from './assignments.ts'
import { readCursor, writeCursor } from './cursors.ts'
import { listHistory } from './events.ts'
import { type Filter, listAssignments, type Order, orderings, placeIn } from './listing.ts'

const status = z.enum(statuses).openapi({ example: 'in progress' })
const name = z.string().trim().pipe(text(1, 255)).openapi({ minLength: 1, maxLength: 255, example: 'Write the report' })
const description = text(0, 10_000).openapi({ example: 'Two pages, with figures.' })
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

const AssignmentShown = z
  .strictObject({ id, ...columns, created_at: instant, updated_at: instant })
  .openapi('Assignment', { example })

const { created_at: at, updated_at: _, ...was } = example
const Event = z
  .strictObject({
    ...{ id, at: instant, kind: z.enum(event_kinds), actor: id, assignment: id },
    ...columns,
    changed: z.array(z.enum(['name', 'description', 'status', 'assignee'])),
  })
  .openapi('Event', {
    example: { ...was, at, kind: 'changed', actor: was.creator, assignment: was.id, changed: ['status'] },
  })

const link = z.string().nullable().openapi({ example: 'https://docket.example.com/assignments/?cursor=W1siMDE5O…' })
const pageOf = <S extends z.ZodType>(schema: S) =>
  z.strictObject({ next: link, previous: link, results: z.array(schema) })
const Page = pageOf(AssignmentShown).extend({ count: z.int().optional().openapi({ example: 42 }) })

const assignee = z
  .union([z.uuid(), z.email({ pattern: z.regexes.html5Email }).max(254)])
  .openapi({ description: 'The id of a user, or an e-mail address.', example: 'ada@example.com', type: 'string' })

const Replacement = z.strictObject({
  name,
  description: description.default(''),
  status: status.default('todo'),
  assignee: assignee.optional(),
})
const Changes = z
  .strictObject({ name, description, status, assignee })
  .partial()
  .refine((fields) => Object.keys(fields).length > 0, 'Must name at least one field')
  .openapi({ minProperties: 1 })

/** A parameter that may be given once; several values come as an array, which a string is not. */
const digits = (most: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,2}$/, `Must be a number from 1 to ${most}`)
    .transform(Number)
    .refine((value) => value <= most, `Must be a number from 1 to ${most}`)
    .openapi({ type: 'integer', minimum: 1, maximum: most })

const limit = digits(100).default(20).openapi({ type: 'integer', minimum: 1, maximum: 100, default: 20 })
const cursor = z.string().max(4096).optional().openapi({ description: 'From `next` or `previous`.' })

/** An instant in a query, in whole milliseconds: what is finer is rounded up, which keeps both «from» and «before» exact. */
const moment = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], 'Must be an RFC 3339 time with a zone, or a date')
  .transform((value) => {
    const finer = /\.\d{3}\d*[1-9]/.test(value) ? 1 : 0
    return new Date(Date.parse(value) + finer)
  })
  .refine((value) => value.getUTCFullYear() >= 1 && value.getUTCFullYear() <= 9999, 'Must be in the years 1 to 9999')
  .transform((value) => value.toISOString())
  .optional()
  .openapi({ type: 'string', format: 'date-time', example: '2026-11-22T10:00:00Z' })

const split = (separator: RegExp) => (value: string | string[]) => [value].flat().flatMap((one) => one.split(separator))

const person = z
  .union([z.literal('me'), z.uuid()], 'Must be a user id, or `me`')
  .optional()
  .openapi({ type: 'string', description: 'A user id, or `me`.', example: 'me' })

const Query = z.strictObject({
  status: z
    .union([z.string(), z.array(z.string())])
    .transform(split(/,/))
    .pipe(z.array(status))
    .transform((given) => statuses.filter((one) => given.includes(one)))
    .optional()
    .openapi({ type: 'array', items: { type: 'string', enum: [...statuses] }, example: ['todo', 'done'] }),
  assignee: person,
  creator: person,
  created_after: moment,
  created_before: moment,
  updated_after: moment,
  updated_before: moment,
  search: wellFormed
    .refine((value) => [...value].length <= 200, 'Must be at most 200 characters long')
    .transform((value) =>
      [...value.matchAll(/"([^"]*)"|[^\s,"]+/g)].map(([term, phrase]) => phrase ?? term).filter(Boolean),
    )
    .refine((terms) => terms.length <= 10, 'Must be at most 10 terms')
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

const params = z.strictObject({ id })
const ifMatch = z.object({
  'if-match': z.string().optional().openapi({ description: 'The ETag that the assignment must have.', example: '"3"' }),
})
const ifNoneMatch = z.object({
  'if-none-match': z.string().optional().openapi({ description: 'The ETag that is known already.', example: '"3"' }),
})

const etag = {
  ETag: { description: 'The version, as an entity tag.', schema: { type: 'string' as const, example: '"3"' } },
}
const shown = (description: string) => ({ ...json(AssignmentShown, description), headers: etag })
const tags = ['Assignments']

export const assignments = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/',
      operationId: 'createAssignment',
      summary: 'Create an assignment, for yourself or another',
      tags,
      request: { body: body(Replacement) },
      responses: { 201: shown('The assignment, with its address in `Location`.') },
    }),
    async (c) => {
      const { db, now } = c.env
      const made = await createAssignment(db, c.var.session.account.id, c.req.valid('json'), now())
      if (!made) throw refused('unknown_assignee')
      c.header('Location', `/assignments/${made.id}/`)
      c.header('ETag', `"${made.version}"`)
      return c.json(made, 201)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'listAssignments',
      summary: 'List, filter, search and sort the assignments that you created or are assigned to',
      tags,
      request: { query: Query },
      responses: { 200: json(Page, 'A page; `next` and `previous` are sent as a `Link` header too.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const caller = c.var.session.account.id
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
      path: '/{id}',
      operationId: 'getAssignment',
      summary: 'Read an assignment',
      tags,
      request: { params, headers: ifNoneMatch },
      responses: {
        200: shown('The assignment.'),
        304: { description: 'It is the version that is known already.', headers: etag },
      },
    }),
    async (c) => {
      const found = await findAssignment(c.env.db, c.var.session.account.id, c.req.valid('param').id)
      if (!found) throw new Problem('not_found')
      c.header('ETag', `"${found.version}"`)
      if (isKnown(c.req.valid('header')['if-none-match'], found.version)) return c.body(null, 304)
      return c.json(found, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'put',
      path: '/{id}',
      operationId: 'replaceAssignment',
      summary: 'Replace what an assignment says; an assignee that is left out stays',
      tags,
      request: { params, headers: ifMatch, body: body(Replacement) },
      responses: { 200: shown('The assignment as it is now.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const changed = await change(c, c.req.valid('param').id, c.req.valid('json'), c.req.valid('header')['if-match'])
      return c.json(changed, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'patch',
      path: '/{id}',
      operationId: 'changeAssignment',
      summary: 'Change some of what an assignment says; its assignee may change the status alone',
      tags,
      request: { params, headers: ifMatch, body: body(Changes) },
      responses: { 200: shown('The assignment as it is now.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const changed = await change(c, c.req.valid('param').id, c.req.valid('json'), c.req.valid('header')['if-match'])
      return c.json(changed, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'delete',
      path: '/{id}',
      operationId: 'deleteAssignment',
      summary: 'Delete an assignment that you created; its history stays',
      tags,
      request: { params, headers: ifMatch },
      responses: { 204: { description: 'It is deleted.' } },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const versions = versionsOf(c.req.valid('header')['if-match'])
      const caller = c.var.session.account.id
      const gone = await deleteAssignment(c.env.db, caller, c.req.valid('param').id, versions, c.env.now())
      if (typeof gone === 'string') throw refused(gone)
      return c.body(null, 204)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/{id}/history',
      operationId: 'listHistory',
      summary: 'List every change of an assignment, oldest first, also after it was deleted',
      tags,
      request: { params, query: HistoryQuery },
      responses: { 200: json(pageOf(Event), 'A page of events.') },
      problems: ['invalid_cursor'],
    }),
    async (c) => {
      const { limit, cursor: given } = c.req.valid('query')
      const { id } = c.req.valid('param')
      const caller = c.var.session.account.id
      const list = [caller, id]
      const cursor = given === undefined ? undefined : readCursor(given, list, versionPlace)
      if (given !== undefined && !cursor) throw new Problem('invalid_cursor')
      const page = await listHistory(c.env.db, caller, id, cursor, limit)
      if (!page) throw new Problem('not_found')
      const linkTo = (back: boolean, version: number | undefined) =>
        version === undefined ? null : pageUrl(c, writeCursor({ at: [String(version)], back, inclusive: false }, list))
      const next = page.hasLater ? linkTo(false, page.events.at(-1)?.version) : null
      const previous = page.hasEarlier ? linkTo(true, page.events[0]?.version) : null
      setLinks(c, next, previous)
      return c.json({ next, previous, results: page.events as z.output<typeof Event>[] }, 200)
    },
  )

/** Changes what a body names, as the caller, and sets the new ETag. */
async function change(c: Context<SignedIn>, id: string, fields: Fields, ifMatch: string | undefined) {
  const { db, now } = c.env
  const changed = await changeAssignment(db, c.var.session.account.id, id, fields, versionsOf(ifMatch), now())
  if (typeof changed === 'string') throw refused(changed)
  c.header('ETag', `"${changed.version}"`)
  return changed
}

const versionPlace = z.tuple([z.string().regex(/^[1-9]\d{0,8}$/)])

const refused = (refusal: Refusal) =>
  refusal === 'unknown_assignee'
    ? new Problem('invalid_request', {
        detail: 'The assignee has no account.',
        errors: [{ in: 'body', pointer: '/assignee', message: 'Has no account' }],
      })
    : new Problem(refusal)

const idOf = (person: string | undefined, caller: string) => (person === 'me' ? caller : person?.toLowerCase())

/** The versions that an If-Match names (RFC 9110, 13.1.1), weak ones left out; undefined where any will do. */
function versionsOf(header: string | undefined): number[] | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  return header
    .split(',')
    .flatMap((tag) => /^"([1-9]\d{0,8})"$/.exec(tag.trim())?.[1] ?? [])
    .map(Number)
}

/** Whether an If-None-Match names a version, weakly or strongly (RFC 9110, 13.1.2). */
const isKnown = (header: string | undefined, version: number) =>
  header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === `"${version}"`)

type Asked = Pick<Context<Env>, 'req' | 'env' | 'header'>

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
