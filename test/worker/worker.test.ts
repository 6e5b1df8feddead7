import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { expectDisconnected, expectParallelRequests } from '../reference/parallel-requests.ts'
import { cloneDatabase, openDocket } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { assignmentActions, readStream } from '../support/stream.ts'

// Only the Worker does this. The other tests of the project show that it behaves like Node.

const docket = await openDocket()
const { request, call, createUser } = docket
const { token } = await createUser()

describe('parallel requests', () => {
  test('each succeed or get a 503, and leave no connection behind', async () => {
    await expectParallelRequests(docket, 25)
  })

  test('whose clients hang up do not block later requests', async () => {
    const aborted = Array.from({ length: 200 }, async () => {
      const controller = new AbortController()
      const response = call('GET', '/assignments/', { token, signal: controller.signal })
      controller.abort()
      await response.catch(() => {})
    })
    await Promise.all(aborted)
    expect(await call('GET', '/assignments/', { token })).toMatchObject({ status: 200 })
  })
})

test('the clock of the database is read once for several requests', async () => {
  const proxy = await startProxy(await cloneDatabase())
  onTestFinished(proxy.close)
  const { call, createUser } = await openDocket({}, { clockKind: 'database', database: proxy.url })
  const { token } = await createUser()
  const trips: number[] = []
  for (let request = 0; request < 4; request++) {
    const before = proxy.roundTrips()
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
    trips.push(proxy.roundTrips() - before)
  }
  const [first, ...others] = trips as [number, ...number[]]
  expect(new Set(others).size).toBe(1)
  expect(first).toBeGreaterThan(others[0] as number)
})

test('a stream sends events until its session ends, then disconnects', async () => {
  const { create, change } = assignmentActions(docket)
  const person = await createUser()
  const controller = new AbortController()
  const open = (headers = {}) =>
    request(
      '/assignments/events/',
      {
        headers: { Authorization: `Bearer ${person.token}`, Accept: 'text/event-stream', ...headers },
        signal: controller.signal,
      },
      '192.0.2.1',
    )
  const response = await open()
  expect([response.status, response.headers.get('Content-Type')]).toEqual([200, 'text/event-stream'])
  const stream = readStream(response.body)
  const made = await create(person)
  await change(person, made, { status: 'done' })
  const events = await stream.take(2)
  expect(events.map(({ event }) => event)).toEqual(['created', 'changed'])
  expect(JSON.parse(events[1]?.data ?? '')).toMatchObject({ assignment: made.id, status: 'done', version: 2 })
  await change(person, made, { status: 'error' })

  const resumed = await readStream((await open({ 'Last-Event-ID': events[0]?.id ?? '' })).body).take(2)
  expect(resumed.map(({ data }) => JSON.parse(data ?? '').version)).toEqual([2, 3])

  expect(await stream.take(1)).toHaveLength(1)
  await call('POST', '/accounts/logout/', { token: person.token })
  expect(await stream.nextEvent()).toBeUndefined()
  controller.abort()
  await expectDisconnected(docket)
})

test('a request dials a database that hangs up only once', async () => {
  let dials = 0
  const database = createServer((socket) => {
    dials++
    socket.destroy()
  })
  await once(database.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void database.close())
  const url = `postgres://u:p@127.0.0.1:${(database.address() as AddressInfo).port}/x`
  const other = await openDocket({}, { database: url })
  expect(await other.call('GET', '/accounts/', { token })).toMatchObject({ status: 503 })
  await other.drain()
  expect(dials).toBe(1)
})

describe('password checks', async () => {
  const { call, createUser } = await openDocket({}, { kdf: 'real' })
  const logIn = (email: string) => call('POST', '/accounts/login/', { body: { email, password: 'wrong horse' } })

  test('beyond the queue get a 503', async () => {
    const logins = Array.from({ length: 60 }, (_, number) => logIn(`a${number}@example.com`))
    const statuses = (await Promise.all(logins)).map(({ status }) => status)
    const checked = statuses.filter((status) => status === 401).length
    expect(checked).toBeLessThan(40)
    expect(statuses.filter((status) => status === 503)).toHaveLength(60 - checked)
    expect(await logIn('later@example.com')).toMatchObject({ status: 401 })
  })

  test('of a slow PBKDF2 hash let other requests through', async () => {
    const password = `pbkdf2_sha256$400000$salt$${btoa('x'.repeat(32))}`
    const { email } = await createUser({ password })
    let isChecked = false
    const login = logIn(email).finally(() => {
      isChecked = true
    })
    let others = 0
    for (; !isChecked; others++) expect(await call('GET', '/healthz')).toMatchObject({ status: 200 })
    expect(await login).toMatchObject({ status: 401 })
    expect(others).toBeGreaterThan(3)
  })
})

test('a database that is not migrated gives a 503', async () => {
  const other = await openDocket()
  await other.db.execute('drop table sessions')
  expect(await other.call('GET', '/accounts/', { token })).toMatchObject({
    status: 503,
    body: { code: 'unavailable', detail: 'The database is not migrated.' },
  })
})

test('a response with an ETag has no-transform, which keeps the tag strong', async () => {
  const { headers } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
  expect([headers.get('ETag'), headers.get('Cache-Control')]).toEqual(['"1"', 'no-store, no-transform'])
})

test('a wrong setting gives a problem and is explained in the log', async () => {
  const other = await openDocket({ MAIL_FROM: '', SESSION_DAYS: '0' })
  const { status, body, headers } = await other.call('GET', '/healthz')
  expect({ status, code: body.code, type: headers.get('Content-Type') }).toEqual({
    status: 500,
    code: 'internal_error',
    type: 'application/problem+json',
  })
  expect(JSON.stringify(body)).not.toContain('SESSION_DAYS')
  await other.drain()
  expect(other.logLines().join()).toContain('SESSION_DAYS must be a number of days from 1 to 3650, for example 30.')
})

test('only the files of Swagger UI are served, with security headers', async () => {
  const script = await call('GET', '/docs/swagger-ui-bundle.js')
  expect(script.status).toBe(200)
  expect(script.headers.get('Content-Type')).toBe('text/javascript; charset=utf-8')
  expect(script.headers.get('X-Content-Type-Options')).toBe('nosniff')
  expect(script.text.length).toBeGreaterThan(1_000_000)
  for (const path of ['/swagger-ui-bundle.js', '/package.json', '/index.html', '/docs/package.json']) {
    expect(await call('GET', path)).toMatchObject({ status: 404 })
  }
})
