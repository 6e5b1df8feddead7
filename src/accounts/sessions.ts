import { encodeBase64urlNoPadding } from '@oslojs/encoding'
import { and, eq, gt, sql } from 'drizzle-orm'
import type { MiddlewareHandler } from 'hono'
import { digest, newId, randomBytes } from '../crypto.ts'
import { type Database, perDatabase } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { Problem } from '../problem.ts'
import type { SignedIn } from '../services.ts'
import { account } from './users.ts'

/** Who is asking, and by which session. */
export type Session = NonNullable<Awaited<ReturnType<typeof findSession>>>

// Made with the password that is still the account's: a changed password ends every session without a race to delete them.
const isOfCurrentPassword = and(eq(users.id, sessions.user_id), eq(users.password_version, sessions.password_version))

/** Lets only a request with a live token pass, before anything else of it is looked at (RFC 6750). */
export const authenticate: MiddlewareHandler<SignedIn> = async (c, next) => {
  const token = /^(?:bearer|token) +(\S+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1]
  const session = token && (await findSession(c.env.db, token, c.env.now()))
  if (!session) throw unauthenticated(token ? 'Bearer error="invalid_token"' : 'Bearer')
  c.set('session', session)
  await next()
}

const unauthenticated = (challenge: string) =>
  new Problem('unauthenticated', {
    detail: 'Send a token that is still good, as «Authorization: Bearer <token>».',
    headers: { 'WWW-Authenticate': challenge },
  })

/** The session of a token, with its account; undefined when the token is unknown, expired or revoked. */
export async function findSession(db: Database, token: string, now: Date) {
  const [session] = await byToken(db).execute({ token_hash: digest(token), now: now.toISOString() })
  return session
}

// Every protected request asks this: written out once, it costs half of what building it each time does.
const byToken = perDatabase((db) =>
  db
    .select({ id: sessions.id, password_version: sessions.password_version, account })
    .from(sessions)
    .innerJoin(users, isOfCurrentPassword)
    .where(and(eq(sessions.token_hash, sql.placeholder('token_hash')), gt(sessions.expires_at, sql.placeholder('now'))))
    .prepare('find_session'),
)

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
