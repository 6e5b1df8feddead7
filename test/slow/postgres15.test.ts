import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { hasPostgres15, startPostgres15 } from '../support/postgres15.ts'

describe.skipIf(!hasPostgres15)('on PostgreSQL 15', async () => {
  const server = hasPostgres15 ? await startPostgres15() : undefined
  afterAll(() => server?.stop())

  test('fold() gives the result that PostgreSQL 18 gives', async () => {
    const { url = '', admin } = server ?? {}
    await migrate(url)
    const other = postgres(await cloneDatabase(), { max: 1 })
    // Each letter alone and within a word, as hashes of 256 code points.
    const foldAll = (client: postgres.Sql | undefined) =>
      client?.unsafe(`
      select to_hex(code / 256) as block, md5(string_agg(fold(chr(code)) || fold('ΑΣ' || chr(code) || 'Σ'), ' ' order by code))
      from generate_series(1, x'10ffff'::int) as code where code not between x'd800'::int and x'dfff'::int
      group by code / 256 order by code / 256`)
    const [on15, on18] = [await foldAll(admin), await foldAll(other)]
    await other.end()
    expect(on15?.length).toBe(4344)
    expect(on15).toEqual(on18)
    expect(await admin?.unsafe(`select fold('İΣ') as folded`)).toEqual([{ folded: 'iσ' }])
  })
})
