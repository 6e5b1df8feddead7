import { encodeBase64urlNoPadding } from '@oslojs/encoding'
import { and, eq, gt, sql } from 'drizzle-orm'
import { newId, randomBytes, sha256 } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { type Account, accountColumns } from './users.ts'

/** The caller's session with its account. */
export type Session = { id: string; password_version: number; account: Account }

/** The hash of a token as it was sent, and the time at which its expiry is judged. */
export type Bearer = { token_hash: Uint8Array; now: string }

// A session counts only for the password that it was created with, so a changed password ends all of them at once.
const isOfCurrentPassword = and(eq(users.id, sessions.user_id), eq(users.password_version, sessions.password_version))

const isLive = and(
  eq(sessions.token_hash, sql.placeholder('token_hash')),
  gt(sessions.expires_at, sql.placeholder('now')),
)

const byToken = sql`from ${sessions} join ${users} on ${isOfCurrentPassword} where ${isLive}`

/** The account id of a token, or no row: for a statement that checks the token itself, which saves a round trip. */
export const callerByToken = sql`select ${users.id} ${byToken}`

/** Returns the session of a token; undefined when the token is unknown, expired or revoked. */
export async function findSession(db: Database, bearer: Bearer): Promise<Session | undefined> {
  const [row] = await selectSession(db, bearer)
  if (!row) return undefined
  const { session, password_version, ...account } = row
  return { id: session, password_version, account }
}

const selectSession = statement<{ session: string; password_version: number } & Account>(sql`
  select ${sessions.id} as session, ${sessions.password_version}, ${sql.join(Object.values(accountColumns), sql`, `)} ${byToken}`)

type NewSession = { user_id: string; password_version: number; user_agent: string | null; days: number }

/** The most live sessions of an account. */
const MAX_SESSIONS = 100

/**
 * Creates a session of `days` days and returns its token, 256 random bits, of which only the hash is stored. Ends the oldest
 * sessions of an account that has more than 100.
 */
export async function createSession(db: Database, { days, ...session }: NewSession, now: Date) {
  const token = `dkt_${encodeBase64urlNoPadding(randomBytes(32))}`
  const expires_at = new Date(now.getTime() + days * 86_400_000).toISOString()
  const [id, created_at] = [newId(now), now.toISOString()]
  await db.insert(sessions).values({ ...session, id, token_hash: sha256(token), created_at, expires_at })
  await endSurplus(db, { id, user_id: session.user_id, now: created_at })
  return { token, expires_at }
}

/**
 * Ends the oldest sessions beyond the limit, but not the one that was just created. A statement of its own: of parallel
 * logins, the last one sees the sessions of all. It skips rows that another statement is about to end, so it waits for none
 * and cannot be part of a deadlock.
 */
const endSurplus = statement(sql`
  with surplus as materialized (
    select ${sessions.id} from ${sessions} join ${users} on ${isOfCurrentPassword}
    where ${sessions.user_id} = ${sql.placeholder('user_id')} and ${sessions.id} <> ${sql.placeholder('id')}
      and ${sessions.expires_at} > ${sql.placeholder('now')}
    order by ${sessions.id} desc offset ${sql.raw(String(MAX_SESSIONS - 1))}
  ), locked as materialized (
    select id from sessions where id in (select id from surplus) for update skip locked
  )
  delete from sessions where id in (select id from locked)`)

/** Returns the live sessions of the caller's account, newest first. */
export const listSessions = (db: Database, caller: Session, now: Date) =>
  db
    .select({
      id: sessions.id,
      created_at: sessions.created_at,
      expires_at: sessions.expires_at,
      user_agent: sessions.user_agent,
      current: sql<boolean>`${sessions.id} = ${caller.id}`,
    })
    .from(sessions)
    .innerJoin(users, isOfCurrentPassword)
    .where(and(eq(sessions.user_id, caller.account.id), gt(sessions.expires_at, now.toISOString())))
    .orderBy(sql`${sessions.id} desc`)

/** Returns which of the given sessions are still live. */
export async function liveSessions(db: Database, ids: string[], now: Date): Promise<Set<string>> {
  const rows = await db
    .select({ id: sessions.id })
    .from(sessions)
    .innerJoin(users, isOfCurrentPassword)
    .where(and(sql`${sessions.id} = any(${`{${ids.join(',')}}`}::uuid[])`, gt(sessions.expires_at, now.toISOString())))
  return new Set(rows.map(({ id }) => id))
}

/** Ends a session of an account. Returns false if the account has no live session with that id. */
export async function endSession(db: Database, user_id: string, id: string, now: Date): Promise<boolean> {
  const ended = await db
    .delete(sessions)
    .where(
      and(
        eq(sessions.id, id),
        eq(sessions.user_id, user_id),
        gt(sessions.expires_at, now.toISOString()),
        sql`exists (select from ${users} where ${isOfCurrentPassword})`,
      ),
    )
    .returning({ id: sessions.id })
  return ended.length > 0
}
