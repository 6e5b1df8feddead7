import { OpenAPIHono, z } from '@hono/zod-openapi'
import { parseInstant } from '../assignments/instants.ts'
import { instantText, person } from '../assignments/schemas.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute, untyped } from '../http/declare-route.ts'
import { prefers } from '../http/negotiate.ts'
import { type InputError, invalidRequest } from '../http/problem.ts'
import { header, instant, integer } from '../http/schemas.ts'
import type { Env, RequestContext } from '../services.ts'
import { bucketEdges, bucketSizes } from './buckets.ts'
import { drawFlow, drawThroughput } from './charts.ts'
import { firstInstant, isTimezone } from './local-time.ts'
import { type FlowBucket, reportFlow, reportThroughput, type ThroughputBucket } from './reports.ts'
import { CHART_POLICY } from './svg.ts'

const MAX_BUCKETS = 1_000
const DEFAULT_DAYS = 30
const SVG = 'image/svg+xml'

const bucket = z.enum(bucketSizes).openapi('BucketSize', { example: 'day' })
const timezone = z.string().max(64).openapi({ example: 'Europe/Berlin', pattern: '^[A-Za-z][A-Za-z0-9_+/-]*$' })

const Query = z.strictObject({
  bucket: bucket.default('day').openapi({ default: 'day' }),
  from: instantText.optional().openapi({
    description:
      'The start of the range, inclusive: an RFC 3339 time with a zone, or a date, which means midnight in `timezone`. Default: 30 days before `to`.',
  }),
  to: instantText
    .optional()
    .openapi({ description: 'The end of the range, exclusive, in the same format. Default: now.' }),
  timezone: timezone
    .refine(isTimezone, 'Must be the IANA name of a time zone')
    .default('UTC')
    .openapi({ description: 'The IANA name of the time zone in which days, weeks and months start.' }),
  assignee: person,
  creator: person,
  format: z.enum(['json', 'svg']).optional().openapi({ description: 'Overrides `Accept`.', example: 'json' }),
})

const count = integer(0).openapi({ example: 4 })
const seconds = z.number().min(0).openapi({ example: 93_600 })
const durations = z
  .strictObject({ count, mean: seconds, p50: seconds, p90: seconds })
  .openapi('Durations', { example: { count: 4, mean: 93_600, p50: 86_400, p90: 172_800 } })
// Not `nullable()`, which would make the component itself nullable.
const durationsOrNull = z.union([durations, z.null()])

/** The schema of a report, with one schema for each field of its buckets. */
const reportOf = <Bucket>(
  name: string,
  fields: { [Field in Exclude<keyof Bucket, 'start'>]: z.ZodType<Bucket[Field]> },
) => {
  const results = z.array(z.strictObject({ start: instant, ...fields }).openapi(`${name}Bucket`)).max(MAX_BUCKETS)
  return z.strictObject({ bucket, from: instant, to: instant, timezone, results }).openapi(name)
}

const ThroughputSchema = reportOf<ThroughputBucket>('Throughput', {
  created: count,
  started: count,
  done: count,
  error: count,
  deleted: count,
  lead_time: durationsOrNull,
  cycle_time: durationsOrNull,
})

const FlowSchema = reportOf<FlowBucket>('Flow', { todo: count, 'in progress': count, done: count, error: count })

const reportResponse = <S extends z.ZodType>(schema: S, chart: string) => ({
  description: `The report as JSON, or as a chart: ${chart}.`,
  headers: { Vary: header('The format depends on `Accept`.', { example: 'Accept' }) },
  content: {
    'application/json': { schema },
    [SVG]: { schema: z.string().openapi({ description: 'The chart as SVG.', example: '<svg …' }) },
  },
})

const rules = `- \`results\` has an entry for every bucket of the range, even if nothing happened in it. A range can have up to 1,000 buckets.
- \`format=svg\` or \`Accept: image/svg+xml\` returns a chart.`

const tags = ['Reports']

