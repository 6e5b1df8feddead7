import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { app } from '../../src/app.ts'
import { ProblemSchema } from '../../src/http/schemas.ts'
import { readContract } from '../reference/openapi.ts'
import { type Json, openDocket } from '../support/fixtures.ts'

const { call } = await openDocket()

const { status, body: document } = await call('GET', '/openapi.json')
/** Returns what a reference to a component stands for. */
const resolve = (value: Json): Json => {
  const [, kind = '', name = ''] = /^#\/components\/(\w+)\/(.+)$/.exec(value.$ref ?? '') ?? []
  return value.$ref ? document.components[kind][name] : value
}

const operations: [string, string, Json][] = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
  Object.entries<Json>(item).map(([method, operation]): [string, string, Json] => [method, path, operation]),
)

test('the document is OpenAPI 3.1 and lists every route of the contract', () => {
  expect(status).toBe(200)
  expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Docket', version: manifest.version } })
  expect(operations.map(([method, path]) => `${method} ${path}`)).toEqual([
    'post /accounts/signup/',
    'post /accounts/activate-account/',
    'post /accounts/login/',
    'post /accounts/logout/',
    'get /accounts/',
    'post /accounts/change/',
    'get /accounts/sessions/',
    'delete /accounts/sessions/{id}/',
    'post /accounts/password-change/',
    'post /accounts/password-reset/',
    'post /accounts/password-reset/verify/',
    'post /accounts/email-change/',
    'post /accounts/email-change/verify/',
    'post /accounts/delete/',
    'get /accounts/people/',
    'get /accounts/export/',
    'get /assignments/events/',
    'post /assignments/',
    'get /assignments/',
    'get /assignments/{id}/',
    'put /assignments/{id}/',
    'patch /assignments/{id}/',
    'delete /assignments/{id}/',
    'get /assignments/{id}/history/',
    'get /assignments/reports/throughput/',
    'get /assignments/reports/flow/',
    'get /healthz',
    'get /readyz',
  ])
})

