import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { computeList, insertAssignments, type ListQuery, queryValues } from '../reference/listing.ts'
import { fewerOnWorkers, type Json, openDocket } from '../support/fixtures.ts'
import { walkPages } from '../support/pages.ts'

const { call, createUser, db, clock } = await openDocket()
const [ada, bob, eve] = [await createUser(), await createUser(), await createUser()]
const people = [ada, bob, eve]
const personIds = [ada.id, bob.id, eve.id] as [string, string, string]
const rows = await insertAssignments(db, personIds, 160, clock.now)

const urlOf = (query: ListQuery) => `/assignments/?${new URLSearchParams(query)}`
const list = (query: ListQuery | string, { token } = ada) =>
  call('GET', typeof query === 'string' ? query : urlOf(query), { token })
const walk = (query: ListQuery, caller = ada) => walkPages((url) => list(url, caller), urlOf(query))
const expectedIds = (query: ListQuery, caller = ada) => computeList(rows, caller.id, query).map(({ id }) => id)

/** Expects the first page of a list, and its count, to match the reference. */
async function expectList(query: ListQuery) {
  const { status, body } = await list({ ...query, limit: '100', count: 'true' })
  const expected = expectedIds(query)
  const ids = body.results.map(({ id }: Json) => id)
  expect({ query, status, ids, count: body.count }).toEqual({
    query,
    status: 200,
    ids: expected.slice(0, 100),
    count: expected.length,
  })
}

const values = queryValues(clock.now, personIds)
const names = Object.keys(values)

