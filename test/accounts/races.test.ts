import { eq, sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { hashCode, newCode } from '../../src/accounts/codes.ts'
import { createSession } from '../../src/accounts/sessions.ts'
import { newId } from '../../src/crypto.ts'
import { password_resets, sessions, signups, users } from '../../src/database/schema.ts'
import { fewerOnWorkers, openDocket, PASSWORD, PREFERRED } from '../support/fixtures.ts'

const { call, logIn, createUser, db, drain, resend, clock, passwordHash } = await openDocket()

const NEW = 'orange horse battery'

const statuses = (responses: { status: number }[]) => responses.map(({ status }) => status).sort()

const inParallel = <T>(count: number, work: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)))

const activate = (code: string) => call('POST', '/accounts/activate-account/', { body: { code } })

/** Inserts a sign-up without hashing and returns its code. */
async function insertSignup(email: string) {
  const code = newCode()
  const expires_at = new Date(clock.now + 60_000).toISOString()
  const rest = { email, first_name: 'A', last_name: 'B', password: passwordHash, expires_at }
  await db.insert(signups).values({ id: newId(new Date(clock.now)), code_hash: hashCode(code) as Uint8Array, ...rest })
  return code
}

test('six concurrent sign-ups of one address send one mail', async () => {
  const body = { first_name: 'A', last_name: 'B', email: 'six@example.com', password: PASSWORD }
  expect(statuses(await inParallel(6, () => call('POST', '/accounts/signup/', { body })))).toEqual(Array(6).fill(202))
  await drain()
  expect(resend.sent).toHaveLength(1)
  const code = /([0-9A-Z]{4}-){3}[0-9A-Z]{4}/.exec(resend.sent[0]?.text ?? '')?.[0] ?? ''
  expect(statuses(await inParallel(6, () => activate(code)))).toEqual([200, 400, 400, 400, 400, 400])
  expect(await db.select().from(users).where(sql`email = 'six@example.com'`)).toHaveLength(1)
})

test('one of 50 concurrent activations with the same code succeeds', async () => {
  const code = await insertSignup('fifty@example.com')
  const responses = statuses(await inParallel(50, () => activate(code)))
  expect(responses).toEqual([200, ...Array(49).fill(400)])
})

test('20 concurrent codes of one address make one account', async () => {
  const codes: string[] = []
  for (let index = 0; index < 20; index++)
    codes.push(await insertSignup(index % 2 ? 'Many@example.com' : 'many@EXAMPLE.com'))
  expect(statuses(await Promise.all(codes.map(activate)))).toEqual([200, ...Array(19).fill(400)])
  expect(await db.select().from(signups).where(sql`lower(email) = 'many@example.com'`)).toEqual([])
})

test('one of several concurrent resets with the same code sets the password', async () => {
  const { id, email } = await createUser()
  const code = newCode()
  const expires_at = new Date(clock.now + 60_000).toISOString()
  await db.insert(password_resets).values({ user_id: id, code_hash: hashCode(code) as Uint8Array, expires_at })
  // An isolate derives one key at a time, and refuses those that would wait too long.
  const resets = fewerOnWorkers(10)
  const responses = await inParallel(resets, (index) =>
    call('POST', '/accounts/password-reset/verify/', { body: { code, new_password: `${NEW} ${index}` } }),
  )
  expect(statuses(responses)).toEqual([200, ...Array(resets - 1).fill(400)])
  const winner = responses.findIndex(({ status }) => status === 200)
  expect(await logIn(email, `${NEW} ${winner}`)).toMatchObject({ status: 200 })
})

