import { and, eq, gt, sql } from 'drizzle-orm'
import { newId } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { signups, users } from '../database/schema.ts'
import { addressKey } from '../database/text.ts'
import { hashCode, newCode } from './codes.ts'

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
 * Creates the account of a sign-up from its code, and deletes the other sign-ups for the address. Returns false if no live
 * sign-up has the code, or if the address has got an account since.
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
  // A statement of its own: two codes for one address would otherwise wait for each other's rows.
  if (user) await db.delete(signups).where(eq(addressKey(signups.email), addressKey(user.email)))
  return user !== undefined
}
