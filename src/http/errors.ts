import type { ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { OverloadError } from '../concurrency.ts'
import { isRestoreMode, isUnavailable, isUnmigrated } from '../database/errors.ts'
import { RESTORING } from '../database/migration-status.ts'
import { describeError, rootCause } from '../logger.ts'
import type { Env } from '../services.ts'
import { checkToken } from './auth.ts'
import { Problem, type ProblemCode, problemJson, retryLater } from './problem.ts'

/** Turns every error of the app into its response, and logs what the client is not told. */
export const handleError: ErrorHandler<Env> = async (thrown, c) => {
  const error = await authenticationFirst(thrown, c)
  const problem = toProblem(error)
  const request_id = c.get('requestId')
  if (!isExpected(error)) c.env.log.error({ request_id, error: describeError(error) }, problem.code)
  return c.body(problemJson(problem, request_id), problem.status as ContentfulStatusCode, {
    'Content-Type': 'application/problem+json',
    // Every 401 has to name the accepted scheme (RFC 9110, 15.5.2).
    ...(problem.status === 401 && { 'WWW-Authenticate': 'Bearer' }),
    ...problem.details.headers,
  })
}

/** Returns the 401 for a rejected input whose token is bad: a stranger learns nothing from the other error. */
async function authenticationFirst(error: unknown, c: Parameters<typeof handleError>[1]): Promise<unknown> {
  if (toProblem(error).status >= 500) return error
  return checkToken(c).then(
    () => error,
    (refusal) => refusal,
  )
}

const isExpected = (error: unknown) => {
  const cause = rootCause(error)
  return cause instanceof Problem || cause instanceof OverloadError
}

function toProblem(error: unknown): Problem {
  const cause = rootCause(error)
  if (cause instanceof Problem) return cause
  if (cause instanceof OverloadError) return retryLater('unavailable', cause.retryAfter, cause.message)
  if (error instanceof HTTPException) return new Problem(honoProblems[error.status] ?? 'internal_error')
  if (isUnmigrated(error)) return retryLater('unavailable', 10, 'The database is not migrated.')
  if (isRestoreMode(error)) return retryLater('unavailable', 10, RESTORING)
  if (isUnavailable(error)) return retryLater('unavailable', 2, 'The database cannot be reached or is too slow.')
  return new Problem('internal_error')
}

/** The problems that stand for Hono's own exceptions. */
const honoProblems: Record<number, ProblemCode> = {
  400: 'malformed_request',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
}
