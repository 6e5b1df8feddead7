import { createTransport } from 'nodemailer'
import { toAsciiAddress } from '../mail/addresses.ts'
import { MailError } from '../mail/mailer.ts'
import type { Mail } from '../mail/templates.ts'

/** Milliseconds for one attempt, from the connection to the last response. */
const TIMEOUT_MS = 10_000

/** An attempt, and two more after a temporary failure (RFC 5321, 4.2.1). */
const MAX_ATTEMPTS = 3

type SmtpSettings = { SMTP_URL: string; MAIL_FROM: string }

/**
 * Returns a function that sends mail by SMTP. `smtps:` is TLS from the start; `smtp:` needs STARTTLS (RFC 3207), unless the URL
 * has `insecure=true`. Certificates are checked. After a temporary failure it waits, four times as long the second time, and
 * sends the mail again with the same Message-ID. It rejects with a MailError, which has the server's code and not its text:
 * that may quote the address.
 */
export function createSmtpMailer(
  { SMTP_URL, MAIL_FROM: from }: SmtpSettings,
  { firstPause = 1_000, timeout = TIMEOUT_MS } = {},
) {
  const options = transportOptions(new URL(SMTP_URL), timeout)
  const domain = from.replace(/>$/, '').split('@').at(-1)
  return async ({ to, subject, text, html }: Mail): Promise<void> => {
    // An imported address may have white space around it. As an object, a comma in it does not make it a list.
    const address = to.trim()
    const message = {
      from,
      to: { name: '', address: toAsciiAddress(address) ?? address },
      subject,
      text,
      html,
      messageId: `<${crypto.randomUUID()}@${domain}>`,
      // No answer from robots (RFC 3834).
      headers: { 'Auto-Submitted': 'auto-generated' },
    }
    for (let attempt = 1, pause = firstPause; ; attempt++, pause *= 4) {
      const failure = await send(options, message)
      if (!failure) return
      if (!failure.isTemporary || attempt === MAX_ATTEMPTS) {
        throw new MailError(`The SMTP server did not accept the mail: ${failure.reason}`)
      }
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

function transportOptions({ protocol, hostname, port, username, password, searchParams }: URL, timeout: number) {
  const secure = protocol === 'smtps:'
  const isInsecure = searchParams.get('insecure') === 'true'
  // An IPv6 address without its brackets.
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return {
    host,
    port: Number(port) || (secure ? 465 : 587),
    secure,
    requireTLS: !secure && !isInsecure,
    tls: { minVersion: 'TLSv1.2' as const, rejectUnauthorized: !isInsecure },
    ...(username && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    socketTimeout: timeout,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

type Failure = { reason: string; isTemporary: boolean }

/** Makes one attempt. Returns why it failed; undefined if it did not. */
async function send(options: ReturnType<typeof transportOptions>, message: object): Promise<Failure | undefined> {
  const transport = createTransport(options)
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(), { code: 'ETIMEDOUT' })), options.socketTimeout)
  })
  try {
    await Promise.race([transport.sendMail(message), late])
    return undefined
  } catch (error) {
    const { responseCode, code = 'unknown' } = error as { responseCode?: number; code?: string }
    // Without a response it was the network.
    const isTemporary =
      responseCode === undefined ? /^E(CONNECTION|SOCKET|TIMEDOUT|DNS)$/.test(code) : responseCode < 500
    return { reason: responseCode ? `${responseCode} (${code})` : code, isTemporary }
  } finally {
    clearTimeout(timer)
    transport.close()
  }
}
