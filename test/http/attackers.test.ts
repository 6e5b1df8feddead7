import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { newId } from '../../src/crypto.ts'
import { expectNoTakeover, ORDERS } from '../reference/takeover.ts'
import { comparable, createSignupBody, fewerOnWorkers, type Json, openDocket, PASSWORD } from '../support/fixtures.ts'

const docket = await openDocket({ CORS_ORIGINS: 'https://app.example.com' })
const { call, logIn, createUser, newestCode, advance, resend, drain } = docket

const signUp = (body: object) => call('POST', '/accounts/signup/', { body })
const requestReset = (email: string) => call('POST', '/accounts/password-reset/', { body: { email } })
const activate = (code: string) => call('POST', '/accounts/activate-account/', { body: { code } })

describe('the existence of an account', () => {
  test('cannot be told from when a rate limit begins or ends', async () => {
    const known = (await createUser()).email
    const runs = []
    for (const email of [known, 'nobody@probe.example']) {
      const from = email === known ? '192.0.2.1' : '192.0.2.2'
      const responses = []
      for (let tries = 0; tries < 12; tries++) responses.push(comparable(await logIn(email, 'wrong', { from })))
      runs.push(responses)
    }
    expect(runs[0]?.at(-1)).toMatchObject({ status: 429 })
    expect(runs[1]).toEqual(runs[0])
  })
})

