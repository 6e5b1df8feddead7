import type { MiddlewareHandler } from 'hono'
import { type Bearer, findSession, type Session } from '../accounts/sessions.ts'
import { sha256 } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import type { Env, RequestContext, SessionEnv } from '../services.ts'
import { Problem } from './problem.ts'

/** Requires a live token, before any other check of the request (RFC 6750). */
export const authenticate: MiddlewareHandler<SessionEnv> = async (c, next) => {
  c.set('session', await requireSession(c.env.db, readBearer(c)))
  await next()
}

/** Requires a token, and leaves its check to the statement of the handler, which gets it by `takeBearer`. */
export const requireToken: MiddlewareHandler<Env> = (c, next) => {
  c.set('token', { bearer: readBearer(c), isTaken: false })
  return next()
}

/** Returns the token of the request for a statement that checks it. After that the error handler does not check it again. */
export function takeBearer(c: RequestContext): Bearer {
  const { token } = c.var
  if (!token) throw new Error('takeBearer needs a route that was declared with bearerRoute')
  token.isTaken = true
  return token.bearer
}

/** Checks the token of a request that failed before a statement took it. Throws 401 if the token is bad. */
export async function checkUntakenToken(c: RequestContext): Promise<void> {
  if (c.var.token?.isTaken === false) await requireSession(c.env.db, takeBearer(c))
}

/** Returns the 401 for a bad token or, with the plain challenge, for a missing one. */
export const unauthenticated = (challenge = 'Bearer error="invalid_token"') =>
  new Problem('unauthenticated', {
    detail: 'Send a valid token as "Authorization: Bearer <token>".',
    headers: { 'WWW-Authenticate': challenge },
  })

async function requireSession(db: Database, bearer: Bearer): Promise<Session> {
  const session = await findSession(db, bearer)
  if (!session) throw unauthenticated()
  return session
}

function readBearer(c: RequestContext): Bearer {
  const token = /^(?:bearer|token) +(\S+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1]
  if (!token) throw unauthenticated('Bearer')
  return { token_hash: sha256(token), now: c.env.now().toISOString() }
}
