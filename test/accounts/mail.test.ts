import { describe, expect, test } from 'vitest'
import { createMailer } from '../../src/mail/mailer.ts'
import { resetMail } from '../../src/mail/templates.ts'
import { readSettings } from '../../src/settings.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const docket = await openDocket()
const { call, createUser, newestCode, resend, logLines, drain } = docket

const at = new Date('2026-11-22T10:00:00.000Z')
const CODE = '7KQ2-M9XD-4HRT-V8CW'
const reset = resetMail('ada@example.com', { code: CODE, minutes: 15, at })

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

describe('a failing mail provider', () => {
  test('is tried again with the same idempotency key', async () => {
    const { email } = await createUser()
    resend.failures.push(503)
    expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
    await drain()
    expect(resend.sent.at(-1)).toMatchObject({ to: email, subject: 'Reset your password' })
    expect(resend.sent.at(-1)?.key).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([[[500, 500]], [[422]]])(
    'that answers %j is logged, without the code and the address',
    async (statuses) => {
      const { email } = await createUser()
      const before = logLines().length
      resend.failures.push(...statuses)
      expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
      await drain()
      expect(resend.failures).toEqual([])
      const logged =
        logLines()
          .slice(before)
          .find((line) => line.includes('a background task failed')) ?? ''
      expect(logged).toContain(`application_error (${statuses.at(-1)})`)
      expect(logged).not.toMatch(/([0-9A-Z]{4}-){3}/)
      expect(logged).not.toContain(email)
    },
  )

  test('that cannot be reached fails in the same way', async () => {
    const settings = readSettings({
      RESEND_API_KEY: 're_x',
      MAIL_FROM: 'a@example.com',
      RESEND_BASE_URL: 'http://127.0.0.1:1',
    })
    const send = createMailer(settings, () => {})
    await expect(send(reset)).rejects.toThrow('application_error (no response)')
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
