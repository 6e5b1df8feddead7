import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { signups, users } from '../../src/database/schema.ts'
import { comparable, openDocket } from '../support/fixtures.ts'

const { call, createUser, drain, logIn, resend, newestCode, advance, clock, db } = await openDocket()

const ada = { first_name: 'Ada', last_name: 'Lovelace', email: 'Ada@Example.com', password: 'purple horse battery' }

const signUp = (fields: object = {}) => call('POST', '/accounts/signup/', { body: { ...ada, ...fields } })
const activate = (code: unknown) => call('POST', '/accounts/activate-account/', { body: { code } })

describe('signing up', () => {
  test('makes a login before the activation a failed one', async () => {
    const email = 'early@example.com'
    await signUp({ email })
    const login = () => logIn(email, ada.password, { from: '192.0.2.1' })
    for (let attempt = 0; attempt < 10; attempt++) expect(await login()).toMatchObject({ status: 401 })
    expect(await login()).toMatchObject({ status: 429 })
  })

  test('leads from a sign-up through an activation to a session', async () => {
    expect(await signUp()).toMatchObject({ status: 202 })
    const early = comparable(await logIn(ada.email, ada.password))
    expect(early).toMatchObject({ status: 401, text: expect.stringContaining('is not activated yet') })
    expect(comparable(await logIn(ada.email, 'another password'))).toEqual(early)
    expect(comparable(await logIn('nobody@example.com', ada.password))).toEqual(early)

    const code = await newestCode()
    expect(await activate(code)).toMatchObject({ status: 200 })
    expect(await activate(code)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })

    const login = await logIn('ada@example.COM', ada.password, { headers: { 'User-Agent': 'story/1' } })
    expect(login).toMatchObject({
      status: 200,
      body: { expires_at: new Date(clock.now + 30 * 86_400_000).toISOString() },
    })
    expect(login.body.token).toMatch(/^dkt_[\w-]{43}$/)
    const read = await call('GET', '/accounts/', { token: login.body.token })
    expect(read.body).toEqual(login.body.user)
    expect(read.body).toMatchObject({
      first_name: 'Ada',
      last_name: 'Lovelace',
      email: 'Ada@Example.com',
      created_at: new Date(clock.now).toISOString(),
    })
  })

  test('gives a taken address the same response and mails its owner', async () => {
    await createUser({ email: 'Taken@Example.com' })
    const before = await db.select().from(users)
    const free = await signUp({ email: 'nobody.yet@example.com' })
    const taken = await signUp({ email: 'TAKEN@example.com', password: 'stolen horse battery' })
    expect(taken.body).toEqual(free.body)
    expect(taken.status).toBe(free.status)
    await drain()
    const mail = resend.sent.find(({ subject }) => subject === 'You already have an account')
    expect(mail).toMatchObject({ to: 'Taken@Example.com' })
    expect(mail?.text).not.toMatch(/[0-9A-Z]{4}-[0-9A-Z]{4}-/)
    expect(await db.select().from(users)).toEqual(before)
  })

  test('twice sends two codes, and each creates the account of its sign-up', async () => {
    const email = 'twice@example.com'
    await signUp({ email, first_name: 'First' })
    const first = await newestCode()
    advance(61)
    await signUp({ email, first_name: 'Second', password: 'orange horse battery' })
    const second = await newestCode()
    expect(second).not.toBe(first)

    expect(await activate(first)).toMatchObject({ status: 200 })
    expect(await activate(second)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
    expect(await logIn(email, 'orange horse battery')).toMatchObject({ status: 401 })
    expect((await logIn(email, ada.password)).body.user.first_name).toBe('First')
    expect(await db.select().from(signups).where(sql`email = ${email}`)).toEqual([])
  })

  test('by a stranger does not keep the owner of the address from signing up', async () => {
    const email = 'owner@example.com'
    await signUp({ email, first_name: 'Mallory', password: 'mallory was here first' })
    advance(61)
    await signUp({ email, first_name: 'Owner' })
    await activate(await newestCode())
    expect(await logIn(email, 'mallory was here first')).toMatchObject({ status: 401 })
    expect((await logIn(email, ada.password)).body.user.first_name).toBe('Owner')
  })

  test('expires after 24 hours', async () => {
    await signUp({ email: 'late@example.com' })
    const code = await newestCode()
    advance(24 * 3600)
    expect(await activate(code)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
    expect(await logIn('late@example.com', ada.password)).toMatchObject({ status: 401 })
  })

  test('accepts a code as people, phones and mail programs write it', async () => {
    for (const [index, typed] of [
      (code: string) => code.toLowerCase(),
      (code: string) => code.replaceAll('-', ''),
      (code: string) => ` ${code.replaceAll('-', ' ')} `,
      (code: string) => code.replaceAll('0', 'o').replaceAll('1', 'l'),
      (code: string) => code.replaceAll('0', 'O').replaceAll('1', 'I'),
      (code: string) => `“\u200b${code.replaceAll('-', '\u2011')}”.`,
      (code: string) => code.replace(/[0-9A-Z]/g, (character) => String.fromCharCode(character.charCodeAt(0) + 0xfee0)),
    ].entries()) {
      const email = `typed${index}@example.com`
      await signUp({ email })
      const code = await newestCode()
      expect([typed(code), (await activate(typed(code))).status]).toEqual([typed(code), 200])
    }
  })

  test.each([
    '',
    'x',
    '7KQ2-M9XD-4HRT',
    '7KQ2-M9XD-4HRT-V8CU',
    '7KQ2-M9XD-4HRT-V8CW',
    '7KQ2-M9XD-4HRT-V8CW-7',
    '7KQ2-M9XD-4HRT-V8CÉ',
    '7KQ2-M9XD-4HRT-V8C\ud800',
    '-'.repeat(16),
    '💥'.repeat(16),
    'a'.repeat(9999),
  ])('rejects %j like any other wrong code', async (code) => {
    const { status, body } = await activate(code)
    expect({ status, ...body, request_id: '' }).toEqual({
      status: 400,
      type: 'urn:docket:problem:invalid_code',
      title: 'The code is not valid',
      detail: 'The code is mistyped, used, expired or for another purpose.',
      code: 'invalid_code',
      request_id: '',
    })
  })

  test('lists all invalid input at once', async () => {
    const { status, body } = await call('POST', '/accounts/signup/?utm=1', {
      body: '{"first_name":" ","last_name":"a\\u0000","email":"x","role":"admin","__proto__":{},"a/b~c":1}',
    })
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
    const places = body.errors.map((error: { in: string; pointer: string }) => `${error.in} ${error.pointer}`).sort()
    expect(places).toEqual([
      'body /__proto__',
      'body /a~1b~0c',
      'body /email',
      'body /first_name',
      'body /last_name',
      'body /password',
      'body /role',
      'query /utm',
    ])
  })

  test.each([
    [{ first_name: '😀'.repeat(150) }, 202],
    [{ first_name: '😀'.repeat(151) }, 400],
    [{ first_name: `  ${'x'.repeat(150)}  ` }, 202],
    [{ first_name: '   ' }, 400],
    [{ first_name: 'a\ud800' }, 400],
    [{ first_name: 'שלום <b>&amp;</b>' }, 202],
    [{ first_name: 7 }, 400],
    [{ last_name: null }, 400],
    [{ email: `${'a'.repeat(64)}@${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.example` }, 400],
    [{ first_name: '\u200b\u2060' }, 400],
    [{ first_name: '\u3164' }, 400],
    [{ last_name: '\u2800' }, 400],
    [{ last_name: '\u0301\u200d' }, 400],
    [{ last_name: '👩‍🚀' }, 202],
    [{ last_name: '.' }, 202],
    [{ email: 'a b@example.com' }, 400],
    [{ email: 'ada@example .com' }, 400],
    [{ email: '"ada lovelace"@example.com' }, 400],
    [{ email: 'adä@example.com' }, 400],
    [{ email: 'ada@１.２.３.４' }, 400],
    [{ email: 'ada@exämple.com/x' }, 400],
    [{ email: 'ada@exä%6dple.com' }, 400],
    [{ email: 'ada@exä\u00admple.com' }, 400],
    [{ email: 'ada@exämple..com' }, 400],
    [{ email: `ada@${'ä'.repeat(64)}.com` }, 400],
    [{ email: '' }, 400],
    [{ email: 'a,b@example.com' }, 400],
    [{ email: 'a@example.com\r\nBcc: b@example.com' }, 400],
  ])('with %j is %i', async (fields, status) => {
    const email = `table${Math.random()}@example.com`
    expect((await signUp({ email, ...fields })).status).toBe(status)
  })
})

describe('a password', () => {
  const cases: [string, string][] = [
    ['1234567', 'too short'],
    ['😀'.repeat(7), 'too short'],
    ['x y'.repeat(86), 'too long'],
    ['password123', 'most common'],
    ['PassWord123', 'most common'],
    ['11111111', 'most common'],
    ['abcdefgh', 'most common'],
    ['Lkjhgfdsa', 'most common'],
    ['        ', 'most common'],
    ['ada@example.com', 'built from'],
    ['Lovelace1815', 'built from'],
    ['ada.lovelace!', 'built from'],
  ]
  test.each(cases)('of %j is too weak: %s', async (password, why) => {
    const { status, body } = await signUp({ password })
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'weak_password' })
    expect(body.detail).toContain(why)
    expect(body.errors).toEqual([{ in: 'body', pointer: '/password', message: body.detail }])
  })

  test.each([['😀'.repeat(8)], ['x y'.repeat(85)], [' spaced out '], ['ada and eight others']])(
    'of %j is accepted, and every character counts',
    async (password) => {
      const email = `strong${Math.random()}@example.com`
      expect(await signUp({ email, password })).toMatchObject({ status: 202 })
      await activate(await newestCode())
      expect(await logIn(email, password)).toMatchObject({ status: 200 })
      expect(await logIn(email, `${password} `)).toMatchObject({ status: 401 })
      expect(await logIn(email, [...password].slice(0, -1).join(''))).toMatchObject({ status: 401 })
    },
  )
})
