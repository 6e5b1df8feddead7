import { createRoute, type RouteConfig, type z } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import type { Env, RequestContext } from '../services.ts'
import { requireToken } from './auth.ts'
import { readBody } from './body.ts'
import { exampleOfProblem, invalidRequest, Problem, type ProblemCode, problems } from './problem.ts'
import { header, ProblemSchema } from './schemas.ts'
import { toInputErrors, unknownFields } from './validation.ts'

type Route = Omit<RouteConfig, 'path' | 'middleware'> & {
  path: string
  /** The problems of this route, beside those that every route can answer. */
  problems?: ProblemCode[]
}

type ProblemResponse = {
  description: string
  content: { 'application/problem+json': { schema: typeof ProblemSchema } }
}

type JsonOf<Declared> = Declared extends { content: { 'application/json': infer Media } }
  ? { description: string; content: { 'application/json': Media } }
  : Declared

/** A route as clients of `typeof app` see it: its JSON, and problems. Streams and charts have no types there. */
type Typed<R extends Route> = Pick<R, 'method' | 'path'> &
  (R extends { request: infer Request } ? { request: Request } : unknown) & {
    responses: { [Status in keyof R['responses']]: JsonOf<R['responses'][Status]> } & {
      '4XX': ProblemResponse
      '5XX': ProblemResponse
    }
  }

/** Passes a stream or a chart off as the JSON that the route has instead, which is all that `Typed` knows. */
export const untyped = (response: Response) => response as never

/** Declares a route that needs no token. */
export const publicRoute = <const P extends string, R extends Route & { path: P }>(route: R) =>
  createRoute<P, Typed<R> & { middleware: [MiddlewareHandler<Env>] }>({
    ...complete(route, []),
    security: [],
    middleware: [readInput(route)],
  })

/**
 * Declares a route that needs a live token. The statement of its handler checks the token, by `asCaller`, which saves the
 * round trip of a separate check. A bad token is answered with 401, whatever else is wrong with the request.
 */
export const protectedRoute = <const P extends string, R extends Route & { path: P }>(route: R) =>
  createRoute<P, Typed<R> & { middleware: [MiddlewareHandler<Env>, MiddlewareHandler<Env>] }>({
    ...complete(route, ['unauthenticated']),
    security: [{ bearer: [] }],
    middleware: [requireToken, readInput(route)],
  })

/** Adds what all routes have in common: the request id, and the problems that any route can answer. */
function complete<R extends Route>({ problems: own = [], ...route }: R, common: ProblemCode[]): Typed<R> {
  const codes: ProblemCode[] = [
    ...common,
    'malformed_request',
    'invalid_request',
    ...own,
    ...(route.request?.params ? (['not_found'] as const) : []),
    ...(route.method === 'get' ? [] : (['payload_too_large', 'unsupported_media_type'] as const)),
    'too_many_requests',
    'internal_error',
    'unavailable',
  ]
  const successes = Object.entries(route.responses).map(([status, response]) => [
    status,
    { ...response, headers: { ...(response as { headers?: object }).headers, ...requestIdHeader } },
  ])
  return {
    ...route,
    responses: { ...Object.fromEntries(successes), ...problemResponses(codes) },
  } as unknown as Typed<R>
}

function problemResponses(codes: ProblemCode[]) {
  const byStatus = Map.groupBy(new Set(codes), (code) => problems[code][0])
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${problems[code][1]}.`).join('\n\n'),
        headers: problemHeaders(status),
        content: {
          'application/problem+json': {
            schema: ProblemSchema,
            examples: Object.fromEntries(
              codes.map((code) => [code, { value: exampleOfProblem(exampleProblem(code)) }]),
            ),
          },
        },
      },
    ]),
  )
}

function exampleProblem(code: ProblemCode): Problem {
  if (code === 'invalid_request') return invalidRequest([{ in: 'body', pointer: '/name', message: 'Required' }])
  if (code !== 'weak_password') return new Problem(code)
  const message = 'The password is among the most common ones.'
  return new Problem(code, { errors: [{ in: 'body', pointer: '/password', message }] })
}

const requestIdHeader = { 'X-Request-Id': header('The id of the request in the log.') }

const problemHeaders = (status: number) => ({
  ...requestIdHeader,
  ...(status === 401 && { 'WWW-Authenticate': header('`Bearer`, with `error="invalid_token"` if a token was sent.') }),
  ...(status === 415 && {
    Accept: header('The media types that are accepted.', { required: false }),
    'Accept-Patch': header('The same, for PATCH.', { required: false }),
    'Accept-Encoding': header('`identity`, if the body was compressed.', { required: false }),
  }),
  ...((status === 429 || status === 503) && { 'Retry-After': header('Seconds to wait.') }),
})

/** Reads what the schemas cannot see: the escapes of the query, and the encoding, type and size of the body. */
const readInput =
  ({ request }: Route): MiddlewareHandler<Env> =>
  async (c, next) => {
    checkQuery(c.req.url)
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD') await readJson(c, request)
    if (!request?.query) rejectParameters(c)
    await next()
  }

/** For routes without parameters. A schema without any would cost as much as one with some. */
function rejectParameters(c: Context<Env>) {
  const names = Object.keys(c.req.queries())
  if (names.length > 0) throw invalidRequest([...unknownFields(names, 'query'), ...(c.get('bodyErrors')?.() ?? [])])
}

async function readJson(c: Context<Env>, request: Route['request']) {
  const body = await readBody(c, Object.keys(request?.body?.content ?? {}))
  c.req.json = async () => body as never
  if (body) hideContentType(c)
  // Zod checks the query first. An invalid query must not hide what is wrong with the body.
  c.set('bodyErrors', () => {
    const error = bodySchema(request)?.safeParse(body).error
    return error ? toInputErrors(error, 'body') : []
  })
}

/** Shows zod-openapi a plain `Content-Type`. It reads the header again, and its pattern is narrower than RFC 9110. */
function hideContentType({ req }: RequestContext) {
  const type = req.header('Content-Type')
  if (type === 'application/json') return
  const header = req.header.bind(req) as (name?: string) => unknown
  const replaced = (name?: string) => (name?.toLowerCase() === 'content-type' ? 'application/json' : header(name))
  req.header = replaced as typeof req.header
}

function bodySchema(request: Route['request']): z.ZodType | undefined {
  const content = request?.body?.content['application/json']
  return content && 'schema' in content ? (content.schema as z.ZodType) : undefined
}

function checkQuery(url: string) {
  const start = url.indexOf('?')
  if (start === -1) return
  const query = url.slice(start)
  if (/[?&]=/.test(query) || !isDecodable(query)) {
    throw new Problem('malformed_request', {
      detail: 'The query has a broken % escape, a value without a name, or is not UTF-8.',
    })
  }
}

function isDecodable(query: string) {
  try {
    decodeURIComponent(query)
    return true
  } catch {
    return false
  }
}