test('guessing codes from many addresses does not block the real code', async () => {
  await signUp(createSignupBody('guessed@example.com'))
  const code = await newestCode()
  for (let guesses = 0; guesses < fewerOnWorkers(200); guesses++) {
    const guess = code.slice(0, -1) + 'ABCDEFGH'.replace(code.at(-1) as string, '')[guesses % 7]
    expect(await activate(guess)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
  }
  expect(await activate(code)).toMatchObject({ status: 200 })
})

test('other spellings of an address do not send more mails to it', async () => {
  const { email } = await createUser({ email: 'victim@inbox.example' })
  const before = resend.sent.length
  for (let round = 0; round < 40; round++) {
    const spelling = [email, email.toUpperCase(), email.replace('v', 'V'), 'victim@INBOX.example'][round % 4] as string
    expect(await requestReset(spelling)).toMatchObject({ status: 202 })
    expect(await signUp(createSignupBody(spelling))).toMatchObject({ status: 202 })
    advance(80)
  }
  await drain()
  // 40 rounds of 80 seconds are 53 minutes: five mails for each purpose.
  expect(resend.sent.length - before).toBe(10)
})

test('a sign-up with the address of somebody else never takes over the account', async () => {
  expect(ORDERS).toHaveLength(120)
  // test/slow/takeover.test.ts has all orders.
  const step = 120 / fewerOnWorkers(30)
  await expectNoTakeover(
    docket,
    ORDERS.filter((_, index) => index % step === 0),
  )
})

test('no value in a stolen database is a token, code or password', async () => {
  const { call, createUser, logIn, drain, advance, passwordHash, db } = await openDocket()
  const { email, token } = await createUser()
  await call('POST', '/assignments/', { token, body: { name: 'x' } })
  await call('POST', '/accounts/password-reset/', { body: { email } })
  await call('POST', '/accounts/signup/', { body: createSignupBody('pending@stolen.example') })
  await drain()
  await logIn(email, 'wrong')
  const tables = await db.execute<{ name: string }>(
    sql`select format('%I.%I', schemaname, relname) as name from pg_stat_user_tables where schemaname in ('public', 'drizzle') and relname <> 'common_passwords'`,
  )
  const stored = new Set<string>()
  for (const { name } of tables) {
    for (const row of await db.execute(sql.raw(`select * from ${name}`))) {
      for (const value of Object.values(row)) {
        const bytes = value instanceof Uint8Array ? Buffer.from(value) : undefined
        if (bytes)
          for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) stored.add(bytes.toString(form))
        else if (value !== null) stored.add(typeof value === 'object' ? JSON.stringify(value) : String(value))
      }
    }
  }
  for (const value of [...stored]) for (const part of value.split(/[$:"[\],{}]+/)) stored.add(part)
  expect(stored.size).toBeGreaterThan(50)
  expect([...stored]).toContain(passwordHash)

  // On Workers a sample, and every hash.
  const step = fewerOnWorkers(10) < 10 ? 10 : 1
  const candidates = [...stored].filter((value, index) => index % step === 0 || value.includes('$'))
  for (const value of candidates) {
    const text = value.replace(/[^\x20-\x7e]/g, '')
    for (const candidate of [text, `dkt_${text}`]) {
      const headers = { Authorization: `Bearer ${candidate}` }
      expect((await call('GET', '/accounts/', { headers })).status, candidate).toBe(401)
    }
    const verify = { code: value, new_password: 'orange horse battery' }
    expect((await call('POST', '/accounts/activate-account/', { body: { code: value } })).status, value).toBe(400)
    expect((await call('POST', '/accounts/password-reset/verify/', { body: verify })).status, value).toBe(400)
    expect((await logIn(email, value)).status, value).toBeGreaterThanOrEqual(400)
    advance(40)
  }
})

describe('an assignment of other users', async () => {
  const [ada, eve] = [await createUser(), await createUser()]
  const assignment = (await call('POST', '/assignments/', { token: ada.token, body: { name: 'Secret plan' } })).body
  const { body: document } = await call('GET', '/openapi.json')
  const operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]): [string, string, Json] => [
      method.toUpperCase(),
      path,
      operation,
    ]),
  )

  const itemOperations = operations.filter(([, path]) => path.startsWith('/assignments/{id}/'))
  test.each(itemOperations)('is a 404 like an unknown id: %s %s', async (method, path, { requestBody }) => {
    const responses = []
    for (const id of [assignment.id, newId(new Date()), assignment.id.toUpperCase(), 'no-uuid']) {
      for (const headers of [{}, { 'If-Match': '"1"' }, { 'If-None-Match': '*' }] as Record<string, string>[]) {
        const body = requestBody?.content['application/json'].example
        responses.push(comparable(await call(method, path.replace('{id}', id), { token: eve.token, body, headers })))
      }
    }
    expect(new Set(responses.map((response) => JSON.stringify(response))).size, JSON.stringify(responses)).toBe(1)
    expect(responses[0]).toMatchObject({ status: 404 })
  })

  const collectionOperations = operations.filter(
    ([method, path]) => method === 'GET' && /^\/assignments\/(?!.*[{])(?!events)/.test(path),
  )
  test.each(collectionOperations)('does not show with any query: %s %s', async (_, path, { parameters }) => {
    const newcomer = await createUser()
    const names = parameters.map(({ name }: Json) => name)
    const queries = { assignee: ada.id, creator: ada.id, search: 'Secret', count: 'true', as_of: assignment.created_at }
    for (const [name, value] of [['', ''], ...Object.entries(queries)].filter(
      ([name]) => !name || names.includes(name),
    )) {
      const query = new URLSearchParams({
        ...(names.includes('count') && { count: 'true' }),
        ...(name && { [name]: value }),
      })
      const response = comparable(await call('GET', `${path}?${query}`, { token: eve.token }))
      expect(response.status).toBe(200)
      expect(response.text).not.toMatch(/Secret|:[1-9]\d*[,}]/)
      expect(comparable(await call('GET', `${path}?${query}`, { token: newcomer.token }))).toEqual(response)
    }
  })
})

