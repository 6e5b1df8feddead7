import { sql } from 'drizzle-orm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Assignment } from '../../src/assignments/assignments.ts'
import { newId } from '../../src/crypto.ts'
import { assignment_search, assignments, statuses } from '../../src/database/schema.ts'
import { searchText } from '../../src/database/text.ts'
import { few, type Json, openDocket } from '../support/fixtures.ts'

const { call, createUser, db, clock } = await openDocket()

const [ada, bob, eve] = [await createUser(), await createUser(), await createUser()]
const people = [ada, bob, eve]

const WORDS = [
  'report',
  'Report',
  'RÉSUMÉ',
  'résumé',
  'Жук',
  'жук',
  'ΔΡΌΜΟΣ',
  'δρόμος',
  '50%',
  'off_now',
  'a\\b',
  "it's",
  'x',
  '😀',
  'two pages',
]

type Row = Assignment

let made = 0
async function fill(count: number) {
  const rows = fc.sample(
    fc.record({
      name: fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 3 }).map((words) => words.join(' ')),
      description: fc.array(fc.constantFrom(...WORDS), { maxLength: 3 }).map((words) => words.join(' ')),
      status: fc.constantFrom(...statuses),
      assignee: fc.constantFrom(...people).map(({ id }) => id),
      creator: fc.constantFrom(...people).map(({ id }) => id),
      age: fc.nat(20),
    }),
    { numRuns: count, seed: 42 + made++ },
  )
  const values: Row[] = rows.map(({ age, ...row }) => {
    // Many rows share an instant, so that ties are met.
    const created = new Date(clock.now - age * 86_400_000)
    const updated_at = new Date(created.getTime() + (age % 4) * 3_600_000).toISOString()
    return { ...row, id: newId(created), created_at: created.toISOString(), updated_at, version: 1 }
  })
  await db.insert(assignments).values(values)
  await db.insert(assignment_search).select(
    db
      .select({
        assignment: assignments.id,
        people: sql<string[]>`array[${assignments.assignee}, ${assignments.creator}]`.as('people'),
        text: sql<string>`${searchText(assignments.name, assignments.description)}`.as('text'),
      })
      .from(assignments),
  )
  return values
}

const all = await fill(160)

const list = async (query: Record<string, string> | string, who = ada) => {
  const path = typeof query === 'string' ? query : `/assignments/?${new URLSearchParams(query)}`
  return call('GET', path, { token: who.token })
}

/** Without regard to case; sigma has two lower cases. */
const lower = (text: string) => text.toLowerCase().replaceAll('ς', 'σ')

/** What a list must be, written down plainly: the reference that the real one is held to. */
function reference(caller: string, query: Record<string, string>): Row[] {
  const me = (value: string) => (value === 'me' ? caller : value)
  const terms = [...(query.search ?? '').matchAll(/"([^"]*)"|[^\s,"]+/g)].map(([term, phrase]) => lower(phrase ?? term))
  const keep = (row: Row) =>
    [row.creator, row.assignee].includes(caller) &&
    (!query.status || query.status.split(',').includes(row.status)) &&
    (!query.assignee || row.assignee === me(query.assignee)) &&
    (!query.creator || row.creator === me(query.creator)) &&
    (!query.created_after || row.created_at >= new Date(query.created_after).toISOString()) &&
    (!query.created_before || row.created_at < new Date(query.created_before).toISOString()) &&
    (!query.updated_after || row.updated_at >= new Date(query.updated_after).toISOString()) &&
    (!query.updated_before || row.updated_at < new Date(query.updated_before).toISOString()) &&
    terms.every((term) => lower(row.name).includes(term) || lower(row.description).includes(term))
  const fields = (query.ordering ?? '-created_at').split(',')
  const keyOf = (row: Row, field: string) => {
    if (field === 'name') return Buffer.from(lower(row.name)).toString('hex')
    return field === 'status' ? String(statuses.indexOf(row.status)) : String(row[field as 'created_at'])
  }
  const order = (a: Row, b: Row) => {
    for (const field of [...fields, `${fields.at(-1)?.startsWith('-') ? '-' : ''}id`]) {
      const name = field.replace('-', '')
      const [left, right] = [keyOf(a, name), keyOf(b, name)]
      if (left !== right) return (left < right ? -1 : 1) * (field.startsWith('-') ? -1 : 1)
    }
    return 0
  }
  return all.filter(keep).sort(order)
}

