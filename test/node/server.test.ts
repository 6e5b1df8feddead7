import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { describe, expect, inject, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { freePort } from '../../src/node/embedded-postgres.ts'
import { cloneDatabase, PASSWORD, post } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'
import { openRaw } from '../support/raw.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }

describe('with a DATABASE_URL', () => {
  test('a database that is not migrated is not served, and the sentence says what to run', async () => {
    const url = await emptyDatabase()
    const refused = startServer({ DATABASE_URL: url })
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toMatch(/is not migrated to this version of Docket\. Run: npm run db:migrate/)
    expect(refused.output()).not.toMatch(/ at .*:\d+:\d+/)

    const migration = startServer({ DATABASE_URL: url }, ['migrate'])
    expect(await migration.ended).toBe(0)
    expect(migration.output()).toMatch(/is migrated\./)
    const server = startServer({ DATABASE_URL: url })
    expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await server.stop()).toBe(0)
  })

  test('four migrations at once all succeed', async () => {
    const url = await emptyDatabase()
    await Promise.all(Array.from({ length: 4 }, () => migrate(url)))
  })

  test('a wrong setting and a database that is not there are said in a sentence, without the password', async () => {
    const wrong = startServer({ PORT: 'http', RATE_LIMITS: 'never' })
    expect(await wrong.ended).toBe(1)
    expect(wrong.output()).toBe(
      'Docket did not start.\n' +
        'PORT must be a port number from 0 to 65535, for example 8000.\n' +
        'RATE_LIMITS must be on or off.\n',
    )
    const nowhere = startServer({ DATABASE_URL: 'postgres://docket:secret@127.0.0.1:1/docket' })
    expect(await nowhere.ended).toBe(1)
    expect(nowhere.output()).toContain('The database docket at 127.0.0.1:1 cannot be used (ECONNREFUSED)')
    expect(nowhere.output()).not.toContain('secret')
  })

  test('an unknown command is an error that lists the commands', async () => {
    const mistyped = startServer({}, ['migrat'])
    expect(await mistyped.ended).toBe(1)
    expect(mistyped.output()).toMatch(/^Docket did not start\.\nThere is no command "migrat"\. The commands are:\n/)
    expect(mistyped.output()).toContain('node src/node.ts migrate ')
  })

  test('a production install serves without what only development needs, the embedded PostgreSQL among it', async () => {
    const root = new URL('../..', import.meta.url).pathname
    const folder = await temporaryFolder()
    for (const part of ['package.json', 'package-lock.json', 'src', 'drizzle']) {
      await cp(join(root, part), join(folder, part), { recursive: true })
    }
    // What `npm ci --omit=dev` would leave, without asking the network for it.
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

  test('the log is JSON, a line a request, with its route and not its path', async () => {
    const server = startServer({ DATABASE_URL: await cloneDatabase(), RATE_LIMITS: 'off' })
    const url = await server.url()
    await fetch(`${url}/accounts/sessions/secret-in-the-path/`, {
      method: 'DELETE',
      headers: { 'X-Request-Id': 'mine' },
    })
    const [line] = await server.printed(/^\{.*"mine".*\}$/m)
    expect(JSON.parse(line)).toMatchObject({
      ...{ level: 'info', request_id: 'mine', method: 'DELETE', route: '/accounts/sessions/:id', status: 401 },
      ...{ ms: expect.any(Number), time: expect.stringMatching(/Z$/) },
    })
    expect(server.output()).toContain('RATE_LIMITS is off')
    expect(await server.stop()).toBe(0)
    expect(server.output()).not.toContain('secret-in-the-path')
  })

  test('metrics are there where they are asked for, by route and not by path', async () => {
    const port = await freePort()
    const server = startServer({ DATABASE_URL: await cloneDatabase(), METRICS_PORT: String(port) })
    const url = await server.url()
    await fetch(`${url}/healthz`)
    await fetch(`${url}/assignments/x/`)
    await fetch(`${url}/assignments/events/`)
    await fetch(`${url}/accounts/`, { method: 'LINK' })
    const told = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    for (const labels of [
      'method="GET",route="/healthz",status="200"',
      'method="GET",route="/assignments/:id",status="401"',
      'method="GET",route="/assignments/events",status="401"',
      'method="other",route="/accounts",status="405"',
    ]) {
      expect(told).toContain(`http_request_duration_seconds_count{${labels}} 1`)
    }
    expect(told).toContain('process_resident_memory_bytes')
    const second = startServer({ DATABASE_URL: await cloneDatabase(), METRICS_PORT: String(port) })
    expect(await second.ended).toBe(1)
    expect(second.output()).toContain(`METRICS_PORT ${port} on 127.0.0.1 cannot be used (EADDRINUSE).`)
    expect(await server.stop()).toBe(0)
  })

  test('what is not HTTP, or too much of it, is a problem too', async () => {
    const server = startServer({ DATABASE_URL: await cloneDatabase() })
    const url = await server.url()
    // Who does not stay for the refusal does no harm.
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
      const answer = await openRaw(url, bytes).rest()
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(answer).toMatch(/content-type: application\/problem\+json/i)
      expect(answer).toMatch(/x-content-type-options: nosniff/i)
      const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
      expect(body).toMatchObject({ status, code: 'malformed_request', request_id: expect.any(String) })
    }
    const huge = 'x'.repeat(3_000_000)
    expect(await post(`${url}/accounts/login/`, { email: huge, password: huge })).toMatchObject({ status: 413 })
    const chunks = ReadableStream.from([new TextEncoder().encode(huge)])
    const chunked = { method: 'POST', headers: JSON_TYPE, body: chunks, duplex: 'half' } as RequestInit
    expect(await fetch(`${url}/accounts/login/`, chunked)).toMatchObject({ status: 413 })
    expect(await server.stop()).toBe(0)
  })

  test('while two hundred logins wait, healthz answers, and what cannot be served soon is turned away', async () => {
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
    const answers = await Promise.all(logins)
    const turnedAway = answers.filter(({ status }) => status === 503)
    expect(turnedAway.length).toBeGreaterThan(100)
    for (const { headers } of turnedAway) expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
    const served = answers.filter(({ status }) => status === 401)
    expect(served.length).toBeGreaterThan(0)
    expect(served.length + turnedAway.length).toBe(200)
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
