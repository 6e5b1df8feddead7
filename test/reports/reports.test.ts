import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assignment_events, statuses } from '../../src/database/schema.ts'
import { fewerOnWorkers, type Json, openDocket } from '../support/fixtures.ts'

const { call, createUser, db, clock } = await openDocket()

// Five weeks of work of three people, over the change to standard time in Europe, America and (by half an hour) Lord Howe.
clock.now = Date.parse('2026-10-01T00:00:00.000Z')
const people = [await createUser(), await createUser(), await createUser()]
const [ada, bob] = people as [(typeof people)[0], (typeof people)[0]]
const eve = await createUser()

const HOUR = 3_600_000
const iso = (time: number) => new Date(time).toISOString()

/** What lists answered at moments between the changes. */
const seen: { at: string; who: typeof ada; query: Record<string, string>; body: Json }[] = []

const queries: Record<string, string>[] = [
  {},
  { ordering: 'name', status: 'todo,in progress' },
  { ordering: '-status,updated_at', search: 'word1' },
  { assignee: 'me', count: 'true' },
  { creator: bob.id, ordering: '-name' },
  { created_after: '2026-10-10', ordering: 'updated_at' },
]

const steps = fc.sample(
  fc.record({
    verb: fc.constantFrom('create', 'create', 'patch', 'patch', 'patch', 'patch', 'delete'),
    who: fc.nat(2),
    target: fc.nat(10_000),
    status: fc.constantFrom(...statuses),
    assignee: fc.option(fc.nat(2), { freq: 3 }),
    word: fc.nat(3),
    pause: fc.integer({ min: 1, max: 4 * HOUR }),
    look: fc.nat(5),
  }),
  { numRuns: 320, seed: 4 },
)
const made: string[] = []
for (const { verb, who, target, status, assignee, word, pause, look } of steps) {
  clock.now += pause
  const { token } = people[who] as typeof ada
  const body = { status, ...(assignee !== null && { assignee: people[assignee]?.id }), name: `Task word${word}` }
  const path = `/assignments/${made[target % made.length]}/`
  if (verb === 'create' || made.length === 0) {
    made.push((await call('POST', '/assignments/', { token, body })).body.id)
  } else if (verb === 'patch') {
    // An assignee may do no more than the latter.
    const { status: answered } = await call('PATCH', path, { token, body })
    if (answered === 403) await call('PATCH', path, { token, body: { status } })
  } else if (target % 3 === 0) await call('DELETE', path, { token })
  if (look === 0) {
    const reader = people[target % 3] as typeof ada
    const query = queries[target % queries.length] as Record<string, string>
    const { body } = await call('GET', `/assignments/?${new URLSearchParams({ ...query, limit: '100' })}`, {
      token: reader.token,
    })
    seen.push({ at: iso(clock.now), who: reader, query, body })
  }
}
clock.now += HOUR
const end = clock.now

const log = (await db.select().from(assignment_events)).sort((a, b) => (a.at < b.at ? -1 : 1))
type Logged = (typeof log)[number]

const formats = new Map<string, Intl.DateTimeFormat>()

/** The local date and time of day of an instant, by nothing but Intl. */
function localTime(time: number, timeZone: string) {
  const options = { hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit' } as const
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-CA', { ...options, minute: '2-digit', second: '2-digit', timeZone })
  formats.set(timeZone, format)
  const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]))
  return {
    date: `${parts.year}-${parts.month}-${parts.day}`,
    minutes: Number(parts.minute),
    seconds: Number(parts.second),
  }
}

/** The name of the bucket that an instant is in: the same for all instants of one bucket. */
function nameOf(bucket: string, time: number, zone: string, from: number): string {
  const { date } = localTime(time, zone)
  if (bucket === 'month') return date.slice(0, 7)
  if (bucket === 'week') {
    const day = new Date(`${date}T00:00:00Z`)
    return iso(day.getTime() - ((day.getUTCDay() + 6) % 7) * 24 * HOUR)
  }
  if (bucket === 'day') return date
  const { minutes, seconds } = localTime(from, zone)
  return String(Math.floor((time - (from - (minutes * 60 + seconds) * 1000 - (from % 1000))) / HOUR))
}

/** The buckets of a range with their instants, found by walking through it. */
function bucketsOf(bucket: string, from: number, to: number, zone: string) {
  const name = (time: number) => nameOf(bucket, time, zone, from)
  const found: { name: string; start: number; end: number }[] = []
  let start = from - (from % (HOUR / 4))
  while (name(start - HOUR / 4) === name(from)) start -= HOUR / 4
  for (let time = start; ; time += HOUR / 4) {
    const last = found.at(-1)
    if (last?.name === name(time)) continue
    if (last) last.end = time
    if (last && time >= to) return found
    found.push({ name: name(time), start: time, end: 0 })
  }
}

