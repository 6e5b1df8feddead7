import { eq } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { users } from '../../src/database/schema.ts'
import { COSTLY_HASHES, DJANGO_PASSWORD, expectLogin, QUICK_HASHES } from '../reference/django-hashes.ts'
import { openDocket, PASSWORD, PREFERRED } from '../support/fixtures.ts'

const docket = await openDocket({}, { kdf: 'real' })
const { logIn, createUser, db } = docket

describe('a password hash imported from Django', () => {
  // test/slow/worker has the other hashes on Workers.
  const hashes = PREFERRED.kind === 'scrypt' ? QUICK_HASHES : [...QUICK_HASHES, ...COSTLY_HASHES]
  test.each(hashes)('lets its user log in: %s', async (...hash) => expectLogin(docket, hash))

  test('matches no other password', async () => {
    for (const [password] of QUICK_HASHES) {
      const { email } = await createUser({ password })
      expect(await logIn(email, `${DJANGO_PASSWORD}!`)).toMatchObject({ status: 401 })
    }
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
  ])('matches no password when it is malformed or too costly: %s', async (password) => {
    const { id, email } = await createUser({ password })
    expect(await logIn(email, DJANGO_PASSWORD)).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
    const [user] = await db.select().from(users).where(eq(users.id, id))
    expect(user?.password).toBe(password)
  })
})

test('PASSWORD_HASHER=scrypt replaces a hash of another algorithm at login', async () => {
  const docket = await openDocket({ PASSWORD_HASHER: 'scrypt' }, { kdf: 'real' })
  const user = await docket.createUser()
  expect(await docket.logIn(user.email, PASSWORD)).toMatchObject({ status: 200 })
  const [stored] = await docket.db.select().from(users)
  expect(stored?.password).toMatch(/^scrypt\$16384\$\w{22}\$8\$5\$.{88}$/)
  expect(await docket.logIn(user.email, PASSWORD)).toMatchObject({ status: 200 })
  expect(await docket.logIn('nobody@example.com', PASSWORD)).toMatchObject({ status: 401 })
})
