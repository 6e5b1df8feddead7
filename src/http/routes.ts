import { createRoute, type Hook, type RouteConfig, z } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { authenticate, requireSession, takeBearer } from '../accounts/sessions.ts'
import type { Asked, Bearing, Env, SignedIn } from '../services.ts'
import { type InputError, Problem, type ProblemCode, problems } from './problem.ts'

/** The largest body that is read, in bytes. */
const MAX_BODY = 256 * 1024

/** A text that JSON, PostgreSQL and every client can carry: no NUL, no lone surrogate. */
export const wellFormed = z
  .string()
  .refine((value) => !value.includes('\0') && value.isWellFormed(), 'Must not hold NUL or a lone surrogate')

/** A well-formed text of so many code points. */
export const text = (from: number, to: number) =>
  wellFormed
    .refine((value) => [...value].length >= from && [...value].length <= to, `Must be ${from} to ${to} characters long`)
    .openapi({ minLength: from, maxLength: to })

export const instant = z.iso.datetime({ precision: 3 }).openapi({ example: '2026-11-22T10:00:00.000Z' })

export const id = z.uuid().openapi({ example: '01986f5e-7c00-7000-8000-0123456789ab' })

const problemSchema = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]]),
    request_id: z.string(),
    errors: z
      .array(
        z.strictObject({
          in: z.enum(['body', 'query', 'path', 'header']),
          pointer: z.string(),
          message: z.string(),
        }),
      )
      .optional(),
  })
  .openapi('Problem')

/** An answer with a JSON body. */
export const json = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { 'application/json': { schema } },
})

/** A body that must be there. */
export const body = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { 'application/json': { schema } },
})

type Declared = Omit<RouteConfig, 'path' | 'middleware'> & { path: string; problems?: Answered[] }

/** A code, with the status where it is not the code's own. */
type Answered = ProblemCode | [ProblemCode, number]

/** A route that anyone may call. `problems` are the codes of its own, beside those that any route can answer. */
export const publicRoute = <const P extends string, R extends Declared & { path: P }>(route: R) =>
  createRoute<P, R & { middleware: [MiddlewareHandler<Env>] }>({
    ...complete(route, []),
    middleware: [checkEncoding(route)],
  })

/** A route that takes a token: without a good one it is 401, whatever else may be wrong with the request. */
export const protectedRoute = <const P extends string, R extends Declared & { path: P }>(route: R) =>
  createRoute<P, R & { middleware: [MiddlewareHandler<SignedIn>, MiddlewareHandler<Env>] }>({
    ...complete(route, ['unauthenticated']),
    security: [{ bearer: [] }],
    middleware: [authenticate, checkEncoding(route)],
  })

/**
 * A protected route whose handler passes the token on, to a statement that judges it with the rest: one round trip, where
 * the session's own would be a second. What is wrong with an input is told only to who has a good token, here as well.
 */
export const bearerRoute = <const P extends string, R extends Declared & { path: P }>(route: R) =>
  createRoute<P, R & { middleware: [MiddlewareHandler<Bearing>, MiddlewareHandler<Env>] }>({
    ...complete(route, ['unauthenticated']),
    security: [{ bearer: [] }],
    middleware: [takeBearer, checkEncoding(route)],
  })

function complete<R extends Declared>({ problems = [], ...route }: R, more: Answered[]) {
  const codes: Answered[] = [
    ...more,
    ...problems,
    'malformed_request',
    'invalid_request',
    ...(route.request?.params ? (['not_found'] as const) : []),
    ...(route.method === 'get' ? [] : (['payload_too_large', 'unsupported_media_type'] as const)),
    'internal_error',
    'unavailable',
  ]
  return {
    ...route,
    request: { query: z.strictObject({}), ...route.request },
    responses: { ...route.responses, ...problemResponses(codes) },
  } as unknown as R
}

/** A header that an answer always has, unless told. */
export const header = (description: string, required = true) => ({
  description,
  required,
  schema: { type: 'string' as const },
})

const problemHeaders = (status: number) => ({
  'X-Request-Id': header('The id under which the log has the request.'),
  ...(status === 401 && { 'WWW-Authenticate': header('`Bearer`, with what is wrong with a token that was sent.') }),
  ...((status === 429 || status === 503) && { 'Retry-After': header('Seconds to wait.') }),
})

const problemResponses = (answered: Answered[]) => {
  const pairs = answered.map((one) => (typeof one === 'string' ? ([one, problems[one][0]] as const) : one))
  const byStatus = Map.groupBy(pairs, ([, status]) => status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        headers: problemHeaders(Number(status)),
        description: group.map(([code]) => `\`${code}\`: ${problems[code][1]}.`).join('\n\n'),
        content: { 'application/problem+json': { schema: problemSchema } },
      },
    ]),
  )
}

