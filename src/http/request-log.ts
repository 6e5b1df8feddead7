import type { MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import type { Env } from '../services.ts'

/** Logs each request by its route, never by its path or query, which hold data of users. */
export const logRequest: MiddlewareHandler<Env> = async (c, next) => {
  const start = performance.now()
  await next()
  const ms = Math.round((performance.now() - start) * 100) / 100
  const request = { method: c.req.method, route: routePath(c), status: c.res.status, ms }
  c.env.log.info({ request_id: c.get('requestId'), ...request })
  c.env.observe?.(request)
}
