import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { fold } from '../reference/fold.ts'
import { cloneDatabase } from '../support/fixtures.ts'

const url = await cloneDatabase()
const db = postgres(url, { max: 1, onnotice: () => {} })
afterAll(() => db.end())

/** Creates a database without collations for all of Unicode, as PostgreSQL 15 has without ICU. */
async function createDatabaseWithoutIcu() {
  const target = new URL(url)
  target.pathname += '_c'
  const name = target.pathname.slice(1)
  await db.unsafe(`create database ${name} template template0 encoding 'UTF8' locale 'C'`)
  const client = postgres(target.href, { max: 1, onnotice: () => {} })
  await client`delete from pg_collation where collname in ('pg_c_utf8', 'und-x-icu')`
  await migrate(target.href)
  afterAll(() => client.end())
  return client
}

// The planes that have letters; test/slow/folding.test.ts has all. PostgreSQL has no surrogates.
const isSurrogate = (code: number) => code >= 0xd800 && code <= 0xdfff
const characters = Array.from({ length: 0x1ffff }, (_, index) => index + 1)
  .filter((code) => !isSurrogate(code))
  .map((code) => String.fromCodePoint(code))

/** Returns the texts whose folding is not as expected, with both. */
async function wronglyFolded(client: postgres.Sql, texts: string[]) {
  const rows = await client<{ folded: string }[]>`
    select fold(text) as folded from jsonb_array_elements_text(${JSON.stringify(texts)}::text::jsonb)
    with ordinality as texts (text, place) order by place`
  return texts.flatMap((text, index) => {
    const [folded, expected] = [rows[index]?.folded, fold(text)]
    return folded === expected ? [] : [{ text, folded, expected }]
  })
}

/** Returns random texts of letters whose folding has several characters, marks, and letters of many scripts. */
function randomTexts(count: number) {
  const letters = [...'aAiIİıßẞſŉǰΐΰևẚﬃﬗΑΣςσᾳᾼᾴῼωΩµμKKÅÅᲀЙйꭰᏸᎠ가각ᄀ゙か語-" 😀']
  const marks = [...'़्ִً̧̣̱̀́̇̈̌͂ͅ']
  let seed = 7
  const pick = (list: string[]) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return list[(seed >> 8) % list.length] as string
  }
  return Array.from({ length: count }, (_, index) =>
    Array.from({ length: 1 + (index % 9) }, (_, place) => pick(place % 2 ? [...letters, ...marks] : letters)).join(''),
  )
}

const withoutIcu = await createDatabaseWithoutIcu()

describe.each([
  ['with', db],
  ['without', withoutIcu],
])('fold() %s a collation for all of Unicode', (_, client) => {
  test('gives the full case folding of every character, also within a word', async () => {
    const rows = await client<{ letter: string }[]>`
      select chr(code) as letter from generate_series(1, x'1ffff'::int) as code
      where code not between 55296 and 57343 and fold(chr(code)) <> chr(code)`
    const folded = rows.map(({ letter }) => letter)
    expect(folded).toEqual(characters.filter((character) => fold(character) !== character))
    expect(await wronglyFolded(client, folded)).toEqual([])
    const words = [...folded, ...characters.filter((character) => /\p{M}/u.test(character))]
    expect(
      await wronglyFolded(
        client,
        words.map((letter) => `Σß${letter}Σ`),
      ),
    ).toEqual([])
  })

  test('gives the full case folding of letters with marks in any order and spelling', async () => {
    const texts = randomTexts(5_000)
    expect(await wronglyFolded(client, texts)).toEqual([])
    expect(
      await wronglyFolded(
        client,
        texts.map((text) => text.normalize('NFC')),
      ),
    ).toEqual([])
    expect(
      await wronglyFolded(
        client,
        texts.map((text) => text.normalize('NFD')),
      ),
    ).toEqual([])
  })
})

test('fold() takes linear time for marks in the wrong order', async () => {
  const rows = await db`
    select length(fold('a' || repeat(chr(769), 50000) || repeat(chr(803), 50000))) as length,
      fold(repeat('ŉﬃ', 10000)) = repeat('ʼnffi', 10000) as is_folded`
  expect(rows).toEqual([{ length: 64, is_folded: true }])
})

test('fold() ignores normalization with up to 64 marks in a row', async () => {
  const text = `é${'\u0323\u0301'.repeat(31)} straße`
  expect(await wronglyFolded(db, [text, text.normalize('NFD'), text.normalize('NFC')])).toEqual([])
})

test('fold() gives one result for all spellings of every character', async () => {
  // PostgreSQL has no surrogates.
  const different = await db`
    select to_hex(code) as code from generate_series(1, 195101) as code, lateral (select chr(code) as text) as texts
    where code not between 55296 and 57343 and text is not nfd normalized
      and (fold(text) <> fold(normalize(text, NFD)) or fold(fold(text)) <> fold(text) or not fold(text) is nfc normalized)`
  expect(different).toEqual([])
})

test('fold() gives one result for all spellings of a letter with marks, in both cases', async () => {
  const different = await db`
    select letter, to_hex(mark) as mark
    from regexp_split_to_table('aAbBcCdDeEhHiIjJlLnNoOsStTuUwWyYzZßıİǰǅΑαΗηΙιΡρΥυΩωΣςИиЁё', '') as letter,
      generate_series(768, 837) as mark,
      lateral (select letter || chr(mark) as one, letter || chr(803) || chr(mark) as two) as texts
    where fold(one) <> fold(normalize(one, NFC)) or fold(two) <> fold(normalize(two, NFC))
      or fold(letter || chr(mark) || chr(803)) is distinct from fold(normalize(letter || chr(mark) || chr(803), NFC))
      or fold(one) <> fold(fold(one)) or fold(upper(one)) <> fold(normalize(upper(one), NFD))
      or not fold(one) is nfc normalized or not fold(two) is nfc normalized`
  expect(different).toEqual([])
})

test('fold() and address_key() give null for null', async () => {
  expect(await db`select fold(null) as a, address_key(null) as b`).toEqual([{ a: null, b: null }])
})

test('maintenance computes the indexes of names and addresses', async () => {
  const id = '01986f5e-7c00-7000-8000-0123456789ab'
  await db`insert into users (id, email, first_name, last_name, password, created_at, updated_at)
    values (${id}, 'ada@bücher.example', 'A', 'L', '', now(), now())`
  await db`insert into assignments (id, name, description, status, assignee, creator, created_at, updated_at, version)
    values (${id}, 'Ωmega Ⴀ 𐐀 é', '', 'todo', ${id}, ${id}, now(), now(), 1)`
  // Autovacuum has no search path since PostgreSQL 17, and pg_restore has none.
  await db`set search_path = pg_catalog`
  await db`analyze public.users`
  await db`vacuum analyze public.assignments`
  await db`reindex table public.users`
  await db`reindex table public.assignments`
  await db`reset search_path`
})
