import { describe, expect, test } from 'vitest'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const docket = await openDocket()
const { call, logIn, createUser, newestCode, advance, resend, drain } = docket

const signUp = (email: string, from?: string) =>
  call('POST', '/accounts/signup/', {
    body: { first_name: 'A', last_name: 'B', email, password: PASSWORD },
    ...(from && { from }),
  })
const requestReset = (email: string, from?: string) =>
  call('POST', '/accounts/password-reset/', { body: { email }, ...(from && { from }) })
const activate = (code: string, from: string) => call('POST', '/accounts/activate-account/', { body: { code }, from })

const retryAfter = (response: { headers: Headers }) => Number(response.headers.get('Retry-After'))

// An unusable hash is rejected without a key derivation.
const NO_HASH = { password: '!' }

describe('failed logins', () => {
  test('stop at ten in 15 minutes for one client and account', async () => {
    const { email } = await createUser()
    const from = '192.0.2.1'
    for (let failures = 0; failures < 10; failures++) {
      expect(await logIn(email, 'wrong', { from })).toMatchObject({ status: 401 })
      advance(10)
    }
    const refused = await logIn(email, PASSWORD, { from })
    expect(refused).toMatchObject({ status: 429, body: { code: 'too_many_requests' } })
    expect(retryAfter(refused)).toBe(15 * 60 - 100)
    expect(await logIn(email.toUpperCase(), PASSWORD, { from })).toMatchObject({ status: 429 })
    expect(await logIn(email, PASSWORD)).toMatchObject({ status: 200 })
    expect(await logIn((await createUser()).email, PASSWORD, { from })).toMatchObject({ status: 200 })

    // The window slides: failures leave it one by one.
    advance(15 * 60 - 100)
    expect(await logIn(email, 'wrong', { from })).toMatchObject({ status: 401 })
    expect(await logIn(email, PASSWORD, { from })).toMatchObject({ status: 429 })
    advance(10)
    expect(await logIn(email, PASSWORD, { from })).toMatchObject({ status: 200 })
  })

  test('sent in parallel are limited like failures sent one by one', async () => {
    const { email } = await createUser(NO_HASH)
    const from = '192.0.2.2'
    // A Worker checks one password at a time and refuses more than a few that wait. Such a guess was not made, so it is repeated.
    const guess = async (): Promise<number> => {
      const { status } = await logIn(email, 'wrong', { from })
      return status === 503 ? guess() : status
    }
    const statuses = await Promise.all(Array.from({ length: 40 }, guess))
    expect(statuses.filter((status) => status === 401)).toHaveLength(10)
    expect(statuses.filter((status) => status === 429)).toHaveLength(30)
  })

  test('include wrong old passwords of a password change', async () => {
    const { token } = await createUser(NO_HASH)
    const guess = () =>
      call('POST', '/accounts/password-change/', {
        token,
        from: '192.0.2.4',
        body: { old_password: 'wrong', new_password: PASSWORD },
      })
    for (let failures = 0; failures < 10; failures++) expect(await guess()).toMatchObject({ status: 400 })
    expect(await guess()).toMatchObject({ status: 429 })
  })
})

describe('mail', () => {
  test('is sent once a minute and five times an hour for each purpose', async () => {
    const { email } = await createUser()
    const mails = () => resend.sent.filter(({ to }) => to === email).length
    const first = await requestReset(email)
    for (let more = 0; more < 3; more++) expect((await requestReset(email)).text).toBe(first.text)
    await drain()
    expect(mails()).toBe(1)
    for (let minutes = 1; minutes < 10; minutes++) {
      advance(60)
      await requestReset(email)
    }
    await drain()
    expect(mails()).toBe(5)
    await signUp(email)
    await drain()
    expect(mails()).toBe(6)
    advance(3600)
    await requestReset(email)
    await drain()
    expect(mails()).toBe(7)
  })

  test('beyond the limit is not sent, but renews the last reset code', async () => {
    const { email } = await createUser()
    for (let mails = 0; mails < 5; mails++) {
      await requestReset(email)
      await drain()
      advance(60)
    }
    const code = await newestCode()
    advance(40 * 60)
    const reset = () =>
      call('POST', '/accounts/password-reset/verify/', { body: { code, new_password: 'orange horse' } })
    expect(await reset()).toMatchObject({ status: 400 })
    await requestReset(email.toUpperCase())
    expect(await newestCode()).toBe(code)
    advance(14 * 60)
    expect(await reset()).toMatchObject({ status: 200 })
    await requestReset(email)
    await drain()
    expect(await reset()).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
  })

  test('that is held back leaves the earlier code valid', async () => {
    const email = 'impatient@example.com'
    await signUp(email)
    const code = await newestCode()
    await signUp(email)
    expect(await newestCode()).toBe(code)
    expect(await activate(code, '192.0.2.5')).toMatchObject({ status: 200 })
  })
})

