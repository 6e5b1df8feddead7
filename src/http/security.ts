import type { MiddlewareHandler } from 'hono'
import type { Env } from '../services.ts'
import { normalizeOrigin } from '../settings.ts'
import { setHeader } from './headers.ts'
import { isHttps } from './origin.ts'
import { type Problem, problemJson } from './problem.ts'

/** The headers of every response; a page or a picture replaces the policy by its own. */
const securityHeaders = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}

/** For HTTPS only: over HTTP it must not be sent (RFC 6797, 7.2). */
const transportSecurity = 'max-age=31536000; includeSubDomains'

/** Sets the security headers before the handler runs, which is cheaper than changing a finished response. */
export const setSecurityHeaders: MiddlewareHandler<Env> = (c, next) => {
  for (const [name, value] of Object.entries(securityHeaders)) setHeader(c, name, value)
  if (isHttps(c)) setHeader(c, 'Strict-Transport-Security', transportSecurity)
  return next()
}

/**
 * Names the allowed origin, and answers its preflights (Fetch, 3.2). Does nothing unless CORS_ORIGINS is set. Every requested
 * header is allowed, since tracing libraries add headers of their own, and no cookie could be misused.
 */
export const allowOrigins: MiddlewareHandler<Env> = (c, next) => {
  const { CORS_ORIGINS } = c.env.settings
  if (CORS_ORIGINS.length === 0) return next()
  c.header('Vary', 'Origin', { append: true })
  const origin = c.req.header('Origin') ?? ''
  const isPreflight = c.req.method === 'OPTIONS' && c.req.header('Access-Control-Request-Method') !== undefined
  const isAllowed = CORS_ORIGINS.includes(origin) || CORS_ORIGINS.includes(appOrigin(origin) ?? '')
  if (isAllowed) {
    // As the browser wrote it: it compares the bytes.
    c.header('Access-Control-Allow-Origin', origin)
    c.header('Access-Control-Expose-Headers', 'Content-Disposition,ETag,Link,Location,Retry-After,X-Request-Id')
  }
  if (!isPreflight) return next()
  c.header('Vary', 'Access-Control-Request-Headers', { append: true })
  if (isAllowed) {
    c.header('Access-Control-Allow-Methods', 'GET,HEAD,POST,PUT,PATCH,DELETE')
    c.header(
      'Access-Control-Allow-Headers',
      c.req.header('Access-Control-Request-Headers') ?? 'Authorization,Content-Type',
    )
    c.header('Access-Control-Max-Age', '600')
  }
  return Promise.resolve(c.body(null, 204))
}

/** Browsers write web origins in one way. Those of apps may have upper case, such as the UUIDs of Safari's extensions. */
const appOrigin = (origin: string) => (/^https?:/i.test(origin) ? undefined : normalizeOrigin(origin))

/** Returns a problem as a complete response, for entry points that cannot reach the app. */
export function problemResponse(problem: Problem, { isHttps }: { isHttps: boolean }): Response {
  const id = crypto.randomUUID()
  const headers = {
    ...securityHeaders,
    ...(isHttps && { 'Strict-Transport-Security': transportSecurity }),
    'Content-Type': 'application/problem+json',
    'X-Request-Id': id,
  }
  return new Response(problemJson(problem, id), { status: problem.status, headers })
}
