import { describe, expect, test } from 'vitest'
import { writeCursor } from '../../src/assignments/cursors.ts'
import { newId } from '../../src/crypto.ts'
import { computeList, insertAssignments } from '../reference/listing.ts'
import { type Json, openDocket } from '../support/fixtures.ts'
import { walkPages } from '../support/pages.ts'

const { call, createUser, db, clock, advance } = await openDocket()
const [ada, bob] = [await createUser(), await createUser()]
const rows = await insertAssignments(db, [ada.id, bob.id], 100, clock.now)

const list = (query: Record<string, string> | string, { token } = ada) =>
  call('GET', typeof query === 'string' ? query : `/assignments/?${new URLSearchParams(query)}`, { token })

const create = async ({ token }: { token: string }, body: object): Promise<string> =>
  (await call('POST', '/assignments/', { token, body })).body.id

const idsOf = ({ results }: Json) => results.map(({ id }: Json) => id)

describe('paging', () => {
  test.each(['-created_at', 'created_at', 'name', '-name'])(
    'by %s shows each lasting row once while others change',
    async (ordering) => {
      const person = await createUser()
      const lasting: string[] = []
      for (let index = 0; index < 16; index++) lasting.push(await create(person, { name: `row ${index}` }))
      const shown: string[] = []
      let page = (await list({ ordering, limit: '4' }, person)).body
      for (;;) {
        shown.push(...idsOf(page))
        // Deletes the row that the cursor points to, changes another and inserts one.
        const last = shown.at(-1) as string
        if (page.results.length > 0) await call('DELETE', `/assignments/${last}/`, { token: person.token })
        await create(person, { name: `row ${shown.length}` })
        await call('PATCH', `/assignments/${shown[0]}/`, { token: person.token, body: { status: 'done' } })
        if (!page.next) break
        page = (await list(page.next, person)).body
      }
      expect(new Set(shown).size).toBe(shown.length)
      expect(shown).toEqual(expect.arrayContaining(lasting))
    },
  )

  test('leads back from an empty page to all rows before it', async () => {
    const person = await createUser()
    const ids: string[] = []
    for (let index = 0; index < 4; index++) {
      ids.push(await create(person, { name: `row ${index}` }))
      advance(1)
    }
    const first = (await list({ ordering: 'created_at', limit: '2' }, person)).body
    for (const id of ids.slice(2)) await call('DELETE', `/assignments/${id}/`, { token: person.token })
    const empty = (await list(first.next, person)).body
    expect(empty).toMatchObject({ results: [], next: null })
    const previous = (await list(empty.previous, person)).body
    expect(previous.results).toEqual(first.results)
    expect(previous.previous).toBe(null)
  })

  test('by long names has no Link header above 2 KiB, and the same URLs in the body', async () => {
    const person = await createUser()
    for (const letter of 'abc') await create(person, { name: letter + '€'.repeat(254) })
    const first = await list({ ordering: 'name', limit: '1' }, person)
    expect(first.headers.get('Link')).toBe(`<${first.body.next}>; rel="next"`)
    const second = await list(first.body.next, person)
    expect(second.headers.get('Link')).toBeNull()
    expect((await list(second.body.next, person)).body.results).toMatchObject([{ name: `c${'€'.repeat(254)}` }])
    expect((await list(second.body.previous, person)).body.results).toEqual(first.body.results)
  })

  test('by the longest sort keys leads forward and back', async () => {
    const person = await createUser()
    // Unicode composes none of these, so the key of each character has three characters of four bytes.
    for (const letter of 'abc') await create(person, { name: letter + '\u{1D160}'.repeat(254) })
    const first = (await list({ ordering: 'name,-status', limit: '1' }, person)).body
    const second = (await list(first.next, person)).body
    expect(idsOf((await list(second.next, person)).body)).toHaveLength(1)
    expect(idsOf((await list(second.previous, person)).body)).toEqual(idsOf(first))
  })

  test('reaches every row of a search with ten terms in long descriptions', async () => {
    const person = await createUser()
    const description = 'lorem ipsum dolor sit amet '.repeat(370)
    for (let index = 0; index < 40; index++) await create(person, { name: `long ${index}`, description })
    const terms = 'lorem ipsum dolor sit amet lorem ipsum dolor sit'
    expect((await list({ search: `${terms} unheard` }, person)).body.results).toEqual([])
    const url = `/assignments/?${new URLSearchParams({ search: `${terms} LONG`, count: 'true' })}`
    expect((await list(url, person)).body).toMatchObject({ count: 40, results: { length: 20 } })
    expect((await walkPages((url) => list(url, person), url)).forward).toHaveLength(40)
  })
})

describe('a list cursor', () => {
  test('also works with another limit and with count', async () => {
    const { next } = (await list({ ordering: 'name', limit: '5' })).body
    const url = new URL(next)
    url.searchParams.set('limit', '50')
    url.searchParams.set('count', 'true')
    const { status, body } = await list(url.href)
    expect(status).toBe(200)
    const expected = computeList(rows, ada.id, { ordering: 'name' })
    expect(idsOf(body)).toEqual(expected.slice(5, 55).map(({ id }) => id))
    expect(body.count).toBe(expected.length)
  })

  test('is rejected when altered or used for another list or user', async () => {
    const { next } = (await list({ ordering: 'name', limit: '5', status: 'todo,done' })).body
    const cursor = new URL(next).searchParams.get('cursor') as string
    const withChange = (edit: (parameters: URLSearchParams) => void) => {
      const url = new URL(next)
      edit(url.searchParams)
      return url.href
    }
    const withCursor = (cursor: string) => withChange((parameters) => parameters.set('cursor', cursor))
    const replaceAt = (index: number) =>
      cursor.slice(0, index) + (cursor[index] === 'A' ? 'B' : 'A') + cursor.slice(index + 1)
    const urls = [
      withChange((parameters) => parameters.set('ordering', '-name')),
      withChange((parameters) => parameters.set('status', 'todo')),
      withChange((parameters) => parameters.set('search', 'x')),
      withChange((parameters) => parameters.delete('status')),
      ...[0, 5, 20, cursor.length - 1].map((index) => withCursor(replaceAt(index))),
      withCursor(`${cursor}=`),
      withCursor(`${cursor}A`),
      withCursor('nonsense'),
      withCursor(''),
    ]
    for (const url of urls) expect(await list(url)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    expect(await list(next, bob)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    // The order of the statuses does not matter.
    expect(await list(withChange((parameters) => parameters.set('status', 'done,todo')))).toMatchObject({ status: 200 })
  })

  test.each(['assignee', 'creator'])('of %s=me is also one of the own id', async (name) => {
    const mine = (await list({ [name]: 'me', limit: '5' })).body
    const byId = (await list({ [name]: ada.id.toUpperCase(), limit: '5' })).body
    expect(byId.results).toEqual(mine.results)
    const url = new URL(mine.next)
    url.searchParams.set(name, ada.id)
    const next = await list(url.href)
    expect(next.status).toBe(200)
    expect(next.body.results).toEqual((await list(mine.next)).body.results)
    expect(await list(mine.next, bob)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
  })

  test('with a forged checksum shows no more than its user may see', async () => {
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
      const response = await list({ ordering: '-updated_at', cursor: forge(keys) })
      expect(response).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    }
    const cursor = forge(['2099-01-01T00:00:00.000Z', newId(new Date())])
    const { status, body } = await list({ ordering: '-updated_at', limit: '100', cursor })
    expect(status).toBe(200)
    expect(idsOf(body)).toEqual(computeList(rows, ada.id, { ordering: '-updated_at' }).map(({ id }) => id))
  })
})
