import { OpenAPIHono, z } from '@hono/zod-openapi'
import { migrationStatus, RESTORING } from '../database/migration-status.ts'
import type { Env } from '../services.ts'
import { publicRoute } from './declare-route.ts'
import { retryLater } from './problem.ts'
import { jsonResponse } from './schemas.ts'

const Health = z.strictObject({ status: z.literal('ok') }).openapi('Health')

const Readiness = z
  .strictObject({
    status: z.literal('ok'),
    warnings: z
      .array(z.string())
      .max(10)
      .optional()
      .openapi({
        description: 'What an operator should mend although the service can answer requests.',
        example: ["The clock of this instance is 3,600 seconds ahead of the database's clock."],
      }),
  })
  .openapi('Readiness')

/** The endpoints that load balancers and orchestrators ask. */
export const healthRoutes = new OpenAPIHono<Env>()
  .openapi(
    publicRoute({
      method: 'get',
      path: '/healthz',
      operationId: 'isAlive',
      summary: 'Check that the process runs',
      description: 'For liveness probes. It does not use the database.',
      tags: ['Health'],
      responses: { 200: jsonResponse(Health, 'The process runs.') },
    }),
    (c) => c.json({ status: 'ok' as const }, 200),
  )
  .openapi(
    publicRoute({
      method: 'get',
      path: '/readyz',
      operationId: 'isReady',
      summary: 'Check that the service can answer requests',
      description:
        "For readiness probes. Returns 503 unless the database is reachable and migrated. Warns if the clock of this instance differs from the database's by more than a minute. Requests use the database's time in any case.",
      tags: ['Health'],
      responses: { 200: jsonResponse(Readiness, 'The database is reachable, migrated and not being restored.') },
    }),
    async (c) => {
      const status = await migrationStatus(c.env.db)
      if (status === 'unmigrated') throw retryLater('unavailable', 10, 'The database is not migrated.')
      if (status === 'restoring') throw retryLater('unavailable', 10, RESTORING)
      await c.env.clock.sync()
      const warning = c.env.clock.warning()
      return c.json({ status: 'ok' as const, ...(warning && { warnings: [warning] }) }, 200)
    },
  )
