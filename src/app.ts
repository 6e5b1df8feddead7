import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { requestId } from 'hono/request-id'
import { routePath } from 'hono/route'
import { secureHeaders } from 'hono/secure-headers'
import manifest from '../package.json' with { type: 'json' }
import { passwords } from './accounts/password-routes.ts'
import { accounts } from './accounts/routes.ts'
import { lists } from './assignments/list-routes.ts'
import { assignments } from './assignments/routes.ts'
import { isMigrated } from './database/migration-status.ts'
import { events } from './events/routes.ts'
import { serveDocument } from './http/docs.ts'
import { answerProblem, Problem, retryLater, takesOnly } from './http/problem.ts'
import { json, publicRoute, refuseInvalid } from './http/routes.ts'
import { answerInTime } from './http/timeout.ts'
import { reports } from './reports/routes.ts'
import type { Env } from './services.ts'

const logRequest: MiddlewareHandler<Env> = async (c, next) => {
  const start = performance.now()
  await next()
  const ms = Math.round((performance.now() - start) * 100) / 100
  const answer = { method: c.req.method, route: routePath(c), status: c.res.status, ms }
  c.env.log.info({ request_id: c.var.requestId, ...answer })
  c.env.observe?.(answer)
}

const noStore: MiddlewareHandler<Env> = (c, next) => {
  c.header('Cache-Control', 'no-store')
  return next()
}

const secure = secureHeaders({
  contentSecurityPolicy: { defaultSrc: ["'none'"], baseUri: ["'none'"], frameAncestors: ["'none'"] },
  strictTransportSecurity: 'max-age=31536000; includeSubDomains',
  overwrite: false,
  // Of no use to an API, or said by the policy above already.
  ...{ crossOriginOpenerPolicy: false, originAgentCluster: false, xDnsPrefetchControl: false, xDownloadOptions: false },
  ...{ xFrameOptions: false, xPermittedCrossDomainPolicies: false, xXssProtection: false },
})

const crossOrigin = cors({
  origin: (origin, c) => (c.env.settings.CORS_ORIGINS.includes(origin) ? origin : null),
  allowHeaders: ['Authorization', 'Content-Type', 'If-Match', 'If-None-Match', 'Last-Event-ID', 'X-Request-Id'],
  exposeHeaders: ['ETag', 'Link', 'Location', 'Retry-After', 'X-Request-Id'],
  maxAge: 600,
})

const allowOrigins: MiddlewareHandler<Env> = (c, next) =>
  c.env.settings.CORS_ORIGINS.length > 0 ? crossOrigin(c, next) : next()

const State = z.strictObject({ status: z.literal('ok') })

const probes = new OpenAPIHono<Env>()
  .openapi(
    publicRoute({
      method: 'get',
      path: '/healthz',
      operationId: 'isAlive',
      summary: 'Whether the process lives',
      tags: ['Probes'],
      responses: { 200: json(State, 'It does.') },
    }),
    (c) => c.json({ status: 'ok' as const }, 200),
  )
  .openapi(
    publicRoute({
      method: 'get',
      path: '/readyz',
      operationId: 'isReady',
      summary: 'Whether the database answers and is migrated',
      tags: ['Probes'],
      responses: { 200: json(State, 'It does, and it is.') },
    }),
    async (c) => {
      if (!(await isMigrated(c.env.db))) throw retryLater('unavailable', 10, 'The database is not migrated.')
      return c.json({ status: 'ok' as const }, 200)
    },
  )

const api = new OpenAPIHono<Env>({ strict: false, defaultHook: refuseInvalid })
api.use(requestId(), logRequest, noStore, secure, allowOrigins, answerInTime)
api.notFound((c) => answerProblem(new Problem('not_found', { detail: 'There is nothing at this path.' }), c))
api.onError(answerProblem)

/** The whole API. Entry points give it a request and its services; `typeof app` types a client. */
export const app = api
  .route('/accounts', accounts)
  .route('/accounts', passwords)
  // Before the others: `/events` would be an id to them.
  .route('/assignments', events)
  .route('/assignments', assignments)
  .route('/assignments', lists)
  .route('/assignments', reports)
  .route('/', probes)

serveDocument(app, { version: manifest.version, description: manifest.description })
refuseOtherMethods()

/** Answers 405 where a path is known and its method is not; without this it would be a 404. */
function refuseOtherMethods() {
  const declared = Map.groupBy(
    app.routes.filter(({ method }) => method !== 'ALL'),
    ({ path }) => path,
  )
  for (const [path, routes] of declared) {
    const methods = new Set(routes.map(({ method }) => method))
    if (methods.has('GET')) methods.add('HEAD')
    const allow = [...methods].sort().join(', ')
    app.all(path, takesOnly(allow))
  }
}
