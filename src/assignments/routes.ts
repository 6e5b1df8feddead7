import { OpenAPIHono, z } from '@hono/zod-openapi'
import { takeBearer, unauthenticated } from '../http/auth.ts'
import { Problem } from '../http/problem.ts'
import { bearerRoute } from '../http/routes.ts'
import { header, id, jsonBody, jsonResponse, text } from '../http/schemas.ts'
import type { Env } from '../services.ts'
import { findAssignmentAsOf } from './as-of.ts'
import {
  type Assignment,
  changeAssignment,
  createAssignment,
  deleteAssignment,
  findAssignment,
  type WriteError,
} from './assignments.ts'
import { AssignmentSchema, asOf, assertNotFuture, status } from './schemas.ts'

const name = z.string().trim().pipe(text(1, 255)).openapi({ minLength: 1, maxLength: 255, example: 'Write the report' })
const description = text(0, 10_000).openapi({ example: 'Two pages, with figures.' })

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

const params = z.strictObject({ id })
const ifMatch = z.object({
  'if-match': z.string().optional().openapi({ description: 'The ETag that the assignment must have.', example: '"3"' }),
})
const ifNoneMatch = z.object({
  'if-none-match': z.string().optional().openapi({ description: 'The ETag that is known already.', example: '"3"' }),
})

const etag = {
  ETag: header('The version, as an entity tag.', { example: '"3"' }),
}
const shown = (description: string) => ({ ...jsonResponse(AssignmentSchema, description), headers: etag })
const tags = ['Assignments']

export const assignmentRoutes = new OpenAPIHono<Env>()
  .openapi(
    bearerRoute({
      method: 'post',
      path: '/',
      operationId: 'createAssignment',
      summary: 'Create an assignment, for yourself or another',
      tags,
      request: { body: jsonBody(Replacement) },
      responses: {
        201: {
          ...jsonResponse(AssignmentSchema, 'The assignment, with its address in `Location`.'),
          headers: { ...etag, Location: header('Where the assignment is.') },
        },
      },
    }),
    async (c) => {
      const made = accepted(await createAssignment(c.env.db, takeBearer(c), c.req.valid('json')))
      c.header('Location', `/assignments/${made.id}/`)
      c.header('ETag', `"${made.version}"`)
      return c.json(made, 201)
    },
  )
  .openapi(
    bearerRoute({
      method: 'get',
      path: '/{id}',
      operationId: 'getAssignment',
      summary: 'Read an assignment',
      tags,
      request: { params, headers: ifNoneMatch, query: z.strictObject({ as_of: asOf }) },
      responses: {
        200: shown('The assignment.'),
        304: { description: 'It is the version that is known already.', headers: etag },
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const { as_of } = c.req.valid('query')
      assertNotFuture(c, as_of)
      const found = accepted(
        as_of
          ? await findAssignmentAsOf(c.env.db, takeBearer(c), id, as_of)
          : await findAssignment(c.env.db, takeBearer(c), id),
      )
      c.header('ETag', `"${found.version}"`)
      if (isKnown(c.req.valid('header')['if-none-match'], found.version)) return c.body(null, 304)
      return c.json(found, 200)
    },
  )
  .openapi(
    bearerRoute({
      method: 'put',
      path: '/{id}',
      operationId: 'replaceAssignment',
      summary: 'Replace what an assignment says; an assignee that is left out stays',
      tags,
      request: { params, headers: ifMatch, body: jsonBody(Replacement) },
      responses: { 200: shown('The assignment as it is now.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const versions = versionsOf(c.req.valid('header')['if-match'])
      const { id } = c.req.valid('param')
      const changed = accepted(await changeAssignment(c.env.db, takeBearer(c), id, c.req.valid('json'), versions))
      c.header('ETag', `"${changed.version}"`)
      return c.json(changed, 200)
    },
  )
  .openapi(
    bearerRoute({
      method: 'patch',
      path: '/{id}',
      operationId: 'changeAssignment',
      summary: 'Change some of what an assignment says; its assignee may change the status alone',
      tags,
      request: { params, headers: ifMatch, body: jsonBody(Changes) },
      responses: { 200: shown('The assignment as it is now.') },
      problems: ['forbidden', 'precondition_failed'],
    }),
    async (c) => {
      const versions = versionsOf(c.req.valid('header')['if-match'])
      const { id } = c.req.valid('param')
      const changed = accepted(await changeAssignment(c.env.db, takeBearer(c), id, c.req.valid('json'), versions))
      c.header('ETag', `"${changed.version}"`)
      return c.json(changed, 200)
    },
  )
  .openapi(
    bearerRoute({
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
      accepted(await deleteAssignment(c.env.db, takeBearer(c), c.req.valid('param').id, versions))
      return c.body(null, 204)
    },
  )

/** What a statement did, or its refusal, thrown. */
function accepted(outcome: Assignment | WriteError): Assignment {
  if (typeof outcome !== 'string') return outcome
  if (outcome === 'unauthenticated') throw unauthenticated()
  if (outcome !== 'unknown_assignee') throw new Problem(outcome)
  const errors = [{ in: 'body' as const, pointer: '/assignee', message: 'Has no account' }]
  throw new Problem('invalid_request', { detail: 'The assignee has no account.', errors })
}

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
