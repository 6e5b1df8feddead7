import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { onNode } from '../../src/database/tls.ts'
import { migrate as migrateForPeople } from '../../src/node/database.ts'
import { openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'
import { cloneDatabase, openDocket, post } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'

// test/slow/postgres15.test.ts has the connections that need TLS, other sockets and pgbouncer.

const url = await cloneDatabase()
const name = new URL(url).pathname.slice(1)
const admin = postgres(url, { max: 1, onnotice: () => {} })
afterAll(() => admin.end())

/** Returns the URL with other parts. */
function urlWith({ query = '', user, password, database }: Record<string, string>) {
  const changed = new URL(url)
  changed.search = query
  if (user) changed.username = user
  if (password) changed.password = password
  if (database) changed.pathname = `/${database}`
  return changed.href
}

/** Opens a pool as a server does, until the end of the test. */
function open(target: string, options = {}) {
  const { db, close } = connect(target, { ...onNode, ...options })
  onTestFinished(close)
  return db
}

async function createRole(options: string) {
  const role = `r${randomUUID().replaceAll('-', '')}`
  await admin.unsafe(`create role ${role} login password 'x' ${options}`)
  onTestFinished(async () => {
    await admin.unsafe(`drop owned by ${role}; drop role ${role}`)
  })
  return role
}

describe('a connection', () => {
  test('has the formats that the code relies on, whatever the database says', async () => {
    const own = await cloneDatabase()
    const database = new URL(own).pathname.slice(1)
    const docket = await openDocket({}, { database: own, ...onNode })
    // By a connection of the test, which keeps the settings of before.
    const { id, token } = await docket.createUser()
    for (const setting of [
      `datestyle = 'German'`,
      `timezone = 'Africa/Cairo'`,
      `intervalstyle = 'sql_standard'`,
      'standard_conforming_strings = off',
      'extra_float_digits = 0',
      `bytea_output = 'escape'`,
      `default_transaction_isolation = 'serializable'`,
      `search_path = 'nowhere'`,
    ]) {
      await admin.unsafe(`alter database ${database} set ${setting}`)
    }
    const { body, status } = await docket.call('POST', '/assignments/', { token, body: { name: String.raw`a\'b` } })
    expect(status).toBe(201)
    expect(body).toMatchObject({ name: String.raw`a\'b`, created_at: docket.now().toISOString(), creator: id })
    const { body: list } = await docket.call('GET', '/assignments/?search=%5C%27', { token })
    expect(list.results).toHaveLength(1)
    const [row] = await open(own).execute(`select array[
      current_setting('datestyle'), current_setting('timezone'), current_setting('transaction_isolation')] as settings`)
    expect(row).toEqual({ settings: '{"ISO, MDY",UTC,"read committed"}' })
  })

  test('drops what only other clients understand, and passes on the rest', async () => {
    const query =
      'channel_binding=require&pgbouncer=true&connection_limit=1&schema=public&gssencmode=disable&keepalives=1' +
      '&target_session_attrs=any&uselibpqcompat=true&sslmode=Prefer&statement_timeout=54321&application_name=mine' +
      '&options=-c+work_mem%3D123kB'
    const [row] = await open(urlWith({ query })).execute(`select
      current_setting('statement_timeout') as timeout, current_setting('application_name') as name, current_setting('work_mem') as memory`)
    expect(row).toEqual({ timeout: '54321ms', name: 'mine', memory: '123kB' })
  })

  test('ignores the PG* variables of the environment', async () => {
    const variables = {
      PGHOST: '192.0.2.1',
      PGPORT: '1',
      PGUSER: 'nobody',
      PGUSERNAME: 'nobody',
      PGPASSWORD: 'wrong',
      PGDATABASE: 'nowhere',
      PGSSL: 'require',
      PGSSLMODE: 'verify-full',
      PGTARGETSESSIONATTRS: 'any',
      PGAPPNAME: 'other',
      PGMAX_PIPELINE: '0',
      PGCONNECT_TIMEOUT: '1',
      PGPREPARE: 'x',
      PGOPTIONS: '-c nonsense=1',
    }
    const server = startServer({ DATABASE_URL: url, ...variables })
    expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await server.stop()).toBe(0)
  })
})