const quantile = (values: number[], share: number) => {
  const place = (values.length - 1) * share
  const [low, high] = [values[Math.floor(place)] as number, values[Math.ceil(place)] as number]
  return low + (high - low) * (place - Math.floor(place))
}

function timesOf(values: number[]) {
  if (values.length === 0) return null
  const sorted = values.sort((a, b) => a - b)
  const close = (value: number) => expect.closeTo(value, 3)
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length
  return {
    count: sorted.length,
    mean: close(mean),
    p50: close(quantile(sorted, 0.5)),
    p90: close(quantile(sorted, 0.9)),
  }
}

type Asked = { bucket: string; from: number; to: number; timezone: string; assignee?: string; creator?: string }

/** Reports as they must be, computed plainly from the whole log. */
function reference(who: string, { bucket, from, to, timezone, assignee, creator }: Asked) {
  const me = (person: string) => (person === 'me' ? who : person)
  const isShown = (event: Pick<Logged, 'assignee' | 'creator'>) =>
    [event.creator, event.assignee].includes(who) &&
    (!assignee || event.assignee === me(assignee)) &&
    (!creator || event.creator === me(creator))
  const buckets = bucketsOf(bucket, from, to, timezone)
  const told = log.map((event) => {
    const own = log.filter((other) => other.assignment === event.assignment && other.at <= event.at)
    const before = own.at(-2)
    const since = (start: Logged | undefined) => start && (Date.parse(event.at) - Date.parse(start.at)) / 1000
    const entered = event.kind !== 'deleted' && before?.status !== event.status ? event.status : undefined
    return { event, entered, lead: since(own[0]), cycle: since(own.find(({ status }) => status === 'in progress')) }
  })
  const throughput = buckets.map(({ start, end }) => {
    const within = told.filter(({ event }) => {
      const at = Date.parse(event.at)
      return isShown(event) && at >= Math.max(start, from) && at < Math.min(end, to)
    })
    const done = within.filter(({ entered }) => entered === 'done')
    return {
      start: iso(start),
      created: within.filter(({ event }) => event.kind === 'created').length,
      started: within.filter(({ entered }) => entered === 'in progress').length,
      done: done.length,
      error: within.filter(({ entered }) => entered === 'error').length,
      deleted: within.filter(({ event }) => event.kind === 'deleted').length,
      lead_time: timesOf(done.flatMap(({ lead }) => lead ?? [])),
      cycle_time: timesOf(done.flatMap(({ cycle }) => cycle ?? [])),
    }
  })
  const flow = buckets.map(({ start, end }) => {
    const last = new Map(log.filter(({ at }) => Date.parse(at) < end).map((event) => [event.assignment, event]))
    const standing = [...last.values()].filter((event) => event.kind !== 'deleted' && isShown(event))
    const counts = statuses.map((status) => [status, standing.filter((event) => event.status === status).length])
    return { start: iso(start), ...Object.fromEntries(counts) }
  })
  return { throughput, flow }
}

const report = (name: string, query: Record<string, string | undefined>, who = ada) => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string][]
  return call('GET', `/assignments/reports/${name}/?${new URLSearchParams(given)}`, { token: who.token })
}

test('reports are as a plain computation over the log says, for any bucket, zone, range and people', async () => {
  const start = Date.parse('2026-09-28T00:00:00Z')
  const instant = fc.oneof(
    fc.integer({ min: start, max: end }),
    fc.integer({ min: start / HOUR, max: Math.floor(end / HOUR) }).map((hours) => hours * HOUR),
  )
  const person = fc.constantFrom(undefined, undefined, undefined, 'me', ada.id, bob.id)
  const asked = fc.record({
    bucket: fc.constantFrom('hour', 'day', 'day', 'week', 'month'),
    range: fc.tuple(instant, instant).filter(([one, other]) => one !== other),
    timezone: fc.constantFrom(
      ...['UTC', 'Europe/Berlin', 'America/New_York', 'America/St_Johns', 'Asia/Kolkata', 'Asia/Kathmandu'],
      ...['Australia/Lord_Howe', 'Pacific/Chatham', 'Pacific/Kiritimati'],
    ),
    assignee: person,
    creator: person,
  })
  await fc.assert(
    fc.asyncProperty(asked, fc.constantFrom(...people), async ({ range, ...rest }, who) => {
      const [from, to] = range.sort((a, b) => a - b) as [number, number]
      const query = { ...rest, from: iso(from), to: iso(to) }
      const expected = reference(who.id, { ...rest, from, to } as Asked)
      const head = { bucket: rest.bucket, timezone: rest.timezone, from: iso(from), to: iso(to) }
      if (expected.flow.length > 1_000) return expect(await report('flow', query, who)).toMatchObject({ status: 400 })
      expect((await report('throughput', query, who)).body).toEqual({ ...head, results: expected.throughput })
      expect((await report('flow', query, who)).body).toEqual({ ...head, results: expected.flow })
    }),
    { numRuns: Number(process.env.RUNS ?? fewerOnWorkers(60)), seed: 3 },
  )
}, 60_000)

