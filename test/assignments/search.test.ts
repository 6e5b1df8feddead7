import { describe, expect, test } from 'vitest'
import { type Json, openDocket } from '../support/fixtures.ts'

const { call, createUser, advance, now } = await openDocket()
const { token } = await createUser()

const create = async (name: string, description = '') => {
  advance(1)
  return call('POST', '/assignments/', { token, body: { name, description } })
}

const find = async (search: string, query = {}) => {
  const path = `/assignments/?${new URLSearchParams({ ordering: 'created_at', ...query, search })}`
  const { status, body } = await call('GET', path, { token })
  return status === 200 ? body.results.map(({ name }: Json) => name) : status
}

const NFD = 're\u0301sume\u0301 e\u0301crit'
const NFC = NFD.normalize('NFC')
await create(NFD)
await create(NFC.toUpperCase())
await create('other', NFC)
await create('two red pages', 'red and two pages')
await create('The “final” report')

describe('a search', () => {
  test('finds a text however its letters are composed', async () => {
    const all = [NFD, NFC.toUpperCase(), 'other']
    for (const search of [NFC, NFD, NFC.toUpperCase(), NFD.toUpperCase(), `"${NFD}"`, 'e\u0301c', 'éC']) {
      expect([search, await find(search)]).toEqual([search, all])
      expect([search, await find(search, { as_of: now().toISOString() })]).toEqual([search, all])
    }
    expect(await find('e\u0301'.repeat(150))).toEqual([])
    expect(await find('e\u0301'.repeat(201))).toBe(400)
  })

  test('finds a text with more combining marks than count by itself', async () => {
    for (const count of [63, 64, 65, 66, 70, 150]) {
      const name = `Wa${count}a${'\u0301'.repeat(count)}`
      await create(name)
      for (const search of [name, name.normalize('NFC'), name.toUpperCase()]) expect(await find(search)).toContain(name)
    }
  })

  test.each([
    ['Hauptstraße 5', ['hauptstrasse', 'HAUPTSTRASSE', 'hauptstraße', 'HAUPTSTRAẞE', '"STRASSE 5"', 'ss']],
    ['ΝΕΟΣ ΤΌΠΟΣ', ['νεος', 'νεοσ', 'τόπος', 'ΤΟ\u0301ΠΟΣ']],
    ['ᾼδω 100%_\\', ['αιδω', 'ᾳδω', 'ΑΙΔΩ 100%_\\', '%_\\']],
    ['ﬁnal eﬀort', ['FINAL', 'effort', '"final eff"']],
    ['5 µm', ['5 μM', 'Μm']],
    ['İstanbul ısı', ['istanbul', 'İSTANBUL', 'i\u0307stanbul', 'ısı']],
    ['ᏣᎳᎩ ꮳꮃꭹ', ['ꮳꮃꭹ', 'ᏣᎳᎩ']],
  ])('of %s ignores case by full case folding', async (name, searches) => {
    await create(name)
    for (const search of searches) {
      expect([search, (await find(search)).includes(name)]).toEqual([search, true])
      expect([search, (await find(search, { as_of: now().toISOString() })).includes(name)]).toEqual([search, true])
    }
  })

  test.each(['""', '“”', '„“', '„”', '””', '«»', '»«', '‹›', '〝〟', '＂＂', '「」', '“"', '"”'])(
    'takes %s for the quotes of a phrase',
    async ([open, close]) => {
      expect(await find(`${open}red pages${close}`)).toEqual(['two red pages'])
      expect(await find(`${open}two pages${close}`)).toEqual(['two red pages'])
      expect(await find(`${open}pages two${close}`)).toEqual([])
      expect(await find(`${open}red pages${close},${open}two red${close} and`)).toEqual(['two red pages'])
    },
  )

  test('ignores the spaces in French quotes, and quotes without a pair', async () => {
    for (const space of [' ', '\u00a0', '\u202f']) expect(await find(`«${space}red pages${space}»`)).toHaveLength(1)
    for (const search of ['“final” report', '"The “final” report"', 'final”', '„final', '”']) {
      expect([search, (await find(search)).includes('The “final” report')]).toEqual([search, true])
    }
    expect(await find("it's")).toEqual([])
  })
})

test('names sort the same however their letters are composed', async () => {
  const other = await createUser()
  for (const name of ['éb', 'e\u0301a', 'Éc']) {
    await call('POST', '/assignments/', { token: other.token, body: { name } })
  }
  const { body } = await call('GET', '/assignments/?ordering=name', { token: other.token })
  expect(body.results.map(({ name }: Json) => name.normalize('NFC'))).toEqual(['éa', 'éb', 'Éc'])
})

test('names sort by their full case folding, page by page in both directions', async () => {
  const { token } = await createUser()
  const sorted = ['stras', 'STRASSE', 'Straße', 'strasse 2', 'straßf', 'strast', 'ŉ', 'ʼno']
  for (const name of sorted.toReversed()) {
    advance(1)
    await call('POST', '/assignments/', { token, body: { name } })
  }
  // Those that are equal are in the order of their creation.
  const expected = ['stras', 'Straße', 'STRASSE', 'strasse 2', 'straßf', 'strast', 'ŉ', 'ʼno']
  const read = async (ordering: string) => {
    const names: string[] = []
    let path: string | undefined = `/assignments/?limit=1&ordering=${ordering}`
    while (path) {
      const { body }: { body: Json } = await call('GET', path, { token })
      names.push(...body.results.map(({ name }: Json) => name))
      path = body.next?.replace(/^https?:\/\/[^/]+/, '')
    }
    return names
  }
  expect(await read('name')).toEqual(expected)
  expect(await read('-name')).toEqual(expected.toReversed())
})

describe('a name', () => {
  test.each([
    '\u200b',
    '\u200d\u2060',
    '\u3164',
    '\u2800',
    '\u00ad',
    '\ufe0f',
    '\u0301',
    '\u115f\u1160',
    '\u{e0041}',
    '\u180e',
    '\u202e',
    '\uffff',
    '\u{1d159}',
  ])('of %j alone is rejected, since nobody can see it', async (name) => {
    const { body } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
    for (const [method, path] of [
      ['POST', '/assignments/'],
      ['PUT', `/assignments/${body.id}/`],
      ['PATCH', `/assignments/${body.id}/`],
    ] as const) {
      const answer = await call(method, path, { token, body: { name } })
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ in: 'body', pointer: '/name' }] } })
    }
  })

  test.each(['.', '-', '0', '✓', '👍🏽', '👩‍🚀', '🇪🇺', '日', 'א', '\u200bx', 'न', '\u{1f9ff}'])(
    'of %j is accepted',
    async (name) => {
      expect(await call('POST', '/assignments/', { token, body: { name } })).toMatchObject({
        status: 201,
        body: { name },
      })
    },
  )
})
