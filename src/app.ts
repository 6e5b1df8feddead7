import { OpenAPIHono } from '@hono/zod-openapi'
import manifest from '../package.json' with { type: 'json' }
import { lifecycleRoutes } from './accounts/lifecycle-routes.ts'
import { passwordRoutes } from './accounts/password-routes.ts'
import { accountRoutes } from './accounts/routes.ts'
import { listRoutes } from './assignments/list-routes.ts'
import { peopleRoutes } from './assignments/people-routes.ts'
import { assignmentRoutes } from './assignments/routes.ts'
import { exportRoutes } from './events/export-routes.ts'
import { eventRoutes } from './events/routes.ts'
import { requireTime } from './http/clock.ts'
import { serveDocs } from './http/docs.ts'
import { handleError } from './http/errors.ts'
import { healthRoutes } from './http/health.ts'
import { info, tags } from './http/introduction.ts'
import { rejectOtherMethods } from './http/methods.ts'
import { Problem } from './http/problem.ts'
import { identify } from './http/request-id.ts'
import { logRequest } from './http/request-log.ts'
import { allowOrigins, setSecurityHeaders } from './http/security.ts'
import { timeout } from './http/timeout.ts'
import { rejectInvalid } from './http/validation.ts'
import { reportRoutes } from './reports/routes.ts'
import type { Env } from './services.ts'

const api = new OpenAPIHono<Env>({ strict: false, defaultHook: rejectInvalid })
api.use(identify, logRequest, setSecurityHeaders, allowOrigins, timeout)
// Not for the docs and /healthz, which answer without the database.
for (const path of ['/accounts/*', '/assignments/*']) api.use(path, requireTime)
api.onError(handleError)
api.notFound((c) => handleError(new Problem('not_found', { detail: 'There is nothing at this path.' }), c))

/** The whole API. Entry points pass it a request with its services; `typeof app` types a client. */
export const app = api
  .route('/accounts', accountRoutes)
  .route('/accounts', passwordRoutes)
  .route('/accounts', lifecycleRoutes)
  .route('/accounts', peopleRoutes)
  .route('/accounts', exportRoutes)
  // Mounted first, or `/assignments/{id}` would match `/events`.
  .route('/assignments', eventRoutes)
  .route('/assignments', assignmentRoutes)
  .route('/assignments', listRoutes)
  .route('/assignments', reportRoutes)
  .route('/', healthRoutes)

/** Writes the OpenAPI document for the URL of a server. */
export const writeOpenApi = serveDocs(app, { ...info, version: manifest.version }, tags)
rejectOtherMethods(app)
