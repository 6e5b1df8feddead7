import { OpenAPIHono, z } from '@hono/zod-openapi'
import { address } from '../accounts/schemas.ts'
import { takeBearer, unauthenticated } from '../http/auth.ts'
import { bearerRoute } from '../http/declare-route.ts'
import { etagOf, namedVersions } from '../http/etag.ts'
import { publicPath } from '../http/origin.ts'
import { Problem } from '../http/problem.ts'
import { header, id, jsonBody, jsonResponse, name, text } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { findAssignmentAsOf } from './as-of.ts'
import {
  type Assignment,
  changeAssignment,
  createAssignment,
  deleteAssignment,
  type Fields,
  findAssignment,
  type WriteError,
} from './assignments.ts'
import { AssignmentSchema, asOf, resolveAsOf, status } from './schemas.ts'

const assignmentName = name(255).openapi({ example: 'Write the report' })

const description = text(0, 10_000).openapi({ example: 'Two pages, with figures.' })

const isAddress = (value: string) => value.includes('@')

const assignee = z.union([z.uuid(), address.refine(isAddress)], 'Must be a user id, or an e-mail address').openapi({
  description: 'A user id, or the e-mail address of an account.',
  example: 'ada@example.com',
  type: 'string',
})

const AssignmentInput = z.strictObject({
  name: assignmentName,
  description: description.default(''),
  status: status.default('todo'),
  assignee: assignee.optional(),
})

const AssignmentChanges = z
  .strictObject({ name: assignmentName, description, status, assignee })
  .partial()
  .refine((fields) => Object.keys(fields).length > 0, 'Must have at least one field')
  .openapi({ minProperties: 1 })

const params = z.strictObject({ id })

const ifMatchHeader = z.object({
  'if-match': z.string().optional().openapi({
    description: 'The expected ETag, or `*` for any. A proxy may have made it weak or appended its encoding.',
    example: '"3"',
  }),
})

const ifNoneMatchHeader = z.object({
  'if-none-match': z.string().optional().openapi({ description: 'The ETag that the client has.', example: '"3"' }),
})

const etagHeader = { ETag: header('The version, as an entity tag.', { example: '"3"' }) }

const assignmentResponse = (description: string, headers = {}) => ({
  ...jsonResponse(AssignmentSchema, description),
  headers: { ...etagHeader, ...headers },
})

const tags = ['Assignments']

