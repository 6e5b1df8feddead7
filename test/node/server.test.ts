import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { describe, expect, inject, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { migrationStatus } from '../../src/database/migration-status.ts'
import { freePort } from '../../src/node/embedded-postgres.ts'
import { cloneDatabase, PASSWORD, post } from '../support/fixtures.ts'
import { entry, startServer, temporaryFolder } from '../support/process.ts'
import { openRaw } from '../support/raw.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }

describe('a server with DATABASE_URL', () => {
  test('refuses a database that is not migrated and names the command', async () => {
    const url = await emptyDatabase()
    const refused = startServer({ DATABASE_URL: url })
    expect(await refused.exitCode).toBe(1)
    expect(refused.output()).toMatch(/is not migrated to this version of Docket\. Run: npm run db:migrate/)
    expect(refused.output()).not.toMatch(/ at .*:\d+:\d+/)

    const migration = startServer({ DATABASE_URL: url }, ['migrate'])
    expect(await migration.exitCode).toBe(0)
    expect(migration.output()).toMatch(/is migrated\./)
    const server = startServer({ DATABASE_URL: url })
    expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await server.stop()).toBe(0)
  })

  test('can be migrated by four processes at the same time', async () => {
    const url = await emptyDatabase()
    await Promise.all(Array.from({ length: 4 }, () => migrate(url)))
    const { db, close } = connect(url, { max: 1 })
    expect(await migrationStatus(db)).toBe('migrated')
    await close()
  })

  test('explains wrong settings and unreachable databases, without passwords', async () => {
    const wrong = startServer({ PORT: 'http', RATE_LIMITS: 'never' })
    expect(await wrong.exitCode).toBe(1)
    expect(wrong.output()).toBe(
      'Docket did not start.\n' +
        'PORT must be a port number from 0 to 65535, for example 8000.\n' +
        'RATE_LIMITS must be on or off.\n',
    )
    const nowhere = startServer({ DATABASE_URL: 'postgres://docket:secret@127.0.0.1:1/docket' })
    expect(await nowhere.exitCode).toBe(1)
    expect(nowhere.output()).toContain('The database docket at 127.0.0.1:1 cannot be used (ECONNREFUSED)')
    expect(nowhere.output()).not.toContain('secret')
  })

  test('lists the commands when it does not know one', async () => {
    const mistyped = startServer({}, ['migrat'])
    expect(await mistyped.exitCode).toBe(1)
    expect(mistyped.output()).toMatch(/^Docket did not start\.\nThere is no command "migrat"\. The commands are:\n/)
    expect(mistyped.output()).toMatch(/node \S+node\.js migrate /)
  })

  test('works in an install without development dependencies', async () => {
    const root = new URL('../..', import.meta.url).pathname
    const folder = await temporaryFolder()
    for (const part of ['package.json', 'package-lock.json', 'src', 'drizzle']) {
      await cp(join(root, part), join(folder, part), { recursive: true })
    }
    // The packages that `npm ci --omit=dev` would install, without network.
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
    for (const [path, { dev, devOptional, optional }] of Object.entries<Record<string, boolean>>(packages)) {
      const isKept = path.startsWith('node_modules/') && !path.includes('/node_modules/', 13)
      if (!isKept || dev || devOptional || optional) continue
      await mkdir(join(folder, path, '..'), { recursive: true })
      await symlink(join(root, path), join(folder, path))
    }
    const { PATH = '' } = process.env
    const migration = await promisify(execFile)(process.execPath, ['--preserve-symlinks', 'src/node.ts', 'migrate'], {
      cwd: folder,
      env: { PATH, DATABASE_URL: await emptyDatabase() },
    })
    expect(migration.stdout).toMatch(/is migrated/)
  })

  test('works as a bundle in a folder of its own', async () => {
    const folder = await temporaryFolder()
    await cp(dirname(entry), folder, { recursive: true })
    const args = [join(folder, basename(entry))]
    const server = startServer({ DATABASE_URL: await emptyDatabase() }, ['migrate'], { args })
    expect([await server.exitCode, server.output()]).toEqual([0, expect.stringContaining('is migrated')])
    const docs = startServer({ DATABASE_URL: await cloneDatabase() }, [], { args })
    for (const path of ['/readyz', '/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js']) {
      expect(await fetch((await docs.url()) + path)).toMatchObject({ status: 200 })
    }
    expect(await docs.stop()).toBe(0)
  })

  test('logs a JSON line for each request, with the route instead of the path', async () => {
    const server = startServer({ DATABASE_URL: await cloneDatabase(), RATE_LIMITS: 'off' })
    const url = await server.url()
    await fetch(`${url}/accounts/sessions/secret-in-the-path/`, {
      method: 'DELETE',
      headers: { 'X-Request-Id': 'mine' },
    })
    const [line] = await server.waitForOutput(/^\{.*"mine".*\}$/m)
    expect(JSON.parse(line)).toMatchObject({
      level: 'info',
      request_id: 'mine',
      method: 'DELETE',
      route: '/accounts/sessions/:id',
      status: 401,
      ms: expect.any(Number),
      time: expect.stringMatching(/Z$/),
    })
    expect(server.output()).toContain('RATE_LIMITS is off')
    expect(await server.stop()).toBe(0)
    expect(server.output()).not.toContain('secret-in-the-path')
  })

  test('serves metrics by route on METRICS_PORT', async () => {
    const port = await freePort()
    const server = startServer({ DATABASE_URL: await cloneDatabase(), METRICS_PORT: String(port) })
    const url = await server.url()
    await fetch(`${url}/healthz`)
    await fetch(`${url}/assignments/x/`)
    await fetch(`${url}/assignments/events/`)
    await fetch(`${url}/accounts/`, { method: 'LINK' })
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    for (const labels of [
      'method="GET",route="/healthz",status="200"',
      'method="GET",route="/assignments/:id",status="401"',
      'method="GET",route="/assignments/events",status="401"',
      'method="other",route="/accounts",status="405"',
    ]) {
      expect(metrics).toContain(`http_request_duration_seconds_count{${labels}} 1`)
    }
    expect(metrics).toContain('process_resident_memory_bytes')
    const second = startServer({ DATABASE_URL: await cloneDatabase(), METRICS_PORT: String(port) })
    expect(await second.exitCode).toBe(1)
    expect(second.output()).toContain(`METRICS_PORT ${port} on 127.0.0.1 cannot be used (EADDRINUSE).`)
    expect(await server.stop()).toBe(0)
  })

  test('answers invalid and oversized HTTP with a problem', async () => {
    const server = startServer({ DATABASE_URL: await cloneDatabase() })
    const url = await server.url()
    // Clients that reset the connection before they read the error do no harm.
    for (let times = 0; times < 5; times++) {
      const { socket } = openRaw(url, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n')
      await once(socket, 'readable')
      socket.resetAndDestroy()
    }
    for (const [bytes, status] of [
      ['nonsense\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
      ['CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n', 417],
      ['FOO / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      [
        'POST /accounts/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        400,
      ],
    ] as const) {
      const response = await openRaw(url, bytes).readAll()
      expect(response).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(response).toMatch(/content-type: application\/problem\+json/i)
      expect(response).toMatch(/x-content-type-options: nosniff/i)
      const body = JSON.parse(response.slice(response.indexOf('\r\n\r\n') + 4))
      expect(body).toMatchObject({ status, code: 'malformed_request', request_id: expect.any(String) })
    }
    const huge = 'x'.repeat(3_000_000)
    expect(await post(`${url}/accounts/login/`, { email: huge, password: huge })).toMatchObject({ status: 413 })
    const chunks = ReadableStream.from([new TextEncoder().encode(huge)])
    const chunked = { method: 'POST', headers: JSON_TYPE, body: chunks, duplex: 'half' } as RequestInit
    expect(await fetch(`${url}/accounts/login/`, chunked)).toMatchObject({ status: 413 })
    expect(await server.stop()).toBe(0)
  })

  test('stays responsive during 200 logins and rejects those beyond the queue', async () => {
    const server = startServer({ DATABASE_URL: await cloneDatabase(), RATE_LIMITS: 'off' })
    const url = await server.url()
    const logins = Array.from({ length: 200 }, (_, index) =>
      post(`${url}/accounts/login/`, { email: `a${index}@example.com`, password: PASSWORD }),
    )
    const first = await Promise.race([
      Promise.all(logins).then(() => 'logins'),
      fetch(`${url}/healthz`).then(({ status }) => status),
    ])
    expect(first).toBe(200)
    const responses = await Promise.all(logins)
    const rejected = responses.filter(({ status }) => status === 503)
    expect(rejected.length).toBeGreaterThan(100)
    for (const { headers } of rejected) expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
    const served = responses.filter(({ status }) => status === 401)
    expect(served.length).toBeGreaterThan(0)
    expect(served.length + rejected.length).toBe(200)
    expect(await server.stop()).toBe(0)
  })
})

async function emptyDatabase() {
  const url = new URL(inject('template'))
  const name = `${url.pathname.slice(1)}_empty_${crypto.randomUUID().slice(0, 8)}`
  const admin = postgres(url.href.replace(url.pathname, '/postgres'), { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${name}`)
  await admin.end()
  url.pathname = `/${name}`
  return url.href
}
