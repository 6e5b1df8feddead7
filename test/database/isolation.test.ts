import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { cloneDatabase, createSignupBody, openDocket } from '../support/fixtures.ts'

const fifty = Array.from({ length: 50 }, (_, n) => n)

/** Opens the API as on Workers or behind a pooler, where a connection does not set the isolation. */
async function openIsolated(isolation: string) {
  const database = await cloneDatabase()
  const admin = postgres(database, { max: 1 })
  await admin.unsafe(
    `alter database ${new URL(database).pathname.slice(1)} set default_transaction_isolation = '${isolation}'`,
  )
  await admin.end()
  const docket = await openDocket({}, { database })
  expect(await docket.db.execute('show transaction_isolation')).toEqual([{ transaction_isolation: isolation }])
  // Opens all connections, so that the deadlines below are for changes alone.
  const { token } = await docket.createUser()
  await Promise.all(fifty.map(() => docket.call('GET', '/assignments/', { token })))
  return docket
}

const count = (responses: { status: number }[]) =>
  Object.fromEntries(Object.entries(Object.groupBy(responses, ({ status }) => status)).map(([k, v]) => [k, v?.length]))

describe.each(['serializable', 'repeatable read'])('with transactions that are %s by default', async (isolation) => {
  const { call, createUser, newestCode, db } = await openIsolated(isolation)
  const { token } = await createUser()
  const create = async () => (await call('POST', '/assignments/', { token, body: { name: 'x' } })).body.id as string
  const patch = (id: string, body: object, headers: Record<string, string> = {}) =>
    call('PATCH', `/assignments/${id}/`, { token, body, headers })

  test('50 changes at once are all kept, and their events are in order', async () => {
    const id = await create()
    const changes = fifty.map((n) => patch(id, n % 2 ? { name: `${n}` } : { description: `${n}` }))
    expect(count(await Promise.all(changes))).toEqual({ 200: 50 })
    const versions = await db.execute(
      sql`select version from assignment_events where assignment = ${id} order by position, at`,
    )
    expect(versions.map(({ version }) => version)).toEqual([1, ...fifty.map((n) => n + 2)])
  })

  test('one of 50 changes with the same If-Match succeeds', async () => {
    const id = await create()
    const changes = fifty.map((n) => patch(id, { name: `${n}` }, { 'If-Match': '"1"' }))
    expect(count(await Promise.all(changes))).toEqual({ 200: 1, 412: 49 })
  })

  test('one of 50 uses of a code succeeds', async () => {
    await call('POST', '/accounts/signup/', { body: createSignupBody('once@example.com') })
    const code = await newestCode()
    const uses = fifty.map(() => call('POST', '/accounts/activate-account/', { body: { code } }))
    expect(count(await Promise.all(uses))).toEqual({ 200: 1, 400: 49 })
  })

  test('30 of 50 wrong codes of a client are judged', async () => {
    const guess = { body: { code: '7KQ2-M9XD-4HRT-V8CW' }, from: '192.0.2.1' }
    const guesses = fifty.map(() => call('POST', '/accounts/activate-account/', guess))
    expect(count(await Promise.all(guesses))).toEqual({ 400: 30, 429: 20 })
  })
})
