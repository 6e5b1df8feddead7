import { describe, expect, test } from 'vitest'
import { createSignupBody, openDocket, PASSWORD } from '../support/fixtures.ts'

// Rate limits that take a hundred requests to reach. They are the same on Workers, where each request would take longer.

const { call, logIn, createUser, newestCode } = await openDocket()

const requestReset = (email: string, from?: string) =>
  call('POST', '/accounts/password-reset/', { body: { email }, ...(from && { from }) })

describe('failed logins', () => {
  test('of one account stop at 100 an hour, and a reset still works', async () => {
    const { email } = await createUser()
    for (let failures = 0; failures < 100; failures++) {
      expect(await logIn(email, 'wrong')).toMatchObject({ status: 401 })
    }
    expect(await logIn(email, 'wrong')).toMatchObject({ status: 429 })
    await requestReset(email)
    const body = { code: await newestCode(), new_password: PASSWORD }
    expect(await call('POST', '/accounts/password-reset/verify/', { body })).toMatchObject({ status: 200 })
    expect(await logIn(email, PASSWORD)).toMatchObject({ status: 200 })
  })

  test('of one client on many accounts stop at 100 in 15 minutes', async () => {
    const { email } = await createUser()
    const from = '192.0.2.3'
    for (let failures = 0; failures < 100; failures++) {
      const account = failures % 25 ? (await createUser()).email : `unknown${failures}@example.com`
      expect(await logIn(account, 'wrong', { from })).toMatchObject({ status: 401 })
    }
    expect(await logIn(email, 'wrong', { from })).toMatchObject({ status: 429 })
    expect(await logIn(email, 'wrong')).toMatchObject({ status: 401 })
  })
})

test('one client may request mails to 100 addresses an hour', async () => {
  const { email } = await createUser()
  const from = '192.0.2.6'
  for (let requests = 0; requests < 100; requests++) {
    const address = requests % 2 ? email : `unknown${requests}@example.com`
    expect(await requestReset(address, from)).toMatchObject({ status: 202 })
  }
  const limited = await requestReset(email, from)
  expect(limited).toMatchObject({ status: 429 })
  expect(Number(limited.headers.get('Retry-After'))).toBe(3600)
  const body = createSignupBody('somebody@example.com')
  expect(await call('POST', '/accounts/signup/', { body, from })).toMatchObject({ status: 429 })
})