describe('a list', () => {
  const single = Object.entries(values).flatMap(([name, list]) => list.map((value) => [name, value] as const))
  test.each(single)('matches the reference with %s=%s', async (name, value) => {
    await expectList({ [name]: value })
  })

  const pairs = names.flatMap((name, index) => names.slice(index + 1).map((other) => [name, other] as const))
  test.each(pairs)('matches the reference with any %s and %s', async (name, other) => {
    const queries = (values[name] ?? []).flatMap((value) =>
      (values[other] ?? []).map((otherValue) => ({ [name]: value, [other]: otherValue })),
    )
    const step = queries.length / fewerOnWorkers(queries.length)
    for (const [index, query] of queries.entries()) if (index % Math.floor(step) === 0) await expectList(query)
  })

  test('matches the reference on every page, forward and back', async () => {
    const optional = (values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 3 })
    const ordering = fc
      .shuffledSubarray(['created_at', 'updated_at', 'name', 'status'], { minLength: 1, maxLength: 3 })
      .chain((fields) => fc.tuple(...fields.map((field) => fc.constantFrom(field, `-${field}`))))
      .map((signed) => signed.join(','))
    const queries = fc.record({
      ...Object.fromEntries(Object.entries(values).map(([name, list]) => [name, optional(list)])),
      ordering: fc.option(ordering, { nil: undefined }),
      limit: fc.constantFrom('1', '3', '7', '20', '100'),
    })
    const property = fc.asyncProperty(queries, fc.constantFrom(...people), async (fields, caller) => {
      const query = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ListQuery
      const expected = expectedIds(query, caller)
      const { forward, backward } = await walk(query, caller)
      expect(forward).toEqual(expected)
      expect(backward).toEqual(expected)
      expect((await list({ ...query, count: 'true' }, caller)).body.count).toBe(expected.length)
    })
    await fc.assert(property, { numRuns: fewerOnWorkers(40), seed: 7 })
  })

  test('has full URLs in next, previous and the Link header', async () => {
    const whole = await list({ limit: '5', search: 'é ü', status: 'todo,done' })
    expect(whole.body).toMatchObject({ next: null, previous: null })
    expect(whole.headers.get('Link')).toBe(null)
    const first = await list({ limit: '5' })
    expect(first.body.next).toMatch(/^http:\/\/localhost\/assignments\/\?limit=5&cursor=[\w-]+$/)
    expect(first.headers.get('Link')).toBe(`<${first.body.next}>; rel="next"`)
    const second = await list(first.body.next)
    expect(second.headers.get('Link')).toBe(`<${second.body.next}>; rel="next", <${second.body.previous}>; rel="prev"`)
  })

  test('takes several statuses in one parameter or in many', async () => {
    const { results } = (await list('/assignments/?status=todo,done&limit=100')).body
    expect(results.length).toBeGreaterThan(10)
    expect((await list('/assignments/?status=done&status=todo&limit=100')).body.results).toEqual(results)
  })

  test.each([
    ['status=todo,%20done', 'status=todo,done'],
    ['status=%09todo%20,done%20', 'status=todo,done'],
    ['ordering=name,%20-created_at', 'ordering=name,-created_at'],
    ['count=True', 'count=true'],
    ['count=FALSE', 'count=false'],
  ])('takes %s for %s', async (query, plain) => {
    const { next, ...body } = (await list(`/assignments/?limit=7&${query}`)).body
    const expected = (await list(`/assignments/?limit=7&${plain}`)).body
    expect(body).toEqual({ previous: null, results: expected.results, count: expected.count })
    expect((await list(next)).body.results).toEqual((await list(expected.next)).body.results)
  })

  test.each([
    'created_before=9999-12-31T23:59:59.9999999Z',
    'updated_before=9999-12-31T23:59:59-01:00',
    'created_after=0001-01-01T00:00:00%2B14:00',
    'updated_after=0001-01-01T00:00:00.0000000Z',
    'created_after=2016-12-31T23:59:60Z&updated_after=2016-12-31t23:59:60.5z',
  ])('contains everything with %s', async (query) => {
    const { status, body } = await list(`/assignments/?count=true&${query}`)
    expect({ status, count: body.count }).toEqual({ status: 200, count: expectedIds({}).length })
  })

  test.each(['created_after', 'updated_before', 'as_of'])('explains a + in %s that was not escaped', async (name) => {
    const { status, body } = await list(`/assignments/?${name}=2026-11-22T10:00:00.5+02:00`)
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
    expect(body.errors).toMatchObject([{ pointer: `/${name}`, message: expect.stringContaining('%2B') }])
  })

  test.each([
    ['status=finished', '/status/0'],
    ['status=', '/status/0'],
    ['assignee=bob', '/assignee'],
    ['assignee=', '/assignee'],
    ['creator=me&creator=me', '/creator'],
    ['created_after=yesterday', '/created_after'],
    ['created_after=2026-11-22T10:00:00', '/created_after'],
    ['created_after=2026-02-30', '/created_after'],
    ['created_after=0000-01-01', '/created_after'],
    ['created_after=2026-11-22T10:00:60Z', '/created_after'],
    ['search=%00', '/search'],
    [`search=${'x'.repeat(201)}`, '/search'],
    ['search=a+b+c+d+e+f+g+h+i+j+k', '/search'],
    ['search=a&search=b', '/search'],
    ['ordering=password', '/ordering/0'],
    ['ordering=name,-name', '/ordering'],
    ['ordering=name,status,created_at,updated_at', '/ordering'],
    ['ordering=', '/ordering/0'],
    ['ordering=-%20name', '/ordering/0'],
    ['status=todo,,done', '/status/1'],
    ['limit=0', '/limit'],
    ['limit=101', '/limit'],
    ['limit=1e1', '/limit'],
    ['limit=0x10', '/limit'],
    ['limit=%2012%20', '/limit'],
    ['limit=', '/limit'],
    ['count=yes', '/count'],
    ['page=2', '/page'],
  ])('rejects %s with a pointer to the parameter', async (query, pointer) => {
    const { status, body } = await list(`/assignments/?${query}`)
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
    expect(body.errors).toMatchObject([{ in: 'query', pointer }])
  })
})
