import { afterAll, describe, expect, test } from 'vitest'
import { createMailer } from '../../src/mail/mailer.ts'
import { resetMail } from '../../src/mail/templates.ts'
import { readSettings } from '../../src/settings.ts'
import { createSignupBody, openDocket, PASSWORD } from '../support/fixtures.ts'
import { type Failure, startResend } from '../support/resend.ts'

const docket = await openDocket()
const { call, createUser, newestCode, resend, logLines, drain } = docket

type User = Awaited<ReturnType<typeof createUser>>

const at = new Date('2026-11-22T10:00:00.000Z')
const CODE = '7KQ2-M9XD-4HRT-V8CW'
const reset = resetMail('ada@example.com', { code: CODE, minutes: 15, at, service: 'Docket' })

test('a mail states its purpose and how long its code is valid', async () => {
  const body = {
    first_name: '<b>Ada</b>',
    last_name: 'https://evil.example',
    email: 'ada@example.com',
    password: PASSWORD,
  }
  await call('POST', '/accounts/signup/', { body })
  const code = await newestCode()
  const [mail] = resend.sent
  expect(mail).toMatchObject({
    from: 'Docket <no-reply@example.com>',
    to: 'ada@example.com',
    subject: 'Activate your account',
  })
  for (const part of [mail?.text, mail?.html]) {
    expect(part).toContain(code)
    expect(part).toContain('24 hours')
    expect(part).toContain('2026-11-22 at 10:00 UTC')
    expect(part).toContain('If you did not sign up')
    // Otherwise a stranger could send text to anyone's inbox by signing up with their address.
    expect(part).not.toMatch(/Ada|evil/)
  }
  expect(reset.text).toContain('15 minutes')
})

const changePassword = (token: string) =>
  call('POST', '/accounts/password-change/', {
    token,
    body: { old_password: PASSWORD, new_password: 'orange horse battery' },
  })

async function resetPassword(email: string) {
  await call('POST', '/accounts/password-reset/', { body: { email } })
  const body = { code: await newestCode(), new_password: 'orange horse battery' }
  return call('POST', '/accounts/password-reset/verify/', { body })
}

describe('the owner of an account is told by mail', () => {
  test.each([
    ['changed', ({ token }: User) => changePassword(token), 'was changed on', 'request a password reset'],
    ['reset', ({ email }: User) => resetPassword(email), 'was set for your', 'Secure your mailbox'],
  ])('when the password was %s, without code and link', async (_, act, what, advice) => {
    const user = await createUser()
    expect(await act(user)).toMatchObject({ status: 200 })
    await drain()
    const mail = resend.sent.at(-1)
    expect(mail?.to).toBe(user.email)
    for (const part of [mail?.text, mail?.html]) {
      expect(part).toContain(what)
      expect(part).toContain('2026-11-22 at 10:00 UTC')
      expect(part).toContain(advice)
      expect(part).not.toMatch(/[0-9A-Z]{4}-[0-9A-Z]{4}|https?:/)
    }
  })

  test('of nothing that did not happen', async () => {
    const { email, token } = await createUser()
    const body = { old_password: 'wrong horse', new_password: 'orange horse battery' }
    expect(await call('POST', '/accounts/password-change/', { token, body })).toMatchObject({ status: 400 })
    await drain()
    expect(resend.sent.filter(({ to }) => to === email)).toEqual([])
  })
})

test('SERVICE_NAME is in every mail and the title of the document', async () => {
  const named = await openDocket({ SERVICE_NAME: 'Büro & Co' })
  const { email, token } = await named.createUser()
  await named.call('POST', '/accounts/signup/', { body: createSignupBody('new@example.com') })
  await named.call('POST', '/accounts/signup/', { body: createSignupBody(email) })
  await named.call('POST', '/accounts/password-reset/', { body: { email } })
  const change = { email: 'other@example.com', password: PASSWORD }
  await named.call('POST', '/accounts/email-change/', { token, body: change })
  await named.drain()
  const code = codeTo(named, change.email)
  await named.call('POST', '/accounts/email-change/verify/', { token, body: { code } })
  await named.call('POST', '/accounts/delete/', { token, body: { password: PASSWORD } })
  await named.drain()
  expect(named.resend.sent.map(({ subject }) => subject).sort()).toEqual([
    'Activate your account',
    'Confirm your new e-mail address',
    'Reset your password',
    'You already have an account',
    'Your account was deleted',
    'Your e-mail address is about to change',
    'Your e-mail address was changed',
  ])
  for (const { text, html } of named.resend.sent) {
    expect(text).toContain('Büro & Co')
    expect(html).toContain('Büro &amp; Co')
    expect(text + html).not.toContain('Docket')
  }
  expect(JSON.parse((await named.call('GET', '/openapi.json')).text).info.title).toBe('Büro & Co')
})