test('without anything given are by day, in UTC, of the last thirty days', async () => {
  const { body } = await report('flow', {})
  const from = iso(end - 30 * 24 * HOUR)
  expect(body).toMatchObject({ bucket: 'day', timezone: 'UTC', from, to: iso(end) })
  expect(body.results).toHaveLength(31)
  expect(body.results[0].start).toBe(`${from.slice(0, 10)}T00:00:00.000Z`)
  const totals = body.results.map(({ start, ...counts }: Json) => Object.values<number>(counts).reduce((a, b) => a + b))
  expect(Math.max(...totals)).toBeGreaterThan(10)
})

test('show nothing to whom nothing is', async () => {
  const { body } = await report('throughput', { assignee: ada.id }, eve)
  expect(new Set(body.results.map(({ created, done }: Json) => created + done))).toEqual(new Set([0]))
  expect(await call('GET', '/assignments/reports/flow/')).toMatchObject({ status: 401 })
})

test.each([
  ['bucket=year', '/bucket'],
  ['timezone=Mars/Olympus', '/timezone'],
  ['timezone=%2B05:30', '/timezone'],
  ['timezone=', '/timezone'],
  ['from=yesterday', '/from'],
  ['from=2026-10-02&to=2026-10-01', '/from'],
  ['from=2026-10-02&to=2026-10-02', '/from'],
  ['from=2026-10-02&from=2026-10-03', '/from'],
  ['bucket=hour&from=2026-01-01&to=2026-02-12', '/bucket'],
  ['from=1980-01-01&to=9998-12-31&bucket=month', '/bucket'],
  ['assignee=bob', '/assignee'],
  ['format=png', '/format'],
  ['status=done', '/status'],
])('%s is refused at its place', async (query, pointer) => {
  const { status, body } = await call('GET', `/assignments/reports/throughput/?${query}`, { token: ada.token })
  expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
  expect(body.errors).toMatchObject([{ in: 'query', pointer }])
})

test.each([
  ['to=0001-01-15', ['/from', '/to']],
  ['from=9999-12-31&to=9999-12-31T12:00:00Z', ['/from', '/to']],
  ['from=0050-03-01&to=0050-03-03&format=svg', ['/from', '/to']],
  ['from=1969-12-31&to=1970-01-02', ['/from']],
])('%s is of years that cannot be reported', async (query, pointers) => {
  const { status, body } = await call('GET', `/assignments/reports/flow/?${query}`, { token: ada.token })
  expect({ status, pointers: body.errors.map(({ pointer }: Json) => pointer) }).toEqual({ status: 400, pointers })
})

test.each(['1970-01-01', '9998-12-31'])('the first and the last year can be: %s', async (from) => {
  for (const [bucket, timezone] of [
    ['month', 'Pacific/Kiritimati'],
    ['week', 'America/New_York'],
  ] as const) {
    const to = from.replace('01-01', '01-02').replace('12-31', '12-31T12:00:00z')
    const answer = await report('throughput', { bucket, timezone, from, to })
    expect(answer.body.results.length).toBeGreaterThan(0)
  }
})

test('times are told in the order in which the contract has them', async () => {
  const { text } = await report('throughput', {})
  expect(text).toMatch(/"lead_time":\{"count":\d+,"mean":[\d.e+]+,"p50":[\d.e+]+,"p90":[\d.e+]+\}/)
})

test('a thousand buckets are not too many', async () => {
  const { body } = await report('flow', {
    bucket: 'hour',
    from: '2026-01-01',
    to: iso(Date.parse('2026-01-01') + 1000 * HOUR),
  })
  expect(body.results).toHaveLength(1000)
})

