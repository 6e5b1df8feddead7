import { and, desc, eq, gt, sql } from 'drizzle-orm'
import type { Database } from '../database/connect.ts'
import { caseless, sessions, signups, users } from '../database/schema.ts'
import type { Session } from './sessions.ts'

/** What an account shows of itself. */
export const account = {
  id: users.id,
  email: users.email,
  first_name: users.first_name,
  last_name: users.last_name,
  created_at: users.created_at,
  updated_at: users.updated_at,
}

export type Account = Pick<typeof users.$inferSelect, keyof typeof account>

/** The account of an address; undefined when there is none. */
export async function findUser(db: Database, email: string): Promise<Account | undefined> {
  const [user] = await db.select(account).from(users).where(isOf(users.email, email))
  return user
}

/**
 * What a login to an address is judged by: the password of its account or, where there is none, of the newest live sign-up.
 * One statement and one row for every address, so that it takes as long whether or not there is an account.
 */
export async function findLogin(db: Database, email: string, now: Date) {
  const pending = db
    .select({ password: signups.password })
    .from(signups)
    .where(and(isOf(signups.email, email), gt(signups.expires_at, now.toISOString())))
    .orderBy(desc(signups.id))
    .limit(1)
  const [found] = await db
    .select({
      account,
      password_version: sql<number>`${users.password_version}`,
      stored: sql<string | null>`coalesce(${users.password}, (${pending}))`,
    })
    .from(sql`(select) as one`)
    .leftJoin(users, isOf(users.email, email))
  return found as NonNullable<typeof found>
}

const isOf = (column: typeof users.email | typeof signups.email, email: string) => eq(caseless(column), caseless(email))

/** Changes the names that are given. Undefined when the account is gone. */
export async function renameUser(db: Database, id: string, names: Names, now: Date) {
  const [renamed] = await db
    .update(users)
    .set({ ...names, updated_at: now.toISOString() })
    .where(eq(users.id, id))
    .returning(account)
  return renamed
}

type Names = { first_name?: string | undefined; last_name?: string | undefined }

/** The password hash of an account; undefined when the account is gone. */
export async function findPassword(db: Database, id: string): Promise<string | undefined> {
  const [user] = await db.select({ password: users.password }).from(users).where(eq(users.id, id))
  return user?.password
}

/** Replaces a hash by a better one of the same password, unless the password was changed meanwhile. */
export const rehash = (db: Database, id: string, old: string, password: string) =>
  db
    .update(users)
    .set({ password })
    .where(and(eq(users.id, id), eq(users.password, old)))

/**
 * Changes a password, which ends every session of the account but the caller's. False when the password was changed
 * since the caller's session was looked up: of several changes at once, one wins.
 */
export async function changePassword(db: Database, caller: Session, password: string, now: Date): Promise<boolean> {
  const changed = db.$with('changed').as(
    db
      .update(users)
      .set({ password, password_version: sql`${users.password_version} + 1`, updated_at: now.toISOString() })
      .where(and(eq(users.id, caller.account.id), eq(users.password_version, caller.password_version)))
      .returning({ id: users.id, password_version: users.password_version }),
  )
  const kept = db.$with('kept').as(
    db
      .update(sessions)
      .set({ password_version: sql`${changed.password_version}` })
      .from(changed)
      .where(eq(sessions.id, caller.id))
      .returning({ id: sessions.id }),
  )
  const rows = await db.with(changed, kept).select({ id: changed.id }).from(changed)
  return rows.length > 0
}
