import { and, eq, type SQL, sql } from 'drizzle-orm'
import { type Database, statement } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { addressKey } from '../database/text.ts'

/** The public columns of an account. */
export const accountColumns = {
  id: users.id,
  email: users.email,
  first_name: users.first_name,
  last_name: users.last_name,
  created_at: users.created_at,
  updated_at: users.updated_at,
}

/** The names of the same columns. */
export const accountFields = Object.keys(accountColumns)

/** The same as a select list. */
export const accountList = sql.join(Object.values(accountColumns), sql`, `)

export type Account = Pick<typeof users.$inferSelect, keyof typeof accountColumns>

/** Returns the account of an address; undefined if there is none. */
export async function findUser(db: Database, email: string): Promise<Account | undefined> {
  const [user] = await db.select(accountColumns).from(users).where(hasEmail(email))
  return user
}

type Login = { account: Account; password_version: number; hash: string }

type LoginRow = Account & { wait: number | null; password_version: number; hash: string | null }

/**
 * Returns the account of an address with what a login is checked against, if there is one. In the same round trip it returns the
 * value of an expression: the seconds until logins are allowed, if there are any.
 */
export async function findLogin(
  db: Database,
  email: string,
  secondsToWait: SQL,
): Promise<{ wait: number | null; login: Login | undefined }> {
  const [row] = await db.execute<LoginRow>(sql`
    select ${secondsToWait} as wait, ${users.password_version}, ${users.password} as hash, ${accountList}
    from (select) as one_row left join ${users} on ${hasEmail(email)}`)
  const { wait, password_version, hash, ...account } = row as LoginRow
  return { wait, login: hash === null ? undefined : { account, password_version, hash } }
}

const hasEmail = (email: string) => eq(addressKey(users.email), addressKey(email))

/**
 * Deletes the sign-ups and e-mail changes that wait for a code to an address, which an account has got. It comes after the
 * statement that gives the address to the account: two codes for one address would otherwise wait for each other's rows.
 */
export async function endPendingClaims(db: Database, email: string): Promise<void> {
  await deleteClaims(db, { email })
}

const claimsAddress = eq(addressKey(sql`email`), addressKey(sql`${sql.placeholder('email')}`))

const deleteClaims = statement(sql`
  with ended as (delete from signups where ${claimsAddress})
  delete from email_changes where ${claimsAddress}`)

/** Replaces a password hash by a stronger one of the same password, unless the password has changed since. */
export const upgradeHash = (db: Database, id: string, oldHash: string, newHash: string) =>
  db
    .update(users)
    .set({ password: newHash })
    .where(and(eq(users.id, id), eq(users.password, oldHash)))

type Caller = { id: string; password_version: number; account: { id: string } }

/**
 * Changes the caller's password hash and ends all sessions of the account but the caller's. Returns false if the password
 * has changed since the caller's session was read: of several changes at once, one succeeds.
 */
export async function changePassword(db: Database, caller: Caller, hash: string, now: Date): Promise<boolean> {
  const changed = db.$with('changed').as(
    db
      .update(users)
      .set({ password: hash, password_version: sql`${users.password_version} + 1`, updated_at: now.toISOString() })
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
