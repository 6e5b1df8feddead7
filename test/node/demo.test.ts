import { expect, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { users } from '../../src/database/schema.ts'
import { cloneDatabase, type Json, PASSWORD_HASH, post } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'

/** Starts the demo, logs in as its greeting tells, and gives a way to ask it. */
async function startDemo(environment: Record<string, string>) {
  const server = startServer(environment, ['demo'])
  const url = await server.url()
  const [, email, password] = await server.printed(/Log in as +(\S+), password: (.+)/)
  const login = await post(`${url}/accounts/login/`, { email, password })
  expect(login.status).toBe(200)
  const { token } = (await login.json()) as { token: string }
  const headers = { Authorization: `Bearer ${token}` }
  const get = async (path: string) => {
    const answer = await fetch(new URL(path, url), { headers })
    expect(answer.status).toBe(200)
    return answer
  }
  const ask = async (path: string) => (await get(path)).json() as Promise<Json>
  return { server, get, ask, picture: (await server.printed(/\S+format=svg$/m))[0] }
}

const DAY = 86_400_000
const to = new Date(Math.floor(Date.now() / DAY) * DAY)
const from = new Date(to.getTime() - 364 * DAY)
const report = (name: string) =>
  `/assignments/reports/${name}/?bucket=week&from=${from.toISOString()}&to=${to.toISOString()}`

test('a fresh start shows a year of work, and the next one the same', { timeout: 90_000 }, async () => {
  const DATA_DIR = await temporaryFolder()
  const first = await startDemo({ DATA_DIR })
  const flow = await first.ask(report('flow'))
  const throughput = await first.ask(report('throughput'))
  const count = async ({ ask }: typeof first, query = '') =>
    (await ask(`/assignments/?count=true&limit=1${query}`)).count as number

  const weeks = throughput.results as Json[]
  expect(weeks.filter(({ created, done }) => created > 0 && done > 0).length).toBeGreaterThan(weeks.length * 0.7)
  for (const event of ['created', 'started', 'done', 'error', 'deleted']) {
    expect(weeks.some((week) => week[event] > 0)).toBe(true)
  }
  for (const status of ['todo', 'in progress', 'done', 'error']) {
    const standing = (flow.results as Json[]).map((week) => week[status] as number)
    expect(Math.max(...standing)).toBeGreaterThan(0)
    expect(standing.at(-1)).toBe(await count(first, `&status=${encodeURIComponent(status)}`))
  }

  const picture = await first.get(first.picture)
  expect(picture.headers.get('Content-Type')).toBe('image/svg+xml')
  expect(await picture.text()).toMatch(/^<svg /)
  // What made the data is gone; this login is all there is.
  expect((await first.ask('/accounts/sessions/')).results).toHaveLength(1)

  const all = await count(first)
  expect(all).toBeGreaterThan(400)
  expect(await first.server.stop()).toBe(0)
  const second = await startDemo({ DATA_DIR })
  expect(await count(second)).toBe(all)
  expect(await second.server.stop()).toBe(0)

  // The same end of the year, the same year, in whatever database.
  const other = await startDemo({ DATABASE_URL: await cloneDatabase() })
  expect(await other.ask(report('flow'))).toEqual(flow)
  expect(await other.ask(report('throughput'))).toEqual(throughput)
  expect(await other.server.stop()).toBe(0)
})

test('a database with an account of another is refused and left alone', async () => {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL)
  const at = new Date().toISOString()
  await db.insert(users).values({
    ...{ id: crypto.randomUUID(), email: 'ada@example.com', first_name: 'Ada', last_name: 'Lovelace' },
    ...{ password: PASSWORD_HASH, created_at: at, updated_at: at },
  })
  const server = startServer({ DATABASE_URL }, ['demo'])
  expect(await server.ended).toBe(1)
  expect(server.output()).toMatch(
    /^Docket did not start\.\nThe database \S+ at \S+ has accounts that do not belong to the demo\. .* set DATABASE_URL to one/,
  )
  expect(await db.$count(users)).toBe(1)
  await close()
})
