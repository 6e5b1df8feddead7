import { encodeBase64urlNoPadding } from '@oslojs/encoding'
import { and, eq, gt, sql } from 'drizzle-orm'
import type { Context, MiddlewareHandler } from 'hono'
import { digest, newId, randomBytes } from '../crypto.ts'
import { type Database, statement } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { Problem } from '../http/problem.ts'
import type { Bearing, Env, SignedIn } from '../services.ts'
import { type Account, account } from './users.ts'

/** Who is asking, and by which session. */
export type Session = Awaited<ReturnType<typeof requireSession>>

/** A token as it was sent, with the time that it is judged at. */
export type Bearer = { token_hash: Uint8Array; now: string }

// Made with the password that is still the account's: a changed password ends every session without a race to delete them.
const isOfCurrentPassword = and(eq(users.id, sessions.user_id), eq(users.password_version, sessions.password_version))

const isLive = and(
  eq(sessions.token_hash, sql.placeholder('token_hash')),
  gt(sessions.expires_at, sql.placeholder('now')),
)

const byToken = sql`from ${sessions} join ${users} on ${isOfCurrentPassword} where ${isLive}`

/** The id of a bearer's account, or no row: for a statement that judges its caller with the rest, in one round trip. */
export const callerByToken = sql`select ${users.id} ${byToken}`

/** Lets only a request with a live token pass, before anything else of it is looked at (RFC 6750). */
export const authenticate: MiddlewareHandler<SignedIn> = async (c, next) => {
  c.set('session', await requireSession(c.env.db, bearerOf(c)))
  await next()
}

/** Lets a request with any token pass, for a handler whose statement judges it. */
export const takeBearer: MiddlewareHandler<Bearing> = (c, next) => {
  c.set('bearer', bearerOf(c))
  return next()
}

/** The session of a bearer. Throws 401 when the token is unknown, expired or revoked. */
export async function requireSession(db: Database, bearer: Bearer) {
  const [found] = await findSession(db, bearer)
  if (!found) throw unauthenticated()
  const { session, password_version, ...account } = found
  return { id: session, password_version, account }
}

const findSession = statement<{ session: string; password_version: number } & Account>(sql`
  select ${sessions.id} as session, ${sessions.password_version}, ${sql.join(Object.values(account), sql`, `)} ${byToken}`)

/** The refusal of a token that is no good; of a request without one, where told so. */
export const unauthenticated = (challenge = 'Bearer error="invalid_token"') =>
  new Problem('unauthenticated', {
    detail: 'Send a token that is still good, as «Authorization: Bearer <token>».',
    headers: { 'WWW-Authenticate': challenge },
  })

function bearerOf(c: Pick<Context<Env>, 'req' | 'env'>): Bearer {
  const token = /^(?:bearer|token) +(\S+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1]
  if (!token) throw unauthenticated('Bearer')
  return { token_hash: digest(token), now: c.env.now().toISOString() }
}

type NewSession = { user_id: string; password_version: number; user_agent: string | null; days: number }

/** Opens a session and gives its token, 256 random bits, which is stored nowhere. */
export async function createSession(db: Database, { days, ...session }: NewSession, now: Date) {
  const token = `dkt_${encodeBase64urlNoPadding(randomBytes(32))}`
  const expires_at = new Date(now.getTime() + days * 86_400_000).toISOString()
  await db
    .insert(sessions)
    .values({ ...session, id: newId(now), token_hash: digest(token), created_at: now.toISOString(), expires_at })
  return { token, expires_at }
}

/** The live sessions of an account, newest first. */
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

/** Those of some sessions, by their ids, that are still live. */
export async function liveSessions(db: Database, ids: string[], now: Date): Promise<Set<string>> {
  const rows = await db
    .select({ id: sessions.id })
    .from(sessions)
    .innerJoin(users, isOfCurrentPassword)
    .where(and(sql`${sessions.id} = any(${`{${ids.join(',')}}`}::uuid[])`, gt(sessions.expires_at, now.toISOString())))
  return new Set(rows.map(({ id }) => id))
}

/** Ends one live session of an account. False when it has none of that id. */
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
