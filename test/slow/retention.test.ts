import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { assignment_events, users } from '../../src/database/schema.ts'
import { insertLog, lastEvents, type NewEvent } from '../reference/event-log.ts'
import { openCommunity } from '../support/community.ts'
import type { Json } from '../support/fixtures.ts'
import { openServices } from '../support/runtimes.ts'
import { adaptLog, compressOldChunks, copyPeople, createComparison, openOrdinary } from '../support/timescale.ts'

// With HISTORY_DAYS, on TimescaleDB's Community edition, the retained period must read as on a database that keeps all events.

const HOUR = 3_600_000
const DAY = 24 * HOUR
const DAYS = 60
const iso = (time: number) => new Date(time).toISOString()

// The retention depends on the database's own clock.
const end = Date.now() - 2 * HOUR
/** The first midnight that is kept. */
const horizon = (Math.floor(Date.now() / DAY) - DAYS) * DAY

const { ordinary, clock, now, people, log } = await openOrdinary(end)
const [ada, bob, eve] = people
// Old accounts, so that flows are also counted backward.
await ordinary.update(users).set({ created_at: iso(end - 250 * DAY) })
await insertLog(ordinary, log)

/** Opens a database with the log. `onEnd` registers what closes it. */
async function openLog(onEnd: (close: () => Promise<void>) => void) {
  const { url, close } = await openCommunity()
  const connected = openServices({ url, now, environment: {}, options: { max: 1 } })
  const owner = postgres(url, { max: 1, onnotice: () => {} })
  onEnd(async () => {
    await Promise.all([connected.close(), owner.end()])
    await close()
  })
  const { db } = connected.services
  await copyPeople(ordinary, db)
  await insertLog(db, log)
  await adaptLog(owner)
  await compressOldChunks(owner)
  return { db, owner, ...createComparison(connected.services, people) }
}

type Opened = Awaited<ReturnType<typeof openLog>>

/** Sets the retention, and runs the jobs of the policies. Returns the time of the oldest event that is left. */
async function dropOldEvents({ db, owner }: Opened) {
  await adaptLog(owner, DAYS)
  for (const name of ['policy_retention', 'policy_refresh_continuous_aggregate']) {
    const [job] = await owner`select job_id from timescaledb_information.jobs where proc_name = ${name}`
    await owner`call run_job(${job?.job_id})`
  }
  return oldestEvent(db)
}

async function oldestEvent(db: Opened['db']) {
  const [left] = await db.select({ at: assignment_events.at }).from(assignment_events).orderBy(assignment_events.at)
  expect(log.filter(({ at }) => at < (left?.at as string)).length).toBeGreaterThan(50)
  return left?.at as string
}

/** Returns times from one until the end of the log, among them those around events. */
function timesFrom(start: number): string[] {
  const steps = Array.from({ length: 3 }, (_, step) => start + Math.floor(((end - start) * step) / 3))
  const changes = log.filter(({ at }) => Date.parse(at) > start).map(({ at }) => Date.parse(at))
  const sample = changes.filter((_, index) => index % Math.ceil(changes.length / 2) === 0)
  return [...steps, start + 1, end, ...sample.flatMap((time) => [time - 1, time])].map(iso)
}

const LISTS = [
  'limit=100&count=true',
  'limit=7&ordering=-status,updated_at&count=true',
  `limit=7&ordering=name&search=task+1&creator=${bob.id}`,
  'limit=5&ordering=-updated_at&search=renamed&assignee=me&count=true',
  'status=done,todo&ordering=status,-name',
  `updated_after=${iso(horizon - 30 * DAY)}&updated_before=${iso(horizon + 30 * DAY)}&creator=me`,
  `created_before=${iso(horizon)}&ordering=created_at`,
]

const pastLists = (times: string[]) =>
  times.flatMap((time) => LISTS.map((list) => `/assignments/?${list}&as_of=${time}`))

