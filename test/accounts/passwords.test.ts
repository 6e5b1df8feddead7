import { describe, expect, test } from 'vitest'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const { call, logIn, createUser, newestCode, advance, resend, drain } = await openDocket()

const NEW = 'orange horse battery'

const change = (token: string, old_password: string, new_password: string) =>
  call('POST', '/accounts/password-change/', { token, body: { old_password, new_password } })
const requestReset = (email: string) => call('POST', '/accounts/password-reset/', { body: { email } })
const reset = (code: string, new_password = NEW) =>
  call('POST', '/accounts/password-reset/verify/', { body: { code, new_password } })

describe('changing names', () => {
  test('changes only the fields in the request', async () => {
    const { token } = await createUser()
    advance(60)
    const { status, body } = await call('POST', '/accounts/change/', { token, body: { first_name: '  Åsa ' } })
    expect({ status, ...body }).toMatchObject({ status: 200, first_name: 'Åsa', last_name: 'Son' })
    expect(Date.parse(body.updated_at) - Date.parse(body.created_at)).toBe(60_000)
    expect((await call('GET', '/accounts', { token })).body).toEqual(body)
  })

  test.each([{}, { email: 'new@example.com' }, { first_name: '' }, { id: 'x', last_name: 'Y' }])(
    'refuses %j',
    async (body) => {
      const { token } = await createUser()
      expect(await call('POST', '/accounts/change/', { token, body })).toMatchObject({
        status: 400,
        body: { code: 'invalid_request' },
      })
    },
  )
})

describe('changing a password', () => {
  test('ends all other sessions and replaces the old password', async () => {
    const { email, token } = await createUser()
    const other = (await logIn(email, PASSWORD)).body.token
    expect(await change(token, PASSWORD, NEW)).toMatchObject({ status: 200 })
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
    expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 401 })
    expect((await call('GET', '/accounts/sessions/', { token })).body.results).toHaveLength(1)
    expect(await logIn(email, PASSWORD)).toMatchObject({ status: 401 })
    expect(await logIn(email, NEW)).toMatchObject({ status: 200 })
  })

  test('requires the old password and a new one that is not weak', async () => {
    const { token } = await createUser()
    expect(await change(token, 'wrong horse', NEW)).toMatchObject({
      status: 400,
      body: { code: 'wrong_password' },
    })
    expect(await change(token, PASSWORD, 'PersonSon')).toMatchObject({
      status: 400,
      body: { code: 'weak_password', errors: [{ in: 'body', pointer: '/new_password' }] },
    })
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
  })
})

describe('resetting a password', () => {
  test('takes a mailed code once and ends every session', async () => {
    const { email, token } = await createUser()
    expect(await requestReset(email.toUpperCase())).toMatchObject({ status: 202 })
    const code = await newestCode()
    expect(resend.sent.at(-1)?.to).toBe(email)

    expect(await reset(code, 'short')).toMatchObject({ status: 400, body: { code: 'weak_password' } })
    expect(await reset(code, 'PersonSon1')).toMatchObject({ status: 400, body: { code: 'weak_password' } })
    const done = await reset(code)
    expect(done).toMatchObject({ status: 200 })
    expect(Object.keys(done.body)).toEqual(['message'])
    expect(await reset(code)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })

    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
    expect(await logIn(email, PASSWORD)).toMatchObject({ status: 401 })
    expect(await logIn(email, NEW)).toMatchObject({ status: 200 })
  })

  test('gives unknown addresses the same response and sends no mail', async () => {
    const { email } = await createUser()
    const known = await requestReset(email)
    await drain()
    const mails = resend.sent.length
    const unknown = await requestReset('unknown@example.com')
    await drain()
    expect({ ...unknown, headers: 0 }).toEqual({ ...known, headers: 0 })
    expect(resend.sent).toHaveLength(mails)
  })

  test('takes only the newest code, for 15 minutes', async () => {
    const { email } = await createUser()
    await requestReset(email)
    const first = await newestCode()
    advance(60)
    await requestReset(email)
    const second = await newestCode()
    expect(await reset(first)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
    advance(15 * 60 - 1)
    expect(await reset(second, 'x')).toMatchObject({ body: { code: 'weak_password' } })
    advance(1)
    expect(await reset(second)).toMatchObject({ status: 400, body: { code: 'invalid_code' } })
  })

  test('rejects an activation code, as activation rejects a reset code', async () => {
    const signup = { first_name: 'A', last_name: 'B', email: 'new@example.com', password: PASSWORD }
    await call('POST', '/accounts/signup/', { body: signup })
    const activation = await newestCode()
    const { email } = await createUser()
    await requestReset(email)
    const resetting = await newestCode()
    expect(await reset(activation)).toMatchObject({ body: { code: 'invalid_code' } })
    expect(await call('POST', '/accounts/activate-account/', { body: { code: resetting } })).toMatchObject({
      body: { code: 'invalid_code' },
    })
    expect(await call('POST', '/accounts/activate-account/', { body: { code: activation } })).toMatchObject({
      status: 200,
    })
    expect(await reset(resetting)).toMatchObject({ status: 200 })
  })
})
