import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openDocket } from '../support/fixtures.ts'
import { readStream, verbsOf } from '../support/stream.ts'

// What is the Worker's own. That it answers as Node does is told by the other tests of its project.

const docket = await openDocket()
const { ask, call, createUser, db, settled } = docket
const { token } = await createUser()

/** Waits until the database has no connection but this test's own; a pooler's last one takes a second. */
async function disconnected() {
  const others = `select from pg_stat_activity
    where datname = current_database() and application_name = 'docket' and pid <> pg_backend_pid()`
  while ((await db.execute(others)).length > 0);
}

describe('a thousand requests at once', () => {
  test('are each answered or told to come back, and leave no connection behind', async () => {
    const { body: made } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
    const answers = await Promise.all(
      Array.from({ length: 250 }, (_, number) => [
        call('GET', '/accounts/', { token }),
        call('GET', '/assignments/', { token }),
        call('GET', '/accounts/', { token: 'dkt_unknown' }),
        call('PATCH', `/assignments/${made.id}/`, { token, body: { name: `x${number}` } }),
      ]).flat(),
    )
    const expected = [200, 200, 401, 200]
    for (const [number, { status, headers }] of answers.entries()) {
      expect([expected[number % 4], 503]).toContain(status)
      if (status === 503) expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
    }
    await settled()
    await disconnected()
    // What was acknowledged was done, and nothing else.
    const changed = answers.filter(({ status }, number) => number % 4 === 3 && status === 200).length
    const { version } = (await call('GET', `/assignments/${made.id}/`, { token })).body
    expect(version - 1).toBeGreaterThanOrEqual(changed)
  }, 120_000)

  test('of which the clients hang up take nobody’s turn', async () => {
    const left = Array.from({ length: 200 }, async () => {
      const gone = new AbortController()
      const asked = call('GET', '/assignments/', { token, signal: gone.signal })
      gone.abort()
      await asked.catch(() => {})
    })
    await Promise.all(left)
    expect(await call('GET', '/assignments/', { token })).toMatchObject({ status: 200 })
  })
})

test('a stream tells what happens while it lasts, and leaves no connection behind', async () => {
  const { create, change } = verbsOf(docket)
  const person = await createUser()
  const gone = new AbortController()
  const headers = { Authorization: `Bearer ${person.token}`, Accept: 'text/event-stream' }
  const answer = await ask('/assignments/events/', { headers, signal: gone.signal }, '192.0.2.1')
  expect([answer.status, answer.headers.get('Content-Type')]).toEqual([200, 'text/event-stream'])
  const stream = readStream(answer.body)
  const made = await create(person)
  await change(person, made, { status: 'done' })
  const events = await stream.take(2)
  expect(events.map(({ event }) => event)).toEqual(['created', 'changed'])
  expect(JSON.parse(events[1]?.data ?? '')).toMatchObject({ assignment: made.id, status: 'done', version: 2 })
  await change(person, made, { status: 'error' })

  const resumed = await ask(
    '/assignments/events/',
    { headers: { ...headers, 'Last-Event-ID': events[0]?.id ?? '' }, signal: gone.signal },
    '192.0.2.1',
  )
  const rest = await readStream(resumed.body).take(2)
  expect(rest.map(({ data }) => JSON.parse(data ?? '').version)).toEqual([2, 3])

  expect(await stream.take(1)).toHaveLength(1)
  await call('POST', '/accounts/logout/', { token: person.token })
  // The end of their session is the end of them both.
  expect(await stream.nextEvent()).toBeUndefined()
  gone.abort()
  await disconnected()
}, 60_000)

test('a database that hangs up is dialled once for a request, and not without end', async () => {
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
  await other.settled()
  expect(dials).toBe(1)
})

describe('while passwords are checked', () => {
  const logIn = (email: string) => call('POST', '/accounts/login/', { body: { email, password: 'wrong horse' } })

  test('those that cannot be checked soon are turned away', async () => {
    const logins = Array.from({ length: 60 }, (_, number) => logIn(`a${number}@example.com`))
    const statuses = (await Promise.all(logins)).map(({ status }) => status)
    const checked = statuses.filter((status) => status === 401).length
    expect(checked).toBeGreaterThan(0)
    expect(checked).toBeLessThan(40)
    expect(statuses.filter((status) => status === 503)).toHaveLength(60 - checked)
  })

  test("others are answered in between, also where it is by a hash of Django's", async () => {
    const hash = `pbkdf2_sha256$1000000$salt$${btoa('x'.repeat(32))}`
    let isChecked = false
    const login = logIn((await createUser({ password: hash })).email).finally(() => {
      isChecked = true
    })
    let others = 0
    for (; !isChecked; others++) expect(await call('GET', '/healthz')).toMatchObject({ status: 200 })
    expect(await login).toMatchObject({ status: 401 })
    expect(others).toBeGreaterThan(30)
  })
})

test('a database that is not migrated is 503', async () => {
  const other = await openDocket()
  await other.db.execute('drop table sessions')
  expect(await other.call('GET', '/accounts/', { token })).toMatchObject({
    ...{ status: 503, body: { code: 'unavailable', detail: 'The database is not migrated.' } },
  })
})

test('an answer with an entity tag is not to be compressed on its way, which would make the tag a weak one', async () => {
  const { headers } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
  expect([headers.get('ETag'), headers.get('Cache-Control')]).toEqual(['"1"', 'no-store, no-transform'])
})

describe('a wrong setting', () => {
  test('is a problem for the client, and a sentence in the log', async () => {
    const other = await openDocket({ MAIL_FROM: '', SESSION_DAYS: '0' })
    const { status, body, headers } = await other.call('GET', '/healthz')
    expect({ status, code: body.code, type: headers.get('Content-Type') }).toEqual({
      ...{ status: 500, code: 'internal_error', type: 'application/problem+json' },
    })
    expect(JSON.stringify(body)).not.toContain('SESSION_DAYS')
    await other.settled()
    expect(other.lines().join()).toContain('SESSION_DAYS must be a number of days from 1 to 3650, for example 30.')
  })
})

test("Swagger UI's files come from the Worker, with its headers, and nothing beside them", async () => {
  const script = await call('GET', '/docs/swagger-ui-bundle.js')
  expect({ status: script.status, type: script.headers.get('Content-Type') }).toEqual({
    ...{ status: 200, type: 'text/javascript; charset=utf-8' },
  })
  expect(script.headers.get('X-Content-Type-Options')).toBe('nosniff')
  expect(script.headers.get('Strict-Transport-Security')).toBe('max-age=31536000; includeSubDomains')
  expect(script.text.length).toBeGreaterThan(1_000_000)
  for (const path of ['/swagger-ui-bundle.js', '/package.json', '/index.html', '/docs/package.json'])
    expect(await call('GET', path)).toMatchObject({ status: 404 })
})
