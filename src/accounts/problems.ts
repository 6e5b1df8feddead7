import type { Database } from '../database/connect.ts'
import { Problem } from '../http/problem.ts'
import { passwordWeakness } from './passwords.ts'

type Person = { email: string; first_name: string; last_name: string }

/** Throws `weak_password`, at `pointer` of the body, if a password is too weak for a person. */
export async function assertStrongPassword(db: Database, password: string, pointer: string, person: Person) {
  const detail = await passwordWeakness(db, password, [person.email, person.first_name, person.last_name])
  if (detail) throw new Problem('weak_password', { detail, errors: [{ in: 'body', pointer, message: detail }] })
}

/** Returns the one problem for every code that does not work, whatever the reason. */
export const invalidCode = () =>
  new Problem('invalid_code', { detail: 'The code is mistyped, used, expired or for another purpose.' })
