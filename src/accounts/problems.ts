import type { Database } from '../database/connect.ts'
import { clientOf } from '../http/forwarded.ts'
import { Problem } from '../http/problem.ts'
import { limitGuesses } from '../http/rate-limit.ts'
import type { RequestContext } from '../services.ts'
import { loginFailures } from './limits.ts'
import { passwordWeakness, verifyPassword } from './passwords.ts'
import type { Session } from './sessions.ts'

type Person = { email: string; first_name: string; last_name: string }

/** Throws `weak_password`, at `pointer` of the body, if a password is too weak for a person. */
export async function assertStrongPassword(db: Database, password: string, pointer: string, person: Person) {
  const detail = await passwordWeakness(db, password, [person.email, person.first_name, person.last_name])
  if (detail) throw new Problem('weak_password', { detail, errors: [{ in: 'body', pointer, message: detail }] })
}

/** Returns the problem of a password that does not confirm a change of the caller's account. */
export const wrongPassword = () => new Problem('wrong_password', { detail: 'The password is wrong.' })

/** Throws `wrong_password` unless a password is the caller's. A wrong one counts as a failed login. */
export async function assertPassword(c: RequestContext, { account, hash }: Session, password: string) {
  const check = async () => (await c.get('pauseTimeout')(() => verifyPassword(c.env.kdf, password, hash))) || undefined
  await limitGuesses(c.env, loginFailures(account.email, clientOf(c)), wrongPassword(), check)
}

/** Returns the one problem for every code that does not work, whatever the reason. */
export const invalidCode = () =>
  new Problem('invalid_code', { detail: 'The code is mistyped, used, expired or for another purpose.' })
