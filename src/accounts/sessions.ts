import { encodeBase64urlNoPadding } from '@oslojs/encoding'
import { and, eq, gt, type SQL, sql } from 'drizzle-orm'
import { newId, randomBytes, sha256 } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { type Account, accountList } from './users.ts'

/** The hash of a token as it was sent, and the time at which its expiry is judged. */
export type Bearer = { token_hash: Uint8Array; now: string }

/** The result of a statement whose token is unknown, expired or revoked. */
export type Unauthenticated = { outcome: 'unauthenticated' }

export const UNAUTHENTICATED: Unauthenticated = { outcome: 'unauthenticated' }

// A session counts only for the password that it was created with, so a changed password ends all of them at once.
const isOfCurrentPassword = and(eq(users.id, sessions.user_id), eq(users.password_version, sessions.password_version))

const isLive = and(
  eq(sessions.token_hash, sql.placeholder('token_hash')),
  gt(sessions.expires_at, sql.placeholder('now')),
)

const byToken = sql`from ${sessions} join ${users} on ${isOfCurrentPassword} where ${isLive}`

/**
 * The body of the common table expression `caller`, for a statement that checks the token of its caller itself: the account
 * and session of a live token, or no row. The statement takes a Bearer.
 */
export const callerByToken = sql`
    select ${users.id}, ${users.created_at}, ${users.password_version}, ${sessions.id} as session ${byToken}
  `

const { placeholder } = sql

/** Returns the caller's account. */
export async function findCaller(db: Database, bearer: Bearer): Promise<Account | Unauthenticated> {
  const [account] = await selectAccount(db, bearer)
  return account ?? UNAUTHENTICATED
}

const selectAccount = statement<Account>(sql`select ${accountList} ${byToken}`)

/** The caller's session with its account and the hash of its password. */
export type Session = { id: string; password_version: number; hash: string; account: Account }

/** Returns what a change of the caller's password is checked against. */
export async function findSession(db: Database, bearer: Bearer): Promise<Session | Unauthenticated> {
  const [row] = await selectSession(db, bearer)
  if (!row) return UNAUTHENTICATED
  const { session, password_version, hash, ...account } = row
  return { id: session, password_version, hash, account }
}

const selectSession = statement<{ session: string; password_version: number; hash: string } & Account>(sql`
  select ${sessions.id} as session, ${sessions.password_version}, ${users.password} as hash, ${accountList} ${byToken}`)

type Names = { first_name?: string | undefined; last_name?: string | undefined }

/** Changes the given names of the caller and returns the account. */
export async function renameCaller(db: Database, bearer: Bearer, names: Names): Promise<Account | Unauthenticated> {
  const { first_name = null, last_name = null } = names
  const [renamed] = await rename(db, { ...bearer, first_name, last_name })
  return renamed ?? UNAUTHENTICATED
}

const rename = statement<Account>(sql`
  with caller as (${callerByToken})
  update users set
    first_name = coalesce(${placeholder('first_name')}, first_name),
    last_name = coalesce(${placeholder('last_name')}, last_name),
    updated_at = ${placeholder('now')}
  from caller where users.id = caller.id
  returning ${accountList}`)

type NewSession = { user_id: string; password_version: number; user_agent: string | null; days: number }

/** The most live sessions of an account. */
const MAX_SESSIONS = 100

/**
 * Creates a session of `days` days and returns its token, 256 random bits, of which only the hash is stored. Ends the oldest
 * sessions of an account that has more than 100.
 */
export async function createSession(db: Database, session: NewSession, now: Date) {
  const created = await createSessionIfAllowed(db, session, now, sql`null`)
  if (created.outcome !== 'created') throw new Error('The account does not exist, or its password has changed.')
  return created
}

/** A new session, or why there is none: an expression for seconds to wait was positive, or the password has changed. */
type SessionResult =
  | { outcome: 'created'; id: string; token: string; expires_at: string }
  | { outcome: 'too_many_requests'; wait: number }
  | { outcome: 'wrong_password' }

