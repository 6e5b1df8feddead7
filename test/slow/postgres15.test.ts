import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { onNode } from '../../src/database/tls.ts'
import { migrate as migrateForPeople } from '../../src/node/database.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { hasPgbouncer, hasPostgres15, startPgbouncer, startPostgres15 } from '../support/postgres15.ts'
import { startServer } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/wait.ts'

const run = promisify(execFile)

/** Runs a statement as a server would, with a pool of its own. */
async function query(url: string, text = 'select 1 as one') {
  const { db, close } = connect(url, onNode)
  try {
    return [...(await db.execute<Record<string, unknown>>(text))]
  } finally {
    await close()
  }
}

const outcome = (url: string) =>
  migrateForPeople(url).then(
    () => 'migrated',
    ({ message }) => message as string,
  )

describe.skipIf(!hasPostgres15)('PostgreSQL 15', async () => {
  const server = hasPostgres15 ? await startPostgres15() : undefined
  afterAll(() => server?.stop())
  const { url = '', port = 0, folder = '', socketUrl = '', admin } = server ?? {}

  test('folds letters as PostgreSQL 18 does', async () => {
    await migrate(url)
    const other = postgres(await cloneDatabase(), { max: 1 })
    // Each letter of the planes that have some, alone and within a word, as hashes of 256 code points.
    const foldAll = (client: postgres.Sql | undefined) =>
      client?.unsafe(`
      select to_hex(code / 256) as block, md5(string_agg(fold(chr(code)) || fold('ΑΣ' || chr(code) || 'Σ'), ' ' order by code))
      from generate_series(1, x'1ffff'::int) as code where code not between x'd800'::int and x'dfff'::int
      group by code / 256 order by code / 256`)
    const [on15, on18] = [await foldAll(admin), await foldAll(other)]
    await other.end()
    expect(on15?.length).toBe(504)
    expect(on15).toEqual(on18)
    expect(await admin?.unsafe(`select fold('İΣ') as folded`)).toEqual([{ folded: 'iσ' }])
  })

  test.each([
    ['IPv6', () => `postgres://postgres@[::1]:${port}/postgres`],
    ['a Unix socket in the query', () => `postgres://postgres:x@localhost/postgres?host=${folder}&port=${port}`],
    ['a Unix socket without a host', () => socketUrl],
    ['a Unix socket as the host', () => `postgres://postgres@${encodeURIComponent(folder)}:${port}/postgres`],
    ['a Unix socket that is named itself', () => `postgres://postgres@/postgres?host=${folder}/.s.PGSQL.${port}`],
    ['a Unix socket, with the TLS that only TCP needs', () => `${socketUrl}&sslmode=verify-full`],
    ['several hosts, the first of them down', () => `postgres://postgres@127.0.0.1:1,[::1]:${port}/postgres`],
    ['a name and its address', () => `postgres://postgres@nowhere.invalid:${port}/postgres?hostaddr=127.0.0.1`],
  ])('is reached, migrated and served by %s', async (_, target) => {
    expect(await outcome(target())).toBe('migrated')
    const process = startServer({ DATABASE_URL: target() })
    expect(await fetch(`${await process.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await process.stop()).toBe(0)
  })

  test('is replaced by the next host that accepts writes', async () => {
    const proxy = await startProxy(url)
    onTestFinished(() => void proxy.close())
    const target = `postgres://postgres@127.0.0.1:${new URL(proxy.url).port},127.0.0.1:${port}/postgres`
    const { db, close } = connect(target, onNode)
    onTestFinished(close)
    const portOfServer = async () => (await db.execute('select 1 as one'))[0]?.one
    expect(await portOfServer()).toBe(1)
    proxy.close()
    await until(() =>
      portOfServer().then(
        () => true,
        () => false,
      ),
    )
    await admin?.unsafe('alter system set default_transaction_read_only = on')
    await admin?.unsafe('select pg_reload_conf()')
    await expect(query(target, 'create table t ()')).rejects.toThrow()
    await admin?.unsafe('alter system reset default_transaction_read_only')
    await admin?.unsafe('select pg_reload_conf()')
    expect(await query(target)).toEqual([{ one: 1 }])
  })

  // Only root can hide the files of the extension.
  test.skipIf(process.getuid?.() !== 0)('without pg_trgm says where to get it', async () => {
    await admin?.unsafe('create database bare')
    const control = '/usr/share/postgresql/15/extension/pg_trgm.control'
    const backup = join(folder, 'pg_trgm.control')
    await run('mv', [control, backup])
    onTestFinished(async () => void (await run('mv', [backup, control])))
    expect(await outcome(url.replace(/postgres$/, 'bare'))).toMatch(
      /\((0A000|58P01)\)\. PostgreSQL lacks the extension pg_trgm/,
    )
  })
})

describe.skipIf(!hasPostgres15)('PostgreSQL 15 with TLS', async () => {
  const files = hasPostgres15 ? await createCertificates() : undefined
  const server = files
    ? await startPostgres15({
        settings: `ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n`,
        access: [
          'local all all trust',
          'hostssl all needs_certificate all cert',
          'hostssl all all all trust',
          'hostnossl all plain all trust',
        ].join('\n'),
        files: files.server,
      })
    : undefined
  afterAll(() => server?.stop())
  const { port = 0, admin } = server ?? {}
  await admin?.unsafe('create role needs_certificate login; create role plain login')
  const ca = files?.ca
  const at = (host: string, parameters: string, user = 'postgres') =>
    `postgres://${user}@${host}:${port}/postgres?${parameters}`

  test.each([
    ['disable', '28000'],
    ['prefer', 'ok'],
    ['allow', 'ok'],
    ['require', 'ok'],
    ['Require', 'ok'],
    ['no-verify', 'ok'],
    ['verify-ca', 'not trusted'],
    ['verify-full', 'not trusted'],
  ])('and sslmode=%s gives: %s', async (mode, expected) => {
    const result = await outcome(at('127.0.0.1', `sslmode=${mode}`))
    if (expected === 'ok') expect(result).toBe('migrated')
    else expect(result).toMatch(expected)
  })

  // The certificate is for localhost and ::1.
  test.each([
    ['localhost', 'verify-full', 'ok'],
    ['[::1]', 'verify-full', 'ok'],
    ['127.0.0.1', 'verify-full', 'for another host'],
    ['127.0.0.1', 'verify-ca', 'ok'],
    ['127.0.0.1', 'require', 'ok'],
    ['other.example', 'verify-full&hostaddr=127.0.0.1', 'for another host'],
  ])('is verified as %s with sslmode=%s: %s', async (host, mode, expected) => {
    const result = await outcome(at(host, `sslmode=${mode}&sslrootcert=${ca}`))
    if (expected === 'ok') expect(result).toBe('migrated')
    else expect(result).toMatch(expected)
  })

  test('is verified by the name, and reached by the address, of hostaddr', async () => {
    expect(await outcome(at('localhost', `sslmode=verify-full&sslrootcert=${ca}&hostaddr=127.0.0.1`))).toBe('migrated')
  })

  test('is not trusted with other root certificates', async () => {
    expect(await outcome(at('localhost', `sslmode=require&sslrootcert=${files?.otherCa}`))).toMatch('not trusted')
    expect(await outcome(at('localhost', 'sslrootcert=system'))).toMatch('not trusted')
  })

  test('gets the client certificate that it asks for', async () => {
    const parameters = `sslmode=verify-full&sslrootcert=${ca}`
    const client = `&sslcert=${files?.clientCertificate}&sslkey=${files?.clientKey}`
    expect(await query(at('localhost', parameters + client, 'needs_certificate'))).toEqual([{ one: 1 }])
    expect(await outcome(at('localhost', parameters, 'needs_certificate'))).toMatch(/\(28000\).*client certificate/)
  })

  test('encrypts, and cancels a slow statement over TLS', async () => {
    const target = at('localhost', `sslmode=verify-full&sslrootcert=${ca}`)
    const isEncrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
    expect(await query(target, isEncrypted)).toEqual([{ ssl: true }])
    await expect(query(target, 'select pg_sleep(20)')).rejects.toMatchObject({ cause: { code: 'STATEMENT_TIMEOUT' } })
    await until(async () => {
      const running = await admin?.unsafe(
        `select from pg_stat_activity where query = 'select pg_sleep(20)' and state = 'active'`,
      )
      return running?.length === 0
    })
  })
})

describe.skipIf(!hasPostgres15 || !hasPgbouncer)('pgbouncer in transaction mode', async () => {
  const server = hasPostgres15 && hasPgbouncer ? await startPostgres15() : undefined
  const pooler = server && (await startPgbouncer(server.port, 'default_pool_size = 3'))
  const small = server && (await startPgbouncer(server.port, 'default_pool_size = 1\nmax_client_conn = 5'))
  afterAll(async () => {
    await pooler?.stop()
    await small?.stop()
    await server?.stop()
  })
  const { url = '' } = pooler ?? {}

  test('keeps no lock of migrations, also of four at once', async () => {
    await Promise.all(Array.from({ length: 4 }, () => migrate(url)))
    await migrate(small?.url ?? '')
    await migrate(server?.url ?? '', undefined, { maxWait: 1 })
    expect(await server?.admin.unsafe(`select from pg_locks where locktype = 'advisory'`)).toEqual([])
  })

  test('is told the formats that the code relies on', async () => {
    await server?.admin.unsafe(
      `alter database postgres set datestyle = 'SQL, DMY'; alter database postgres set timezone = 'Asia/Kabul'`,
    )
    const { db, close } = connect(`${url}?pgbouncer=true`, { ...onNode, max: 5 })
    onTestFinished(close)
    const read = () => db.execute(`select timestamptz '2026-02-01T10:00:00Z' as at`)
    const rows = await Promise.all(Array.from({ length: 30 }, read))
    expect(rows.every(([row]) => row?.at === '2026-02-01T10:00:00.000Z')).toBe(true)
  })

  test.each(['', '?pgbouncer=true'])('serves a URL with "%s"', async (parameters) => {
    const process = startServer({ DATABASE_URL: url + parameters, RATE_LIMITS: 'off' })
    const address = await process.url()
    const tokens = Array.from({ length: 40 }, () =>
      fetch(`${address}/accounts/`, { headers: { Authorization: 'Bearer dkt_x' } }).then(({ status }) => status),
    )
    expect(new Set(await Promise.all(tokens))).toEqual(new Set([401]))
    await process.stop()
  })

  test('that has few places makes statements wait', async () => {
    const { db, close } = connect(small?.url ?? '', { ...onNode, max: 10 })
    onTestFinished(close)
    const rows = await Promise.all(Array.from({ length: 50 }, () => db.execute('select 1 as one')))
    expect(rows.every(([row]) => row?.one === 1)).toBe(true)
  })

  test('names the parameter that it refuses', async () => {
    expect(await outcome(`${url}?statement_timeout=5`)).toMatch('DATABASE_URL has the parameter statement_timeout')
  })
})

/** Creates a certificate authority, a certificate for localhost and ::1, one for a client, and another authority. */
async function createCertificates() {
  const folder = await temporaryFolderForFile()
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folder })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const name of ['ca', 'other']) {
    await openssl('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`)
  }
  for (const [name, subject, extension] of [
    ['server', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:::1'],
    ['client', '/CN=needs_certificate', 'extendedKeyUsage=clientAuth'],
  ] as const) {
    await openssl(
      'req',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      subject,
      '-addext',
      extension,
    )
    await openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-copy_extensions',
      'copy',
      '-out',
      `${name}.crt`,
    )
  }
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  return {
    ca: join(folder, 'ca.crt'),
    otherCa: join(folder, 'other.crt'),
    clientCertificate: join(folder, 'client.crt'),
    clientKey: join(folder, 'client.key'),
    server: {
      'server.crt': await read('server.crt'),
      'server.key': await read('server.key'),
      'ca.crt': await read('ca.crt'),
    },
  }
}

async function temporaryFolderForFile() {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  afterAll(() => rm(folder, { recursive: true }))
  return folder
}
