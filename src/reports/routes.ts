import { OpenAPIHono, z } from '@hono/zod-openapi'
import { idOf, moment, person } from '../assignments/schemas.ts'
import { prefers } from '../http/negotiate.ts'
import { invalidRequest } from '../http/problem.ts'
import { protectedRoute } from '../http/routes.ts'
import { header, instant } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { bucketSizes, bucketsOf, isTimezone } from './buckets.ts'
import { CHART_POLICY, drawFlow, drawThroughput } from './charts.ts'
import { reportFlow, reportThroughput } from './reports.ts'

const MOST_BUCKETS = 1_000
const DEFAULT_DAYS = 30

const bucket = z.enum(bucketSizes).openapi({ example: 'day' })
const timezone = z.string().max(64).openapi({ example: 'Europe/Berlin' })

const Query = z.strictObject({
  bucket: bucket.default('day'),
  from: moment.openapi({
    description:
      'The first instant, inclusive, as a time with a zone or a date; 30 days before `to`, where it is not given.',
  }),
  to: moment.openapi({ description: 'The last instant, exclusive; now, where it is not given.' }),
  timezone: timezone
    .refine(isTimezone, 'Must be the IANA name of a time zone')
    .default('UTC')
    .openapi({ description: 'The IANA name of the time zone whose days, weeks and months are meant.' }),
  assignee: person,
  creator: person,
  format: z.enum(['json', 'svg']).optional().openapi({ description: 'Goes before `Accept`.', example: 'json' }),
})

const count = z.int().openapi({ example: 4 })
const seconds = z.number().openapi({ example: 93_600 })
const times = z
  .strictObject({ count, mean: seconds, p50: seconds, p90: seconds })
  .nullable()
  .openapi({ example: { count: 4, mean: 93_600, p50: 86_400, p90: 172_800 } })

const reportOf = <S extends z.ZodRawShape>(shape: S) =>
  z.strictObject({
    ...{ bucket, from: instant, to: instant, timezone },
    results: z.array(z.strictObject({ start: instant, ...shape })),
  })

const Throughput = reportOf({
  ...{ created: count, started: count, done: count, error: count, deleted: count },
  ...{ lead_time: times, cycle_time: times },
}).openapi('Throughput')

const Flow = reportOf({ todo: count, 'in progress': count, done: count, error: count }).openapi('Flow')

const answers = <S extends z.ZodType>(schema: S, description: string) => ({
  200: {
    description,
    headers: {
      Vary: header('The form goes by `Accept`.', { example: 'Accept' }),
    },
    content: {
      'application/json': { schema },
      'image/svg+xml': { schema: z.string().openapi({ description: 'The same as a picture.', example: '<svg …' }) },
    },
  },
})

const rules =
  'Reports are of the assignments that are yours at the time, as creator or assignee. Every bucket of the range is there, the first and the last one whole or in part. At most 1,000 buckets. What stood at the end of the last one is counted there, also where that is after `to`.'

const tags = ['Reports']

export const reportRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/reports/throughput',
      operationId: 'reportThroughput',
      summary: 'What was created, started, done, failed and deleted in each bucket, and how long it took',
      description: `${rules} An assignment counts as started, done or in error whenever it enters that status. Lead time runs from creation to done, cycle time from the first time in progress to done, in seconds; percentiles are interpolated.`,
      tags,
      request: { query: Query },
      responses: answers(Throughput, 'The report, as JSON or, by `Accept` or `format`, as bars.'),
    }),
    async (c) => {
      const { caller, people, range, head } = asked(c, c.req.valid('query'), c.var.session.account.id)
      const results = await reportThroughput(c.env.db, caller, people, range)
      return isPicture(c, c.req.valid('query').format)
        ? picture(c, drawThroughput({ ...head, results }))
        : c.json({ ...head, results }, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/reports/flow',
      operationId: 'reportFlow',
      summary: 'How many stood in each status at the end of each bucket: a cumulative flow diagram',
      description: rules,
      tags,
      request: { query: Query },
      responses: answers(Flow, 'The report, as JSON or, by `Accept` or `format`, as stacked areas.'),
    }),
    async (c) => {
      const { caller, people, range, head } = asked(c, c.req.valid('query'), c.var.session.account.id)
      const begun = Date.parse(c.var.session.account.created_at)
      const isRecent = Date.parse(range.from) > (begun + c.env.now().getTime()) / 2
      const results = await reportFlow(c.env.db, caller, people, range, isRecent)
      return isPicture(c, c.req.valid('query').format)
        ? picture(c, drawFlow({ ...head, results }))
        : c.json({ ...head, results }, 200)
    },
  )

/** What is asked for, with the defaults that depend on the time. Throws what is wrong with its range. */
function asked(c: RequestContext, query: z.output<typeof Query>, caller: string) {
  const { bucket, timezone } = query
  const to = query.to ?? c.env.now().toISOString()
  const from = query.from ?? new Date(Date.parse(to) - DEFAULT_DAYS * 86_400_000).toISOString()
  const strange = (['from', 'to'] as const).filter((name) => !isReportable({ from, to }[name]))
  if (strange.length > 0) {
    throw invalidRequest(
      strange.map((name) => ({ in: 'query', pointer: `/${name}`, message: 'Must be in the years 1970 to 9998' })),
    )
  }
  if (from >= to) throw invalidRequest([{ in: 'query', pointer: '/from', message: 'Must be before `to`' }])
  const edges = bucketsOf(bucket, from, to, timezone, MOST_BUCKETS)
  if (!edges)
    throw invalidRequest([{ in: 'query', pointer: '/bucket', message: 'Must not make more than 1,000 buckets' }])
  const people = { assignee: idOf(query.assignee, caller), creator: idOf(query.creator, caller) }
  return { caller, people, range: { from, to, edges }, head: { bucket, from, to, timezone } }
}

/** Whether buckets around an instant are sure to be of years that every part of the way can tell. */
const isReportable = (instant: string) => instant >= '1970' && instant < '9999'

function isPicture(c: RequestContext, format: 'json' | 'svg' | undefined): boolean {
  c.header('Vary', 'Accept', { append: true })
  if (format) return format === 'svg'
  return prefers(c, 'image/svg+xml')
}

function picture(c: RequestContext, svg: string) {
  return c.body(svg, 200, { 'Content-Type': 'image/svg+xml', 'Content-Security-Policy': CHART_POLICY })
}