/** Returns the code in the newest mail to an address. */
const codeTo = ({ resend }: typeof docket, email: string) =>
  /[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/.exec(resend.sent.findLast(({ to }) => to === email)?.text ?? '')?.[0]

describe('a failing mail provider', () => {
  test('is tried again with the same idempotency key', async () => {
    const { email } = await createUser()
    resend.failures.push(503)
    expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
    await drain()
    expect(resend.sent.at(-1)).toMatchObject({ to: email, subject: 'Reset your password' })
    expect(resend.sent.at(-1)?.key).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('that answers 422 is logged without code or address, and the client gets 202', async () => {
    const { email } = await createUser()
    const before = logLines().length
    resend.failures.push(422)
    expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
    await drain()
    expect(resend.failures).toEqual([])
    const logged =
      logLines()
        .slice(before)
        .find((line) => line.includes('a background task failed')) ?? ''
    expect(logged).toContain('application_error (422)')
    expect(logged).not.toMatch(/([0-9A-Z]{4}-){3}/)
    expect(logged).not.toContain(email)
  })

  test('that limits its rate gets every mail', async () => {
    const users = [await createUser(), await createUser(), await createUser()]
    resend.limits.minInterval = 1000
    for (const { email } of users) await call('POST', '/accounts/password-reset/', { body: { email } })
    await drain()
    resend.limits.minInterval = 0
    expect(
      resend.sent
        .slice(-3)
        .map(({ to }) => to)
        .sort(),
    ).toEqual(users.map(({ email }) => email).sort())
  })
})

describe('a mailer', async () => {
  const other = await startResend()
  afterAll(other.close)
  const environment = { RESEND_API_KEY: 're_x', MAIL_FROM: 'a@example.com' }
  const mailerOf = (RESEND_BASE_URL: string) =>
    createMailer(readSettings({ ...environment, RESEND_BASE_URL }), () => {}, { firstPause: 1 })

  /** Sends a mail, and returns how often it was tried and the error. */
  async function send(failures: Failure[]) {
    other.failures.push(...failures)
    const before = other.requests()
    const error = await mailerOf(other.url)(reset).then(
      () => undefined,
      ({ message }) => message,
    )
    other.failures.length = 0
    return { attempts: other.requests() - before, error }
  }
  const limited = (value: string): Failure => ({
    status: 429,
    name: 'rate_limit_exceeded',
    headers: { 'retry-after': value },
  })
  /** A refusal by a provider whose clock is years ahead, until some seconds later. */
  const limitedAhead = (seconds: number): Failure => {
    const [date, until] = [0, seconds].map((later) => new Date(Date.UTC(2040, 0, 1, 0, 0, later)).toUTCString())
    return {
      status: 429,
      name: 'rate_limit_exceeded',
      headers: { date: date as string, 'retry-after': until as string },
    }
  }

  test.each<Failure[][]>([
    [[500, 502, 503, 504, 429]],
    [[null, null, 500]],
    [[limited('0'), limited('0.01'), limited(''), limited('soon'), limited('-1')]],
    [[limited(new Date().toUTCString()), limitedAhead(0)]],
    [[{ status: 409, name: 'concurrent_idempotent_requests' }]],
  ])('tries again after %j, with one idempotency key', async (failures) => {
    const before = other.sent.length
    expect(await send(failures)).toEqual({ attempts: failures.length + 1, error: undefined })
    expect(other.sent).toHaveLength(before + 1)
  })

  test.each<[Failure, string]>([
    [422, 'application_error (422)'],
    [{ status: 401, name: 'invalid_api_key' }, 'invalid_api_key (401)'],
    [{ status: 429, name: 'daily_quota_exceeded', headers: { 'retry-after': '1' } }, 'daily_quota_exceeded (429)'],
    [{ status: 429, name: 'monthly_quota_exceeded' }, 'monthly_quota_exceeded (429)'],
    [{ status: 409, name: 'invalid_idempotent_request' }, 'invalid_idempotent_request (409)'],
    // Longer than the work after a response may last.
    [limited('3600'), 'rate_limit_exceeded (429)'],
    [limited(new Date(Date.now() + 3_600_000).toUTCString()), 'rate_limit_exceeded (429)'],
    [limitedAhead(3_600), 'rate_limit_exceeded (429)'],
  ])('gives up at once after %j', async (failure, error) => {
    expect(await send([failure])).toEqual({ attempts: 1, error: expect.stringContaining(error) })
  })

  test('gives up after six attempts', async () => {
    const expected = { attempts: 6, error: expect.stringContaining('application_error (500)') }
    expect(await send(Array(10).fill(500))).toEqual(expected)
  })

  test('gives up when the provider cannot be reached', async () => {
    await expect(mailerOf('http://127.0.0.1:1')(reset)).rejects.toThrow('application_error (no response)')
  })
})

test('without a provider a mail is printed, with its code on its own line', async () => {
  const printed: string[] = []
  await createMailer(readSettings({}), (text) => printed.push(text))(reset)
  expect(printed).toHaveLength(1)
  const lines = printed[0]?.split('\n') ?? []
  expect(lines[0]).toMatch(/^╭─ Mail to ada@example\.com ─+$/)
  expect(lines).toContain(`│ ${CODE}`)
})
