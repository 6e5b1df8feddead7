import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { computeReports, type LogEvent, type ReportQuery } from '../reference/reports.ts'
import { fewerOnWorkers, type Json, openDocket } from '../support/fixtures.ts'
import { type Snapshot, workForFiveWeeks } from '../support/weeks.ts'

const docket = await openDocket()
const { call, createUser, clock } = docket
const { people, log, snapshots, end } = await workForFiveWeeks(docket)
const [ada, bob] = people
const eve = await createUser()

const HOUR = 3_600_000
const iso = (time: number) => new Date(time).toISOString()

const report = (name: string, query: Record<string, string | undefined>, caller = ada) => {
  const defined = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return call('GET', `/assignments/reports/${name}/?${new URLSearchParams(defined)}`, { token: caller.token })
}

describe('reports', () => {
  test('match a plain computation for any bucket, zone, range and people', async () => {
    const start = Date.parse('2026-09-28T00:00:00Z')
    const fullHours = fc.integer({ min: start / HOUR, max: Math.floor(end / HOUR) }).map((hours) => hours * HOUR)
    const instant = fc.oneof(fc.integer({ min: start, max: end }), fullHours)
    const person = fc.constantFrom(undefined, undefined, undefined, 'me', ada.id, bob.id)
    const queries = fc.record({
      bucket: fc.constantFrom('hour', 'day', 'day', 'week', 'month'),
      range: fc.tuple(instant, instant).filter(([one, other]) => one !== other),
      timezone: fc.constantFrom(
        'UTC',
        'Europe/Berlin',
        'America/New_York',
        'America/St_Johns',
        'Asia/Kolkata',
        'Asia/Kathmandu',
        'Australia/Lord_Howe',
        'Pacific/Chatham',
        'Pacific/Kiritimati',
      ),
      assignee: person,
      creator: person,
    })
    const property = fc.asyncProperty(queries, fc.constantFrom(...people), async ({ range, ...rest }, caller) => {
      const [from, to] = range.toSorted((a, b) => a - b) as [number, number]
      const query = { ...rest, from: iso(from), to: iso(to) }
      const expected = computeReports(log, caller.id, { ...rest, from, to } as ReportQuery)
      const head = { bucket: rest.bucket, timezone: rest.timezone, from: iso(from), to: iso(to) }
      if (expected.flow.length > 1_000) {
        expect(await report('flow', query, caller)).toMatchObject({ status: 400 })
        return
      }
      const [throughput, flow] = [await report('throughput', query, caller), await report('flow', query, caller)]
      expect(throughput.body).toEqual({ ...head, results: expected.throughput })
      expect(flow.body).toEqual({ ...head, results: expected.flow })
    })
    await fc.assert(property, { numRuns: Number(process.env.RUNS ?? fewerOnWorkers(60)), seed: 3 })
  })

  test('cover the last 30 days in UTC by default', async () => {
    const { body } = await report('flow', {})
    const from = iso(end - 30 * 24 * HOUR)
    expect(body).toMatchObject({ bucket: 'day', timezone: 'UTC', from, to: iso(end) })
    expect(body.results).toHaveLength(31)
    expect(body.results[0].start).toBe(`${from.slice(0, 10)}T00:00:00.000Z`)
    const totals = body.results.map(({ start, ...counts }: Json) =>
      Object.values<number>(counts).reduce((a, b) => a + b),
    )
    expect(Math.max(...totals)).toBeGreaterThan(10)
  })

  test('count nothing of what the caller may not see', async () => {
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
  ])('reject %s with a pointer to the parameter', async (query, pointer) => {
    const { status, body } = await call('GET', `/assignments/reports/throughput/?${query}`, { token: ada.token })
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
    expect(body.errors).toMatchObject([{ in: 'query', pointer }])
  })

  test.each([
    ['to=0001-01-15', ['/from', '/to']],
    ['from=9999-12-31&to=9999-12-31T12:00:00Z', ['/from', '/to']],
    ['from=0050-03-01&to=0050-03-03&format=svg', ['/from', '/to']],
    ['from=1969-12-31&to=1970-01-02', ['/from']],
  ])('reject years before 1970 and after 9998: %s', async (query, pointers) => {
    const { status, body } = await call('GET', `/assignments/reports/flow/?${query}`, { token: ada.token })
    expect({ status, pointers: body.errors.map(({ pointer }: Json) => pointer) }).toEqual({ status: 400, pointers })
  })

  test.each(['1970-01-01', '9998-12-31'])('accept the years from 1970 to 9998: %s', async (from) => {
    for (const [bucket, timezone] of [
      ['month', 'Pacific/Kiritimati'],
      ['week', 'America/New_York'],
    ] as const) {
      const to = from.replace('01-01', '01-02').replace('12-31', '12-31T12:00:00z')
      const { body } = await report('throughput', { bucket, timezone, from, to })
      expect(body.results.length).toBeGreaterThan(0)
    }
  })

  test.each([
    ['America/New_York', '2026-10-31', '2026-11-02', '2026-10-31T04:00:00.000Z', '2026-11-02T05:00:00.000Z'],
    ['UTC', '2026-10-31', '2026-11-02', '2026-10-31T00:00:00.000Z', '2026-11-02T00:00:00.000Z'],
    ['Asia/Kathmandu', '2026-10-31', '2026-11-01T00:00:00Z', '2026-10-30T18:15:00.000Z', '2026-11-01T00:00:00.000Z'],
    // The day has no midnight.
    ['America/Santiago', '2026-09-06', '2026-09-07', '2026-09-06T04:00:00.000Z', '2026-09-07T03:00:00.000Z'],
  ])('in %s from %s to %s begin and end at midnight there', async (timezone, from, to, start, end) => {
    const { body } = await report('flow', { timezone, from, to })
    expect(body).toMatchObject({ from: start, to: end })
    expect(body.results[0].start).toBe(start)
  })

  test('have the fields of lead_time in the documented order', async () => {
    const { text } = await report('throughput', {})
    expect(text).toMatch(/"lead_time":\{"count":\d+,"mean":[\d.e+]+,"p50":[\d.e+]+,"p90":[\d.e+]+\}/)
  })

  test('may have a thousand buckets', async () => {
    const to = iso(Date.parse('2026-01-01') + 1000 * HOUR)
    const { body } = await report('flow', { bucket: 'hour', from: '2026-01-01', to })
    expect(body.results).toHaveLength(1000)
  })

  test.each([
    ['', 'application/json', 'application/json'],
    ['', '*/*', 'application/json'],
    ['', 'image/svg+xml', 'image/svg+xml'],
    ['', 'image/avif,image/svg+xml,*/*;q=0.8', 'image/svg+xml'],
    ['', 'application/json, image/svg+xml;q=0.5', 'application/json'],
    ['', '*/*;q=0.8, image/svg+xml;q=0.5', 'application/json'],
    ['', '*/*;q=0.5, image/svg+xml;q=0.8', 'image/svg+xml'],
    ['', 'image/*', 'image/svg+xml'],
    ['', 'IMAGE/SVG+XML;q=0.1, application/*;q=0', 'image/svg+xml'],
    ['', 'image/svg+xml, application/json', 'application/json'],
    ['', 'image/svg+xml;q=0, */*', 'application/json'],
    ['', 'text/html', 'application/json'],
    ['', 'application/json;q=0.2, application/json;version=1, image/svg+xml;q=0.5', 'image/svg+xml'],
    ['', 'image/svg+xml;charset=utf-8', 'image/svg+xml'],
    ['?format=svg', 'application/json', 'image/svg+xml'],
    ['?format=json', 'image/svg+xml', 'application/json'],
  ])('with query "%s" and Accept "%s" are %s', async (query, accept, type) => {
    for (const name of ['throughput', 'flow']) {
      const path = `/assignments/reports/${name}/${query}`
      const { headers, text } = await call('GET', path, { token: ada.token, headers: { Accept: accept } })
      expect(headers.get('Content-Type')).toMatch(type)
      expect(headers.get('Vary')).toContain('Accept')
      if (type === 'application/json') continue
      expect(text).toMatch(/^<svg /)
      expect(headers.get('Content-Security-Policy')).toMatch(/style-src 'sha256-/)
    }
  })
})

describe('as_of', () => {
  const list = (query: Record<string, string>, { token } = ada) =>
    call('GET', `/assignments/?${new URLSearchParams(query)}`, { token })

  test('lists what the API returned at that moment', async () => {
    expect(snapshots.length).toBeGreaterThan(40)
    const step = fewerOnWorkers(2) < 2 ? 3 : 1
    for (const { at, caller, query, body } of snapshots.filter((_, index) => index % step === 0)) {
      const past = (await list({ ...query, limit: '100', as_of: at }, caller)).body
      expect({ at, query, results: past.results, count: past.count }).toEqual({
        at,
        query,
        results: body.results,
        count: body.count,
      })
    }
  })

  test('lists pages whose cursors are valid for that moment only', async () => {
    const { at } = snapshots.at(-1) as Snapshot
    const expected = (await list({ as_of: at, limit: '100', ordering: 'name' })).body.results
    const collected: Json[] = []
    let page = (await list({ as_of: at, limit: '3', ordering: 'name' })).body
    const second = page.next
    for (;;) {
      collected.push(...page.results)
      if (!page.next) break
      page = (await call('GET', page.next, { token: ada.token })).body
    }
    expect(collected).toEqual(expected)
    const { previous } = (await call('GET', second, ada)).body
    expect((await call('GET', previous, ada)).body.results).toEqual(expected.slice(0, 3))
    const earlier = second.replace(/as_of=[^&]+/, `as_of=${iso(Date.parse(at) - 1)}`)
    expect(await call('GET', earlier, ada)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
  })

  test('returns each version to the people who could see it then', async () => {
    for (const event of log.slice(0, fewerOnWorkers(60))) {
      for (const at of [event.at, iso(Date.parse(event.at) + 1)]) {
        for (const person of [...people, eve]) {
          const last = log.findLast((other) => other.assignment === event.assignment && other.at <= at)
          const isVisible = last?.kind !== 'deleted' && [last?.creator, last?.assignee].includes(person.id)
          const response = await call('GET', `/assignments/${event.assignment}/?as_of=${at}`, { token: person.token })
          expect(response.status).toBe(isVisible ? 200 : 404)
          if (!isVisible) continue
          expect(response.body).toMatchObject({ version: last?.version, status: last?.status, updated_at: last?.at })
          expect(response.headers.get('ETag')).toBe(`"${last?.version}"`)
        }
      }
    }
  })

  test('ignores digits below a millisecond', async () => {
    const { at, assignment, version, actor } = log.find(({ version }) => version > 1) as LogEvent
    const person = people.find(({ id }) => id === actor)
    const before = iso(Date.parse(at) - 1).replace('Z', '9z')
    const path = `/assignments/${assignment}/?as_of=${before}`
    expect((await call('GET', path, { token: person?.token as string })).body.version).toBe(version - 1)
  })

  test('returns nothing before the log begins, and rejects the future', async () => {
    const empty = (await list({ as_of: '2020-01-01', count: 'true' })).body
    expect(empty).toMatchObject({ results: [], count: 0, next: null })
    const first = log[0] as LogEvent
    const before = iso(Date.parse(first.at) - 1)
    expect(await call('GET', `/assignments/${first.assignment}/?as_of=${before}`, ada)).toMatchObject({ status: 404 })
    for (const path of ['/assignments/', `/assignments/${first.assignment}/`]) {
      const future = `${path}?as_of=${iso(clock.now + 60_001)}`
      expect(await call('GET', future, ada)).toMatchObject({
        status: 400,
        body: { code: 'invalid_request', errors: [{ in: 'query', pointer: '/as_of' }] },
      })
      expect(await call('GET', future)).toMatchObject({ status: 401 })
      expect(await call('GET', `${path}?as_of=${iso(clock.now)}`, { token: 'dkt_x' })).toMatchObject({ status: 401 })
    }
  })

  test('includes what an instance has created whose clock is slightly ahead', async () => {
    clock.now += 500
    const { body } = await call('POST', '/assignments/', { ...ada, body: { name: 'from the other instance' } })
    clock.now -= 500
    const path = `/assignments/${body.id}/?as_of=${body.created_at}`
    expect(await call('GET', path, ada)).toMatchObject({ status: 200, body })
    expect((await list({ as_of: body.created_at })).body.results).toContainEqual(body)
    await call('DELETE', `/assignments/${body.id}/`, ada)
  })

  test('up to one minute ahead counts as now', async () => {
    const ahead = iso(clock.now + 60_000)
    const first = (await list({ as_of: ahead, limit: '1', ordering: 'name' })).body
    expect(first.results).toEqual((await list({ limit: '1', ordering: 'name' })).body.results)
    const { id } = first.results[0]
    expect(await call('GET', `/assignments/${id}/?as_of=${ahead}`, ada)).toMatchObject({ status: 200 })
    // Later pages read the same instant, although the clock has moved on and the assignment has changed.
    docket.advance(10)
    const all = (await list({ as_of: iso(clock.now - 10_000), limit: '100', ordering: 'name' })).body.results
    const second = all[1]
    await call('DELETE', `/assignments/${second.id}/`, {
      token: people.find(({ id }) => id === second.creator)?.token ?? '',
    })
    expect((await call('GET', first.next, ada)).body.results).toEqual([second])
    expect(first.next).toContain(encodeURIComponent(iso(clock.now - 10_000)))
  })
})