describe('as a picture', () => {
  test.each([
    ['', 'application/json', 'application/json'],
    ['', '*/*', 'application/json'],
    ['', 'image/svg+xml', 'image/svg+xml'],
    ['', 'image/avif,image/svg+xml,*/*;q=0.8', 'image/svg+xml'],
    ['', 'application/json, image/svg+xml;q=0.5', 'application/json'],
    ['?format=svg', 'application/json', 'image/svg+xml'],
    ['?format=json', 'image/svg+xml', 'application/json'],
  ])('%s with Accept: %s is %s', async (query, accept, type) => {
    for (const name of ['throughput', 'flow']) {
      const path = `/assignments/reports/${name}/${query}`
      const answer = await call('GET', path, { token: ada.token, headers: { Accept: accept } })
      expect(answer.headers.get('Content-Type')).toMatch(type)
      expect(answer.headers.get('Vary')).toContain('Accept')
      if (type === 'application/json') continue
      expect(answer.text).toMatch(/^<svg /)
      expect(answer.headers.get('Content-Security-Policy')).toMatch(/style-src 'sha256-/)
    }
  })
})

describe('any moment of the past', () => {
  const list = (query: Record<string, string>, { token } = ada) =>
    call('GET', `/assignments/?${new URLSearchParams(query)}`, { token })

  test('is listed as the API answered it then', async () => {
    expect(seen.length).toBeGreaterThan(40)
    for (const { at, who, query, body } of seen) {
      const then = (await list({ ...query, limit: '100', as_of: at }, who)).body
      expect({ at, query, results: then.results, count: then.count }).toEqual({
        ...{ at, query, results: body.results, count: body.count },
      })
    }
  })

  test('comes in pages, and its cursor is of that moment alone', async () => {
    const { at } = seen.at(-1) as (typeof seen)[0]
    const whole = (await list({ as_of: at, limit: '100', ordering: 'name' })).body.results
    const walked: Json[] = []
    let page = (await list({ as_of: at, limit: '3', ordering: 'name' })).body
    const second = page.next
    for (;;) {
      walked.push(...page.results)
      if (!page.next) break
      page = (await call('GET', page.next, { token: ada.token })).body
    }
    expect(walked).toEqual(whole)
    expect((await call('GET', (await call('GET', second, ada)).body.previous, ada)).body.results).toEqual(
      whole.slice(0, 3),
    )
    const moved = second.replace(/as_of=[^&]+/, `as_of=${iso(Date.parse(at) - 1)}`)
    expect(await call('GET', moved, ada)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
  })

  test('shows one assignment in each of its versions, to who could see it then', async () => {
    for (const event of log.slice(0, fewerOnWorkers(120))) {
      for (const at of [event.at, iso(Date.parse(event.at) + 1)]) {
        for (const who of [...people, eve]) {
          const last = log.filter((other) => other.assignment === event.assignment && other.at <= at).at(-1)
          const isSeen = last?.kind !== 'deleted' && [last?.creator, last?.assignee].includes(who.id)
          const answer = await call('GET', `/assignments/${event.assignment}/?as_of=${at}`, { token: who.token })
          expect(answer.status).toBe(isSeen ? 200 : 404)
          if (isSeen)
            expect(answer.body).toMatchObject({ version: last?.version, status: last?.status, updated_at: last?.at })
          if (isSeen) expect(answer.headers.get('ETag')).toBe(`"${last?.version}"`)
        }
      }
    }
  })

  test('is not a part of a millisecond later than asked for', async () => {
    const { at, assignment, version, actor } = log.find(({ version }) => version > 1) as Logged
    const who = people.find(({ id }) => id === actor)
    const before = iso(Date.parse(at) - 1).replace('Z', '9z')
    const { body } = await call('GET', `/assignments/${assignment}/?as_of=${before}`, { token: who?.token as string })
    expect(body.version).toBe(version - 1)
  })

  test('before the log is empty, and in the future is refused', async () => {
    expect((await list({ as_of: '2020-01-01', count: 'true' })).body).toMatchObject({
      results: [],
      count: 0,
      next: null,
    })
    const first = log[0] as Logged
    const before = iso(Date.parse(first.at) - 1)
    expect(await call('GET', `/assignments/${first.assignment}/?as_of=${before}`, ada)).toMatchObject({ status: 404 })
    for (const path of ['/assignments/', `/assignments/${first.assignment}/`]) {
      const future = `${path}?as_of=${iso(clock.now + 1)}`
      expect(await call('GET', future, ada)).toMatchObject({
        status: 400,
        body: { code: 'invalid_request', errors: [{ in: 'query', pointer: '/as_of' }] },
      })
      expect(await call('GET', future)).toMatchObject({ status: 401 })
      expect(await call('GET', `${path}?as_of=${iso(clock.now)}`, { token: 'dkt_x' })).toMatchObject({ status: 401 })
    }
  })
})
