import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'

/** Every way in which a request can fail: its stable code with its status and title. */
export const problems = {
  malformed_request: [400, 'The request cannot be read'],
  invalid_request: [400, 'Some input is not valid'],
  invalid_cursor: [400, 'The cursor does not belong to this list'],
  invalid_code: [400, 'The code is not valid'],
  weak_password: [400, 'The password is too weak'],
  wrong_password: [400, 'The password is wrong'],
  unauthenticated: [401, 'A valid token is needed'],
  invalid_credentials: [401, 'The e-mail address or the password is wrong'],
  forbidden: [403, 'This is not allowed'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'The method is not allowed here'],
  cursor_expired: [410, 'The position of the cursor is no longer in the log'],
  precondition_failed: [412, 'The assignment has another version'],
  payload_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The type or the encoding of the body is not supported'],
  too_many_requests: [429, 'Too many requests'],
  internal_error: [500, 'Something went wrong in the service'],
  unavailable: [503, 'The service is not available at the moment'],
} as const satisfies Record<string, readonly [ContentfulStatusCode, string]>

export type ProblemCode = keyof typeof problems

/** One invalid input: its part of the request, a JSON Pointer (RFC 6901) into that part, and what is wrong. */
export type InputError = { in: 'body' | 'query' | 'path' | 'header'; pointer: string; message: string }

type Details = {
  detail?: string
  errors?: InputError[]
  headers?: Record<string, string>
  /** Replaces the status of the code. */
  status?: ContentfulStatusCode
}

/** A failure that the client is told about (RFC 9457). Any other error that a handler throws is a bug, answered with 500. */
export class Problem extends HTTPException {
  readonly code: ProblemCode
  readonly details: Details

  constructor(code: ProblemCode, details: Details = {}) {
    super(details.status ?? problems[code][0], { message: details.detail ?? problems[code][1] })
    this.code = code
    this.details = details
  }
}

/** Returns a 429 or 503 with `Retry-After` in whole seconds, at least one. */
export const retryLater = (code: 'too_many_requests' | 'unavailable', seconds: number, detail?: string) =>
  new Problem(code, {
    ...(detail && { detail }),
    headers: { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) },
  })

/** The most invalid inputs that one response lists. Without a limit, a request would get a response of six times its size. */
export const MAX_ERRORS = 100

/** Returns a 400 that lists the invalid inputs, and tells how many there are. */
export function invalidRequest(errors: InputError[]): Problem {
  const [first] = errors
  const more = errors.length > 1 ? `, and ${errors.length - 1} more` : ''
  const place = first?.pointer ? `${first.pointer}: ` : ''
  const detail = `${place}${first?.message}${more}.`
  return new Problem('invalid_request', { detail, errors: errors.slice(0, MAX_ERRORS) })
}

/** Returns the body of a problem for the document. */
export const exampleOfProblem = (problem: Problem): unknown =>
  JSON.parse(problemJson(problem, 'aca6fa98-8ada-41f7-935d-7164efd3293d'))

/** Writes a problem as the JSON of its response body. */
export const problemJson = ({ code, status, message, details }: Problem, request_id: string): string =>
  JSON.stringify({
    type: `urn:docket:problem:${code}`,
    title: problems[code][1],
    status,
    detail: message,
    code,
    request_id,
    errors: details.errors,
  })
