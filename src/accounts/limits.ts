import type { Attempt, Limit } from '../http/rate-limit.ts'
import { toAsciiAddress } from '../mail/addresses.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE

/** All spellings of an address are one subject. */
const keyOf = (email: string) => (toAsciiAddress(email) ?? email).toLowerCase()

/** Returns what a failed login counts for: the account from this client, the account, and the client. */
export const loginFailures = (email: string, client: string): [Attempt, Attempt, Attempt] => [
  [{ name: 'login', max: 10, seconds: 15 * MINUTE }, keyOf(email), client],
  [{ name: 'login-account', max: 100, seconds: HOUR }, keyOf(email)],
  [{ name: 'login-client', max: 100, seconds: 15 * MINUTE }, client],
]

/** Returns what a mail counts for: its recipient and purpose. */
export const mailsTo = (email: string, purpose: 'activation' | 'reset'): Attempt[] => [
  [{ name: 'mail-minute', max: 1, seconds: MINUTE }, purpose, keyOf(email)],
  [{ name: 'mail-hour', max: 5, seconds: HOUR }, purpose, keyOf(email)],
]

/** Requests that may lead to a mail, for each client. */
export const mailRequests: Limit = { name: 'mail-client', max: 100, seconds: HOUR }

/** Wrong codes, for each client. */
export const wrongCodes: Limit = { name: 'codes', max: 30, seconds: 10 * MINUTE }
