import { eq, sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { createEmailChange } from '../../src/accounts/email-changes.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import { email_changes, password_resets, sessions, signups, users } from '../../src/database/schema.ts'
import { comparable, fewerOnWorkers, openDocket, PASSWORD } from '../support/fixtures.ts'

const { call, logIn, createUser, newestCode, advance, resend, drain, db, now, passwordHash } = await openDocket()

type User = Awaited<ReturnType<typeof createUser>>

let addressCount = 0
const newAddress = () => `new${addressCount++}@example.org`

const request = ({ token }: { token: string }, email: string, password = PASSWORD) =>
  call('POST', '/accounts/email-change/', { token, body: { email, password } })

const verify = ({ token }: { token: string }, code: string) =>
  call('POST', '/accounts/email-change/verify/', { token, body: { code } })

/** Requests a change and returns its code. */
async function codeFor(user: User, email: string) {
  expect(await request(user, email)).toMatchObject({ status: 202 })
  await drain()
  return codeTo(email)
}

/** Returns the code in the newest mail to an address. */
const codeTo = (email: string) =>
  /[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/.exec(resend.sent.findLast(({ to }) => to === email)?.text ?? '')?.[0] ?? ''

/** Stores a change as its request would, and returns its code. */
async function insertChange(user: User, email: string) {
  const session = { password_version: 1, account: user }
  return (await createEmailChange(db, session, email, now()))?.code as string
}

const activate = (code: string) => call('POST', '/accounts/activate-account/', { body: { code } })

const insertSignup = async (email: string) =>
  (await createSignup(db, { email, first_name: 'A', last_name: 'B', password: passwordHash }, now())) as string

const mailsTo = (email: string) => resend.sent.filter(({ to }) => to === email)

test('a verified address replaces the old one everywhere', async () => {
  const ada = await createUser()
  const other = (await logIn(ada.email, PASSWORD)).body.token
  await call('POST', '/accounts/password-reset/', { body: { email: ada.email } })
  const resetCode = await newestCode()
  const email = newAddress()
  const code = await codeFor(ada, email)
  // Nothing has changed yet.
  expect((await call('GET', '/accounts/', { token: ada.token })).body.email).toBe(ada.email)
  advance(60)
  const { status, body } = await verify(ada, code)
  expect({ status, ...body }).toMatchObject({ status: 200, id: ada.id, email, updated_at: now().toISOString() })
  expect((await call('GET', '/accounts/', { token: ada.token })).body).toEqual(body)
  expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 401 })
  expect(await logIn(ada.email, PASSWORD)).toMatchObject({ status: 401 })
  expect(await logIn(email, PASSWORD)).toMatchObject({ status: 200 })
  const reset = { code: resetCode, new_password: 'orange horse battery' }
  expect(await call('POST', '/accounts/password-reset/verify/', { body: reset })).toMatchObject({ status: 400 })
  expect(await verify(ada, code)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
  const { token } = await createUser()
  const assigned = await call('POST', '/assignments/', { token, body: { name: 'A', assignee: email } })
  expect(assigned).toMatchObject({ status: 201, body: { assignee: ada.id } })
})

test('the old address is told when the code is sent and when the address has changed', async () => {
  const ada = await createUser()
  const email = newAddress()
  const code = await codeFor(ada, email)
  expect(mailsTo(ada.email)).toHaveLength(1)
  await verify(ada, code)
  await drain()
  expect(mailsTo(ada.email)).toHaveLength(2)
  for (const { text, html } of mailsTo(ada.email)) {
    for (const part of [text, html]) {
      expect(part).toContain('2026-11-22 at ')
      expect(part).not.toMatch(new RegExp(`${code}|${email}|https?:`))
    }
  }
  expect(mailsTo(email)).toHaveLength(1)
})

test('a code is useless without a session of the account that requested it', async () => {
  const [ada, eve] = [await createUser(), await createUser()]
  const email = newAddress()
  const code = await codeFor(ada, email)
  expect(await verify(eve, code)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
  expect(await verify({ token: 'dkt_unknown' }, code)).toMatchObject({ status: 401 })
  expect(await activate(code)).toMatchObject({ status: 400 })
  const reset = { code, new_password: 'orange horse battery' }
  expect(await call('POST', '/accounts/password-reset/verify/', { body: reset })).toMatchObject({ status: 400 })
  expect(await verify(ada, code)).toMatchObject({ status: 200, body: { email } })
})

test('a taken address gets the same response and export, and only its owner hears of it', async () => {
  const [ada, bob] = [await createUser(), await createUser()]
  const free = await request(ada, newAddress())
  await drain()
  const before = mailsTo(ada.email).length
  const taken = await request(ada, bob.email.toUpperCase())
  await drain()
  expect(comparable(taken)).toEqual(comparable(free))
  expect(mailsTo(bob.email).map(({ subject }) => subject)).toEqual(['You already have an account'])
  expect(mailsTo(ada.email)).toHaveLength(before)
  // The export would tell a change that is stored from one that is not, and so would the code of an earlier one.
  const { pending } = JSON.parse((await call('GET', '/accounts/export/', { token: ada.token })).text)
  expect(pending.email_change.email).toBe(bob.email.toUpperCase())
})

describe('a request', () => {
  test('needs the password, and counts a wrong one as a failed login', async () => {
    const ada = await createUser()
    const from = '198.51.100.7'
    const body = { email: newAddress(), password: 'wrong horse' }
    const attempt = () => call('POST', '/accounts/email-change/', { token: ada.token, body, from })
    for (let count = 0; count < 10; count++) {
      expect(await attempt()).toMatchObject({ status: 400, body: { code: 'wrong_password' } })
    }
    expect(await attempt()).toMatchObject({ status: 429 })
    expect(await logIn(ada.email, PASSWORD, { from })).toMatchObject({ status: 429 })
    await drain()
    expect(mailsTo(ada.email)).toEqual([])
  })

  test('for the current address is refused, unless its case changes', async () => {
    const ada = await createUser()
    const same = await request(ada, ` ${ada.email} `)
    expect(same).toMatchObject({ status: 400, body: { errors: [{ in: 'body', pointer: '/email' }] } })
    const email = ada.email.toUpperCase()
    expect(await verify(ada, await codeFor(ada, email))).toMatchObject({ status: 200, body: { email } })
  })

  test('within a minute sends no code, and extends the last one', async () => {
    const ada = await createUser()
    const email = newAddress()
    const code = await codeFor(ada, email)
    advance(30)
    const sent = resend.sent.length
    await request(ada, email)
    await drain()
    expect(resend.sent).toHaveLength(sent)
    advance(15 * 60 - 1)
    expect(await verify(ada, code)).toMatchObject({ status: 200 })
  })

  test('replaces the code of an earlier one', async () => {
    const ada = await createUser()
    const first = await codeFor(ada, newAddress())
    const email = newAddress()
    const second = await codeFor(ada, email)
    expect(await verify(ada, first)).toMatchObject({ status: 400 })
    expect(await verify(ada, second)).toMatchObject({ status: 200, body: { email } })
  })
})

test('a code expires after 15 minutes', async () => {
  const ada = await createUser()
  const code = await codeFor(ada, newAddress())
  advance(15 * 60)
  expect(await verify(ada, code)).toMatchObject({ status: 400 })
})

test('a changed or reset password ends the change', async () => {
  const ada = await createUser()
  const code = await codeFor(ada, newAddress())
  const body = { old_password: PASSWORD, new_password: 'orange horse battery' }
  expect(await call('POST', '/accounts/password-change/', { token: ada.token, body })).toMatchObject({ status: 200 })
  expect(await verify(ada, code)).toMatchObject({ status: 400 })

  const bob = await createUser()
  const bobs = await codeFor(bob, newAddress())
  await call('POST', '/accounts/password-reset/', { body: { email: bob.email } })
  const reset = { code: await newestCode(), new_password: 'orange horse battery' }
  expect(await call('POST', '/accounts/password-reset/verify/', { body: reset })).toMatchObject({ status: 200 })
  const { token } = (await logIn(bob.email, 'orange horse battery')).body
  expect(await verify({ token }, bobs)).toMatchObject({ status: 400 })
})

test('wrong codes are limited', async () => {
  const ada = await createUser()
  const from = '198.51.100.8'
  const guess = () =>
    call('POST', '/accounts/email-change/verify/', { token: ada.token, body: { code: '0000-0000-0000-0000' }, from })
  for (let count = 0; count < 30; count++) expect(await guess()).toMatchObject({ status: 400 })
  expect(await guess()).toMatchObject({ status: 429 })
})

describe('of a sign-up and two changes for one address', () => {
  const orders = ['sign-up', 'first', 'second'].flatMap((winner) =>
    ['sign-up', 'first', 'second'].filter((other) => other !== winner).map((next) => [winner, next] as const),
  )

  test.each(orders)('the first to verify wins: %s, then %s', async (...order) => {
    const [ada, bob] = [await createUser(), await createUser()]
    const email = newAddress()
    const [signup, first, second] = [
      await insertSignup(email),
      await insertChange(ada, email.toUpperCase()),
      await insertChange(bob, email),
    ]
    const attempts: Record<string, () => ReturnType<typeof call>> = {
      'sign-up': () => activate(signup),
      first: () => verify(ada, first),
      second: () => verify(bob, second),
    }
    const rest = Object.keys(attempts).filter((name) => !order.includes(name as (typeof order)[number]))
    const responses = []
    for (const name of [...order, ...rest]) responses.push(await attempts[name]?.())
    expect(responses.map((response) => response?.status)).toEqual([200, 400, 400])
    expect(await db.$count(users, sql`lower(email) = ${email}`)).toBe(1)
    expect(await db.$count(signups, sql`lower(email) = ${email}`)).toBe(0)
    expect(await db.$count(email_changes, sql`lower(email) = ${email}`)).toBe(0)
  })
})

test('of many sign-ups and changes for one address in parallel, one gets it', async () => {
  const email = newAddress()
  const count = fewerOnWorkers(25)
  const changes = []
  for (let index = 0; index < count; index++) {
    const user = await createUser()
    changes.push({ user, code: await insertChange(user, index % 2 ? email : email.toUpperCase()) })
  }
  const codes = []
  for (let index = 0; index < count; index++) codes.push(await insertSignup(email))
  const responses = await Promise.all([...changes.map(({ user, code }) => verify(user, code)), ...codes.map(activate)])
  expect(responses.map(({ status }) => status).sort()).toEqual([200, ...Array(2 * count - 1).fill(400)])
  expect(await db.$count(users, sql`lower(email) = ${email}`)).toBe(1)
  expect(await db.$count(signups, sql`lower(email) = ${email}`)).toBe(0)
  expect(await db.$count(email_changes, sql`lower(email) = ${email}`)).toBe(0)
})

test('of several changes with one code in parallel, one succeeds and the session stays', async () => {
  const ada = await createUser()
  const code = await insertChange(ada, newAddress())
  const responses = await Promise.all(Array.from({ length: fewerOnWorkers(10) }, () => verify(ada, code)))
  const successes = responses.filter(({ status }) => status === 200)
  expect(successes).toHaveLength(1)
  expect(await call('GET', '/accounts/', { token: ada.token })).toMatchObject({ status: 200 })
  expect(await db.$count(sessions, eq(sessions.user_id, ada.id))).toBe(1)
  expect(await db.$count(password_resets, eq(password_resets.user_id, ada.id))).toBe(0)
})
