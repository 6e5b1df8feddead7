import { Resend } from 'resend'
import type { Settings } from '../settings.ts'
import type { Mail } from './templates.ts'

const PATIENCE_MS = 10_000
const TRIES = 2

/** Says why a mail was not taken by the provider's error name and status; its message may quote the mail. */
export class MailError extends Error {}

/** Sends by Resend where there is a key, and prints where there is none. Rejects with a MailError. */
export function createMailer(settings: Settings, print: (text: string) => void): (mail: Mail) => Promise<void> {
  const { RESEND_API_KEY: key, RESEND_BASE_URL: baseUrl, MAIL_FROM: from } = settings
  if (!key || !from) return async (mail) => print(drawn(mail))
  const resend = new Resend(key, baseUrl ? { baseUrl } : {})
  return async ({ to, subject, text, html }) => {
    // One key for every try: a mail whose first answer was lost is not sent twice.
    const idempotencyKey = crypto.randomUUID()
    for (let tries = 1; ; tries++) {
      const signal = AbortSignal.timeout(PATIENCE_MS)
      const { data, error } = await resend.emails.send({ from, to, subject, text, html }, { idempotencyKey, signal })
      if (data) return
      const status = error?.statusCode ?? 'no answer'
      const mayPass = typeof status !== 'number' || status === 429 || status >= 500
      if (!mayPass || tries === TRIES) throw new MailError(`the provider did not take it: ${error?.name} (${status})`)
    }
  }
}

/** A mail as the terminal shows it, framed so that it stands out among log lines. */
function drawn({ to, subject, text }: Mail): string {
  const lines = text.trimEnd().split('\n')
  const width = Math.max(60, subject.length, ...lines.map((line) => line.length)) + 2
  const title = `─ Mail to ${to} `
  return [
    `╭${title}${'─'.repeat(Math.max(2, width - title.length))}`,
    ...[subject, '', ...lines].map((line) => `│ ${line}`.trimEnd()),
    `╰${'─'.repeat(Math.max(width, title.length + 2))}`,
  ].join('\n')
}
