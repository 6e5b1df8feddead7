import { eq } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { sessions, users } from '../../src/database/schema.ts'
import { openDocket, PASSWORD, PREFERRED } from '../support/fixtures.ts'

const { call, logIn, createUser, pass, db } = await openDocket()

// Made by Django's PBKDF2PasswordHasher, and by hashlib.scrypt as Django's ScryptPasswordHasher calls it.
const DJANGO_PASSWORD = 'pässwörd 🐎'
const DJANGO: [hash: string, isStrong: boolean][] = [
  ['pbkdf2_sha256$260000$oldDjango32$yGpAMx6YfmwBcCfOaHQ8aIb8JrmZB+C2FmYgH97UBMU=', false],
  ['pbkdf2_sha256$1000000$bNf0aPq2XyZ9LmK4tRsWvE$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=', true],
  ['pbkdf2_sha256$1200000$Q7wErTy8UiOp3AsDf6GhJk$c3oUqcW6BiuyvPRGyMgkdpkrXybaMkTIN0U7mUutHMw=', true],
  ['pbkdf2_sha256$1500000$zXcVbNm1QwErTyUiOp4AsD$jm2dqoGXTL/w4Ud0f9g0+lf1f1UX0nyMCNoZxpTalew=', true],
  [
    'scrypt$16384$kF3mZx8Qp1LsVd7RtYwNbC$8$5$MQnCxqeYTuJBT3lP1X8ZixDnxhG95DCl4bg9WT9bgN26Z6+qPJ1G13aCG7lZSPfDBcTFkLCa6dhZpmdN8EtN5Q==',
    true,
  ],
  [
    'scrypt$16384$aB9cD8eF7gH6iJ5kL4mN3o$8$1$+2ejf/TIKioiytx30LqY5hqE5Ioi3wJ72DMmTl3ON0SL8Ry81D/iVLhWwaqjRD2otsUyJkm8ZVWnCq6fyjFHnw==',
    false,
  ],
]

const passwordOf = async (id: string) => (await db.select().from(users).where(eq(users.id, id)))[0]?.password

describe('a password brought over from Django', () => {
  test.each(DJANGO)('logs in: %s', async (password, isStrong) => {
    const user = await createUser({ password })
    expect(await logIn(user.email, `${DJANGO_PASSWORD}!`)).toMatchObject({ status: 401 })
    expect(await logIn(user.email, DJANGO_PASSWORD)).toMatchObject({ status: 200 })
    // A weaker hash, or one of another kind, is replaced by the preferred one; a stronger one is kept.
    const stored = await passwordOf(user.id)
    if (isStrong && password.startsWith(PREFERRED.kind)) expect(stored).toBe(password)
    else expect(stored).toMatch(PREFERRED.pattern)
    expect(await logIn(user.email, DJANGO_PASSWORD)).toMatchObject({ status: 200 })
    expect(await call('GET', '/accounts/', { token: user.token })).toMatchObject({ status: 200 })
  })

  test.each([
    '',
    '!unusable',
    'md5$salt$00',
    'pbkdf2_sha256$999999999$salt$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=',
    'pbkdf2_sha256$-1$salt$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=',
    'pbkdf2_sha256$1e9$salt$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=',
    'pbkdf2_sha256$1000$$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=',
    'pbkdf2_sha256$1000$salt$',
    'pbkdf2_sha256$1000$salt$not base64',
    'scrypt$1073741824$salt$8$1$AA==',
    `scrypt$16383$salt$8$1$${'A'.repeat(86)}==`,
    `scrypt$16384$salt$8$999$${'A'.repeat(86)}==`,
    `scrypt$2$salt$99999999$99$${'A'.repeat(86)}==`,
    `scrypt$0$salt$0$0$${'A'.repeat(86)}==`,
  ])('is simply a wrong password when its hash is hostile: %s', async (password) => {
    const user = await createUser({ password })
    expect(await logIn(user.email, DJANGO_PASSWORD)).toMatchObject({
      status: 401,
      body: { code: 'invalid_credentials' },
    })
    expect(await passwordOf(user.id)).toBe(password)
  })
})

describe('scrypt as the preferred hash', async () => {
  const docket = await openDocket({ PASSWORD_HASHER: 'scrypt' })

  test('replaces another kind at login and signs up with it', async () => {
    const user = await docket.createUser()
    expect(await docket.logIn(user.email, PASSWORD)).toMatchObject({ status: 200 })
    const [stored] = await docket.db.select().from(users)
    expect(stored?.password).toMatch(/^scrypt\$16384\$\w{22}\$8\$5\$.{88}$/)
    expect(await docket.logIn(user.email, PASSWORD)).toMatchObject({ status: 200 })
    expect(await docket.logIn('nobody@example.com', PASSWORD)).toMatchObject({ status: 401 })
  })
})

