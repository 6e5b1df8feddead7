import { type ErrorResponse, Resend } from 'resend'
import type { Settings } from '../settings.ts'
import { toAsciiAddress } from './addresses.ts'
import type { Mail } from './templates.ts'

const TIMEOUT_MS = 10_000
const MAX_ATTEMPTS = 6
/** Cloudflare ends work in the background 30 seconds after the response. */
const DEADLINE_MS = 25_000
const FRAME_WIDTH = 78

/** The mail provider did not accept a mail. The message has its error's name and status, but not its text: that may quote the mail. */
export class MailError extends Error {
  override name = 'MailError'
}

/**
 * Returns a function that sends mail with Resend, or prints it if there is no API key. After a temporary failure it waits as
 * long as Resend says, at least a pause that doubles each time, and tries again. It rejects with a MailError if another
 * attempt cannot succeed, after six attempts, or when the wait would end more than 25 seconds after the first one.
 */
export function createMailer(
  settings: Settings,
  print: (text: string) => void,
  { firstPause = 500 } = {},
): (mail: Mail) => Promise<void> {
  const { RESEND_API_KEY: key, RESEND_BASE_URL: baseUrl, MAIL_FROM: from } = settings
  if (!key || !from) return async (mail) => print(frame(mail))
  const resend = new Resend(key, baseUrl ? { baseUrl } : {})
  return async ({ to, subject, text, html }) => {
    // The same for every attempt, so that a mail is not sent twice if only the first response was lost.
    const idempotencyKey = crypto.randomUUID()
    // An imported address may have white space around it.
    const address = to.trim()
    const recipient = toAsciiAddress(address) ?? address
    const deadline = performance.now() + DEADLINE_MS
    for (let attempt = 1, pause = firstPause; ; attempt++, pause *= 2) {
      const signal = AbortSignal.timeout(Math.min(TIMEOUT_MS, Math.max(1, deadline - performance.now())))
      const options = { idempotencyKey, signal }
      const { data, error, headers } = await resend.emails.send({ from, to: recipient, subject, text, html }, options)
      if (data) return
      // Mails that were refused together do not come again together.
      const wait = Math.max(retryAfterMs(headers), pause) + (Math.random() * pause) / 2
      if (!isTemporary(error) || attempt === MAX_ATTEMPTS || performance.now() + wait > deadline) {
        throw new MailError(`Resend did not accept the mail: ${error?.name} (${error?.statusCode ?? 'no response'})`)
      }
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
  }
}

/** Tells whether an attempt may succeed later. A quota is not free again for hours. */
function isTemporary(error: ErrorResponse | null): boolean {
  const { name, statusCode: status } = error ?? {}
  // Resend still works on the attempt before, whose response was lost.
  if (name === 'concurrent_idempotent_requests') return true
  return !status || status >= 500 || (status === 429 && !name?.includes('quota'))
}

/** Returns the milliseconds that a `Retry-After` (RFC 9110, 10.2.3) tells to wait; 0 without one. */
function retryAfterMs(headers: Record<string, string> | null): number {
  const value = headers?.['retry-after'] ?? ''
  // A time is compared with that of the response: the clock of this instance may be wrong.
  const wait = /^\d/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(headers?.date ?? '')
  return Number.isFinite(wait) ? Math.max(0, wait) : 0
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