describe('the pool', () => {
  test('uses the connections that its role may have, and makes the others wait', async () => {
    const role = await createRole('connection limit 3')
    await admin.unsafe(`grant select on all tables in schema public to ${role}`)
    const db = open(urlWith({ user: role, password: 'x' }), { max: 10 })
    const sleep = () => db.execute(`select pg_sleep(0.01), 1 as one`)
    for (let round = 0; round < 3; round++) {
      const rows = await Promise.all(Array.from({ length: 60 }, sleep))
      expect(rows.every(([row]) => row?.one === 1)).toBe(true)
    }
    const [row] = await admin`select count(*)::int from pg_stat_activity where usename = ${role}`
    expect(row?.count).toBe(3)
  })

  test('limits the statements that a connection keeps prepared', async () => {
    const db = open(url, { max: 1 })
    const run = async (column: string) => {
      const [row] = await db.execute<{ pid: number; prepared: number }>(sql`
        select pg_backend_pid() as pid, (select count(*)::int from pg_prepared_statements) as prepared,
          ${7}::int as ${sql.identifier(column)}`)
      return row as { pid: number; prepared: number }
    }
    const repeated = []
    for (let n = 0; n < 500; n++) repeated.push(await run('same'))
    expect(new Set(repeated.map(({ pid }) => pid)).size).toBe(1)
    const different = []
    for (let n = 0; n < 500; n++) different.push(await run(`column_${n}`))
    expect(Math.max(...different.map(({ prepared }) => prepared))).toBe(200)
    expect(new Set(different.map(({ pid }) => pid)).size).toBe(3)
  })

  test('opens POOL_SIZE connections', async () => {
    const query = 'application_name=sized'
    const server = startServer({ DATABASE_URL: urlWith({ query }), POOL_SIZE: '2', RATE_LIMITS: 'off' })
    const address = await server.url()
    const responses = await Promise.all(
      Array.from({ length: 30 }, () => post(`${address}/accounts/activate-account/`, { code: '7KQ2-M9XD-4HRT-V8CW' })),
    )
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([400]))
    const [row] = await admin`select count(*)::int from pg_stat_activity where application_name = 'sized'`
    expect(row?.count).toBe(2)
    await server.stop()
  })
})

describe('a migration', () => {
  test('says that another one is running, and gives up', async () => {
    const other = postgres(url, { max: 1 })
    onTestFinished(() => other.end())
    await other`select pg_advisory_lock(${0x646f636b})`
    const onWait = vi.fn()
    const migration = migrate(url, undefined, { maxWait: 1, onWait })
    await expect(migration).rejects.toThrow('Another migration has been running for 1 seconds.')
    expect(onWait).toHaveBeenCalledWith(1)
    await other`select pg_advisory_unlock(${0x646f636b})`
    await migrate(url)
  })

  test('finds pg_trgm in another schema', async () => {
    const database = await createDatabase()
    const owner = postgres(urlWith({ database }), { max: 1 })
    await owner.unsafe('create schema "Ext"; create extension pg_trgm schema "Ext"')
    await owner.end()
    await expect(migrate(urlWith({ database }))).resolves.toMatchObject({ level: expect.any(String) })
  })

  test('makes its tables in the schema public, whatever the search path is', async () => {
    const database = await createDatabase()
    await admin.unsafe(`alter database ${database} set search_path = elsewhere`)
    await migrate(urlWith({ database }))
    expect(await open(urlWith({ database })).execute('select from users')).toEqual([])
  })
})

