import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { sessions, signups } from '../../src/database/schema.ts'
import { createSignupBody, openDocket } from '../support/fixtures.ts'
import { until } from '../support/wait.ts'

const DAY = 86_400_000

// Two instances over one database, one of which has a wrong clock.
const right = await openDocket({}, { clockKind: 'database' })
const wrong = await openDocket({}, { clockKind: 'database', database: right.url })
const { createUser, db } = right

/** Returns how many milliseconds of the future a time is, by the true clock. */
const fromNow = (time: string) => Date.parse(time) - Date.now()

const NEAR = 10_000

test.each([
  ['an hour ahead', DAY / 24],
  ['31 days ahead', 31 * DAY],
  ['60 days behind', -60 * DAY],
])('an instance whose clock is %s works by the time of the database', async (_, ahead) => {
  const ada = await createUser({ created_at: '2026-01-01T00:00:00.000Z' })
  await right.call('POST', '/accounts/signup/', { body: createSignupBody(`new${ahead}@example.com`) })
  await right.drain()
  wrong.clock.now = Date.now() + ahead

  const created = await wrong.call('POST', '/assignments/', { token: ada.token, body: { name: 'x' } })
  expect(Math.abs(fromNow(created.body.created_at))).toBeLessThan(NEAR)
  const path = `/assignments/${created.body.id}/?as_of=${created.body.created_at}`
  expect(await right.call('GET', path, ada)).toMatchObject({ status: 200 })
  const login = await wrong.logIn(ada.email, 'purple horse battery')
  expect(Math.abs(fromNow(login.body.expires_at) - 30 * DAY)).toBeLessThan(NEAR)
  // Transactions of other databases can delay an event.
  const events = await until(async () => {
    const { body } = await right.call('GET', '/assignments/events/?cursor=start', ada)
    return body.results.length > 0 && body.results
  })
  expect(events).toMatchObject([{ assignment: created.body.id }])

  const email = `limited${ahead}@example.com`
  for (let failure = 0; failure < 10; failure++) {
    const { status } = await (failure % 2 ? right : wrong).logIn(email, 'x', { from: '192.0.2.7' })
    expect(status).toBe(401)
  }
  for (const docket of [right, wrong]) {
    const { status, headers } = await docket.logIn(email, 'x', { from: '192.0.2.7' })
    expect(status).toBe(429)
    expect(Math.abs(Number(headers.get('Retry-After')) - 900)).toBeLessThan(NEAR / 1000)
  }

  const count = async () => [await db.$count(sessions), await db.$count(signups)]
  const before = await count()
  await wrong.purge()
  expect(await count()).toEqual(before)
  await db.update(sessions).set({ expires_at: sql`now() - interval '1 second'` })
  expect(await wrong.call('GET', '/accounts/', ada)).toMatchObject({ status: 401 })
  await wrong.purge()
  expect(await db.$count(sessions)).toBe(0)
})

test('an instance whose clock is off says so in readyz and in the log', async () => {
  const text = /^The clock of this instance is 3,(600|59\d) seconds ahead of the database's clock\.$/
  wrong.clock.now = Date.now()
  expect(await wrong.call('GET', '/readyz')).toMatchObject({ status: 200, body: { status: 'ok' } })
  const logged = () => wrong.logLines().filter((line) => line.includes('seconds ahead of')).length
  const before = logged()
  wrong.clock.now = Date.now() + 3_600_000
  for (let round = 0; round < 3; round++) {
    expect((await wrong.call('GET', '/readyz')).body).toEqual({ status: 'ok', warnings: [expect.stringMatching(text)] })
  }
  expect(logged()).toBe(before + 1)
  wrong.clock.now = Date.now()
  expect((await wrong.call('GET', '/readyz')).body).toEqual({ status: 'ok' })
})
