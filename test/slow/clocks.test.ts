import postgres from 'postgres'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createSignup } from '../../src/accounts/signups.ts'
import { connect } from '../../src/database/connect.ts'
import { fakeTime, hasFaketime } from '../support/faketime.ts'
import { cloneDatabase, type Json, PASSWORD, post } from '../support/fixtures.ts'
import { passwordHash } from '../support/kdf.ts'
import { createPeople, type Person } from '../support/load.ts'
import { startServer } from '../support/process.ts'
import { readStream } from '../support/stream.ts'
import { until } from '../support/wait.ts'

// Real processes with wrong clocks beside one with the right clock, over one database.

const EMAIL = 'p0@example.com'

/** Starts a server with a wrong clock, and then one with the right clock, over a database with one account. */
async function openServers(difference: string, options: { isMonotonicRight: boolean }) {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL, { max: 1 })
  const [{ token }] = (await createPeople(db, 1)) as [Person]
  const names = { first_name: 'A', last_name: 'B' }
  await createSignup(db, { ...names, email: 'new@example.com', password: '' }, new Date())
  await close()
  const owner = postgres(DATABASE_URL, { max: 1 })
  await owner`update users set password = ${passwordHash('pbkdf2_sha256')}`
  const { environment, set } = await fakeTime(difference, options)

  async function start(environment: Record<string, string>) {
    const server = startServer({ DATABASE_URL, ...environment })
    onTestFinished(async () => void (await server.stop('SIGKILL')))
    return { url: await server.url(), output: server.output }
  }

  await insertExpired(owner)
  const wrong = await start(environment)
  await expectPurged(owner)
  const right = await start({})
  onTestFinished(() => owner.end())
  return { owner, right, wrong, set, ...clientOf(token) }
}

type Servers = Awaited<ReturnType<typeof openServers>>

/** Returns what a client does with a token. */
function clientOf(token: string) {
  async function call({ url }: { url: string }, path: string, init: RequestInit = {}): Promise<Json> {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
    const send = () => fetch(url + path, { ...init, headers })
    // A clock that jumps closes idle connections.
    const response = await send().catch(send)
    return { status: response.status, body: await response.json() }
  }

  async function create(server: { url: string }, name: string) {
    const response = await call(server, '/assignments/', { method: 'POST', body: JSON.stringify({ name }) })
    expect(response).toMatchObject({ status: 201 })
    return response
  }

  /** Returns the names in the account's events from the start on. Resumes when a stream ends. */
  async function* follow({ url }: { url: string }): AsyncGenerator<string, never> {
    for (let cursor = 'start'; ; ) {
      const headers = { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' }
      const response = await fetch(`${url}/assignments/events/?cursor=${cursor}`, { headers }).catch(() => undefined)
      if (response?.status !== 200) continue
      const stream = readStream(response.body)
      for (let block = await stream.nextEvent(); block; block = await stream.nextEvent()) {
        yield JSON.parse(block.data ?? '').name
      }
      cursor = stream.lastId() ?? cursor
    }
  }

  return { call, create, follow }
}

/** Inserts a session that has expired. When it is gone, a purge has run to its end. */
const insertExpired = (owner: postgres.Sql) => owner`
  insert into sessions
  select gen_random_uuid(), id, sha256('expired'), 1, 'expired', now(), now() - interval '1 second' from users`

async function expectPurged(owner: postgres.Sql) {
  await until(async () => (await owner`select from sessions where user_agent = 'expired'`).length === 0)
  expect(await owner`select from sessions where expires_at > now()`).not.toHaveLength(0)
  expect(await owner`select from signups`).toHaveLength(1)
}

/** Expects that both servers work by the true time. */
async function expectTrueTime({ owner, right, wrong, call, create }: Servers) {
  const logIn = ({ url }: { url: string }, password: string) =>
    post(`${url}/accounts/login/`, { email: EMAIL, password })
  expect(await logIn(wrong, 'wrong horse battery')).toMatchObject({ status: 401 })
  expect(await logIn(right, PASSWORD)).toMatchObject({ status: 200 })
  await post(`${wrong.url}/accounts/password-reset/`, { email: EMAIL })
  const [limits] = await owner`
    select max(abs(extract(epoch from attempt - now())))::float8 as off from rate_limits, unnest(attempts) as attempt`
  expect(limits?.off).toBeLessThan(300)

  for (const writer of [wrong, right]) {
    const { body } = await create(writer, 'timed')
    expect(Math.abs(Date.parse(body.created_at) - Date.now())).toBeLessThan(30_000)
    for (const reader of [wrong, right]) {
      expect(await call(reader, `/assignments/${body.id}/?as_of=${body.created_at}`)).toMatchObject({ status: 200 })
    }
  }
}

describe.skipIf(!hasFaketime)('a server', () => {
  const cases = ['+1h', '+31d', '-60d'].flatMap((difference) =>
    [false, true].map((isMonotonicRight) => ({ difference, isMonotonicRight })),
  )

  test.each(cases)('$difference off works by the database (monotonic: $isMonotonicRight)', async (options) => {
    const servers = await openServers(options.difference, options)
    const { owner, right, wrong, call, create, follow } = servers
    const names = Array.from({ length: 20 }, (_, index) => `event ${index}`)
    for (const [index, name] of names.entries()) await create(index % 2 ? wrong : right, name)
    for (const server of [right, wrong]) {
      const events = follow(server)
      for (const name of names) expect(await events.next()).toMatchObject({ value: name })
    }
    await expectTrueTime(servers)

    const direction = options.difference.startsWith('+') ? 'ahead of' : 'behind'
    const warning = new RegExp(
      `The clock of this instance is [\\d,]+ seconds ${direction} the database's clock\\.`,
      'g',
    )
    expect(await call(wrong, '/readyz')).toEqual({
      status: 200,
      body: { status: 'ok', warnings: [expect.stringMatching(warning)] },
    })
    expect(await call(right, '/readyz')).toEqual({ status: 200, body: { status: 'ok' } })
    expect(wrong.output().match(warning)).toHaveLength(1)

    await owner`update sessions set expires_at = now()`
    for (const server of [wrong, right]) expect(await call(server, '/accounts/')).toMatchObject({ status: 401 })
  })

  test.each([false, true])('whose clock jumps works by the database (monotonic: %s)', async (isMonotonicRight) => {
    const servers = await openServers('+0', { isMonotonicRight })
    const { owner, right, wrong, call, create, follow, set } = servers
    const streams = [follow(right), follow(wrong)]
    const names: string[] = []
    // Node aborts when the monotonic clock goes back.
    const differences = isMonotonicRight ? ['+0', '+31d', '+1h', '-60d', '+0'] : ['+0', '+1h', '+31d']
    for (const difference of differences) {
      if (!isMonotonicRight && difference === '+31d') await insertExpired(owner)
      set(difference)
      // A request at the moment of the jump may get a 503.
      await until(async () => (await call(wrong, '/readyz')).status === 200)
      for (const server of [wrong, right]) {
        names.push(`event ${names.length}`)
        expect(await create(server, names.at(-1) as string)).toMatchObject({ status: 201 })
      }
      await expectTrueTime(servers)
      // The timer of the purge goes off.
      if (!isMonotonicRight && difference === '+31d') await expectPurged(owner)
    }
    for (const stream of streams) {
      const received: string[] = []
      while (received.length < names.length) {
        const { value } = await stream.next()
        if (value !== 'timed') received.push(value)
      }
      expect(received).toEqual(names)
    }
  })
})
