import { expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { app } from '../../src/app.ts'
import { type Json, openDocket } from '../support/fixtures.ts'

const { call } = await openDocket()

const { status, body: document } = await call('GET', '/openapi.json')
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
    summary: expect.any(String),
  })
  expect(operation.tags).toHaveLength(1)
  expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['400', '500', '503']))
  if (/^.a/.test(path) && !/signup|activate|login|reset/.test(path)) {
    expect(operation.security).toEqual([{ bearer: [] }])
    expect(operation.responses).toHaveProperty('401')
  }
  if (method !== 'get') expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['413', '415']))
  for (const [code, response] of Object.entries<Json>(operation.responses)) {
    expect(response.description).toEqual(expect.any(String))
    const problem = { $ref: '#/components/schemas/Problem' }
    if (Number(code) >= 400) expect(response.content).toEqual({ 'application/problem+json': { schema: problem } })
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
