import { execFile } from 'node:child_process'
import { expect, test } from 'vitest'
import { createSignup } from '../../src/accounts/signups.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'
import { entry, startServer, temporaryFolder } from '../support/process.ts'

// Each command runs as a process of its own, with the database of a server that goes on running.

const docket = await openDocket({}, { clockKind: 'database' })
const { call, logIn, createUser, db, url, resend, passwordHash } = docket

type Result = { code: number; out: string; err: string }

const run = (args: string[], environment: Record<string, string> = {}) =>
  new Promise<Result>((resolve) => {
    const env = { PATH: process.env.PATH, DATABASE_URL: url, ...environment }
    execFile(process.execPath, [entry, ...args], { env }, (error, out, err) =>
      resolve({ code: Number(error?.code ?? 0), out, err }),
    )
  })

const users = (...args: string[]) => run(['users', ...args])

const secrets = /pbkdf2|scrypt|dkt_/

test('list has all accounts, as lines and as JSON, without secrets and control characters', async () => {
  const { id, email, created_at } = await createUser({ first_name: 'Ada\u001b[2J', last_name: 'Love\u202elace' })
  await logIn(email, PASSWORD)
  const { code, out } = await users('list')
  expect(code).toBe(0)
  expect(out).toContain(`${email}  Ada\\u{1b}[2J Love\\u{202e}lace  since ${created_at.slice(0, 10)}  2 sessions\n`)
  expect(out).toMatch(/^\d+ accounts?\n$/m)
  const json = await users('list', '--json')
  const account = JSON.parse(json.out).find((account: { id: string }) => account.id === id)
  expect(account).toEqual({
    id,
    email,
    first_name: 'Ada\u001b[2J',
    last_name: 'Love\u202elace',
    created_at,
    sessions: 2,
  })
  expect(out + json.out).not.toMatch(secrets)
})

test('show has an account with its sessions', async () => {
  const { id, email, token } = await createUser()
  await call('POST', '/assignments/', { token, body: { name: 'A' } })
  const { code, out } = await users('show', ` ${email.toUpperCase()} `)
  expect(code).toBe(0)
  for (const part of [id, email, 'Per Son', '1 created, 1 assigned', 'sessions     1', 'without user agent']) {
    expect(out).toContain(part)
  }
  expect(out).not.toMatch(secrets)
})

test('log-out ends all sessions at once', async () => {
  const { id, email, token } = await createUser()
  const other = (await logIn(email, PASSWORD)).body.token
  const { code, out, err } = await users('log-out', email)
  expect([code, out]).toEqual([0, `2 sessions of ${email} ended.\n`])
  expect(JSON.parse(err)).toEqual({ level: 'info', time: expect.any(String), msg: 'users log-out', user: id })
  for (const ended of [token, other])
    expect(await call('GET', '/accounts/', { token: ended })).toMatchObject({ status: 401 })
  expect(await users('log-out', email)).toMatchObject({ code: 1, out: '', err: `${email} has no session.\n` })
})

test('activate creates the account of the newest sign-up', async () => {
  const email = 'newcomer@example.com'
  const signup = { email, first_name: 'Old', last_name: 'Er', password: passwordHash }
  await createSignup(db, signup, new Date(Date.now() - 60_000))
  await createSignup(db, { ...signup, first_name: 'New' }, new Date())
  expect(await users('activate', email)).toMatchObject({ code: 0, out: `The account of ${email} is active.\n` })
  expect((await logIn(email, PASSWORD)).body.user.first_name).toBe('New')
  expect(await users('activate', email)).toMatchObject({ code: 1, err: `${email} has an account already.\n` })
  const unknown = await users('activate', 'nobody@example.com')
  expect(unknown).toMatchObject({ code: 1, err: 'nobody@example.com has no sign-up that waits for its code.\n' })
})

test('delete asks first, and tells the owner', async () => {
  const { id, email, token } = await createUser()
  await call('POST', '/assignments/', { token, body: { name: 'A' } })
  const asked = await users('delete', email)
  expect(asked).toMatchObject({ code: 1, err: 'Nothing was deleted. Without a terminal, confirm with --yes.\n' })
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
  const mail = { RESEND_API_KEY: 're_test', RESEND_BASE_URL: resend.url, MAIL_FROM: 'no-reply@example.com' }
  const { code, out, err } = await run(['users', 'delete', email, '--yes'], mail)
  expect([code, out]).toEqual([0, `The account of ${email} is deleted.\n`])
  expect(JSON.parse(err)).toMatchObject({ msg: 'users delete', user: id })
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
  expect(resend.sent.at(-1)).toMatchObject({ to: email, subject: 'Your account was deleted' })
  expect(await users('delete', email, '--yes')).toMatchObject({ code: 1, err: `${email} has no account.\n` })
})

test('a mistyped command shows the usage and does nothing', async () => {
  for (const args of [[], ['lst'], ['show'], ['list', 'x'], ['show', 'a@b', 'c'], ['list', '--jsn']]) {
    expect(await users(...args)).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^Usage:\n/) })
  }
})

test('mail:test sends a mail with the settings of the server, or says why not', async () => {
  const mail = { RESEND_API_KEY: 're_test', RESEND_BASE_URL: resend.url, MAIL_FROM: 'no-reply@example.com' }
  const sent = await run(['mail:test', 'ada@example.com'], { ...mail, SERVICE_NAME: 'Büro' })
  expect(sent).toMatchObject({ code: 0, out: 'A mail to ada@example.com was sent by Resend.\n' })
  expect(resend.sent.at(-1)).toMatchObject({ to: 'ada@example.com', subject: 'Test mail from Büro' })
  const smtp = { SMTP_URL: 'smtp://postmaster:s3cret@localhost:1?insecure=true', MAIL_FROM: 'no-reply@example.com' }
  const failed = await run(['mail:test', 'ada@example.com'], smtp)
  expect(failed).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringMatching(/^The mail was not sent\. The SMTP server/),
  })
  expect(failed.err).not.toMatch(/s3cret|ada@/)
  expect(await run(['mail:test'])).toMatchObject({ code: 1, err: 'Usage: npm run mail:test -- ADDRESS\n' })
})

test('the embedded database is found while its server runs', async () => {
  const folder = await temporaryFolder()
  const server = startServer({ DATA_DIR: folder, PORT: '0' })
  await server.url()
  const { code, out } = await run(['users', 'list', '--json'], { DATABASE_URL: '', DATA_DIR: folder })
  expect([code, out]).toEqual([0, '[]\n'])
  expect(await server.stop()).toBe(0)
})
