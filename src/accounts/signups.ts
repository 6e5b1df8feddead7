import { and, eq, gt, sql } from 'drizzle-orm'
import { newId } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { caseless, signups, users } from '../database/schema.ts'
import { hashCode, newCode } from './codes.ts'

export const ACTIVATION_HOURS = 24

type Signup = Pick<typeof signups.$inferInsert, 'email' | 'first_name' | 'last_name' | 'password'>

/** Keeps a sign-up until its code comes back, and gives the code; undefined, with nothing kept, when the address has an account. */
export async function createSignup(db: Database, signup: Signup, now: Date): Promise<string | undefined> {
  const code = newCode()
  const expires_at = new Date(now.getTime() + ACTIVATION_HOURS * 3_600_000)
  const kept = await db.execute(sql`
    insert into ${signups} (id, code_hash, email, first_name, last_name, password, expires_at)
    select ${newId(now)}, ${hashCode(code)}, ${signup.email}, ${signup.first_name}, ${signup.last_name},
           ${signup.password}, ${expires_at.toISOString()}
    where not exists (select from ${users} where ${caseless(users.email)} = ${caseless(signup.email)})
    returning id`)
  return kept.length > 0 ? code : undefined
}

/**
 * Turns the sign-up of a code into an account and forgets the others for its address. False when the code is of no live
 * sign-up, or the address has got an account meanwhile.
 */
export async function activate(db: Database, code: string, now: Date): Promise<boolean> {
  const code_hash = hashCode(code)
  if (!code_hash) return false
  const at = now.toISOString()
  const signup = db.$with('signup').as(
    db
      .delete(signups)
      .where(and(eq(signups.code_hash, code_hash), gt(signups.expires_at, at)))
      .returning(),
  )
  const [user] = await db
    .with(signup)
    .insert(users)
    .select(
      db
        .select({
          id: sql`${newId(now)}::uuid`.as('id'),
          email: signup.email,
          first_name: signup.first_name,
          last_name: signup.last_name,
          password: signup.password,
          password_version: sql`1`.as('password_version'),
          created_at: sql`${at}::timestamptz`.as('created_at'),
          updated_at: sql`${at}::timestamptz`.as('updated_at'),
        })
        .from(signup),
    )
    .onConflictDoNothing()
    .returning({ email: users.email })
  // On its own, so that two codes of one address cannot each wait for the row that the other has just taken.
  if (user) await db.delete(signups).where(eq(caseless(signups.email), caseless(user.email)))
  return user !== undefined
}
