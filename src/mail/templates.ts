import { html } from 'hono/html'

/** A mail to one address, in text and HTML. */
export type Mail = { to: string; subject: string; text: string; html: string }

// No mail contains what a user has typed, such as a name: with it, strangers could send their own text to any address.

type Activation = { code: string; hours: number; at: Date }

/** Returns the mail to an address that signed up. */
export const activationMail = (to: string, { code, hours, at }: Activation): Mail =>
  compose(to, 'Activate your account', code, [
    `Someone signed up for Docket with this e-mail address on ${format(at)}. If it was you, activate your account with this code:`,
    `The code works once and expires after ${hours} hours.`,
    'If you did not sign up at that time, ignore this mail and do not use the code. Without it, no account is created.',
  ])

/** Returns the mail to the owner of an account whose address signed up again. */
export const accountExistsMail = (to: string, at: Date): Mail =>
  compose(to, 'You already have an account', undefined, [
    `Someone signed up for Docket with this e-mail address on ${format(at)}. The address already has an account. Nothing was changed.`,
    'If it was you, log in with your password. If you have forgotten it, request a password reset.',
    'If it was not you, ignore this mail.',
  ])

type Reset = { code: string; minutes: number; at: Date }

/** Returns the mail to the owner of an account who requested a password reset. */
export const resetMail = (to: string, { code, minutes, at }: Reset): Mail =>
  compose(to, 'Reset your password', code, [
    `Someone requested a new password for your Docket account on ${format(at)}. If it was you, set a new password with this code:`,
    `The code works once and expires after ${minutes} minutes. If you request another code, it replaces this one. If you request too many, no new code is sent, and this one stays valid for ${minutes} more minutes.`,
    'If you did not request a new password, ignore this mail. Your password has not been changed.',
  ])

function compose(to: string, subject: string, code: string | undefined, [first, ...rest]: string[]): Mail {
  const paragraphs = [first, ...(code ? [code] : []), ...rest]
  const body = html`<!doctype html>
<html lang="en">
<body style="font-family: sans-serif; line-height: 1.5; max-width: 34em">
<p>${first}</p>
${code ? html`<p style="font: bold 1.6em monospace; letter-spacing: 0.05em">${code}</p>` : ''}
${rest.map((paragraph) => html`<p>${paragraph}</p>\n`)}</body>
</html>`
  return { to, subject, text: `${paragraphs.join('\n\n')}\n`, html: String(body) }
}

/** Formats a time as `2026-11-22 at 10:00 UTC`. */
const format = (time: Date) => `${time.toISOString().slice(0, 16).replace('T', ' at ')} UTC`
