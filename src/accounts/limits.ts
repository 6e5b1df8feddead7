import type { Attempt, Limit } from '../http/rate-limit.ts'
import { addressSubject } from '../mail/addresses.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE

/** Returns what a failed login counts for: the account from this client, the account, and the client. */
export const loginFailures = (email: string, client: string): [Attempt, Attempt, Attempt] => [
  [{ name: 'login', max: 10, seconds: 15 * MINUTE }, addressSubject(email), client],
  [{ name: 'login-account', max: 100, seconds: HOUR }, addressSubject(email)],
  [{ name: 'login-client', max: 100, seconds: 15 * MINUTE }, client],
]

/** Returns what a mail counts for: its recipient and purpose. */
export const mailsTo = (email: string, purpose: 'activation' | 'reset' | 'email-change'): Attempt[] => [
  [{ name: 'mail-minute', max: 1, seconds: MINUTE }, purpose, addressSubject(email)],
  [{ name: 'mail-hour', max: 5, seconds: HOUR }, purpose, addressSubject(email)],
]

/** Requests that may lead to a mail, for each client. */
export const mailRequests: Limit = { name: 'mail-client', max: 100, seconds: HOUR }

/** Wrong codes, for each client. */
export const wrongCodes: Limit = { name: 'codes', max: 30, seconds: 10 * MINUTE }
