import { sql } from 'drizzle-orm'
import { type Database, statement } from '../database/connect.ts'
import { isUniqueViolation } from '../database/errors.ts'
import { addressKey } from '../database/text.ts'
import { hashCode, newCode } from './codes.ts'
import { type Bearer, callerByToken, type Session, UNAUTHENTICATED, type Unauthenticated } from './sessions.ts'
import { type Account, accountFields, endPendingClaims } from './users.ts'

export const EMAIL_CHANGE_MINUTES = 15

const { placeholder } = sql

const expiry = (now: Date) => new Date(now.getTime() + EMAIL_CHANGE_MINUTES * 60_000).toISOString()

/**
 * Stores the new address of an account until it is verified, and returns its code, which ends an older one. If another account
 * has the address, it is stored all the same, so that the caller sees no difference, but its code must not be sent. Returns
 * undefined if the password has changed since it was checked: the change counts for that password only.
 */
export async function createEmailChange(
  db: Database,
  { account, password_version }: Pick<Session, 'account' | 'password_version'>,
  email: string,
  now: Date,
): Promise<{ code: string; is_taken: boolean } | undefined> {
  const code = newCode()
  const values = { user_id: account.id, email, code_hash: hashCode(code), password_version, expires_at: expiry(now) }
  const [stored] = await insertChange(db, values)
  return stored && { code, ...stored }
}

const insertChange = statement<{ is_taken: boolean }>(sql`
  insert into email_changes (user_id, email, code_hash, password_version, expires_at)
  select id, ${placeholder('email')}, ${placeholder('code_hash')}::bytea, password_version,
    ${placeholder('expires_at')}::timestamptz
  from users
  where id = ${placeholder('user_id')} and password_version = ${placeholder('password_version')}
  on conflict (user_id) do update set email = excluded.email, code_hash = excluded.code_hash,
    password_version = excluded.password_version, expires_at = excluded.expires_at
  returning exists (
    select from users where ${addressKey(sql`users.email`)} = ${addressKey(sql`${placeholder('email')}`)}
      and id <> ${placeholder('user_id')}
  ) as is_taken`)

/** Gives the last unused code of an account for an address the lifetime of a new one. */
export async function extendEmailChange(db: Database, user_id: string, email: string, now: Date): Promise<void> {
  await extendChange(db, { user_id, email, expires_at: expiry(now) })
}

const extendChange = statement(sql`
  update email_changes set expires_at = ${placeholder('expires_at')}
  where user_id = ${placeholder('user_id')} and ${addressKey(sql`email`)} = ${addressKey(sql`${placeholder('email')}`)}`)

/** The account with its new address, and the address before. */
export type ChangedEmail = { account: Account; oldEmail: string }

/**
 * Gives the caller's account the address that a code was sent to. Ends all other sessions, the reset code, and the sign-ups
 * and changes of others for the address. Returns `invalid_code` if the code is not live or not the caller's, or if another
 * account has got the address since.
 */
export async function verifyEmailChange(
  db: Database,
  bearer: Bearer,
  code: string,
): Promise<ChangedEmail | { outcome: 'invalid_code' } | Unauthenticated> {
  const rows = await changeEmail(db, { ...bearer, code_hash: hashCode(code) ?? null }).catch((error) => {
    if (!isUniqueViolation(error)) throw error
    // Somebody else has verified the address at the same time.
    return [{ outcome: 'invalid_code' }]
  })
  const [{ outcome, old_email, ...account }] = rows as [ChangeRow]
  if (outcome === 'unauthenticated') return UNAUTHENTICATED
  if (outcome === 'invalid_code') return { outcome }
  await endPendingClaims(db, account.email)
  return { account, oldEmail: old_email }
}

type ChangeRow = Account & { outcome: 'ok' | 'invalid_code' | 'unauthenticated'; old_email: string }

const changeEmail = statement<ChangeRow>(sql`
  with caller as (${callerByToken}), used as (
    delete from email_changes as change using caller
    where change.user_id = caller.id and change.code_hash = ${placeholder('code_hash')}::bytea
      and change.expires_at > ${placeholder('now')} and change.password_version = caller.password_version
    returning change.user_id, change.email
  ), ended_reset as (
    delete from password_resets using used where password_resets.user_id = used.user_id
    returning password_resets.user_id
  ), changed as (
    update users set email = used.email, password_version = users.password_version + 1, updated_at = ${placeholder('now')}
    -- The join makes the reset code go first: a reset at the same time locks the rows in this order.
    from (select used.* from used left join ended_reset using (user_id)) as used join users as old on old.id = used.user_id
    where users.id = used.user_id
    returning users.*, old.email as old_email
  ), kept as (
    update sessions set password_version = changed.password_version from changed, caller where sessions.id = caller.session
  )
  select case when caller.id is null then 'unauthenticated' when changed.id is null then 'invalid_code' else 'ok' end as outcome,
    ${sql.raw(accountFields.map((field) => `changed.${field}`).join(', '))}, changed.old_email
  from (select) as one_row left join caller on true left join changed on true`)
