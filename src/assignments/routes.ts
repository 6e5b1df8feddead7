import { OpenAPIHono, z } from '@hono/zod-openapi'
import { address } from '../accounts/schemas.ts'
import type { Unauthenticated } from '../accounts/sessions.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute } from '../http/declare-route.ts'
import { etagOf, namedVersions, TAGS_PATTERN } from '../http/etag.ts'
import { setHeader } from '../http/headers.ts'
import { publicPath } from '../http/origin.ts'
import { Problem, retryLater } from '../http/problem.ts'
import { header, id, jsonBody, jsonResponse, name, patchBody, text } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { type BeforeHistory, findAssignmentAsOf } from './as-of.ts'
import {
  type Assignment,
  changeAssignment,
  createAssignment,
  deleteAssignment,
  type Fields,
  findAssignment,
  type Precondition,
  type Refusal,
  type Writer,
} from './assignments.ts'
import { writableFields } from './fields.ts'
import { AssignmentSchema, asOf, beforeHistory, resolveAsOf, status } from './schemas.ts'

const assignmentName = name(255).openapi({ example: 'Write the report' })

const description = text(0, 10_000).openapi({ example: 'Two pages, with figures.' })

const isAddress = (value: string) => value.includes('@')

const assignee = z.union([id, address.refine(isAddress)], 'Must be a user id, or an e-mail address').openapi({
  description: 'A user id, or the e-mail address of an account.',
  example: 'ada@example.com',
  anyOf: [
    { type: 'string', format: 'uuid' },
    { type: 'string', format: 'email' },
  ],
})

const ignored = z.unknown().optional().openapi({ readOnly: true, description: 'Ignored.' })

/** The read-only fields of an assignment. Clients may send back what they have read. */
const readOnlyFields = { id: ignored, creator: ignored, created_at: ignored, updated_at: ignored, version: ignored }

type ReadOnly = keyof typeof readOnlyFields

const withoutReadOnly = <Body extends { [field in ReadOnly]?: unknown }>(body: Body): Omit<Body, ReadOnly> => {
  const { id, creator, created_at, updated_at, version, ...writable } = body
  return writable
}

const whole = z.strictObject({
  ...readOnlyFields,
  name: assignmentName,
  description: description.default(''),
  status: status.default('todo').openapi({ default: 'todo' }),
  assignee: assignee.optional(),
})

const wholeExample = { name: 'Write the report', description: 'Two pages, with figures.', status: 'in progress' }

const AssignmentCreate = whole.transform(withoutReadOnly).openapi('AssignmentCreate', { example: wholeExample })

const AssignmentReplace = whole.transform(withoutReadOnly).openapi('AssignmentReplace', { example: wholeExample })

// The types of zod-openapi lack `propertyNames`.
const onlyReadOnly = { propertyNames: { enum: Object.keys(readOnlyFields) } } as object as { type: 'object' }

const AssignmentPatch = z
  .strictObject({ ...readOnlyFields, name: assignmentName, description, status, assignee })
  .partial()
  .transform(withoutReadOnly)
  .refine((fields) => Object.keys(fields).length > 0, `Must have at least one of ${writableFields.join(', ')}`)
  .openapi('AssignmentPatch', {
    example: { status: 'done' },
    // Not only read-only fields. Generators of clients take an `anyOf` of required fields for a union of types.
    not: onlyReadOnly,
  })

const params = z.strictObject({ id })

const entityTags = z
  .string()
  .refine((header) => namedVersions(header) !== undefined, 'Must be `*` or entity tags, such as "3"')
  .optional()
  .openapi({ pattern: TAGS_PATTERN })

const preconditionHeaders = z.object({
  'if-match': entityTags.openapi({
    description: 'The expected ETag, or `*` for any. A proxy may have made it weak or appended its encoding.',
    example: '"3"',
  }),
  'if-none-match': entityTags.openapi({
    description: 'An ETag that the assignment must not have, or `*` for any: then it must not exist.',
    example: '"3"',
  }),
})

// Only for the document. A schema would check nothing, and cost a copy of all headers for each request.
const ifNoneMatch = {
  name: 'if-none-match',
  in: 'header' as const,
  schema: { type: 'string' as const },
  description: 'The ETag that the client has. For example `"3"`.',
}

const etagHeader = { ETag: header('The version, as an entity tag.', { example: '"3"' }) }

const assignmentResponse = (description: string, headers = {}) => ({
  ...jsonResponse(AssignmentSchema, description),
  headers: { ...etagHeader, ...headers },
})

const tags = ['Assignments']