/** Walks a list to its end and back again, and gives what each way showed. */
async function walk(query: Record<string, string>, who = ada) {
  const [there, back]: [string[], string[]] = [[], []]
  let page = (await list(query, who)).body
  expect(page.previous).toBe(null)
  there.push(...page.results.map(({ id }: Json) => id))
  while (page.next) {
    page = (await list(page.next, who)).body
    there.push(...page.results.map(({ id }: Json) => id))
  }
  back.unshift(...page.results.map(({ id }: Json) => id))
  while (page.previous) {
    page = (await list(page.previous, who)).body
    back.unshift(...page.results.map(({ id }: Json) => id))
  }
  return { there, back }
}

const day = (days: number) => new Date(clock.now - days * 86_400_000).toISOString()

const parameters: Record<string, string[]> = {
  status: ['todo', 'in progress,done', 'error,todo,done,in progress'],
  assignee: ['me', bob.id, eve.id, newId(new Date())],
  creator: ['me', bob.id],
  created_after: [day(10), day(10).slice(0, 10), day(12).replace('Z', '+02:00'), day(12).toLowerCase()],
  created_before: [day(3), day(5).slice(0, 10)],
  updated_after: [day(9)],
  updated_before: [day(2).replace('.000Z', 'Z')],
  search: [
    'REPORT',
    'résumé',
    'жук report',
    'Δρόμοσ',
    'ΔΡΌΜΟΣ',
    '%',
    '_',
    '\\',
    "'",
    '"two pages"',
    '"two pages", x',
    'po',
    '😀',
    'nothing',
  ],
  ordering: ['created_at', '-created_at', 'updated_at', '-updated_at', 'name', '-name', 'status', '-status'],
}

describe('each parameter alone', () => {
  test.each(Object.entries(parameters).flatMap(([name, values]) => values.map((value) => [name, value])))(
    '%s=%s',
    async (name, value) => {
      const query = { [name as string]: value as string }
      const { status, body } = await list({ ...query, limit: '100', count: 'true' })
      const expected = reference(ada.id, query)
      expect(status).toBe(200)
      expect(body.results.map(({ id }: Json) => id)).toEqual(expected.slice(0, 100).map(({ id }) => id))
      expect(body.count).toBe(expected.length)
    },
  )
})

const names = Object.keys(parameters)
const pairs = names.flatMap((name, index) => names.slice(index + 1).map((other) => [name, other] as const))

test.each(pairs)('%s and %s together, whatever their values', async (name, other) => {
  for (const value of parameters[name] ?? []) {
    for (const otherValue of parameters[other] ?? []) {
      const query = { [name]: value, [other]: otherValue }
      const { body } = await list({ ...query, limit: '100', count: 'true' })
      const expected = reference(ada.id, query).map(({ id }) => id)
      expect({ query, ids: body.results.map(({ id }: Json) => id), count: body.count }).toEqual({
        ...{ query, ids: expected.slice(0, 100), count: expected.length },
      })
    }
  }
})

test('any of them together, in any order, page by page and back, are as the reference says', async () => {
  const optional = (values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 3 })
  const fields = ['created_at', 'updated_at', 'name', 'status']
  const query = fc.record({
    ...Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, optional(values)])),
    ordering: fc.option(
      fc
        .shuffledSubarray(fields, { minLength: 1, maxLength: 3 })
        .chain((chosen) =>
          fc.tuple(...chosen.map((field) => fc.constantFrom(field, `-${field}`))).map((signed) => signed.join(',')),
        ),
      { nil: undefined },
    ),
    limit: fc.constantFrom('1', '3', '7', '20', '100'),
  })
  await fc.assert(
    fc.asyncProperty(query, fc.constantFrom(...people), async (given, who) => {
      const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<
        string,
        string
      >
      const expected = reference(who.id, asked).map(({ id }) => id)
      const { there, back } = await walk(asked, who)
      expect(there).toEqual(expected)
      expect(back).toEqual(expected)
      const counted = (await list({ ...asked, count: 'true' }, who)).body
      expect(counted.count).toBe(expected.length)
    }),
    { numRuns: few(120), seed: 7 },
  )
}, 60_000)

