import { expect, test } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { type Json, openDocket } from './fixtures.ts'

const { call } = await openDocket()

const { status, body: document } = await call('GET', '/openapi.json')
const operations: [string, string, Json][] = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
  Object.entries<Json>(item).map(([method, operation]): [string, string, Json] => [method, path, operation]),
)

test('is OpenAPI 3.1 of every route, under the paths of the contract', () => {
  expect(status).toBe(200)
  expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Docket', version: manifest.version } })
  expect(operations.map(([method, path]) => `${method} ${path}`)).toEqual([
    'post /accounts/signup/',
    'post /accounts/activate-account/',
    'post /accounts/login/',
    'post /accounts/logout/',
    'get /accounts/',
    'post /accounts/change/',
    'post /accounts/password-change/',
    'post /accounts/password-reset/',
    'post /accounts/password-reset/verify/',
    'get /accounts/sessions/',
    'delete /accounts/sessions/{id}/',
    'post /assignments/',
    'get /assignments/',
    'get /assignments/{id}/',
    'put /assignments/{id}/',
    'patch /assignments/{id}/',
    'delete /assignments/{id}/',
    'get /assignments/{id}/history/',
    'get /healthz',
    'get /readyz',
  ])
})

test.each(operations)('%s %s says all that a client needs', (method, path, operation) => {
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
  }
  for (const body of [operation.requestBody, operation.responses[200]]) {
    const content = body?.content?.['application/json']
    if (content) expect(exampleOf(content.schema), `${path} shows no example`).toBeTruthy()
  }
})

test('an operation id is used once', () => {
  const ids = operations.map(([, , operation]) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
})

/** An example of a schema, its own or put together from those of its parts, as Swagger UI does it. */
function exampleOf(schema: Json): unknown {
  if (schema.$ref) return exampleOf(document.components.schemas[schema.$ref.split('/').at(-1)])
  if (schema.example !== undefined) return schema.example
  if (schema.type === 'object')
    return Object.values<Json>(schema.properties).every((part) => exampleOf(part) !== undefined)
  if (schema.type === 'array') return exampleOf(schema.items)
  return schema.type === 'boolean' || schema.enum || schema.const ? true : undefined
}
