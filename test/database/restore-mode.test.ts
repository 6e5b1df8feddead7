import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { migrationStatus } from '../../src/database/migration-status.ts'
import { openCommunity } from '../support/community.ts'
import { openDocket } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'

// Databases in the mode that timescaledb_pre_restore() starts, in which the event log cannot be written.

const RESTORING = /in TimescaleDB's restore mode.*select timescaledb_post_restore\(\)/

describe("a database in TimescaleDB's restore mode", async () => {
  const { url, close } = await openCommunity()
  const { call, createUser } = await openDocket({}, { database: url, max: 1 })
  const owner = postgres(url, { max: 1, onnotice: () => {} })
  await owner`select timescaledb_pre_restore()`
  afterAll(() => owner.end().then(close))

  test('is not migrated', async () => {
    const migration = startServer({ DATABASE_URL: url }, ['migrate'])
    expect(await migration.exitCode).toBe(1)
    expect(migration.output()).toMatch(RESTORING)
  })

  test('is not served', async () => {
    const server = startServer({ DATABASE_URL: url })
    expect(await server.exitCode).toBe(1)
    expect(server.output()).toMatch(RESTORING)
  })

  test('gives a 503 until the restore is ended', async () => {
    const { token } = await createUser()
    const create = () => call('POST', '/assignments/', { token, body: { name: 'x' } })
    const unavailable = { status: 503, body: { code: 'unavailable', detail: expect.stringMatching(RESTORING) } }
    expect(await call('GET', '/readyz')).toMatchObject(unavailable)
    expect(await create()).toMatchObject(unavailable)
    await owner`select timescaledb_post_restore()`
    expect(await migrate(url)).toMatchObject({ level: 'community' })
    expect(await call('GET', '/readyz')).toMatchObject({ status: 200 })
    expect(await create()).toMatchObject({ status: 201 })
    await owner`select timescaledb_pre_restore()`
  })
})

test('sessions from before the mode and from within it recover', async () => {
  const before = await openDocket({}, { max: 1 })
  const { token } = await before.createUser()
  const create = async ({ call }: typeof before) =>
    (await call('POST', '/assignments/', { token, body: { name: 'x' } })).status
  const ready = async ({ call }: typeof before) => (await call('GET', '/readyz')).status
  expect([await ready(before), await create(before)]).toEqual([200, 201])

  const owner = postgres(before.url, { max: 1, onnotice: () => {} })
  const name = new URL(before.url).pathname.slice(1)
  const [extension] = await owner`select from pg_extension where extname = 'timescaledb'`
  await owner.unsafe(`alter database ${name} set timescaledb.restoring = 'on'`)
  const within = await openDocket({}, { database: before.url, max: 1 })
  // Without the extension the setting has no effect.
  const status = extension ? 503 : 200
  expect([await ready(before), await ready(within)]).toEqual([status, status])
  expect([await create(before), await create(within)]).toEqual([201, extension ? 503 : 201])

  // A session keeps the mode until its end.
  expect(await ready(within)).toBe(status)
  await owner.unsafe(`alter database ${name} reset timescaledb.restoring`)
  expect(await create(within)).toBe(extension ? 503 : 201)
  expect([await ready(before), await ready(within)]).toEqual([200, 200])
  expect([await create(before), await create(within)]).toEqual([201, 201])
  await owner.end()
})

test('a role that may not read the catalogue sees the mode of its session', async () => {
  const { url } = await openDocket()
  const owner = postgres(url, { max: 1, onnotice: () => {} })
  const role = `reader_${process.pid}`
  await owner.unsafe(`create role ${role} login password 'none'; grant usage on schema drizzle to ${role};
    grant select on all tables in schema public, drizzle to ${role}; revoke select on pg_db_role_setting from public`)
  const reader = new URL(url)
  Object.assign(reader, { username: role, password: 'none' })
  const statusOfNewSession = async () => {
    const { db, close } = connect(reader.href, { max: 1 })
    return migrationStatus(db).finally(close)
  }
  expect(await statusOfNewSession()).toBe('migrated')
  const [extension] = await owner`select from pg_extension where extname = 'timescaledb'`
  await owner.unsafe(`alter database ${new URL(url).pathname.slice(1)} set timescaledb.restoring = 'on'`)
  expect(await statusOfNewSession()).toBe(extension ? 'restoring' : 'migrated')
  await owner.unsafe(`drop owned by ${role}; drop role ${role}`)
  await owner.end()
})

test('a log without its extension is not ready until it is migrated', async () => {
  const { url, close } = await openCommunity()
  const owner = postgres(url, { max: 1, onnotice: () => {} })
  const { db, close: disconnect } = connect(url, { max: 1 })
  expect(await migrationStatus(db)).toBe('migrated')
  await owner`drop extension timescaledb cascade`
  expect(await migrationStatus(db)).toBe('unmigrated')
  await migrate(url)
  expect(await migrationStatus(db)).toBe('migrated')
  await Promise.all([disconnect(), owner.end()])
  await close()
})
