import type { Context } from 'hono'
import { accepts } from 'hono/accepts'
import type { RequestContext } from '../services.ts'

/** Tells whether `Accept` asks for a media type rather than JSON (RFC 9110, 12.5.1), and marks the response with `Vary`. */
export function prefers(c: RequestContext, type: string): boolean {
  c.header('Vary', 'Accept', { append: true })
  const supports = ['application/json', type]
  return accepts(c as unknown as Context, { header: 'Accept', supports, default: 'application/json' }) === type
}
