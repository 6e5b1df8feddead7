import { expect } from 'vitest'
import type { z } from 'zod'
import { app } from '../../src/app.ts'
import { ProblemSchema } from '../../src/http/schemas.ts'

type Received = { status: number; type: string; body: unknown }

const routes = app.openAPIRegistry.definitions
  .filter((definition) => definition.type === 'route')
  .map(({ route }) => ({ ...route, pattern: new RegExp(`^${route.path.replace(/\{\w+\}/g, '[^/]+')}/?$`) }))

/**
 * Fails if a response has a status or media type that its route does not declare, or a body with other fields than the
 * route's schema. Errors outside of the routes must be problems.
 */
export function expectDeclared(method: string, path: string, { status, type, body }: Received) {
  const route = findRoute(method, path)
  if (!route) {
    if (status >= 400) expectProblem(method, path, { status, type, body })
    return
  }
  const declared = route.responses[status] as { content?: Record<string, { schema: z.ZodType }> } | undefined
  if (!declared) throw new Error(`${method} ${path} does not declare its status ${status}`)
  if (method === 'HEAD' || !declared.content) return
  const schema = declared.content[type]?.schema
  if (!schema) throw new Error(`${method} ${path} does not declare the type ${type} for ${status}`)
  expect(schema.safeParse(body).error?.issues ?? []).toEqual([])
}

function findRoute(method: string, path: string) {
  const matching = routes.filter(({ pattern }) => pattern.test(path.split('?')[0] ?? ''))
  // A path without parameters has precedence (OpenAPI 3.1, 4.8.8.2).
  const literal = matching.filter(({ path }) => !path.includes('{'))
  const declaredMethod = method === 'HEAD' ? 'get' : method.toLowerCase()
  return (literal.length > 0 ? literal : matching).find((route) => route.method === declaredMethod)
}

function expectProblem(method: string, path: string, { status, type, body }: Received) {
  if (method === 'HEAD') return
  const issues = ProblemSchema.safeParse(body).error?.issues ?? []
  expect({ method, path, type, issues, body }).toMatchObject({
    type: 'application/problem+json',
    issues: [],
    body: { status },
  })
}
