import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { cloneDatabase } from '../support/fixtures.ts'

const db = postgres(await cloneDatabase(), { max: 1 })
afterAll(() => db.end())

test('fold() gives one result for all spellings of every character', async () => {
  // PostgreSQL has no surrogates.
  const different = await db`
    select to_hex(code) as code from generate_series(1, 195101) as code, lateral (select chr(code) as text) as texts
    where code not between 55296 and 57343
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
