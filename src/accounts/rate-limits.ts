import { Problem } from '../http/problem.ts'
import { type Attempt, type Limit, spend } from '../http/rate-limit.ts'
import type { Services } from '../services.ts'
import { weakness } from './passwords.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE

/** What a failed login counts as: from this client at this account, at this account, from this client. */
export const loginFailures = (email: string, client: string): [Attempt, Attempt, Attempt] => [
  [{ name: 'login', max: 10, seconds: 15 * MINUTE }, email.toLowerCase(), client],
  [{ name: 'login-account', max: 100, seconds: HOUR }, email.toLowerCase()],
  [{ name: 'login-client', max: 100, seconds: 15 * MINUTE }, client],
]

/** What a mail to an address for a purpose counts as. */
export const mailsTo = (email: string, purpose: 'activation' | 'reset'): Attempt[] => [
  [{ name: 'mail-minute', max: 1, seconds: MINUTE }, purpose, email.toLowerCase()],
  [{ name: 'mail-hour', max: 5, seconds: HOUR }, purpose, email.toLowerCase()],
]

/** Requests that may lead to a mail, from one client. */
export const mailRequests: Limit = { name: 'mail-client', max: 100, seconds: HOUR }

/** Wrong codes, from one client. */
export const wrongCodes: Limit = { name: 'codes', max: 30, seconds: 10 * MINUTE }

/** Counts a wrong code, and gives its problem; throws 429 when there were too many. */
export async function wrongCode(services: Services, attempt: Attempt): Promise<Problem> {
  await spend(services, attempt)
  return new Problem('invalid_code', { detail: 'The code is mistyped, used, expired or for something else.' })
}

type Person = { email: string; first_name: string; last_name: string }

/** Throws what is wrong with a password that is too weak for a person. */
export async function refuseWeak({ db }: Services, password: string, pointer: string, person: Person) {
  const detail = await weakness(db, password, [person.email, person.first_name, person.last_name])
  if (detail) throw new Problem('weak_password', { detail, errors: [{ in: 'body', pointer, message: detail }] })
}
