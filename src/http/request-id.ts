import type { MiddlewareHandler } from 'hono'
import type { Env } from '../services.ts'
import { setHeader } from './headers.ts'

/** Gives a request its id: the `X-Request-Id` that the client has sent, if it is safe to log, or a new one. */
export const identify: MiddlewareHandler<Env> = (c, next) => {
  const sent = c.req.header('X-Request-Id')
  const id = sent && sent.length <= 255 && /^[\w=-]+$/.test(sent) ? sent : crypto.randomUUID()
  c.set('requestId', id)
  setHeader(c, 'X-Request-Id', id)
  return next()
}
