import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { fold } from '../reference/fold.ts'
import { cloneDatabase } from '../support/fixtures.ts'

const db = postgres(await cloneDatabase(), { max: 1 })
afterAll(() => db.end())

test('fold() gives the full case folding of all characters', { timeout: 600_000 }, async () => {
  const rows = await db<{ code: number; folded: string }[]>`
    select code, fold(chr(code)) as folded from generate_series(1, 1114111) as code
    where code not between 55296 and 57343`
  expect(rows.filter(({ code, folded }) => folded !== fold(String.fromCodePoint(code)))).toEqual([])
})

test('fold() agrees with the casefold() of PostgreSQL 18, but for İ', { timeout: 600_000 }, async () => {
  const [support] = await db`select to_regproc('casefold') is not null as has_casefold`
  if (!support?.has_casefold) return
  const different = await db`
    select chr(code) as letter from generate_series(1, 1114111) as code
    where code not between 55296 and 57343
      and fold(chr(code)) <> normalize(casefold(chr(code) collate pg_unicode_fast), NFC)`
  // PostgreSQL 18 knows Unicode 16.
  const isNew = (letter: string) => /[\ua7ce\ua7d2\ua7d4\u{16ea0}-\u{16eb8}]/u.test(letter)
  expect(different.map(({ letter }) => letter).filter((letter) => !isNew(letter))).toEqual(['İ'])
})