test('a login during a reset leaves no session of the old password', async () => {
  for (let round = 0; round < 4; round++) {
    const { id, email } = await createUser()
    const code = newCode()
    const expires_at = new Date(clock.now + 60_000).toISOString()
    await db.insert(password_resets).values({ user_id: id, code_hash: hashCode(code) as Uint8Array, expires_at })
    const [reset, ...logins] = await Promise.all([
      call('POST', '/accounts/password-reset/verify/', { body: { code, new_password: NEW } }),
      ...Array.from({ length: 3 }, () => logIn(email, PASSWORD)),
    ])
    expect(reset).toMatchObject({ status: 200 })
    for (const { status, body } of logins) {
      expect([200, 401]).toContain(status)
      if (status === 200) expect(await call('GET', '/accounts/', { token: body.token })).toMatchObject({ status: 401 })
    }
  }
})

test('one of two concurrent password changes sets the password', async () => {
  const { email, token } = await createUser()
  const responses = await inParallel(2, (index) =>
    call('POST', '/accounts/password-change/', {
      token,
      body: { old_password: PASSWORD, new_password: `${NEW} ${index}` },
    }),
  )
  expect(statuses(responses)).toEqual([200, 400])
  const winner = responses.findIndex(({ status }) => status === 200)
  expect(await logIn(email, `${NEW} ${winner}`)).toMatchObject({ status: 200 })
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
})

test('eight concurrent logins that upgrade a hash all stay logged in', async () => {
  // A cost below the preferred one.
  const password = passwordHash.replace('$1000000$', '$260000$').replace('$8$5$', '$8$1$')
  const { email } = await createUser({ password })
  const responses = await inParallel(8, () => logIn(email, PASSWORD))
  const [user] = await db.select().from(users).where(eq(users.email, email))
  expect(user?.password).toMatch(PREFERRED.pattern)
  expect(statuses(responses)).toEqual(Array(8).fill(200))
  for (const { body } of responses)
    expect(await call('GET', '/accounts/', { token: body.token })).toMatchObject({ status: 200 })
})

test('parallel logins leave at most 100 sessions, the newest among them', async () => {
  const { id, password_version, token } = await createUser()
  const session = { user_id: id, password_version, user_agent: null, days: 30 }
  for (let number = 0; number < 99; number++) await createSession(db, session, new Date(clock.now + number))
  const created = await inParallel(200, async (number) => {
    const at = new Date(clock.now + 1_000 + number)
    return { at, ...(await createSession(db, session, at)) }
  })
  const live = await db.select({ at: sessions.created_at }).from(sessions).where(eq(sessions.user_id, id))
  expect(live.length).toBeLessThanOrEqual(100)
  // The last place may belong to the login that was last to finish, since a login never ends its own session.
  const newest = created.slice(-99).map(({ at }) => at.toISOString())
  expect(live.map(({ at }) => at)).toEqual(expect.arrayContaining(newest))
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
})

test('a login with 100 newer sessions keeps its own', async () => {
  const { id, password_version } = await createUser()
  const session = { user_id: id, password_version, user_agent: null, days: 30 }
  for (let number = 0; number < 100; number++) await createSession(db, session, new Date(clock.now + number))
  const { token } = await createSession(db, session, new Date(clock.now - 1_000))
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
  expect(await db.$count(sessions, eq(sessions.user_id, id))).toBe(100)
})

test('logins, log-outs and a password change at the limit of sessions do not deadlock', async () => {
  const { id, email, password_version, token } = await createUser()
  const session = { user_id: id, password_version, user_agent: null, days: 30 }
  const others: string[] = []
  for (let number = 0; number < 100; number++) {
    others.push((await createSession(db, session, new Date(clock.now - number - 1))).token)
  }
  const body = { old_password: PASSWORD, new_password: NEW }
  const [changed, ...rest] = await Promise.all([
    call('POST', '/accounts/password-change/', { token, body }),
    ...Array.from({ length: fewerOnWorkers(20) }, () => logIn(email, PASSWORD)),
    ...others.slice(0, fewerOnWorkers(50)).map((token) => call('POST', '/accounts/logout/', { token })),
  ])
  expect(changed).toMatchObject({ status: 200 })
  for (const { status } of rest) expect([200, 204, 401]).toContain(status)
})
