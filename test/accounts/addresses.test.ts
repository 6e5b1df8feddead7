import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { addressKey } from '../../src/database/text.ts'
import { toAsciiAddress } from '../../src/mail/addresses.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'

const { call, createUser, drain, logIn, resend, newestCode, db, advance } = await openDocket()

const signUp = (email: string) =>
  call('POST', '/accounts/signup/', { body: { first_name: 'Ada', last_name: 'Lovelace', email, password: PASSWORD } })
const requestReset = (email: string) => call('POST', '/accounts/password-reset/', { body: { email } })

describe('an address', () => {
  test('is trimmed, otherwise kept as it was given, and sent as punycode', async () => {
    const spaces = [' ', '\t\r\n', '\u00a0', '\u3000', '\ufeff', '\u200b', '\u202a', '\u0085']
    for (const [index, space] of spaces.entries()) {
      const email = `Trim${index}@Bücher${index}.Example`
      expect(await signUp(`${space}${email}${space}`)).toMatchObject({ status: 202 })
      await call('POST', '/accounts/activate-account/', { body: { code: await newestCode() } })
      expect(resend.sent.at(-1)?.to).toBe(toAsciiAddress(email))
      expect(resend.sent.at(-1)?.to).toMatch(/^Trim\d@xn--[\x21-\x7e]+\.example$/)
      const { status, body } = await logIn(`${space}${email.toUpperCase()} `, PASSWORD)
      expect([status, body.user?.email]).toEqual([200, email])
    }
  })

  test('with an internationalized domain is one in every spelling', async () => {
    const { id } = await createUser({ email: 'Ada@Exämple.com' })
    const spellings = ['ada@exämple.com', 'ADA@EXÄMPLE.COM', 'ada@exa\u0308mple.com', 'ada@XN--EXMPLE-CUA.com']
    for (const email of [...spellings, 'ada@ｅｘämple。com']) {
      advance(3600)
      expect((await logIn(email, PASSWORD)).body.user?.id).toBe(id)
      expect(await requestReset(email)).toMatchObject({ status: 202 })
      await drain()
      expect(resend.sent.at(-1)).toMatchObject({ to: 'Ada@xn--exmple-cua.com', subject: 'Reset your password' })
      advance(3600)
      await signUp(email)
      await drain()
      expect(resend.sent.at(-1)).toMatchObject({ subject: 'You already have an account' })
    }
    expect((await logIn('adä@example.com', PASSWORD)).status).toBe(401)
    await expect(createUser({ email: 'ada@xn--exmple-cua.com' })).rejects.toThrow()
  })

  test('counts as one for the limits of mails and logins, in every spelling', async () => {
    await createUser({ email: 'limit@exämple.com' })
    const before = resend.sent.length
    for (const email of ['limit@exämple.com', 'LIMIT@EXÄMPLE.com', 'limit@xn--exmple-cua.com'])
      await requestReset(email)
    await drain()
    expect(resend.sent).toHaveLength(before + 1)
  })

  test.each([
    'UPPER@EXAMPLE.COM',
    'no-dot@localhost',
    'admin',
    'jürgen@example.com',
    'Ünïcode@exämple.com',
    '"quoted local"@example.com',
    '"a@b"@exämple.org',
    'user@[192.0.2.1]',
    'a,b@example.com',
    'two@@example.com',
    'under_score@under_score.example',
    `${'x'.repeat(100)}@example.com`,
    '日本語@例え.テスト',
    '@',
    'ä@',
    '@ä',
  ])('that was imported as %s can log in and reset its password', async (email) => {
    const { id } = await createUser({ email })
    expect((await logIn(` ${email}\n`, PASSWORD)).body.user?.id).toBe(id)
    expect(await requestReset(email)).toMatchObject({ status: 202 })
    const password = 'another horse battery'
    const verified = await call('POST', '/accounts/password-reset/verify/', {
      body: { code: await newestCode(), new_password: password },
    })
    expect(verified).toMatchObject({ status: 200 })
    expect(await logIn(email, password)).toMatchObject({ status: 200 })
  })

  test.each([
    'x',
    '@',
    'a b',
    'ä'.repeat(10_000),
    `a@${'ä'.repeat(10_000)}`,
    `a${' '.repeat(200_000)}b`,
    'a@ä.%',
    "a'@b",
  ])('that nobody has is not found, whatever its form: %#', async (email) => {
    expect(await logIn(email, PASSWORD)).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
    expect(await requestReset(email)).toMatchObject({ status: 202 })
    await drain()
  })

  test.each(['', ' ', 'a\0@example.com', 'a\ud800@example.com', 'a@b.example\r\nBcc: c@d.example'])(
    'of %j is invalid',
    async (email) => {
      for (const answer of [await logIn(email, PASSWORD), await requestReset(email)]) {
        expect(answer).toMatchObject({ status: 400, body: { errors: [{ in: 'body', pointer: '/email' }] } })
      }
    },
  )

  test('of any account can be assigned to', async () => {
    const [ada, bob] = [await createUser(), await createUser({ email: 'bob "b"@exämple.org' })]
    const body = { name: 'x', assignee: ' Bob "b"@xn--exmple-cua.org ' }
    expect((await call('POST', '/assignments/', { token: ada.token, body })).body.assignee).toBe(bob.id)
    for (const assignee of ['nobody@exämple.org', 'bob', ' ', 'a@b\0']) {
      const answer = await call('POST', '/assignments/', { token: ada.token, body: { name: 'x', assignee } })
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/assignee' }] } })
    }
  })
})

test('the database compares domains as browsers do', async () => {
  const domains = `
    exämple.com EXÄMPLE.com exa\u0308mple.com bücher.example straße.de faß.de ΒΌΛΟΣ.com βόλος.com παράδειγμα.δοκιμή
    例え.テスト 例え。テスト ｅｘämple.com 中国.cn президент.рф ПРЕЗИДЕНТ.рф مثال.إختبار उदाहरण.परीक्षा 실례.테스트
    ñandú.es ñ.ñ.ñ a.b.ç ü--ü.de münchen-ost.de łódź.pl İstanbul.com ǆ.com ﬁancé.com ０１２ä.de 💩.la 👍a👍.ws
    abcäöüß123.example ліціт.укр ไทย.ไทย xn--exmple-cua.ü.com`
    .trim()
    .split(/\s+/)
  for (const domain of domains) {
    const [row] = await db.execute<{ key: string }>(sql`select ${addressKey(`a@${domain}`)} as key`)
    expect([domain, row?.key]).toEqual([domain, toAsciiAddress(`a@${domain}`)])
  }
})