export const assignmentRoutes = new OpenAPIHono<Env>()
  .openapi(
    bearerRoute({
      method: 'post',
      path: '/',
      operationId: 'createAssignment',
      summary: 'Create an assignment',
      description: `You are its creator, and by default its assignee. For all other users it does not exist.

An assignee without an account is \`invalid_request\` at \`/assignee\`.`,
      tags,
      request: { body: jsonBody(AssignmentInput) },
      responses: {
        201: assignmentResponse('The new assignment.', {
          Location: header('The path of the assignment, with the prefix of the public URL.'),
        }),
      },
    }),
    async (c) => {
      const assignment = unwrap(await createAssignment(c.env.db, takeBearer(c), c.req.valid('json')))
      c.header('Location', publicPath(c, `/assignments/${assignment.id}/`))
      c.header('ETag', etagOf(assignment))
      return c.json(assignment, 201)
    },
  )
  .openapi(
    bearerRoute({
      method: 'get',
      path: '/{id}',
      operationId: 'getAssignment',
      summary: 'Read an assignment',
      description: 'With `as_of`, an assignment that was deleted since can be read, too.',
      tags,
      request: { params, headers: ifNoneMatchHeader, query: z.strictObject({ as_of: asOf }) },
      responses: {
        200: assignmentResponse('The assignment.'),
        304: { description: 'The version in `If-None-Match` is the current one.', headers: etagHeader },
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const as_of = resolveAsOf(c, c.req.valid('query').as_of)
      const bearer = takeBearer(c)
      const found = as_of ? findAssignmentAsOf(c.env.db, bearer, id, as_of) : findAssignment(c.env.db, bearer, id)
      const assignment = unwrap(await found)
      c.header('ETag', etagOf(assignment))
      if (isNamed(c.req.valid('header')['if-none-match'], assignment)) return c.body(null, 304)
      return c.json(assignment, 200)
    },
  )
  .openapi(
    bearerRoute({
      method: 'put',
      path: '/{id}',
      operationId: 'replaceAssignment',
      summary: 'Replace an assignment',
      description:
        'For the creator only. Omitted fields get their defaults, but an omitted `assignee` keeps its value.',
      tags,
      request: { params, headers: ifMatchHeader, body: jsonBody(AssignmentInput) },
      responses: { 200: assignmentResponse('The assignment after the change.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => c.json(await update(c, c.req.valid('param').id, c.req.valid('header'), c.req.valid('json')), 200),
  )
  .openapi(
    bearerRoute({
      method: 'patch',
      path: '/{id}',
      operationId: 'changeAssignment',
      summary: 'Change some fields of an assignment',
      description: `- The creator can change every field. An assignee who is not the creator can send only \`status\`.
- Omitted fields keep their values. Concurrent requests for different fields are both kept.
- A request that changes nothing keeps \`version\` and \`updated_at\`, and writes no event.
- 403 takes precedence over 412.`,
      tags,
      request: { params, headers: ifMatchHeader, body: jsonBody(AssignmentChanges) },
      responses: { 200: assignmentResponse('The assignment after the change.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => c.json(await update(c, c.req.valid('param').id, c.req.valid('header'), c.req.valid('json')), 200),
  )
  .openapi(
    bearerRoute({
      method: 'delete',
      path: '/{id}',
      operationId: 'deleteAssignment',
      summary: 'Delete an assignment',
      description: 'For the creator only. The history stays readable for the users who could see the assignment.',
      tags,
      request: { params, headers: ifMatchHeader },
      responses: { 204: { description: 'The assignment is deleted.' } },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const versions = expectedVersions(c.req.valid('header'))
      unwrap(await deleteAssignment(c.env.db, takeBearer(c), c.req.valid('param').id, versions))
      return c.body(null, 204)
    },
  )

type IfMatch = z.output<typeof ifMatchHeader>

/** Changes an assignment, for PUT and PATCH, and sets its ETag. */
async function update(c: RequestContext, id: string, headers: IfMatch, fields: Fields): Promise<Assignment> {
  const changed = unwrap(await changeAssignment(c.env.db, takeBearer(c), id, fields, expectedVersions(headers)))
  c.header('ETag', etagOf(changed))
  return changed
}

/** Returns the assignment of a result. Throws the problem of an error. */
function unwrap(result: Assignment | WriteError): Assignment {
  if (typeof result !== 'string') return result
  if (result === 'unauthenticated') throw unauthenticated()
  if (result === 'unknown_assignee') {
    const errors = [{ in: 'body' as const, pointer: '/assignee', message: 'No account has this id or address' }]
    throw new Problem('invalid_request', { detail: 'The assignee has no account.', errors })
  }
  throw new Problem(result, problemDetails[result])
}

// `not_found` has no detail here: it must look the same for every path and id.
const problemDetails = {
  not_found: {},
  forbidden: { detail: 'Only the creator can do this. An assignee can change only the status.' },
  precondition_failed: { detail: 'The assignment does not have the version in `If-Match`.' },
}

/** Returns the versions in an If-Match header; undefined if any version matches. */
function expectedVersions({ 'if-match': header = '*' }: IfMatch): number[] | undefined {
  const versions = namedVersions(header)
  return versions === 'any' ? undefined : versions
}

/** Tells whether an If-None-Match header names the version of an assignment. */
function isNamed(header: string | undefined, { version }: Assignment) {
  const versions = namedVersions(header ?? '')
  return versions === 'any' || versions.includes(version)
}
