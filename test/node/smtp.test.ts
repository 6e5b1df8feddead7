import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { resetMail } from '../../src/mail/templates.ts'
import { createSmtpMailer } from '../../src/node/smtp.ts'

// A certificate for localhost that is valid for a hundred years, made with openssl req -x509.
const [key, cert] = await Promise.all(
  ['key', 'crt'].map((end) => readFile(new URL(`../support/localhost.${end}`, import.meta.url), 'utf8')),
)
const authorities = tls.getCACertificates()
afterAll(() => tls.setDefaultCACertificates(authorities))

const mail = resetMail('ada@bücher.example', {
  code: '7KQ2-M9XD-4HRT-V8CW',
  minutes: 15,
  at: new Date('2026-11-22T10:00:00Z'),
  service: 'Docket',
})

type Received = { from: string; to: string[]; user: string | undefined; message: string; isSecure: boolean }

/** Starts an SMTP server that accepts one user, and answers the next messages with the given codes first. */
async function startSmtp(options: SMTPServerOptions = {}, codes: number[] = []) {
  const received: Received[] = []
  const attempts: string[] = []
  const server = new SMTPServer({
    ...{ key, cert },
    authOptional: true,
    onAuth: ({ username, password }, _, done) =>
      password === 's%cret'
        ? done(null, { user: username })
        : done(Object.assign(new Error('no'), { responseCode: 535 })),
    onData: async (stream, { envelope, user, secure }, done) => {
      const message = await text(stream)
      attempts.push(/^message-id: (.*)$/im.exec(message)?.[1]?.trim() ?? '')
      const code = codes.shift()
      if (code) return done(Object.assign(new Error('refused for ada@xn--bcher-kva.example'), { responseCode: code }))
      const { mailFrom, rcptTo } = envelope
      const from = mailFrom ? mailFrom.address : ''
      received.push({ from, to: rcptTo.map(({ address }) => address), user, message, isSecure: secure })
      done()
    },
    ...options,
  })
  server.on('error', () => {})
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)))
  const { port } = server.server.address() as { port: number }
  return { received, attempts, port }
}

const mailerOf = (SMTP_URL: string, options = {}) =>
  createSmtpMailer({ SMTP_URL, MAIL_FROM: 'Docket <no-reply@example.com>' }, { firstPause: 1, ...options })

describe('with a trusted certificate', () => {
  const trust = () => tls.setDefaultCACertificates([...authorities, cert as string])

  test.each([
    ['STARTTLS', 'smtp', false],
    ['TLS', 'smtps', true],
  ])('a mail is sent by %s, with its user, as text and HTML', async (_, scheme, secure) => {
    trust()
    const { received, port } = await startSmtp({ secure })
    await mailerOf(`${scheme}://postmaster:s%25cret@localhost:${port}`)(mail)
    expect(received).toMatchObject([
      { from: 'no-reply@example.com', to: ['ada@bücher.example'], user: 'postmaster', isSecure: true },
    ])
    const message = received[0]?.message ?? ''
    expect(message).toMatch(/^Subject: Reset your password\r$/m)
    expect(message).toMatch(/^To: ada@xn--bcher-kva\.example\r$/m)
    expect(message).toMatch(/^From: Docket <no-reply@example\.com>\r$/m)
    expect(message).toMatch(/^Message-ID: <[0-9a-f-]{36}@example\.com>\r$/m)
    expect(message).toMatch(/^Auto-Submitted: auto-generated\r$/m)
    expect(message.match(/7KQ2-M9XD-4HRT-V8CW/g)).toHaveLength(2)
    expect(message).toMatch(/text\/plain[\s\S]*text\/html/)
  })

  test('a temporary failure is tried again twice, with the same Message-ID', async () => {
    trust()
    const { received, attempts, port } = await startSmtp({}, [451, 421])
    await mailerOf(`smtp://localhost:${port}`)(mail)
    expect(received).toHaveLength(1)
    expect(attempts).toHaveLength(3)
    expect(new Set(attempts).size).toBe(1)
  })

  test.each([
    ['a third temporary failure', [450, 451, 452], 3, '452'],
    ['a permanent failure', [550], 1, '550'],
  ])('%s is reported without the address', async (_, codes, count, reason) => {
    trust()
    const { attempts, port } = await startSmtp({}, codes)
    const error = await mailerOf(`smtp://localhost:${port}`)(mail).catch((error) => error)
    expect(attempts).toHaveLength(count)
    expect(error.message).toMatch(`The SMTP server did not accept the mail: ${reason}`)
    expect(JSON.stringify([error.message, error.stack])).not.toMatch(/ada|cher/)
  })

  test('a wrong password is not tried again', async () => {
    trust()
    const { received, port } = await startSmtp()
    const sent = mailerOf(`smtp://postmaster:wrong@localhost:${port}`)(mail)
    await expect(sent).rejects.toThrow('The SMTP server did not accept the mail: 535 (EAUTH)')
    expect(received).toEqual([])
  })
})

test('a certificate that is not trusted is refused', async () => {
  tls.setDefaultCACertificates(authorities)
  for (const [scheme, secure] of [
    ['smtp', false],
    ['smtps', true],
  ] as const) {
    const { received, port } = await startSmtp({ secure })
    await expect(mailerOf(`${scheme}://localhost:${port}`)(mail)).rejects.toThrow(/ESOCKET|ETLS/)
    expect(received).toEqual([])
  }
})

test('a server without STARTTLS is refused, unless the URL allows it', async () => {
  const { received, port } = await startSmtp({ disabledCommands: ['STARTTLS'] })
  await expect(mailerOf(`smtp://localhost:${port}`)(mail)).rejects.toThrow('The SMTP server did not accept the mail')
  expect(received).toEqual([])
  await mailerOf(`smtp://localhost:${port}?insecure=true`)(mail)
  expect(received).toMatchObject([{ isSecure: false }])
})

test('a server that is down or silent is given up', async () => {
  const { port } = await startSmtp({ onConnect: () => {} })
  await expect(mailerOf(`smtp://localhost:${port}`, { timeout: 100 })(mail)).rejects.toThrow('ETIMEDOUT')
  await expect(mailerOf('smtp://localhost:1', { timeout: 1_000 })(mail)).rejects.toThrow(/ESOCKET|ECONNECTION/)
})
