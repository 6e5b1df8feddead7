import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { Env } from '../services.ts'
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
  for (const [name, value] of Object.entries(securityHeaders)) c.header(name, value)
  if (isHttps(c)) c.header('Strict-Transport-Security', transportSecurity)
  return next()
}

/** Answers preflights and names the allowed origin. Does nothing unless CORS_ORIGINS is set. */
export const allowOrigins: MiddlewareHandler<Env> = (c, next) =>
  c.env.settings.CORS_ORIGINS.length > 0 ? crossOrigin(c, next) : next()

const crossOrigin = cors({
  origin: (origin, c) => (c.env.settings.CORS_ORIGINS.includes(origin) ? origin : null),
  allowHeaders: ['Authorization', 'Content-Type', 'If-Match', 'If-None-Match', 'Last-Event-ID', 'X-Request-Id'],
  exposeHeaders: ['ETag', 'Link', 'Location', 'Retry-After', 'X-Request-Id'],
  maxAge: 600,
})

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
