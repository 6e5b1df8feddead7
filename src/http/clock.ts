import type { MiddlewareHandler } from 'hono'
import type { Env } from '../services.ts'

/** Makes sure that the time is known before a request decides by it. */
export const requireTime: MiddlewareHandler<Env> = (c, next) => c.env.clock.ensureSynced().then(next)