test('an unknown address and a wrong password are answered in the same words', async () => {
  const user = await createUser()
  const wrong = await logIn(user.email, 'wrong horse battery')
  const unknown = await logIn('unknown@example.com', PASSWORD)
  expect({ ...unknown.body, request_id: '' }).toEqual({ ...wrong.body, request_id: '' })
  expect([...unknown.headers.keys()]).toEqual([...wrong.headers.keys()])
  expect(wrong.headers.get('WWW-Authenticate')).toBe('Bearer')
})

describe('a token', () => {
  test('is taken after Bearer and Token in any case, and from nowhere else', async () => {
    const { token } = await createUser()
    for (const scheme of ['Bearer', 'bearer', 'TOKEN', 'Token', 'Token  ']) {
      const headers = { Authorization: `${scheme} ${token}` }
      expect(await call('GET', '/accounts/', { headers })).toMatchObject({ status: 200 })
    }
    for (const headers of [
      {},
      { Authorization: token },
      { Authorization: `Basic ${token}` },
      { Authorization: `Bearer ${token} ${token}` },
      { Cookie: `token=${token}` },
    ] as Record<string, string>[]) {
      expect(await call('GET', '/accounts/', { headers })).toMatchObject({
        status: 401,
        body: { code: 'unauthenticated' },
      })
    }
    expect(await call('GET', `/accounts/?token=${token}`)).toMatchObject({ status: 401 })
  })

  test('that is missing is asked for, and one that is not good is called so', async () => {
    const missing = await call('GET', '/accounts/')
    expect(missing.headers.get('WWW-Authenticate')).toBe('Bearer')
    const bad = await call('GET', '/accounts/', { token: 'dkt_no' })
    expect(bad.headers.get('WWW-Authenticate')).toBe('Bearer error="invalid_token"')
  })

  test('is looked at before anything else of the request', async () => {
    for (const [method, path, body] of [
      ['POST', '/accounts/change/?x=%zz', '{'],
      ['POST', '/accounts/password-change/', 'x'.repeat(300_000)],
      ['DELETE', '/accounts/sessions/no-uuid/', undefined],
    ] as const) {
      expect(await call(method, path, { body, headers: { 'Content-Type': 'text/plain' } })).toMatchObject({
        status: 401,
      })
    }
  })

  test('dies at logout, at once and alone', async () => {
    const { email, token } = await createUser()
    const other = (await logIn(email, PASSWORD)).body.token
    expect(await call('POST', '/accounts/logout/', { token })).toMatchObject({ status: 204, text: '' })
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
    expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 200 })
  })

  test('lives 30 days', async () => {
    const { token } = await createUser()
    pass(30 * 86_400 - 1)
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
    pass(1)
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
  })

  test('is stored as its SHA-256 alone', async () => {
    const { id, token } = await createUser()
    const [row] = await db.select().from(sessions).where(eq(sessions.user_id, id))
    const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token)))
    expect(new Uint8Array(row?.token_hash ?? [])).toEqual(sha256)
    expect(JSON.stringify(row)).not.toContain(token.slice(4))
  })
})

describe('sessions', () => {
  test('are listed with the current one marked, and ended one by one', async () => {
    const { email, token } = await createUser()
    pass(1)
    const other = (await logIn(email, PASSWORD, { headers: { 'User-Agent': 'x'.repeat(999) } })).body.token
    const list = await call('GET', '/accounts/sessions/', { token })
    expect(list.body.results).toHaveLength(2)
    const [newest, current] = list.body.results
    expect([newest.current, current.current]).toEqual([false, true])
    expect(newest.user_agent).toBe('x'.repeat(256))

    expect(await call('DELETE', `/accounts/sessions/${newest.id}`, { token })).toMatchObject({ status: 204 })
    expect(await call('DELETE', `/accounts/sessions/${newest.id}`, { token })).toMatchObject({ status: 404 })
    expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 401 })
  })

  test("of others do not exist, as unknown and impossible ids don't", async () => {
    const [mine, theirs] = [await createUser(), await createUser()]
    const list = await call('GET', '/accounts/sessions/', { token: theirs.token })
    const answers = []
    for (const id of [list.body.results[0].id, '01986f5e-7c00-7000-8000-0123456789ab', 'no-uuid', '%00', '%zz']) {
      const { status, body } = await call('DELETE', `/accounts/sessions/${id}/`, { token: mine.token })
      answers.push({ status, ...body, request_id: '' })
    }
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(answers[0]).toMatchObject({ status: 404, code: 'not_found' })
    expect(await call('GET', '/accounts/', { token: theirs.token })).toMatchObject({ status: 200 })
  })
})
