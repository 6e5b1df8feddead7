import { expect } from 'vitest'
import { users } from '../../src/database/schema.ts'
import { type Docket, PREFERRED } from '../support/fixtures.ts'

/** Whether the hash is at least as costly as the hashes that Docket makes. */
type DjangoHash = [hash: string, isStrong: boolean]

export const DJANGO_PASSWORD = 'pässwörd 🐎'

/** Hashes of DJANGO_PASSWORD by Django's PBKDF2PasswordHasher, and by hashlib.scrypt as Django's ScryptPasswordHasher calls it. */
export const QUICK_HASHES: DjangoHash[] = [
  ['pbkdf2_sha256$260000$oldDjango32$yGpAMx6YfmwBcCfOaHQ8aIb8JrmZB+C2FmYgH97UBMU=', false],
  [
    'scrypt$16384$kF3mZx8Qp1LsVd7RtYwNbC$8$5$MQnCxqeYTuJBT3lP1X8ZixDnxhG95DCl4bg9WT9bgN26Z6+qPJ1G13aCG7lZSPfDBcTFkLCa6dhZpmdN8EtN5Q==',
    true,
  ],
  [
    'scrypt$16384$aB9cD8eF7gH6iJ5kL4mN3o$8$1$+2ejf/TIKioiytx30LqY5hqE5Ioi3wJ72DMmTl3ON0SL8Ry81D/iVLhWwaqjRD2otsUyJkm8ZVWnCq6fyjFHnw==',
    false,
  ],
]

/** Hashes that take seconds on Workers, where PBKDF2 above 100,000 iterations runs in JavaScript. */
export const COSTLY_HASHES: DjangoHash[] = [
  ['pbkdf2_sha256$1000000$bNf0aPq2XyZ9LmK4tRsWvE$DoMaOJssZOjmjWThZHo3tONtWXNpf5CYKzAaWLDJFbE=', true],
  ['pbkdf2_sha256$1200000$Q7wErTy8UiOp3AsDf6GhJk$c3oUqcW6BiuyvPRGyMgkdpkrXybaMkTIN0U7mUutHMw=', true],
  ['pbkdf2_sha256$1500000$zXcVbNm1QwErTyUiOp4AsD$jm2dqoGXTL/w4Ud0f9g0+lf1f1UX0nyMCNoZxpTalew=', true],
]

/** Logs in with an imported hash, and expects that only a weak one, or one of another algorithm, is replaced. */
export async function expectLogin({ createUser, logIn, call, db }: Docket, [hash, isStrong]: DjangoHash) {
  const { id, email, token } = await createUser({ password: hash })
  expect(await logIn(email, DJANGO_PASSWORD)).toMatchObject({ status: 200 })
  const stored = (await db.select().from(users)).find((user) => user.id === id)?.password
  if (isStrong && hash.startsWith(PREFERRED.kind)) expect(stored).toBe(hash)
  else {
    expect(stored).toMatch(PREFERRED.pattern)
    expect(await logIn(email, DJANGO_PASSWORD)).toMatchObject({ status: 200 })
  }
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
}