test('a walk shows each row that is there throughout once, whatever comes and goes meanwhile', async () => {
  const { token } = await createUser()
  const create = async (name: string) => (await call('POST', '/assignments/', { token, body: { name } })).body.id
  const ids: string[] = []
  for (let index = 0; index < 30; index++) ids.push(await create(`row ${index}`))
  const who = { ...ada, token }
  for (const ordering of ['-created_at', 'created_at', 'name', '-name']) {
    const kept = new Set(ids)
    const seen: string[] = []
    let page = (await list({ ordering, limit: '4' }, who)).body
    for (;;) {
      seen.push(...page.results.map(({ id }: Json) => id))
      // The row that the cursor stands on goes, others change, and new ones come.
      const last = seen.at(-1) as string
      if (page.results.length > 0) await call('DELETE', `/assignments/${last}/`, { token })
      await create(`row ${seen.length}`)
      await call('PATCH', `/assignments/${seen[0]}/`, { token, body: { status: 'done' } })
      if (!page.next) break
      page = (await list(page.next, who)).body
    }
    expect(new Set(seen).size).toBe(seen.length)
    for (const id of kept) expect(seen).toContain(id)
    ids.splice(0, ids.length, ...(await walk({ limit: '100' }, who)).there)
  }
})

test('going back from a page that has become empty shows the rows before it, the last one too', async () => {
  const { token } = await createUser()
  const who = { ...ada, token }
  const ids: string[] = []
  for (let index = 0; index < 4; index++) {
    ids.push((await call('POST', '/assignments/', { token, body: { name: `row ${index}` } })).body.id)
    clock.now += 1000
  }
  const first = (await list({ ordering: 'created_at', limit: '2' }, who)).body
  for (const id of ids.slice(2)) await call('DELETE', `/assignments/${id}/`, { token })
  const empty = (await list(first.next, who)).body
  expect(empty).toMatchObject({ results: [], next: null })
  const again = (await list(empty.previous, who)).body
  expect(again.results).toEqual(first.results)
  expect(again.previous).toBe(null)
})

test('a search of many terms that all rows have is answered, however long they are', async () => {
  const { token } = await createUser()
  const long = 'lorem ipsum dolor sit amet '.repeat(370)
  for (let index = 0; index < 40; index++) {
    await call('POST', '/assignments/', { token, body: { name: `long ${index}`, description: long } })
  }
  const search = 'lorem ipsum dolor sit amet lorem ipsum dolor sit unheard'
  expect((await list({ search }, { ...ada, token })).body.results).toEqual([])
  const { body } = await list({ search: search.replace('unheard', 'LONG'), count: 'true' }, { ...ada, token })
  expect(body).toMatchObject({ count: 40, results: { length: 20 } })
})