export const reportRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/reports/throughput',
      operationId: 'reportThroughput',
      summary: 'Report events per hour, day, week or month',
      description: `Counts events of the assignments that you had created or were assigned to at the time of the event.

- \`created\` and \`deleted\` count assignments. \`started\`, \`done\` and \`error\` count how often an assignment entered the status \`in progress\`, \`done\` or \`error\`.
- \`lead_time\` is the time from creation to done, \`cycle_time\` the time from the first start to done, both in seconds. They are null if nothing was done. Percentiles are interpolated.
- If the range starts or ends within a bucket, only the events in the range count.
${rules}`,
      tags,
      request: { query: Query },
      responses: { 200: reportResponse(ThroughputSchema, 'bars for each bucket') },
    }),
    async (c) => {
      const { people, range, head, format } = readQuery(c, c.req.valid('query'))
      const results = await asCaller(c, (bearer) => reportThroughput(c.env.db, bearer, people, range))
      const report = { ...head, results }
      return isSvgWanted(c, format) ? svgResponse(c, drawThroughput(report)) : c.json(report, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/reports/flow',
      operationId: 'reportFlow',
      summary: 'Report the assignments in each status over time',
      description: `Counts the assignments in each status at the end of each bucket, of those that you had created or were assigned to at that time. The chart is a cumulative flow diagram.

- The last bucket is counted at its own end, even if that is after \`to\`.
${rules}`,
      tags,
      request: { query: Query },
      responses: { 200: reportResponse(FlowSchema, 'stacked areas, one for each status') },
    }),
    async (c) => {
      const { people, range, head, format } = readQuery(c, c.req.valid('query'))
      const results = await asCaller(c, (bearer) => reportFlow(c.env.db, bearer, people, range))
      const report = { ...head, results }
      return isSvgWanted(c, format) ? svgResponse(c, drawFlow(report)) : c.json(report, 200)
    },
  )

/** Fills in the defaults that depend on the time. Throws a 400 if the range cannot be reported. */
function readQuery(c: RequestContext, query: z.output<typeof Query>) {
  const { bucket, timezone, format, assignee, creator } = query
  const range = { from: query.from ?? '', to: query.to ?? c.env.now().toISOString() }
  const to = boundOf(range.to, timezone)
  range.from ||= new Date(Date.parse(to) - DEFAULT_DAYS * 86_400_000).toISOString()
  const invalid = (['from', 'to'] as const).filter((name) => !isReportable(range[name]))
  if (invalid.length > 0) throw invalidQuery(invalid, 'Must be in the years 1970 to 9998')
  const from = boundOf(range.from, timezone)
  if (from >= to) throw invalidQuery(['from'], 'Must be before `to`')
  const edges = bucketEdges(bucket, from, to, timezone, MAX_BUCKETS)
  if (!edges) throw invalidQuery(['bucket'], 'Must not make more than 1,000 buckets')
  return { people: { assignee, creator }, range: { from, to, edges }, head: { bucket, from, to, timezone }, format }
}

/** Returns the instant of a time in a query. A date means its first instant in the time zone. */
function boundOf(text: string, timezone: string): string {
  const isDate = text.length === 'YYYY-MM-DD'.length
  return isDate ? new Date(firstInstant(Date.parse(text), timezone)).toISOString() : toInstant(text)
}

/** Tells whether PostgreSQL and the runtime can represent all buckets around a time in a query. */
const isReportable = (text: string) => toInstant(text) >= '1970' && toInstant(text) < '9999'

const toInstant = (text: string) => parseInstant(text, 'up') as string

const invalidQuery = (names: string[], message: string) =>
  invalidRequest(names.map((name): InputError => ({ in: 'query', pointer: `/${name}`, message })))

function isSvgWanted(c: RequestContext, format: 'json' | 'svg' | undefined): boolean {
  const isPreferred = prefers(c, SVG)
  return format ? format === 'svg' : isPreferred
}

const svgResponse = (c: RequestContext, chart: string) =>
  untyped(c.body(chart, 200, { 'Content-Type': SVG, 'Content-Security-Policy': CHART_POLICY }))