export const assignmentRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/',
      operationId: 'createAssignment',
      summary: 'Create an assignment',
      description: `You are its creator, and by default its assignee. For all other users it does not exist.

- An assignee without an account is \`invalid_request\` at \`/assignee\`. After 30 such addresses in an hour, addresses get a 429.
- The read-only fields of an assignment may be sent, and are ignored.`,
      tags,
      request: { body: jsonBody(AssignmentCreate) },
      responses: {
        201: assignmentResponse('The new assignment.', {
          Location: header('The path of the assignment, with the prefix of the public URL.'),
        }),
      },
      problems: ['too_many_requests'],
    }),
    async (c) => {
      const fields = c.req.valid('json')
      const assignment = unwrap(await asWriter(c, (writer) => createAssignment(c.env.db, writer, fields)))
      setHeader(c, 'Location', publicPath(c, `/assignments/${assignment.id}/`))
      setHeader(c, 'ETag', etagOf(assignment))
      return c.json(assignment, 201)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/{id}',
      operationId: 'getAssignment',
      summary: 'Read an assignment',
      description: 'With `as_of`, an assignment that was deleted since can be read, too.',
      tags,
      parameters: [ifNoneMatch],
      request: { params, query: z.strictObject({ as_of: asOf }) },
      responses: {
        200: assignmentResponse('The assignment.'),
        304: { description: 'The version in `If-None-Match` is the current one.', headers: etagHeader },
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const as_of = resolveAsOf(c, c.req.valid('query').as_of)
      const result = await asCaller<Assignment | Refusal | BeforeHistory>(c, (bearer) =>
        as_of ? findAssignmentAsOf(c.env.db, bearer, id, as_of) : findAssignment(c.env.db, bearer, id),
      )
      if ('earliest' in result) throw beforeHistory(result)
      const assignment = unwrap(result)
      setHeader(c, 'ETag', etagOf(assignment))
      if (isNamed(c.req.header('If-None-Match'), assignment)) return c.body(null, 304)
      return c.json(assignment, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'put',
      path: '/{id}',
      operationId: 'replaceAssignment',
      summary: 'Replace an assignment',
      description: `Omitted fields get their defaults, but an omitted \`assignee\` keeps its value.

- The creator can change every field. An assignee who is not the creator can change only \`status\`, and sends the other fields with their values.
- The read-only fields of an assignment may be sent, and are ignored.`,
      tags,
      request: { params, headers: preconditionHeaders, body: jsonBody(AssignmentReplace) },
      responses: { 200: assignmentResponse('The assignment after the change.') },
      problems: ['forbidden', 'precondition_failed', 'too_many_requests'],
    }),
    async (c) => c.json(await update(c, c.req.valid('param').id, c.req.valid('header'), c.req.valid('json')), 200),
  )
  .openapi(
    protectedRoute({
      method: 'patch',
      path: '/{id}',
      operationId: 'changeAssignment',
      summary: 'Change some fields of an assignment',
      description: `- The creator can change every field. An assignee who is not the creator can change only \`status\`, but may send other fields with their values.
- The read-only fields of an assignment may be sent, and are ignored.
- Omitted fields keep their values. Concurrent requests for different fields are both kept.
- A request that changes nothing keeps \`version\` and \`updated_at\`, and writes no event.
- 403 takes precedence over 412.`,
      tags,
      request: { params, headers: preconditionHeaders, body: patchBody(AssignmentPatch) },
      responses: { 200: assignmentResponse('The assignment after the change.') },
      problems: ['forbidden', 'precondition_failed', 'too_many_requests'],
    }),
    async (c) => c.json(await update(c, c.req.valid('param').id, c.req.valid('header'), c.req.valid('json')), 200),
  )
  .openapi(
    protectedRoute({
      method: 'delete',
      path: '/{id}',
      operationId: 'deleteAssignment',
      summary: 'Delete an assignment',
      description: 'For the creator only. The history stays readable for the users who could see the assignment.',
      tags,
      request: { params, headers: preconditionHeaders },
      responses: { 204: { description: 'The assignment is deleted.' } },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const when = preconditionOf(c.req.valid('header'))
      unwrap(await asWriter(c, (writer) => deleteAssignment(c.env.db, writer, id, when)))
      return c.body(null, 204)
    },
  )

type PreconditionHeaders = z.output<typeof preconditionHeaders>

/** Changes an assignment, for PUT and PATCH, and sets its ETag. */
async function update(c: RequestContext, id: string, headers: PreconditionHeaders, fields: Fields) {
  const when = preconditionOf(headers)
  const changed = unwrap(await asWriter(c, (writer) => changeAssignment(c.env.db, writer, id, fields, when)))
  setHeader(c, 'ETag', etagOf(changed))
  return changed
}

const asWriter = <Result extends object>(
  c: RequestContext,
  run: (writer: Writer) => Promise<Result | Unauthenticated>,
): Promise<Result> => asCaller(c, (bearer) => run({ ...bearer, is_limited: c.env.settings.RATE_LIMITS === 'on' }))

/** Returns the versions that a change accepts (RFC 9110, 13.2.2). */
function preconditionOf(headers: PreconditionHeaders): Precondition {
  const accepted = namedVersions(headers['if-match'] ?? '*')
  const excluded = namedVersions(headers['if-none-match'] ?? '""')
  // No version of an assignment that exists.
  if (excluded === 'any') return { accepted: [] }
  return { accepted: accepted === 'any' ? undefined : accepted, excluded }
}

/** Returns the assignment of a result. Throws the problem of a refusal. */
function unwrap(result: Assignment | Refusal): Assignment {
  if (!('outcome' in result)) return result
  switch (result.outcome) {
    case 'not_found':
      // Without a detail: it must look the same for every path and id.
      throw new Problem('not_found')
    case 'forbidden':
      throw new Problem('forbidden', { detail: forbiddenDetail(result.refused_fields) })
    case 'precondition_failed':
      throw new Problem('precondition_failed', {
        detail: 'If-Match or If-None-Match does not allow the current version.',
      })
    case 'too_many_requests':
      throw retryLater('too_many_requests', result.wait, 'Too many addresses without an account. Use user ids.')
    case 'unknown_assignee': {
      const errors = [{ in: 'body' as const, pointer: '/assignee', message: 'No account has this id or address' }]
      throw new Problem('invalid_request', { detail: 'The assignee has no account.', errors })
    }
  }
}

const forbiddenDetail = (fields: string) =>
  fields === ''
    ? 'Only the creator can delete the assignment.'
    : `Only the creator can change ${fields}. An assignee can change only the status.`

/** Tells whether an If-None-Match header names the version of an assignment. What is no entity tag names none. */
function isNamed(header: string | undefined, { version }: Assignment) {
  const versions = namedVersions(header ?? '')
  return versions === 'any' || versions?.includes(version)
}