const pastAssignments = (times: string[]) =>
  [...new Set(log.map(({ assignment }) => assignment))]
    .filter((_, index) => index % 8 === 0)
    .flatMap((id, index) => [0, 5].map((step) => `/assignments/${id}/?as_of=${times[(index + step) % times.length]}`))

const reportsFrom = (start: number) =>
  ['throughput', 'flow'].flatMap((name) =>
    [
      `bucket=day&from=${iso(start)}&to=${iso(end)}`,
      `bucket=week&from=${iso(start)}&to=${iso(end)}&timezone=Europe/Berlin&assignee=me`,
      `bucket=hour&from=${iso(start + HOUR)}&to=${iso(start + 3 * DAY)}&creator=${bob.id}`,
      `bucket=day&from=${iso(end - 20 * DAY + 60_001)}&to=${iso(end)}&timezone=Asia/Kathmandu`,
    ].map((query) => `/assignments/reports/${name}/?${query}`),
  )

/** Expects that the past from a time on is the same as with all events. */
async function expectExactFrom({ db, readAll }: Opened, start: number) {
  const times = timesFrom(start)
  const paths = [...pastLists(times), ...pastAssignments(times), ...reportsFrom(start)]
  const expected = await readAll(ordinary, paths)
  expect(Object.values(expected).filter(({ status }) => status === 200).length).toBeGreaterThan(paths.length)
  expect(await readAll(db, paths)).toEqual(expected)
}

/** Returns the earliest time that the response to an older `as_of` names. */
async function earliestNamed({ db, request }: Opened, id: string): Promise<string> {
  const old = iso(horizon - 200 * DAY)
  const list = await request(db, `/assignments/?as_of=${old}&count=true`, ada)
  const one = await request(db, `/assignments/${id}/?as_of=${old}`, ada)
  expect(one).toEqual(list)
  expect(list).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', errors: [{ in: 'query', pointer: '/as_of' }] },
  })
  const earliest = /\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(list.body.detail)?.[0] as string
  const before = iso(Date.parse(earliest) - 1)
  expect(await request(db, `/assignments/?as_of=${before}`, ada)).toMatchObject({ status: 400 })
  expect(await request(db, `/assignments/?as_of=${earliest}`, ada)).toMatchObject({ status: 200 })
  return earliest
}

const living = lastEvents(log)
/** Assignments of a creator that have not changed since before the retained period. */
const unchangedOf = ({ id }: { id: string }) =>
  living.filter(({ creator, at }) => creator === id && Date.parse(at) < horizon - 30 * DAY)

describe('after the retention job', () => {
  let opened: Opened
  let oldest: string
  let oldPage: string
  let oldEvents: string
  beforeAll(async () => {
    opened = await openLog(afterAll)
    const { db, request } = opened
    oldPage = (await request(db, `/assignments/?limit=2&as_of=${iso(horizon - 1)}`, ada)).body.next
    oldEvents = (await request(db, '/assignments/events/?cursor=start&limit=1', ada)).body.next
    oldest = await dropOldEvents(opened)
  })

  test('the retained period reads as with all events', async () => {
    expect(await earliestNamed(opened, living[0]?.assignment as string)).toBe(iso(horizon))
    await expectExactFrom(opened, horizon)
  })

  test('histories have the events that are left', async () => {
    const { db, request } = opened
    const sample = [...new Set(log.map(({ assignment }) => assignment))].filter((_, index) => index % 4 === 0)
    let emptyCount = 0
    for (const id of sample) {
      const isLeft = living.some(({ assignment }) => assignment === id)
      const path = `/assignments/${id}/history/?limit=100`
      for (const reader of people) {
        const full = await request(ordinary, path, reader)
        const left = await request(db, path, reader)
        const results = (full.body.results ?? []).filter(({ at }: Json) => at >= oldest)
        if (full.status === 404 || (!isLeft && results.length === 0)) expect(left.status).toBe(404)
        else expect(left).toEqual({ ...full, body: { ...full.body, results } })
        if (left.status === 200 && results.length === 0) emptyCount++
      }
    }
    expect(emptyCount).toBeGreaterThan(2)
  })

  test('a page as of a time that is not kept is refused', async () => {
    const refused = await opened.request(opened.db, oldPage, ada)
    expect(refused).toMatchObject({ status: 400, body: { errors: [{ pointer: '/as_of' }] } })
    expect(refused.body.detail).toContain(iso(horizon))
  })

  test('a stranger learns nothing from an old as_of', async () => {
    const stranger = { id: '', token: 'dkt_none' }
    for (const path of ['', `${living[0]?.assignment}/`]) {
      const response = await opened.request(opened.db, `/assignments/${path}?as_of=2001-01-01`, stranger)
      expect(response).toMatchObject({ status: 401 })
    }
  })

  test('followers get the events that are left, and no silent gap', async () => {
    const { db, request, readEvents } = opened
    const gap = await request(db, oldEvents, ada)
    expect(gap).toMatchObject({ status: 410 })
    const isVisible = ({ creator, assignee, old_assignee }: NewEvent) =>
      [creator, assignee, old_assignee].includes(ada.id)
    const left = log.filter((event) => event.at >= oldest && isVisible(event)).map(({ id }) => id)
    expect((await readEvents(db, 'start', ada)).map(({ id }) => id).sort()).toEqual(left.sort())
  })
})

