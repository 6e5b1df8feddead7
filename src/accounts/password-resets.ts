import { and, eq, gt, sql } from 'drizzle-orm'
import { type Database, statement } from '../database/connect.ts'
import { password_resets, users } from '../database/schema.ts'
import { addressKey } from '../database/text.ts'
import { hashCode, newCode } from './codes.ts'
import { type Account, accountColumns, findUser } from './users.ts'

export const RESET_MINUTES = 15

/** Creates a reset code for the account of an address and ends an older one. Returns undefined if there is no account. */
export async function createPasswordReset(db: Database, email: string, now: Date) {
  const code = newCode()
  const [user] = await insertReset(db, { email, code_hash: hashCode(code), expires_at: expiry(now) })
  return user && { email: user.email, code }
}

const { placeholder } = sql

const insertReset = statement<{ email: string }>(sql`
  with owner as (
    select id, email from users where ${addressKey(sql`email`)} = ${addressKey(sql`${placeholder('email')}`)}
  ), stored as (
    insert into password_resets (user_id, code_hash, expires_at)
    select id, ${placeholder('code_hash')}::bytea, ${placeholder('expires_at')}::timestamptz from owner
    on conflict (user_id) do update set code_hash = excluded.code_hash, expires_at = excluded.expires_at
  )
  select email from owner`)

/**
 * Gives the last unused code of an address the lifetime of a new one. A stranger who uses up the mails that an address may
 * get does not keep its owner from a reset.
 */
export async function extendPasswordReset(db: Database, email: string, now: Date): Promise<void> {
  const user = await findUser(db, email)
  if (!user) return
  await db
    .update(password_resets)
    .set({ expires_at: expiry(now) })
    .where(eq(password_resets.user_id, user.id))
}

/** Returns the account of a live reset code, without using it up; undefined for any other text. */
export async function findPasswordReset(db: Database, code: string, now: Date): Promise<Account | undefined> {
  const code_hash = hashCode(code)
  if (!code_hash) return undefined
  const [owner] = await db
    .select(accountColumns)
    .from(password_resets)
    .innerJoin(users, eq(users.id, password_resets.user_id))
    .where(isLive(code_hash, now))
  return owner
}

/** Uses up a reset code, sets the password hash and ends all sessions. Returns false if the code is no longer live. */
export async function resetPassword(db: Database, code: string, hash: string, now: Date): Promise<boolean> {
  const code_hash = hashCode(code)
  if (!code_hash) return false
  const used = db
    .$with('used')
    .as(db.delete(password_resets).where(isLive(code_hash, now)).returning({ user_id: password_resets.user_id }))
  const reset = await db
    .with(used)
    .update(users)
    .set({ password: hash, password_version: sql`${users.password_version} + 1`, updated_at: now.toISOString() })
    .from(used)
    .where(eq(users.id, used.user_id))
    .returning({ id: users.id })
  return reset.length > 0
}

const expiry = (now: Date) => new Date(now.getTime() + RESET_MINUTES * 60_000).toISOString()

const isLive = (code_hash: Uint8Array, now: Date) =>
  and(eq(password_resets.code_hash, code_hash), gt(password_resets.expires_at, now.toISOString()))
