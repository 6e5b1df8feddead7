import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { Problem } from './problem.ts'

/** Answers 405 to the other methods of every path registered so far. Hono would answer 404. */
export function rejectOtherMethods(app: OpenAPIHono<Env>) {
  const declared = Map.groupBy(
    app.routes.filter(({ method }) => method !== 'ALL'),
    ({ path }) => path,
  )
  for (const [path, routes] of declared) {
    const methods = new Set(routes.map(({ method }) => method))
    if (methods.has('GET')) methods.add('HEAD')
    app.all(path, methodNotAllowed([...methods].sort().join(', ')))
  }
}

/** Returns a handler that answers 405 with the methods that the path allows. */
export const methodNotAllowed = (allow: string) => () => {
  throw new Problem('method_not_allowed', { detail: `This path allows ${allow}.`, headers: { Allow: allow } })
}
