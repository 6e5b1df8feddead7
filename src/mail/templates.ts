import { html } from 'hono/html'

/** A mail to one address, in text and HTML. */
export type Mail = { to: string; subject: string; text: string; html: string }

// No mail contains what a user has typed, such as a name: with it, strangers could send their own text to any address.

/** When it happened, and the SERVICE_NAME of the settings. */
type Occasion = { at: Date; service: string }

/** Returns the mail to an address that signed up. */
export const activationMail = (to: string, { code, hours, at, service }: Occasion & { code: string; hours: number }) =>
  compose(to, 'Activate your account', code, [
    `Someone signed up for ${service} with this e-mail address on ${format(at)}. If it was you, activate your account with this code:`,
    `The code works once and expires after ${hours} hours.`,
    'If you did not sign up at that time, ignore this mail and do not use the code. Without it, no account is created.',
  ])

/** Returns the mail to the owner of an account whose address signed up again, or was given for the account of somebody else. */
export const accountExistsMail = (to: string, { at, service }: Occasion) =>
  compose(to, 'You already have an account', undefined, [
    `Someone signed up for ${service} with this e-mail address on ${format(at)}. The address already has an account. Nothing was changed.`,
    'If it was you, log in with your password. If you have forgotten it, request a password reset.',
    'If it was not you, ignore this mail.',
  ])

type Code = Occasion & { code: string; minutes: number }

/** Returns the mail to the owner of an account who requested a password reset. */
export const resetMail = (to: string, { code, minutes, at, service }: Code) =>
  compose(to, 'Reset your password', code, [
    `Someone requested a new password for your ${service} account on ${format(at)}. If it was you, set a new password with this code:`,
    extended(minutes),
    'If you did not request a new password, ignore this mail. Your password has not been changed.',
  ])

/** Returns the mail to the new address of an account. */
export const emailChangeMail = (to: string, { code, minutes, at, service }: Code) =>
  compose(to, 'Confirm your new e-mail address', code, [
    `Someone requested on ${format(at)} that their ${service} account gets this e-mail address. If it was you, confirm it with this code while you are logged in:`,
    extended(minutes),
    'If it was not you, ignore this mail. The code works only for the account that requested it.',
  ])

const extended = (minutes: number) =>
  `The code works once and expires after ${minutes} minutes. If you request another code, it replaces this one. If you request too many, no new code is sent, and this one stays valid for ${minutes} more minutes.`

// Notices of what has happened to an account. They have neither codes nor links, which would make phishing look the same.

/** Returns the notice to the address of an account when a code was sent to its new address. */
export const emailChangeNotice = (to: string, { at, service }: Occasion) =>
  compose(to, 'Your e-mail address is about to change', undefined, [
    `Someone who knows the password of your ${service} account requested another e-mail address for it on ${format(at)}. A code was sent to that address. Nothing has changed yet.`,
    'If it was you, there is nothing to do here.',
    'If it was not you, change your password now. That also makes the code invalid.',
  ])

/** Returns the notice to the former address of an account. */
export const emailChangedNotice = (to: string, { at, service }: Occasion) =>
  compose(to, 'Your e-mail address was changed', undefined, [
    `Your ${service} account got another e-mail address on ${format(at)}. This address can no longer log in or reset the password.`,
    'If it was you, there is nothing to do here.',
    `If it was not you, tell the people who run ${service} at once: somebody knew your password. Change it wherever else you use it.`,
  ])

/** Returns the notice to the owner of an account whose password was changed with the old one. */
export const passwordChangedNotice = (to: string, { at, service }: Occasion) =>
  compose(to, 'Your password was changed', undefined, [
    `The password of your ${service} account was changed on ${format(at)}. All other sessions have ended.`,
    'If it was you, there is nothing to do here.',
    'If it was not you, request a password reset at once: somebody knew your old password. Change it wherever else you use it.',
  ])

/** Returns the notice to the owner of an account whose password was reset with a mailed code. */
export const passwordResetNotice = (to: string, { at, service }: Occasion) =>
  compose(to, 'Your password was reset', undefined, [
    `A new password was set for your ${service} account on ${format(at)}, with a code that was sent to this address. All sessions have ended.`,
    'If it was you, there is nothing to do here.',
    'If it was not you, somebody can read your mail. Secure your mailbox first, and then request another password reset.',
  ])

/** Returns the notice to the owner of an account that was deleted. */
export const accountDeletedNotice = (to: string, { at, service }: Occasion) =>
  compose(to, 'Your account was deleted', undefined, [
    `Your ${service} account was deleted on ${format(at)}, with the assignments that you created. Those that others assigned to you went back to them.`,
    'If it was you, there is nothing to do here.',
    `If it was not you, tell the people who run ${service}: somebody knew your password. Change it wherever else you use it. The deletion cannot be undone.`,
  ])

/** Returns the mail with which an operator tests that mail arrives. */
export const testMail = (to: string, { at, service }: Occasion) =>
  compose(to, `Test mail from ${service}`, undefined, [
    `The operator of ${service} sent this mail on ${format(at)} to see whether mail arrives. It does.`,
    'There is nothing to do.',
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
