import { sql } from 'drizzle-orm'
import { newId } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { signups, users } from '../database/schema.ts'
import { addressKey } from '../database/text.ts'
import { hashCode, newCode } from './codes.ts'
import { endPendingClaims } from './users.ts'

export const ACTIVATION_HOURS = 24

type Signup = Pick<typeof signups.$inferInsert, 'email' | 'first_name' | 'last_name' | 'password'>

/** Stores a sign-up and returns its activation code. Returns undefined, and stores nothing, if the address has an account. */
export async function createSignup(db: Database, signup: Signup, now: Date): Promise<string | undefined> {
  const code = newCode()
  const expires_at = new Date(now.getTime() + ACTIVATION_HOURS * 3_600_000)
  const stored = await db.execute(sql`
    insert into ${signups} (id, code_hash, email, first_name, last_name, password, expires_at)
    select ${newId(now)}, ${hashCode(code)}, ${signup.email}, ${signup.first_name}, ${signup.last_name},
           ${signup.password}, ${expires_at.toISOString()}
    where not exists (select from ${users} where ${addressKey(users.email)} = ${addressKey(signup.email)})
    returning id`)
  return stored.length > 0 ? code : undefined
}

/**
 * Creates the account of a sign-up from its code, and ends the other sign-ups and the e-mail changes for the address. Returns false if no live
 * sign-up has the code, or if the address has got an account since.
 */
export async function activate(db: Database, code: string, now: Date): Promise<boolean> {
  const [user] = await createAccount(db, { id: newId(now), code_hash: hashCode(code) ?? null, now: now.toISOString() })
  if (user) await endPendingClaims(db, user.email)
  return user !== undefined
}

/**
 * Creates the account of the newest live sign-up of an address, for an operator whose mail has failed. Returns false if there is
 * none, or if the address has an account.
 */
export async function activateNewest(db: Database, email: string, now: Date): Promise<boolean> {
  const [signup] = await selectNewest(db, { email, now: now.toISOString() })
  if (!signup) return false
  const [user] = await createAccount(db, { id: newId(now), code_hash: signup.code_hash, now: now.toISOString() })
  if (user) await endPendingClaims(db, user.email)
  return user !== undefined
}

const { placeholder } = sql

const selectNewest = statement<{ code_hash: Uint8Array }>(sql`
  select code_hash from signups
  where ${addressKey(sql`email`)} = ${addressKey(sql`${placeholder('email')}`)} and expires_at > ${placeholder('now')}
  order by id desc limit 1`)

const createAccount = statement<{ email: string }>(sql`
  with signup as (
    delete from signups where code_hash = ${placeholder('code_hash')}::bytea and expires_at > ${placeholder('now')}
    returning *
  )
  insert into users (id, email, first_name, last_name, password, created_at, updated_at)
  select ${placeholder('id')}::uuid, email, first_name, last_name, password, ${placeholder('now')}::timestamptz,
    ${placeholder('now')}::timestamptz
  from signup
  on conflict do nothing
  returning email`)