describe('an error says what to do about', () => {
  /** Expects the message of a migration that fails. */
  const expectAdvice = (target: string, ...parts: (string | RegExp)[]) =>
    migrateForPeople(target).then(
      () => expect.unreachable('It migrated.'),
      ({ message }) => {
        for (const part of parts) expect(message).toMatch(part)
        expect(message).not.toMatch('secret')
      },
    )

  test('a database that does not exist', () =>
    expectAdvice(urlWith({ database: 'nowhere' }), '3D000', 'create database'))

  test('a wrong password', async () => {
    // A cluster of its own, since that of the tests asks for no password.
    const { url, stop } = await openEmbeddedPostgres(await temporaryFolder())
    onTestFinished(stop)
    const wrong = new URL(url)
    wrong.password = 'secret'
    await expectAdvice(wrong.href, '28P01', 'password')
  })

  test('a closed port', () => expectAdvice('postgres://u:secret@127.0.0.1:1/d', 'ECONNREFUSED', 'Start PostgreSQL'))

  test('an unknown host', () =>
    expectAdvice('postgres://u:secret@nowhere.invalid/d', /ENOTFOUND|EAI_AGAIN/, 'host name'))

  test('a missing Unix socket', () => expectAdvice('postgres://u:secret@/d?host=/nowhere', 'ENOENT', 'Unix socket'))

  test('a server without TLS', () =>
    expectAdvice(urlWith({ query: 'sslmode=require' }), 'TLS_REFUSED', 'sslmode=disable'))

  test('a file that cannot be read', () =>
    expectAdvice(urlWith({ query: 'sslrootcert=/secret.pem' }), 'sslrootcert cannot be read', 'ENOENT'))

  test.each([
    ['sslmod=require', 'sslmod'],
    ['statement_timeout=secret', 'statement_timeout'],
    ['shared_buffers=1', 'shared_buffers'],
    ['options=-c nonsense=secret', 'nonsense'],
  ])('the parameter in ?%s', (query, parameter) =>
    expectAdvice(urlWith({ query }), `DATABASE_URL has the parameter ${parameter}`, 'Correct or remove it'),
  )

  test('a user that may not create tables', async () => {
    const user = await createRole('')
    const database = await createDatabase()
    const target = urlWith({ user, password: 'x', database })
    await expectAdvice(target, '42501', 'grant create on database')
    await admin.unsafe(`grant create on database ${database} to ${user}`)
    await expectAdvice(target, '42501', 'grant create on schema public')
    await admin.unsafe(`alter database ${database} owner to ${user}`)
    await migrateForPeople(target)
    await admin.unsafe(`drop database ${database} with (force)`)
  })

  test('a missing privilege, and serves with those that the documentation lists', async () => {
    const database = await cloneDatabase()
    const own = new URL(database).pathname
    const owner = postgres(database, { max: 1 })
    const user = await createRole('')
    onTestFinished(async () => {
      await owner.unsafe(`drop owned by ${user}`)
      await owner.end()
    })
    const target = urlWith({ user, password: 'x', database: own.slice(1) })
    const before = startServer({ DATABASE_URL: target })
    expect(await before.exitCode).toBe(1)
    expect(before.output()).toMatch('docs/deploy-node.md')
    await owner.unsafe(`
      grant usage on schema public, drizzle to ${user};
      grant select on drizzle.__drizzle_migrations to ${user};
      grant select, insert, update, delete on all tables in schema public to ${user}`)
    const docket = await openDocket({}, { database: target })
    const { token } = await docket.createUser()
    expect(await docket.call('POST', '/assignments/', { token, body: { name: 'x' } })).toMatchObject({ status: 201 })
    expect(await docket.call('GET', '/assignments/reports/flow/', { token })).toMatchObject({ status: 200 })
    expect(await docket.call('GET', '/readyz')).toMatchObject({ status: 200 })
    await docket.purge()
  })

  test('a database in another encoding', async () => {
    const database = await createDatabase(`encoding 'LATIN1' locale 'C' locale_provider libc template template0`)
    await expectAdvice(urlWith({ database }), 'LATIN1', `encoding 'UTF8'`)
  })

  test('a read-only server', async () => {
    const query = 'default_transaction_read_only=on'
    await expectAdvice(urlWith({ query, database: await createDatabase() }), '25006', 'primary')
  })

  test('tables of another program', async () => {
    const database = await createDatabase()
    const owner = postgres(urlWith({ database }), { max: 1 })
    await owner`create table users ()`
    await owner.end()
    await expectAdvice(urlWith({ database }), '42P07', 'Use an empty database')
  })

  test('a role without connections', async () => {
    const user = await createRole('connection limit 0')
    await expectAdvice(urlWith({ user, password: 'x' }), '53300', 'POOL_SIZE')
  })
})

let count = 0

/** Creates an empty database that is dropped after the tests. */
async function createDatabase(options = '') {
  const database = `${name}_empty${count++}`
  await admin.unsafe(`create database ${database} ${options}`)
  return database
}