test('a client may try 30 wrong codes of any purpose in ten minutes', async () => {
  await signUp('right@example.com')
  const code = await newestCode()
  const from = '192.0.2.7'
  const verify = (code: string) =>
    call('POST', '/accounts/password-reset/verify/', { body: { code, new_password: PASSWORD }, from })
  for (let wrong = 0; wrong < 15; wrong++) {
    expect(await activate('7KQ2-M9XD-4HRT-V8CW', from)).toMatchObject({ status: 400 })
    expect(await verify('nonsense')).toMatchObject({ status: 400 })
  }
  expect(await activate(code, from)).toMatchObject({ status: 429 })
  expect(await verify('nonsense')).toMatchObject({ status: 429 })
  advance(600)
  expect(await activate(code, from)).toMatchObject({ status: 200 })
})

describe('a client', () => {
  const isLimited = async (options: object, headers = {}) => {
    const { status } = await call('POST', '/accounts/activate-account/', { body: { code: 'x' }, headers, ...options })
    return status === 429
  }
  const exhaust = async (from: string, headers = {}) => {
    for (let wrong = 0; wrong < 30; wrong++) await isLimited({ from }, headers)
  }

  test('is an IPv6 /64', async () => {
    await exhaust('2001:db8:1:2:3:4:5:6')
    expect(await isLimited({ from: '2001:db8:1:2::9' })).toBe(true)
    expect(await isLimited({ from: '2001:db8:1:3::9' })).toBe(false)
  })

  test('is an IPv4 address, also in its IPv6 form', async () => {
    await exhaust('::ffff:203.0.113.1')
    expect(await isLimited({ from: '203.0.113.1' })).toBe(true)
    expect(await isLimited({ from: '::ffff:203.0.113.2' })).toBe(false)
  })

  test('is not read from X-Forwarded-For by default', async () => {
    await exhaust('203.0.113.10')
    expect(await isLimited({ from: '203.0.113.10' }, { 'X-Forwarded-For': '198.51.100.1' })).toBe(true)
  })

  test('is the last hop of X-Forwarded-For with TRUST_PROXY', async () => {
    const { call } = await openDocket({ TRUST_PROXY: 'true' })
    const guess = (forwarded: string) =>
      call('POST', '/accounts/activate-account/', {
        body: { code: 'x' },
        from: '10.0.0.1',
        headers: { 'X-Forwarded-For': forwarded },
      })
    for (let wrong = 0; wrong < 30; wrong++) await guess(`192.0.2.${wrong}, 198.51.100.7`)
    expect(await guess('198.51.100.7')).toMatchObject({ status: 429 })
    expect(await guess('198.51.100.7, 198.51.100.8')).toMatchObject({ status: 400 })
    expect(await guess('nonsense')).toMatchObject({ status: 400 })
  })
})

test('RATE_LIMITS=off lifts all limits', async () => {
  const { call } = await openDocket({ RATE_LIMITS: 'off' })
  for (let wrong = 0; wrong < 40; wrong++) {
    const body = { code: 'x' }
    expect(await call('POST', '/accounts/activate-account/', { body, from: '192.0.2.1' })).toMatchObject({
      status: 400,
    })
  }
})

test('two instances share their counts', async () => {
  const from = '192.0.2.8'
  const other = await openDocket({}, { database: docket.url })
  for (let wrong = 0; wrong < 30; wrong++) await activate('x', from)
  const { status } = await other.call('POST', '/accounts/activate-account/', { body: { code: 'x' }, from })
  expect(status).toBe(429)
})
