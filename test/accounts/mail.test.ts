import { describe, expect, test } from 'vitest'
import { createMailer } from '../../src/mail/mailer.ts'
import { resetMail } from '../../src/mail/templates.ts'
import { readSettings } from '../../src/settings.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const docket = await openDocket()
const { call, createUser, newestCode, resend, lines, settled } = docket

const at = new Date('2026-11-22T10:00:00.000Z')
const CODE = '7KQ2-M9XD-4HRT-V8CW'
const reset = resetMail('ada@example.com', { code: CODE, minutes: 15, at })

test('a mail says for what the code is, how long it is good, and what to do if one did not ask', async () => {
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
    // A stranger's words do not reach another's inbox.
    expect(part).not.toMatch(/Ada|evil/)
  }
  expect(reset.text).toContain('15 minutes')
})

describe('a provider that fails', () => {
  test('once is tried again under the same key', async () => {
    const { email } = await createUser()
    resend.failures.push(503)
    expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
    await settled()
    expect(resend.sent.at(-1)).toMatchObject({ to: email, subject: 'Reset your password' })
    expect(resend.sent.at(-1)?.key).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([[[500, 500]], [[422]]])(
    'with %j changes no answer, and is logged without the code or the address',
    async (statuses) => {
      const { email } = await createUser()
      const before = lines().length
      resend.failures.push(...statuses)
      expect(await call('POST', '/accounts/password-reset/', { body: { email } })).toMatchObject({ status: 202 })
      await settled()
      expect(resend.failures).toEqual([])
      const logged =
        lines()
          .slice(before)
          .find((line) => line.includes('a background task failed')) ?? ''
      expect(logged).toContain(`application_error (${statuses.at(-1)})`)
      expect(logged).not.toMatch(/([0-9A-Z]{4}-){3}/)
      expect(logged).not.toContain(email)
    },
  )

  test('for it cannot be reached is no different', async () => {
    const settings = readSettings({
      RESEND_API_KEY: 're_x',
      MAIL_FROM: 'a@example.com',
      RESEND_BASE_URL: 'http://127.0.0.1:1',
    })
    const send = createMailer(settings, () => {})
    await expect(send(reset)).rejects.toThrow('application_error (no response)')
  })
})

test('without a provider the mail is printed, and its code stands on a line of its own', async () => {
  const printed: string[] = []
  await createMailer(readSettings({}), (text) => printed.push(text))(reset)
  expect(printed).toHaveLength(1)
  const shown = printed[0]?.split('\n') ?? []
  expect(shown[0]).toMatch(/^╭─ Mail to ada@example\.com ─+$/)
  expect(shown).toContain(`│ ${CODE}`)
})
