import type { Mail } from '../mail/templates.ts'
import type { Services } from '../services.ts'

type Notice = (to: string, occasion: { at: Date; service: string }) => Mail

/** Tells the owner of an account by mail, after the response, what has happened to it. */
export function notify({ now, settings, sendMail, runInBackground }: Services, notice: Notice, email: string) {
  const occasion = { at: now(), service: settings.SERVICE_NAME }
  runInBackground(() => sendMail(notice(email, occasion)))
}