test.each(operations)('%s %s documents its summary, responses, security and examples', (method, path, operation) => {
  expect(operation).toMatchObject({
    operationId: expect.stringMatching(/^[a-z]+[A-Za-z]*$/),
    summary: expect.stringMatching(/^[A-Z].{1,59}$/),
    description: expect.stringMatching(/[.`]$/),
  })
  expect(operation.tags).toHaveLength(1)
  expect(Object.keys(operation.responses)).toEqual(
    expect.arrayContaining(['400', '408', '417', '429', '431', '500', '503']),
  )
  if (/^.a/.test(path) && !/signup|activate|login|reset/.test(path)) {
    expect(operation.security).toEqual([{ bearer: [] }])
    expect(operation.responses).toHaveProperty('401')
  } else expect(operation.security).toEqual([])
  if (method !== 'get') expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['413', '415']))
  for (const [code, reference] of Object.entries<Json>(operation.responses)) {
    const response = resolve(reference)
    expect(response.description).toEqual(expect.any(String))
    const problem = { $ref: '#/components/schemas/Problem' }
    if (Number(code) >= 400) {
      expect(response.content).toMatchObject({ 'application/problem+json': { schema: problem } })
    }
    if (!['408', '417', '431'].includes(code)) {
      expect(response.headers['X-Request-Id']).toEqual({ $ref: '#/components/headers/X-Request-Id' })
    }
    if (code === '503') expect(Object.keys(response.headers)).toEqual(['X-Request-Id', 'Retry-After'])
  }
  for (const body of [operation.requestBody, ...Object.values<Json>(operation.responses)]) {
    const content = body?.content?.['application/json']
    if (content) expect(content.example, `${path} shows no example`).toBeTruthy()
  }
  const example = operation.requestBody?.content['application/json'].example
  const route = app.openAPIRegistry.definitions.find(
    (one) => one.type === 'route' && one.route.operationId === operation.operationId,
  ) as Json | undefined
  if (example)
    expect(route?.route.request.body.content['application/json'].schema.safeParse(example).success).toBe(true)
})

test('optional parameters have no example, which Swagger UI would send', () => {
  const optional = operations.flatMap(([, , { parameters = [] }]) =>
    parameters.filter(({ required }: Json) => !required),
  )
  expect(optional.filter(({ schema, example }: Json) => schema.example ?? example)).toEqual([])
})

test('operations have only fields that OpenAPI defines', () => {
  const known = ['operationId', 'summary', 'description', 'tags', 'security', 'parameters', 'requestBody', 'responses']
  const unknown = operations.flatMap(([, , operation]) =>
    Object.keys(operation).filter((name) => !known.includes(name)),
  )
  expect(unknown).toEqual([])
})

test('every example of a response matches its schema', () => {
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue
    const { operationId, responses } = definition.route
    const [, , operation] = operations.find(([, , one]) => one.operationId === operationId) ?? []
    for (const [status, response] of Object.entries<Json>(responses)) {
      const schema = response.content?.['application/json']?.schema
      const example = operation?.responses[status].content?.['application/json']?.example
      if (schema) expect(schema.safeParse(example).error?.issues ?? [], `${operationId} ${status}`).toEqual([])
    }
  }
})

test('operation ids are unique', () => {
  const ids = operations.map(([, , operation]) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
})

test('openapi.json in the repository is current: npm run openapi', async () => {
  const file = JSON.parse(await readFile('openapi.json', 'utf8'))
  expect(file).toEqual({ ...document, servers: [{ url: 'http://127.0.0.1:8000' }] })
})

test('every body is a named component, and examples of problems are problems', () => {
  for (const [, , { requestBody, responses }] of operations) {
    for (const message of [requestBody, ...Object.values<Json>(responses).map(resolve)]) {
      for (const [type, { schema, examples = {} }] of Object.entries<Json>(message?.content ?? {})) {
        if (type.endsWith('json')) expect(schema.$ref).toMatch(/^#\/components\/schemas\/[A-Z]\w+$/)
        for (const { value } of Object.values<Json>(examples)) {
          expect(ProblemSchema.safeParse(value).error?.issues ?? []).toEqual([])
        }
      }
    }
  }
})

test('responses are open to further properties, and requests are not', () => {
  const { validate } = readContract(document)
  let checked = 0
  for (const [, , { requestBody, responses }] of operations) {
    for (const [message, isOpen] of [
      [requestBody, false],
      ...Object.values<Json>(responses).map((response) => [response, true]),
    ] as [Json | undefined, boolean][]) {
      const schema = message?.content?.['application/json']?.schema
      if (!schema) continue
      const name = schema.$ref.split('/').at(-1)
      const example = exampleOf(name)
      expect(validate(schema, example), name).toBeUndefined()
      const isValid = validate(schema, withAnotherProperty(example)) === undefined
      expect([name, isValid]).toEqual([name, isOpen])
      checked++
    }
  }
  expect(checked).toBeGreaterThan(25)
})

/** Returns the example of a body with a named schema. */
function exampleOf(name: string): Json {
  for (const [, , { requestBody, responses }] of operations) {
    for (const message of [requestBody, ...Object.values<Json>(responses)]) {
      const media = message?.content?.['application/json']
      if (media?.schema.$ref.endsWith(`/${name}`)) return media.example
    }
  }
  throw new Error(`${name} has no example`)
}

/** Adds a property to an object and to all objects in it. */
const withAnotherProperty = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withAnotherProperty)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, field]) => [name, withAnotherProperty(field)])
  return { ...Object.fromEntries(entries), added_later: 1 }
}

test('codes and changed fields are published as texts, since more may be added', () => {
  const { Problem, Event, EventKind, Status } = document.components.schemas
  expect(Problem.properties.code).toMatchObject({ type: 'string', example: expect.any(String) })
  expect(Problem.properties.code).not.toHaveProperty('enum')
  expect(Event.properties.changed.items).toEqual({ type: 'string', example: 'status' })
  expect(EventKind.enum).toEqual(['created', 'changed', 'deleted'])
  expect(Status.enum).toEqual(['todo', 'in progress', 'done', 'error'])
})

// openapi-python-client names an enum within a schema by both, and drops a schema whose name is then taken.
test('no enum within a schema gets the name of a component in generated clients', () => {
  const { schemas } = document.components
  const names = Object.entries<Json>(schemas).flatMap(([name, { properties = {} }]) =>
    Object.entries<Json>(properties)
      .filter(([, property]) => property.enum)
      .map(([property]) => name + property.charAt(0).toUpperCase() + property.slice(1)),
  )
  expect(names.length).toBeGreaterThan(0)
  expect(names.filter((name) => schemas[name])).toEqual([])
})

test('a reference keeps its default, and no schema needs allOf', () => {
  const { AssignmentCreate, AssignmentReplace, AssignmentPatch } = document.components.schemas
  const Status = { $ref: '#/components/schemas/Status' }
  expect(AssignmentCreate.properties.status).toEqual({ ...Status, default: 'todo' })
  expect(AssignmentReplace.properties.status).toEqual({ ...Status, default: 'todo' })
  expect(AssignmentPatch.properties.status).toEqual(Status)
  expect(document.paths['/assignments/reports/flow/'].get.parameters[0].schema).toEqual({
    $ref: '#/components/schemas/BucketSize',
    default: 'day',
  })
  expect(JSON.stringify(document)).not.toContain('"allOf"')
})

test('a change of an assignment needs at least one writable field', () => {
  const { validate } = readContract(document)
  const patch = { $ref: '#/components/schemas/AssignmentPatch' }
  expect(validate(patch, {})).toBeDefined()
  expect(validate(patch, { id: 'x', version: 3 })).toBeDefined()
  expect(validate(patch, { id: 'x', status: 'done' })).toBeUndefined()
})
