import { createMailer } from '../mail/mailer.ts'
import type { Services } from '../services.ts'
import type { Settings } from '../settings.ts'

/** Returns the function that sends mail on Node: by SMTP if SMTP_URL is set, and otherwise by Resend or to the terminal. */
export async function openMailer(settings: Settings): Promise<Services['sendMail']> {
  const { SMTP_URL, MAIL_FROM } = settings
  if (!SMTP_URL || !MAIL_FROM) return createMailer(settings, console.log)
  // Loaded only when needed.
  const { createSmtpMailer } = await import('./smtp.ts')
  return createSmtpMailer({ SMTP_URL, MAIL_FROM })
}

/** Says where mail goes, without a password. */
export function nameOfMail({ SMTP_URL, RESEND_API_KEY }: Settings): string {
  if (SMTP_URL) return `sent by SMTP through ${new URL(SMTP_URL).host}`
  return RESEND_API_KEY ? 'sent by Resend' : 'printed here with its codes (to send it, set RESEND_API_KEY or SMTP_URL)'
}
