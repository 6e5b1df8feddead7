import { expect, test } from 'vitest'
import { rate_limits, sessions, signups, users } from '../../src/database/schema.ts'
import { openDocket } from '../support/fixtures.ts'

test('neither the log nor the database holds passwords, tokens or codes', async () => {
  const { call, db, logLines, newestCode, logIn, drain } = await openDocket({ LOG_LEVEL: 'trace' })
  const passwords = ['first horse battery', 'second horse battery', 'third horse battery', 'wrong horse battery']
  const [first, second, third, wrong] = passwords as [string, string, string, string]
  const email = 'ada@secrets.example'
  const from = '198.51.100.77'
  const body = { first_name: 'Ada', last_name: 'L', email, password: first }

  await call('POST', '/accounts/signup/', { body, from })
  const activation = await newestCode()
  await call('POST', '/accounts/activate-account/', { body: { code: activation } })
  await logIn(email, wrong, { from })
  const { token } = (await logIn(email, first)).body
  await call('GET', '/accounts/', { token })
  await call('POST', '/accounts/password-change/', { token, body: { old_password: first, new_password: second } })
  await call('POST', '/accounts/password-reset/', { body: { email } })
  const resetting = await newestCode()
  await call('POST', '/accounts/password-reset/verify/', { body: { code: resetting, new_password: third } })
  await call('POST', '/accounts/login/', { body: `{"email":"${email}","password":"${wrong}` })
  await call('GET', `/accounts/?token=${token}`)
  await call('POST', '/accounts/signup/', { body: { ...body, email: 'pending@secrets.example' } })
  const pending = await newestCode()
  // Even an error of a statement that has the secrets as parameters must not log them.
  await db.execute('alter table sessions rename column user_agent to agent')
  expect(await logIn(email, third)).toMatchObject({ status: 500 })
  await db.execute('alter table sessions rename column agent to user_agent')
  await drain()

  const codes = [activation, resetting, pending]
  const hashes = (await db.select().from(users)).map(({ password }) => password)
  const log = logLines().join('')
  expect(logLines().length).toBeGreaterThan(12)
  for (const secret of [...passwords, token, ...codes, ...hashes, 'Bearer', email]) expect(log).not.toContain(secret)

  const stored = JSON.stringify([
    await db.select().from(users),
    await db.select().from(signups),
    await db.select().from(sessions),
    await db.select().from(rate_limits),
  ])
  for (const secret of [...passwords, token, ...codes, ...codes.map((code) => code.replaceAll('-', '')), from]) {
    expect(stored).not.toContain(secret)
  }
  expect(JSON.stringify(await db.select().from(rate_limits))).not.toContain(email)
})
