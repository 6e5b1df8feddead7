import type { ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { isUnavailable, isUnmigrated, rootCause } from '../database/errors.ts'
import type { Env } from '../services.ts'

/** Every way a request can fail: its stable code, its status and its title. */
export const problems = {
  malformed_request: [400, 'The request cannot be read'],
  invalid_request: [400, 'Some input is not valid'],
  invalid_cursor: [400, 'The cursor does not belong to this list'],
  invalid_code: [400, 'The code is not valid'],
  weak_password: [400, 'The password is too weak'],
  unauthenticated: [401, 'A valid token is needed'],
  invalid_credentials: [401, 'The e-mail address or the password is wrong'],
  not_activated: [403, 'The account is not activated yet'],
  forbidden: [403, 'This is not allowed'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'The method is not allowed here'],
  precondition_failed: [412, 'The version is another one'],
  payload_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The body must be application/json'],
  too_many_requests: [429, 'Too many requests'],
  internal_error: [500, 'Something went wrong on our side'],
  unavailable: [503, 'The service cannot answer just now'],
} as const satisfies Record<string, readonly [ContentfulStatusCode, string]>

export type ProblemCode = keyof typeof problems

/** One invalid input: where it stood, a JSON Pointer (RFC 6901) into that place, and what is wrong. */
export type InputError = { in: 'body' | 'query' | 'path' | 'header'; pointer: string; message: string }

type Details = {
  detail?: string
  errors?: InputError[]
  headers?: Record<string, string>
  /** Where one code answers with another status than its own. */
  status?: ContentfulStatusCode
}

/** A failure that the client is told of (RFC 9457). Anything else that is thrown is a bug and is answered as one. */
export class Problem extends HTTPException {
  readonly code: ProblemCode
  readonly details: Details

  constructor(code: ProblemCode, details: Details = {}) {
    super(details.status ?? problems[code][0], { message: details.detail ?? problems[code][1] })
    this.code = code
    this.details = details
  }
}

/** Work that can be done later: 429 or 503 with Retry-After in whole seconds, at least one. */
export const retryLater = (code: 'too_many_requests' | 'unavailable', seconds: number, detail?: string) =>
  new Problem(code, {
    ...(detail && { detail }),
    headers: { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) },
  })

/** Answers what a path does not take with 405; without this it would be a 404. */
export const takesOnly = (allow: string) => () => {
  throw new Problem('method_not_allowed', { detail: `This path takes ${allow}.`, headers: { Allow: allow } })
}

/** The one place that answers an error, whoever raised it, and that logs what the client is not told. */
export const answerProblem: ErrorHandler<Env> = (error, c) => {
  const problem = toProblem(error)
  const request_id = c.var.requestId
  if (problem !== rootCause(error)) c.env.log.error({ request_id, error: describe(error) }, problem.code)
  return c.body(problemBody(problem, request_id), problem.status as ContentfulStatusCode, {
    'Content-Type': 'application/problem+json',
    // Every 401 has to say what would be accepted (RFC 9110, 15.5.2).
    ...(problem.status === 401 && { 'WWW-Authenticate': 'Bearer' }),
    ...problem.details.headers,
  })
}

const problemBody = ({ code, status, message, details }: Problem, request_id: string): string =>
  JSON.stringify({
    type: `urn:docket:problem:${code}`,
    title: problems[code][1],
    status,
    detail: message,
    code,
    request_id,
    ...(details.errors && { errors: details.errors }),
  })

/** A problem as a whole answer, with the headers that the app would give it, for those who answer outside of it. */
export function bareAnswer(problem: Problem): Response {
  const id = crypto.randomUUID()
  const headers = {
    ...{ 'Content-Type': 'application/problem+json', 'X-Request-Id': id, 'Cache-Control': 'no-store' },
    ...{ 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer' },
    'Content-Security-Policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
  }
  return new Response(problemBody(problem, id), { status: problem.status, headers })
}

/** What Hono itself raises. */
const foreign: Record<number, ProblemCode> = {
  400: 'malformed_request',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
}

function toProblem(error: unknown): Problem {
  const cause = rootCause(error)
  if (cause instanceof Problem) return cause
  if (error instanceof HTTPException) return new Problem(foreign[error.status] ?? 'internal_error')
  if (isUnmigrated(error)) return retryLater('unavailable', 10, 'The database is not migrated.')
  if (isUnavailable(error)) return retryLater('unavailable', 2, 'The database cannot be reached or is too slow.')
  return new Problem('internal_error')
}

/** What may be logged of an error. A database's messages can quote parameters, so of those only the code is kept. */
export function describe(error: unknown) {
  const cause = rootCause(error)
  if (!(cause instanceof Error)) return { type: typeof cause }
  const frames = cause.stack?.match(/^ +at .+$/gm)?.slice(0, 12)
  const code = 'code' in cause ? cause.code : undefined
  return { type: cause.name, code, message: code ? undefined : cause.message, frames }
}
