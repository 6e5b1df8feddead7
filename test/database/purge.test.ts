import { expect, test } from 'vitest'
import { hashCode, newCode } from '../../src/accounts/codes.ts'
import { createEmailChange } from '../../src/accounts/email-changes.ts'
import { createPasswordReset } from '../../src/accounts/password-resets.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import type { Database } from '../../src/database/connect.ts'
import {
  common_passwords,
  email_changes,
  password_resets,
  rate_limits,
  sessions,
  signups,
  users,
} from '../../src/database/schema.ts'
import { tryConsume } from '../../src/http/rate-limit.ts'
import { readSettings } from '../../src/settings.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const countRows = async (db: Database) => ({
  signups: await db.$count(signups),
  password_resets: await db.$count(password_resets),
  email_changes: await db.$count(email_changes),
  rate_limits: await db.$count(rate_limits),
  sessions: await db.$count(sessions),
})

test('the purge removes expired rows and nothing else', async () => {
  const { call, purge, createUser, db, now, advance, passwordHash } = await openDocket()
  const services = { db, now, settings: readSettings({}) }
  const pending = { first_name: 'A', last_name: 'B', password: passwordHash }
  const [ada, bob, eve] = [await createUser(), await createUser(), await createUser()]
  await createSignup(db, { ...pending, email: 'old@example.com' }, now())
  await createPasswordReset(db, ada.email, now())
  await createEmailChange(db, { account: ada, password_version: 1 }, 'old@example.org', now())
  await tryConsume(services, [{ name: 'test', max: 1, seconds: 60 }, 'old'])
  await call('POST', '/accounts/password-change/', {
    token: eve.token,
    body: { old_password: PASSWORD, new_password: 'orange horse battery' },
  })
  const superseded = { user_id: eve.id, password_version: 1, user_agent: null }
  const stale = { id: crypto.randomUUID(), token_hash: hashCode(newCode()) as Uint8Array }
  const at = now().toISOString()
  await db.insert(sessions).values({ ...superseded, ...stale, created_at: at, expires_at: '2030-01-01T00:00:00.000Z' })

  advance(30 * 86_400 - 1)
  await createSignup(db, { ...pending, email: 'new@example.com' }, now())
  await createPasswordReset(db, bob.email, now())
  await createEmailChange(db, { account: bob, password_version: 1 }, 'new@example.org', now())
  await tryConsume(services, [{ name: 'test', max: 1, seconds: 60 }, 'new'])
  expect(await countRows(db)).toEqual({ signups: 2, password_resets: 2, email_changes: 2, rate_limits: 2, sessions: 4 })

  await Promise.all([purge(), purge()])
  expect(await countRows(db)).toEqual({ signups: 1, password_resets: 1, email_changes: 1, rate_limits: 1, sessions: 3 })
  expect((await db.select().from(signups))[0]?.email).toBe('new@example.com')
  expect((await db.select().from(password_resets))[0]?.user_id).toBe(bob.id)
  expect(await call('GET', '/accounts/', { token: eve.token })).toMatchObject({ status: 200 })

  advance(2)
  await purge()
  expect(await countRows(db)).toMatchObject({ sessions: 0 })
  expect(await db.$count(users)).toBe(3)
  expect(await db.$count(common_passwords)).toBeGreaterThan(10_000)
})

test('the purge keeps expired reset codes while they can be renewed', async () => {
  const { purge, createUser, db, now, advance } = await openDocket()
  const { email } = await createUser()
  await createPasswordReset(db, email, now())
  for (const [seconds, left] of [
    [75 * 60, 1],
    [1, 0],
  ] as const) {
    advance(seconds)
    await purge()
    expect((await countRows(db)).password_resets).toBe(left)
  }
})