/** Creates a session, unless an expression for seconds to wait has a positive value. */
export async function createSessionIfAllowed(
  db: Database,
  session: NewSession,
  now: Date,
  secondsToWait: SQL,
): Promise<SessionResult> {
  const token = `dkt_${encodeBase64urlNoPadding(randomBytes(32))}`
  const { user_id, password_version, user_agent, days } = session
  const [id, created_at] = [newId(now), now.toISOString()]
  const expires_at = new Date(now.getTime() + days * 86_400_000).toISOString()
  const [row] = await db.execute<{ wait: number | null; is_created: boolean }>(sql`
    with waiting as materialized (
      select ${secondsToWait}::float8 as wait
    ), created as (
      insert into sessions (id, user_id, token_hash, password_version, user_agent, created_at, expires_at)
      select ${id}::uuid, users.id, ${sha256(token)}::bytea, users.password_version, ${user_agent},
        ${created_at}::timestamptz, ${expires_at}::timestamptz
      from waiting, users
      where users.id = ${user_id} and users.password_version = ${password_version} and coalesce(wait, 0) <= 0
      returning sessions.id
    )
    select wait, exists (select from created) as is_created from waiting`)
  if (row?.wait && row.wait > 0) return { outcome: 'too_many_requests', wait: row.wait }
  if (!row?.is_created) return { outcome: 'wrong_password' }
  await endSurplus(db, { id, user_id, now: created_at })
  return { outcome: 'created', id, token, expires_at }
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

export type OwnSession = Pick<typeof sessions.$inferSelect, 'id' | 'created_at' | 'expires_at' | 'user_agent'> & {
  /** Whether it is the session of the token. */
  current: boolean
}

/** Returns the live sessions of the caller's account, newest first. */
export async function listSessions(db: Database, bearer: Bearer): Promise<OwnSession[] | Unauthenticated> {
  const rows = await selectOwnSessions(db, bearer)
  // A caller has at least one: the session of the token.
  return rows.length > 0 ? rows : UNAUTHENTICATED
}

/** The condition for the live sessions of `caller`. */
export const isOwn = sql`sessions.user_id = caller.id and sessions.password_version = caller.password_version
    and sessions.expires_at > ${placeholder('now')}`

const selectOwnSessions = statement<OwnSession>(sql`
  with caller as (${callerByToken})
  select sessions.id, sessions.created_at, sessions.expires_at, sessions.user_agent,
    sessions.id = caller.session as current
  from caller join sessions on ${isOwn}
  order by sessions.id desc`)

/** Ends a session of the caller's account, by default that of the token. */
export async function endSession(
  db: Database,
  bearer: Bearer,
  id: string | null = null,
): Promise<{ outcome: 'ended' | 'not_found' } | Unauthenticated> {
  const [row] = await deleteSession(db, { ...bearer, id })
  return row ?? UNAUTHENTICATED
}

const deleteSession = statement<{ outcome: 'ended' | 'not_found' }>(sql`
  with caller as (${callerByToken}), ended as (
    delete from sessions using caller
    where sessions.id = coalesce(${placeholder('id')}, caller.session) and ${isOwn}
    returning sessions.id
  )
  select case when exists (select from ended) then 'ended' else 'not_found' end as outcome from caller`)

/** Returns which of the given sessions are still live. */
export async function liveSessions(db: Database, ids: string[], now: Date): Promise<Set<string>> {
  const rows = await db
    .select({ id: sessions.id })
    .from(sessions)
    .innerJoin(users, isOfCurrentPassword)
    .where(and(sql`${sessions.id} = any(${`{${ids.join(',')}}`}::uuid[])`, gt(sessions.expires_at, now.toISOString())))
  return new Set(rows.map(({ id }) => id))
}