/** Reads what a schema cannot see: the query's escapes, and the body's size, type, encoding and JSON. */
const checkEncoding =
  ({ request }: Declared): MiddlewareHandler<Env> =>
  async (c, next) => {
    await readInput(c, request).catch((problem) => refuse(c, problem))
    await next()
  }

async function readInput(c: Context<Env>, request: Declared['request']) {
  checkQuery(c.req.url)
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return
  const value = await readBody(c, request?.body !== undefined)
  c.req.json = async () => value as never
  const content = request?.body?.content['application/json']
  const schema = content && 'schema' in content ? (content.schema as z.ZodType) : undefined
  c.set('bodyErrors', () => schema?.safeParse(value).error?.issues.flatMap((issue) => inputErrors(issue, 'body')) ?? [])
}

/** Refuses an input. 401 goes first, also where the token would have been judged with the rest. */
export async function refuse(c: Asked, problem: unknown): Promise<never> {
  if (c.var.bearer) await requireSession(c.env.db, c.var.bearer)
  throw problem
}

function checkQuery(url: string) {
  const start = url.indexOf('?')
  if (start === -1) return
  try {
    decodeURIComponent(url.slice(start))
    if (/[?&]=/.test(url.slice(start))) throw new Error('a value without a name')
  } catch {
    throw new Problem('malformed_request', {
      detail: 'The query has a broken % escape, a value without a name, or is not UTF-8.',
    })
  }
}

async function readBody(c: Context<Env>, isExpected: boolean): Promise<unknown> {
  const bytes = await c.var
    .untimed(() => readBytes(c.req.raw))
    .catch((error) => {
      throw error instanceof Problem ? error : new Problem('malformed_request', { detail: 'The body broke off.' })
    })
  if (bytes.length === 0 && !isExpected) return undefined
  if (!isJson(c.req.header('Content-Type'))) throw new Problem('unsupported_media_type')
  const value = parseJson(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('malformed_request', { detail: 'The body must be a JSON object.' })
  }
  if (!isExpected && Object.keys(value).length > 0) throw invalid(unknown(Object.keys(value), 'body'))
  return value
}

// No space before the semicolon: zod-openapi looks at it again, and takes none.
const isJson = (type = '') => /^application\/json(; *charset="?utf-8"? *)?$/i.test(type)

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new Problem('malformed_request', { detail: 'The body is not JSON in UTF-8.' })
  }
}

/** The body's bytes. A length is believed only where HTTP itself holds the body to it. */
async function readBytes(request: Request): Promise<Uint8Array> {
  const length = request.headers.get('Content-Length')
  if (length !== null && /^\d+$/.test(length) && !request.headers.has('Transfer-Encoding')) {
    if (Number(length) > MAX_BODY) throw new Problem('payload_too_large')
    const bytes = new Uint8Array(await request.arrayBuffer())
    if (bytes.length > MAX_BODY) throw new Problem('payload_too_large')
    return bytes
  }
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > MAX_BODY) throw new Problem('payload_too_large')
    chunks.push(chunk)
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer())
}

/** Turns what a schema refuses into one problem that lists all of it. An id of no possible form is just not found. */
export const refuseInvalid: Hook<unknown, Env, string, Promise<undefined>> = async (result, c) => {
  if (result.success) return undefined
  if (result.target === 'param') return refuse(c, new Problem('not_found'))
  const place = result.target === 'header' ? 'header' : 'query'
  const others = result.target === 'json' ? [] : result.error.issues.flatMap((issue) => inputErrors(issue, place))
  return refuse(c, invalid([...others, ...(c.var.bodyErrors?.() ?? [])]))
}

/** The problem that lists all that is wrong with an input. */
export const invalid = (errors: InputError[]) => {
  const [first, ...more] = errors
  const detail = `${first?.pointer} ${first?.message}${more.length > 0 ? `, and ${more.length} more` : ''}`.trim()
  return new Problem('invalid_request', { detail, errors })
}

const inputErrors = (issue: z.core.$ZodIssue, place: InputError['in']): InputError[] =>
  issue.code === 'unrecognized_keys'
    ? unknown(issue.keys, place)
    : [{ in: place, pointer: pointer(issue.path), message: issue.message }]

const unknown = (names: string[], place: InputError['in']) =>
  names.map((name) => ({ in: place, pointer: pointer([name]), message: 'Is not known here' }))

const pointer = (path: PropertyKey[]) =>
  path.map((part) => `/${String(part).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
