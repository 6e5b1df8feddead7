import { Resend } from 'resend'
import type { Settings } from '../settings.ts'
import type { Mail } from './templates.ts'

const TIMEOUT_MS = 10_000
const MAX_ATTEMPTS = 2
const FRAME_WIDTH = 78

/** The mail provider did not accept a mail. The message has its error's name and status, but not its text: that may quote the mail. */
class MailError extends Error {
  override name = 'MailError'
}

/**
 * Returns a function that sends mail with Resend, or prints it if there is no API key. It rejects with a MailError after two
 * attempts, or after one if Resend's response says that another cannot succeed.
 */
export function createMailer(settings: Settings, print: (text: string) => void): (mail: Mail) => Promise<void> {
  const { RESEND_API_KEY: key, RESEND_BASE_URL: baseUrl, MAIL_FROM: from } = settings
  if (!key || !from) return async (mail) => print(frame(mail))
  const resend = new Resend(key, baseUrl ? { baseUrl } : {})
  return async ({ to, subject, text, html }) => {
    // The same for every attempt, so that a mail is not sent twice if only the first response was lost.
    const idempotencyKey = crypto.randomUUID()
    for (let attempt = 1; ; attempt++) {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const { data, error } = await resend.emails.send({ from, to, subject, text, html }, { idempotencyKey, signal })
      if (data) return
      const status = error?.statusCode
      const isTemporary = !status || status === 429 || status >= 500
      if (!isTemporary || attempt === MAX_ATTEMPTS) {
        throw new MailError(`Resend did not accept the mail: ${error?.name} (${status ?? 'no response'})`)
      }
    }
  }
}

/** Draws a frame around a mail, so that it stands out among the log lines of a terminal. */
function frame({ to, subject, text }: Mail): string {
  const lines = [subject, '', ...text.trimEnd().split('\n')]
  return [
    `╭─ Mail to ${to} `.padEnd(FRAME_WIDTH, '─'),
    ...lines.map((line) => `│ ${line}`.trimEnd()),
    '╰'.padEnd(FRAME_WIDTH, '─'),
  ].join('\n')
}
