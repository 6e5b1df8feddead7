import { type Accept, parseAccept } from 'hono/utils/accept'
import type { RequestContext } from '../services.ts'

/**
 * Tells whether `Accept` gives a media type a higher quality than JSON (RFC 9110, 12.5.1), and marks the response with `Vary`.
 */
export function prefers(c: RequestContext, type: string): boolean {
  c.header('Vary', 'Accept', { append: true })
  const accepted = parseAccept(c.req.header('Accept') ?? '')
  return qualityOf(type, accepted) > qualityOf('application/json', accepted)
}

/** Returns the quality of the most specific range that matches a media type without parameters; 0 if none does. */
function qualityOf(type: string, accepted: Accept[]): number {
  const ranges = [type, type.replace(/\/.*/, '/*'), '*/*']
  const isPlain = ({ params }: Accept) => Object.keys(params).every((name) => name.toLowerCase() === 'q')
  for (const range of ranges) {
    const matching = accepted.filter((item) => item.type.toLowerCase() === range)
    const best = matching.find(isPlain) ?? matching[0]
    if (best) return best.q
  }
  return 0
}
