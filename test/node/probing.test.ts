import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import type { Kdf } from '../../src/accounts/passwords.ts'
import { connect } from '../../src/database/connect.ts'
import { comparable, createSignupBody, openDocket } from '../support/fixtures.ts'
import { createQuickKdf } from '../support/kdf.ts'
import { startProxy } from '../support/proxy.ts'

// An attacker must learn nothing from the cost of a response, and write nothing false into the log.

const docket = await openDocket()
const { call, logIn, createUser, advance, drain, logLines, url } = docket

let derivations = 0
const quickKdf = createQuickKdf('pbkdf2_sha256')
const kdf: Kdf = {
  ...quickKdf,
  pbkdf2: (...parameters) => {
    derivations++
    return quickKdf.pbkdf2(...parameters)
  },
}
const proxy = await startProxy(url)
const proxied = connect(proxy.url, { max: 1, onclose: () => proxy.close() })
Object.assign(docket.services, { kdf, db: proxied.db })

const signUp = (body: object) => call('POST', '/accounts/signup/', { body })
const requestReset = (email: string) => call('POST', '/accounts/password-reset/', { body: { email } })

describe('the existence of an account', () => {
  test.each([
    ['a login', (email: string) => logIn(email, 'wrong horse battery'), 1],
    ['a sign-up', (email: string) => signUp(createSignupBody(email)), 1],
    ['a reset', requestReset, 0],
  ] as const)('cannot be told from %s, neither by response nor by cost', async (_, send, expected) => {
    const known = (await createUser()).email
    const pending = 'pending@probe.example'
    await signUp(createSignupBody(pending))
    await drain()
    const costs = []
    for (const email of ['first@probe.example', known, 'second@probe.example', pending, known]) {
      // The first use of a statement on a connection takes an extra round trip, so only the second one counts.
      for (const isCounted of [false, true]) {
        advance(61)
        const tasks: (() => Promise<unknown>)[] = []
        const { runInBackground } = docket.services
        docket.services.runInBackground = (task) => tasks.push(task)
        const [trips, keys] = [proxy.roundTrips(), derivations]
        const response = comparable(await send(email))
        if (isCounted) costs.push({ ...response, trips: proxy.roundTrips() - trips, derivations: derivations - keys })
        docket.services.runInBackground = runInBackground
        for (const task of tasks) await task()
      }
    }
    expect(new Set(costs.map((cost) => JSON.stringify(cost))).size, JSON.stringify(costs, null, 1)).toBe(1)
    expect(costs[0]).toMatchObject({ derivations: expected })
  })
})

test('a failed login computes the same for every stored hash, and for none', async () => {
  const spent = { iterations: 0, work: 0 }
  const counting: Kdf = {
    ...quickKdf,
    pbkdf2: (password, salt, iterations, length) => {
      spent.iterations += iterations
      return quickKdf.pbkdf2(password, salt, iterations, length)
    },
    scrypt: (password, salt, cost, length) => {
      spent.work += cost.N * cost.r * cost.p
      return quickKdf.scrypt(password, salt, cost, length)
    },
  }
  const { call, logIn, createUser, services, passwordHash } = await openDocket()
  services.kdf = counting
  const scrypt = `scrypt$16384$salt$8$1$${'A'.repeat(86)}==`
  const hashes = [
    passwordHash,
    passwordHash.replace('1000000', '260000'),
    passwordHash.replace('1000000', '1500000'),
    scrypt,
    scrypt.replace('$8$1$', '$8$5$'),
    '!unusable',
    '',
  ]
  const emails = ['nobody@probe.example', 'pending@probe.example']
  await call('POST', '/accounts/signup/', { body: createSignupBody('pending@probe.example') })
  for (const password of hashes) emails.push((await createUser({ password })).email)
  const costs = []
  for (const isCounted of [false, true]) {
    for (const email of emails) {
      Object.assign(spent, { iterations: 0, work: 0 })
      expect(await logIn(email, 'wrong horse battery')).toMatchObject({ status: 401 })
      if (isCounted) costs.push({ ...spent })
    }
  }
  expect(costs).toEqual(Array(emails.length).fill({ iterations: 1_500_000, work: 5 * 16_384 * 8 }))
})

test('a failed login counts even if its response timed out', async () => {
  const { email } = await createUser()
  const failures = async () => {
    const [row] = await docket.db.execute<{ failures: number }>(
      sql`select max(cardinality(attempts)) as failures from rate_limits where key like 'login-account:%' and expires_at > ${docket.now().toISOString()}`,
    )
    return row?.failures
  }
  advance(7_200)
  expect(await logIn(email, 'wrong')).toMatchObject({ status: 401 })
  proxy.setDelay(2_000)
  expect(await logIn(email, 'wrong')).toMatchObject({ status: 503 })
  await drain()
  proxy.setDelay(0)
  expect(await failures()).toBe(2)
})

describe('client input', () => {
  test('cannot forge lines or fields of the log', async () => {
    const { token } = await createUser()
    const before = logLines().length
    const forged = '{"level":50,"route":"/forged"}'
    const values = [forged, `","level":50,"x":"`, '\u001b[31mforged', 'forged\tline', '%0d%0aforged', '\u0085forged']
    for (const value of values) {
      const headers = { 'X-Request-Id': value, 'User-Agent': value, Referer: value, 'X-Forwarded-For': value }
      await call('GET', '/accounts/sessions/', { token, headers })
      await call('GET', `/${encodeURIComponent(value)}/%0a%0dforged/`, { headers })
      await call('POST', '/assignments/', { token, headers, body: { name: `${value}\n${forged}` } })
      await call('POST', '/accounts/login/', { headers, body: { email: 'a@b.example', password: `x\n${forged}` } })
      await call('FORGED', '/accounts/', { headers })
    }
    const logged = logLines().slice(before)
    expect(logged).toHaveLength(values.length * 5)
    for (const line of logged) {
      expect(line).toMatch(/^[\x20-\x7e]+\n$/)
      const { request_id, method, route, status, ms, level, ...rest } = JSON.parse(line)
      expect(Object.keys(rest).sort()).toEqual(['hostname', 'pid', 'time'])
      expect({ request_id, level }).toEqual({ request_id: expect.stringMatching(/^[0-9a-f-]{36}$/), level: 'info' })
      expect([method === 'FORGED' || !line.includes('FORGED'), /forged/.test(line)]).toEqual([true, false])
      expect([typeof route, typeof status, typeof ms]).toEqual(['string', 'number', 'number'])
    }
  })
})