describe('a cursor', () => {
  test('is good in every session of its user, with another limit, and with count', async () => {
    const { next } = (await list({ ordering: 'name', limit: '5' })).body
    const url = new URL(next)
    url.searchParams.set('limit', '50')
    url.searchParams.set('count', 'true')
    const { status, body } = await list(url.href)
    expect(status).toBe(200)
    const expected = reference(ada.id, { ordering: 'name' })
    expect(body.results.map(({ id }: Json) => id)).toEqual(expected.slice(5, 55).map(({ id }) => id))
    expect(body.count).toBe(expected.length)
  })

  test('that is altered, or of another list or user, is refused', async () => {
    const { next } = (await list({ ordering: 'name', limit: '5', status: 'todo,done' })).body
    const change = (edit: (params: URLSearchParams) => void) => {
      const url = new URL(next)
      edit(url.searchParams)
      return url.href
    }
    const cursor = new URL(next).searchParams.get('cursor') as string
    const changed = [
      change((params) => params.set('ordering', '-name')),
      change((params) => params.set('status', 'todo')),
      change((params) => params.set('search', 'x')),
      change((params) => params.delete('status')),
      ...[0, 5, 20, cursor.length - 1].map((at) =>
        change((params) =>
          params.set('cursor', cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1)),
        ),
      ),
      change((params) => params.set('cursor', `${cursor}=`)),
      change((params) => params.set('cursor', `${cursor}A`)),
      change((params) => params.set('cursor', 'nonsense')),
      change((params) => params.set('cursor', '')),
    ]
    for (const url of changed) expect(await list(url)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    expect(await list(next, bob)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    // In another order the same, so the same list.
    expect(await list(change((params) => params.set('status', 'done,todo')))).toMatchObject({ status: 200 })
  })

  test('that is forged, check and all, is refused for its values, or shows what its user may see anyway', async () => {
    const { writeCursor } = await import('../../src/assignments/cursors.ts')
    const order = [{ by: 'updated_at', descending: true }]
    const forge = (keys: string[]) => writeCursor({ keys, isBackward: false, isInclusive: false }, [ada.id, {}, order])
    for (const keys of [
      ['x', 'y'],
      [],
      [newId(new Date())],
      ["'; drop table users; --", newId(new Date())],
      ['2026-13-01T00:00:00.000Z', newId(new Date())],
      ['0000-01-01T00:00:00.000Z', newId(new Date())],
    ]) {
      const answer = await list({ ordering: '-updated_at', cursor: forge(keys) })
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    }
    const { status, body } = await list({
      ordering: '-updated_at',
      limit: '100',
      cursor: forge(['2099-01-01T00:00:00.000Z', newId(new Date())]),
    })
    expect(status).toBe(200)
    const seen = body.results.map(({ id }: Json) => id)
    expect(seen).toEqual(
      reference(ada.id, { ordering: '-updated_at' })
        .slice(0, 100)
        .map(({ id }) => id),
    )
  })
})

test('next and previous are whole URLs, and a Link header too', async () => {
  const first = await list({ limit: '5', search: 'é ü', status: 'todo,done' })
  expect(first.body).toMatchObject({ next: null, previous: null })
  expect(first.headers.get('Link')).toBe(null)
  const page = await list({ limit: '5' })
  expect(page.body.next).toMatch(/^http:\/\/localhost\/assignments\/\?limit=5&cursor=[\w-]+$/)
  expect(page.headers.get('Link')).toBe(`<${page.body.next}>; rel="next"`)
  const second = await list(page.body.next)
  expect(second.headers.get('Link')).toBe(`<${second.body.next}>; rel="next", <${second.body.previous}>; rel="prev"`)
})

test('several statuses may come in one parameter or in many', async () => {
  const one = await list('/assignments/?status=todo,done&limit=100')
  expect((await list('/assignments/?status=done&status=todo&limit=100')).body.results).toEqual(one.body.results)
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
  ['updated_before=9999-12-31T23:59:59-01:00', '/updated_before'],
  ['search=%00', '/search'],
  [`search=${'x'.repeat(201)}`, '/search'],
  ['search=a+b+c+d+e+f+g+h+i+j+k', '/search'],
  ['search=a&search=b', '/search'],
  ['ordering=password', '/ordering/0'],
  ['ordering=name,-name', '/ordering'],
  ['ordering=name,status,created_at,updated_at', '/ordering'],
  ['ordering=', '/ordering/0'],
  ['limit=0', '/limit'],
  ['limit=101', '/limit'],
  ['limit=1e1', '/limit'],
  ['limit=0x10', '/limit'],
  ['limit=%2012%20', '/limit'],
  ['limit=', '/limit'],
  ['count=yes', '/count'],
  ['page=2', '/page'],
])('%s is refused at its place', async (query, pointer) => {
  const { status, body } = await list(`/assignments/?${query}`)
  expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
  expect(body.errors).toMatchObject([{ in: 'query', pointer }])
})