describe('hostile input', () => {
  test.each([
    'a@b.example\r\nBcc: all@example.com',
    'a@b.example\nBcc: all@example.com',
    'a@b.example,c@d.example',
    'a@b.example;c@d.example',
    '"A" <a@b.example>',
    'a@b.example>',
    'a@b.example\0',
    'ä@b.example',
    'a@b..example',
    'a@ä.example,c@d.example',
    'a@ä.example>',
    'a@ä.example\u2028Bcc: all@example.com',
  ])('cannot add a recipient or a header to a mail: %j', async (email) => {
    const before = resend.sent.length
    const answer = await signUp(createSignupBody(email))
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/email' }] } })
    // Nobody has the address, so there is nobody to send to.
    expect([202, 400]).toContain((await requestReset(email)).status)
    expect([401, 400]).toContain((await logIn(email, PASSWORD)).status)
    await drain()
    expect(resend.sent).toHaveLength(before)
  })

  test('is never returned as HTML or in a chart', async () => {
    const name = '<script>alert(1)</script><img src=x onerror=alert(1)>'
    const { token } = await createUser({ first_name: name, last_name: name })
    const made = await call('POST', '/assignments/', { token, body: { name, description: name } })
    expect(made.body).toMatchObject({ name, description: name })
    for (const path of ['/accounts/', '/assignments/', `/assignments/${made.body.id}/`]) {
      const { headers } = await call('GET', path, { token, headers: { Accept: 'text/html' } })
      expect(headers.get('Content-Type')).toBe('application/json')
      expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
    }
    for (const report of ['throughput', 'flow']) {
      const { text } = await call('GET', `/assignments/reports/${report}/?format=svg`, { token })
      expect(text).not.toMatch(/alert|<script|onerror/)
    }
    const problem = await call('GET', `/accounts/?${encodeURIComponent(name)}=1`, {
      token,
      headers: { Accept: 'text/html' },
    })
    expect(problem.headers.get('Content-Type')).toBe('application/problem+json')
  })

  test('cannot set properties of JavaScript objects', async () => {
    const { token } = await createUser()
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      const field = `"${name}":{"first_name":"Eve","name":"Eve","is_admin":true}`
      for (const [method, path, body] of [
        ['POST', '/accounts/change/', `{${field}}`],
        ['POST', '/accounts/change/', `{"first_name":"Ada",${field}}`],
        ['POST', '/assignments/', `{"name":"x",${field}}`],
        ['POST', '/accounts/logout/', `{${field}}`],
        ['GET', `/assignments/?${name}=1&${name}=2`, undefined],
        ['GET', `/assignments/?${name}[is_admin]=1`, undefined],
      ] as const) {
        expect(await call(method, path, { token, body })).toMatchObject({
          status: 400,
          body: { code: 'invalid_request' },
        })
      }
    }
    expect({}).not.toHaveProperty('is_admin')
    expect((await call('GET', '/accounts/', { token })).body.first_name).toBe('Per')
  })

  test.each([
    'https://app.example.com.evil.example',
    'https://evil.example/https://app.example.com',
    'https://app.example.com:8443',
    'http://app.example.com',
    'https://APP.example.com',
    'https://sub.app.example.com',
    'null',
    '*',
    '',
  ])('does not pass as an allowed origin: %s', async (Origin) => {
    const { token } = await createUser()
    const preflight = { Origin, 'Access-Control-Request-Method': 'POST' }
    for (const response of [
      await call('GET', '/accounts/', { token, headers: { Origin } }),
      await call('OPTIONS', '/accounts/login/', { headers: preflight }),
    ]) {
      expect(response.headers.get('Access-Control-Allow-Origin')).toBe(null)
      expect(response.headers.get('Access-Control-Allow-Credentials')).toBe(null)
    }
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])(
    'is rejected if an HTML form could have sent it: %s',
    async (type) => {
      const { token } = await createUser()
      for (const [path, body] of [
        ['/accounts/login/', { email: 'a@b.example', password: PASSWORD }],
        ['/accounts/password-reset/', { email: 'a@b.example' }],
        ['/assignments/', { name: 'x' }],
      ] as const) {
        const headers = { 'Content-Type': type, Origin: 'https://evil.example' }
        expect(await call('POST', path, { token, body, headers })).toMatchObject({ status: 415 })
      }
    },
  )
})
