import { html } from 'hono/html'
import { RESET_MINUTES } from '../accounts/password-resets.ts'
import { ACTIVATION_HOURS } from '../accounts/signups.ts'

/** A mail to one address, in text and HTML. `code` is what a person is looking for in it. */
export type Mail = { to: string; subject: string; text: string; html: string; code?: string }

/** To whom asked to sign up. The name is left out: a stranger could write into another's inbox with it. */
export const activationMail = (to: string, code: string, at: Date): Mail =>
  compose(to, 'Activate your account', code, [
    `Somebody, we hope you, signed up for Docket with this address at ${time(at)}. This code activates the account:`,
    `It is good once, for ${ACTIVATION_HOURS} hours.`,
    'If you did not sign up at that time yourself, do not use the code and ignore this mail: without the code there is no account.',
  ])

/** To the owner of an address that somebody signs up with again. */
export const accountExistsMail = (to: string, at: Date): Mail =>
  compose(to, 'You already have an account', undefined, [
    `Somebody, perhaps you, signed up for Docket with this address at ${time(at)}. It has an account already, and nothing was changed.`,
    'Log in with the password that you have, or ask for a password reset if you have lost it.',
    'If it was not you, you need not do anything.',
  ])

/** To the owner of an account who asked for a new password. */
export const resetMail = (to: string, code: string, at: Date): Mail =>
  compose(to, 'Reset your password', code, [
    `Somebody, we hope you, asked for a new password for your Docket account at ${time(at)}. This code sets it:`,
    `It is good once, for ${RESET_MINUTES} minutes. Asking again sends another, which ends this one; beyond five in an hour no other is sent, and this one is good for ${RESET_MINUTES} minutes more.`,
    'If you did not ask, ignore this mail: your password is as it was.',
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
  return { to, subject, text: `${paragraphs.join('\n\n')}\n`, html: String(body), ...(code && { code }) }
}

const time = (at: Date) => `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`