test('assignments that change after the retention job keep their past', async () => {
  const { db, request, readAll, ...opened } = await openLog(onTestFinished)
  await dropOldEvents({ db, request, readAll, ...opened })
  const changes: [string, object?][] = [
    ['PATCH', { name: 'New', description: 'Newer' }],
    ['PATCH', { status: 'error', assignee: eve.id }],
    ['PATCH', { name: 'Newest', status: 'in progress', assignee: ada.id }],
    ['DELETE'],
  ]
  const targets = unchangedOf(ada).slice(0, changes.length)
  expect(targets).toHaveLength(changes.length)
  const times = [horizon, end].map(iso)
  const single = targets.flatMap(({ assignment }) => times.map((time) => `/assignments/${assignment}/?as_of=${time}`))
  const paths = [...pastLists(times), ...single]
  const before = await readAll(db, paths)
  for (const [index, [method, body]] of changes.entries()) {
    clock.now += 60_000
    const path = `/assignments/${targets[index]?.assignment}/`
    const response = await request(db, path, ada, { method, ...(body && { body: JSON.stringify(body) }) })
    expect([200, 204]).toContain(response.status)
    expect(await readAll(db, paths)).toEqual(before)
  }
  clock.now = end
})

describe('the history begins after the events that are gone', () => {
  test('when HISTORY_DAYS was removed or raised', async () => {
    const opened = await openLog(onTestFinished)
    const oldest = await dropOldEvents(opened)
    for (const days of [undefined, 200]) {
      await adaptLog(opened.owner, days)
      const earliest = await earliestNamed(opened, living[0]?.assignment as string)
      expect(earliest < iso(horizon) && earliest <= oldest).toBe(true)
      if (days) await expectExactFrom(opened, Date.parse(earliest))
    }
  })

  test('when an operator has dropped more than HISTORY_DAYS says', async () => {
    const opened = await openLog(onTestFinished)
    await adaptLog(opened.owner, 200)
    await opened.owner`select drop_chunks('assignment_events', older_than => now() - interval '20 days')`
    const oldest = await oldestEvent(opened.db)
    const earliest = await earliestNamed(opened, living[0]?.assignment as string)
    expect(earliest > iso(end - 200 * DAY) && earliest <= oldest).toBe(true)
    await expectExactFrom(opened, Date.parse(earliest))
  })

  test('and nowhere if all events are kept', async () => {
    const { db, owner, request } = await openLog(onTestFinished)
    for (const opened of [db, ordinary]) {
      const response = await request(opened, '/assignments/?as_of=0001-01-01', ada)
      expect(response).toMatchObject({ status: 200, body: { results: [] } })
    }
    expect(await owner`select history_start()::text as start`).toEqual([{ start: '-infinity' }])
  })
})
