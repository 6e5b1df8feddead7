import type { MiddlewareHandler } from 'hono'
import { type Bearer, findCaller, type Unauthenticated } from '../accounts/sessions.ts'
import { sha256 } from '../crypto.ts'
import type { Env, RequestContext } from '../services.ts'
import { Problem } from './problem.ts'

/** Requires a token before any other check of the request (RFC 6750). The statement of the handler checks it: see `asCaller`. */
export const requireToken: MiddlewareHandler<Env> = (c, next) => {
  c.set('token', { bearer: readBearer(c), isChecked: false })
  return next()
}

/** Runs a statement that checks the token of the request as well, and returns its result. Throws 401 if the token is bad. */
export async function asCaller<Result extends object>(
  c: RequestContext,
  run: (bearer: Bearer) => Promise<Result | Unauthenticated>,
): Promise<Result> {
  const token = c.get('token')
  if (!token) throw new Error('asCaller needs a route that was declared with protectedRoute')
  // From here on an error is the statement's, or comes after it. The error handler need not check the token again.
  token.isChecked = true
  const result = await run(token.bearer)
  if (isUnauthenticated(result)) throw unauthenticated()
  return result
}

/** Checks the token of a request that failed before a statement did. Throws 401 if the token is bad. */
export async function checkToken(c: RequestContext): Promise<void> {
  if (c.get('token')?.isChecked === false) await asCaller(c, (bearer) => findCaller(c.env.db, bearer))
}

const isUnauthenticated = (result: object): result is Unauthenticated =>
  'outcome' in result && result.outcome === 'unauthenticated'

/** Returns the 401 for a bad token or, with the plain challenge, for a missing one. */
const unauthenticated = (challenge = 'Bearer error="invalid_token"') =>
  new Problem('unauthenticated', {
    detail: 'Send a valid token as "Authorization: Bearer <token>".',
    headers: { 'WWW-Authenticate': challenge },
  })

function readBearer(c: RequestContext): Bearer {
  const token = /^(?:bearer|token) +(\S+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1]
  if (!token) throw unauthenticated('Bearer')
  return { token_hash: sha256(token), now: c.env.now().toISOString() }
}
