import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { count } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import fc from 'fast-check'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import journal from '../../drizzle/meta/_journal.json' with { type: 'json' }
import { app } from '../../src/app.ts'
import { newId } from '../../src/crypto.ts'
import { connect, type Database } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import {
  assignment_events,
  assignment_search,
  assignments,
  sessions,
  statuses,
  users,
} from '../../src/database/schema.ts'
import { setPolicies, setUpTimescale as setUpLog } from '../../src/database/timescale.ts'
import { openCommunity, startWebAssembly } from '../support/community.ts'
import { type Json, openDocket } from '../support/fixtures.ts'
import { type Asked, explain, modes, type Plan } from '../support/plans.ts'
import { temporaryFolder } from '../support/process.ts'
import { openServices } from '../support/runtimes.ts'

// TimescaleDB's Community edition, in WebAssembly, beside the database of all other tests: both are asked the same.

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const iso = (time: number) => new Date(time).toISOString()

const { createUser, clock, now, db: ordinary } = await openDocket()
clock.now = Date.parse('2026-11-20T10:07:00.000Z')
const people = [await createUser(), await createUser(), await createUser()] as const
const [ada, bob] = people

type Event = typeof assignment_events.$inferInsert

/** Eight months of work of three people: what was made, and each change of it in the order of time. */
const log = fc
  .sample(
    fc.record({
      made: fc.integer({ min: Date.parse('2026-03-20'), max: Date.parse('2026-11-19') }),
      creator: fc.nat(2),
      assignee: fc.nat(2),
      steps: fc.array(
        fc.record({
          pause: fc.oneof(fc.integer({ min: 1, max: 90 * MINUTE }), fc.integer({ min: 1, max: 25 * DAY })),
          status: fc.constantFrom(undefined, ...statuses, 'in progress', 'done'),
          assignee: fc.option(fc.nat(2), { nil: undefined, freq: 2 }),
          isDeleted: fc.nat(11).map((number) => number === 0),
        }),
        { maxLength: 8 },
      ),
    }),
    { numRuns: 140, seed: 7 },
  )
  .flatMap(({ made, creator, assignee, steps }, number) => {
    const person = (index: number) => (people[index] as typeof ada).id
    const first: Event = {
      ...{ id: newId(new Date(made)), assignment: newId(new Date(made)), at: iso(made), created_at: iso(made) },
      ...{ kind: 'created', actor: person(creator), creator: person(creator), assignee: person(assignee) },
      ...{
        name: `Task ${number % 20}`,
        description: `What ${number} is about`,
        status: 'todo',
        version: 1,
        changed: [],
      },
    }
    const events = [first]
    for (const { pause, status, assignee, isDeleted } of steps) {
      const last = events.at(-1) as Event
      const at = iso(Date.parse(last.at) + pause)
      if (Date.parse(at) > clock.now || last.kind === 'deleted') break
      events.push(
        next(last, at, isDeleted ? {} : { status, assignee: assignee === undefined ? undefined : person(assignee) }),
      )
    }
    return events
  })
  .sort((a, b) => (a.at < b.at ? -1 : 1))

/** The event after another of the same assignment; one that changes nothing is its end. */
function next(last: Event, at: string, given: { status?: Event['status'] | undefined; assignee?: string | undefined }) {
  const { status = last.status, assignee = last.assignee } = given
  const changed = [...(status === last.status ? [] : ['status']), ...(assignee === last.assignee ? [] : ['assignee'])]
  return {
    ...last,
    ...{ id: newId(new Date(at)), at, kind: changed.length > 0 ? 'changed' : 'deleted', status, assignee, changed },
    ...{ version: last.version + 1, old_status: last.status, old_assignee: last.assignee },
    started_at: last.started_at ?? (status === 'in progress' ? at : null),
  } satisfies Event
}

/** The last event of each assignment that was not deleted. */
const living = [...new Map(log.map((event) => [event.assignment, event])).values()].filter(
  ({ kind }) => kind !== 'deleted',
)

/** Puts the log, and the present that it ends in, into a database. */
async function insertLog(db: Database) {
  await db.insert(assignment_events).values(log)
  await db.insert(assignments).values(living.map((event) => ({ ...event, id: event.assignment, updated_at: event.at })))
  const texts = living.map((event) => `${event.name}"${event.description}`.toLowerCase())
  await db.insert(assignment_search).values(
    living.map((event, index) => ({
      ...{ assignment: event.assignment, people: [event.assignee, event.creator], text: texts[index] as string },
    })),
  )
}

const asked: Asked[] = []
const { url, close } = await openCommunity()
const connected = openServices({
  ...{ url, now, environment: {} },
  options: { max: 1, debug: (_, text, parameters) => asked.push({ text, parameters }) },
})
const community = connected.services.db
const client = postgres(url, { max: 1, onnotice: () => {} })

/** Runs both steps of a migration that depend on TimescaleDB. */
async function setUpTimescale(client: postgres.Sql, days?: number) {
  const support = await setUpLog(client, days)
  if (support.level === 'community') await setPolicies(client, days)
  return support
}
afterAll(async () => {
  await Promise.all([connected.close(), client.end()])
  await close()
})

await community.insert(users).values(await ordinary.select().from(users))
await community.insert(sessions).values(await ordinary.select().from(sessions))

/** What the app answers over a database. */
async function ask(db: Database, path: string, { token } = ada, init: RequestInit = {}) {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const response = await app.request(path, { headers, ...init }, { ...connected.services, db, address: '192.0.2.1' })
  // A mean depends, in its last digits, on the order in which it was summed.
  const round = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(12)) : value)
  const { request_id, ...body }: Json = JSON.parse((await response.text()) || '{}', round)
  return { status: response.status, body }
}

/** All that a person is told after a cursor. */
async function follow(db: Database, cursor: string, person = ada): Promise<Json[]> {
  const { body } = await ask(db, `/assignments/events/?limit=100&cursor=${cursor}`, person)
  return body.results.length < 100 ? body.results : [...body.results, ...(await follow(db, body.next, person))]
}

const reports = [
  {},
  { bucket: 'month', from: '2026-03-01', to: '2026-11-20' },
  { bucket: 'month', from: '2026-03-01', to: '2026-11-20', timezone: 'America/St_Johns', assignee: 'me' },
  { bucket: 'week', from: '2026-03-29T01:07:13.123Z', to: '2026-11-19T23:52:59.999Z', timezone: 'Europe/Berlin' },
  { bucket: 'week', from: '2026-05-01', to: '2026-09-01', timezone: 'Asia/Kathmandu', creator: 'me' },
  { bucket: 'week', from: '2026-05-01', to: '2026-09-01', assignee: bob.id, creator: 'me' },
  { bucket: 'day', from: '2026-10-20T10:01:00Z', to: '2026-11-20T10:06:59Z', timezone: 'America/New_York' },
  { bucket: 'day', from: '2026-06-01', to: '2026-07-01', timezone: 'Australia/Lord_Howe', assignee: bob.id },
  { bucket: 'hour', from: '2026-08-11T03:20:00Z', to: '2026-08-25T03:40:00Z', timezone: 'Asia/Kolkata' },
  { bucket: 'hour', from: '2026-11-19T22:00:00.001Z', to: '2026-11-20T10:06:00Z' },
  { bucket: 'hour', from: '2026-07-07T07:01:00Z', to: '2026-07-07T07:14:00Z' },
  { bucket: 'hour', from: '2026-07-07T07:01:00Z', to: '2026-07-07T07:16:00Z' },
]
const moments = ['2026-03-01', '2026-07-01', '2026-09-15T08:30:00.500Z', '2026-11-20T10:00:00Z']
const lists = [
  ...moments.flatMap((as_of) => [
    { as_of, limit: '100', count: 'true' },
    { as_of, ordering: '-status,updated_at', assignee: 'me', status: 'in progress,done' },
    { as_of, ordering: 'name', search: 'task 1', creator: bob.id },
  ]),
  { ordering: '-updated_at', limit: '100' },
  { search: 'task 7', count: 'true' },
]
const some = log.filter((_, index) => index % 60 === 0)
const paths = [
  ...['throughput', 'flow'].flatMap((name) =>
    reports.map((query) => `/assignments/reports/${name}/?${new URLSearchParams(query as Record<string, string>)}`),
  ),
  ...lists.map((query) => `/assignments/?${new URLSearchParams(query as Record<string, string>)}`),
  ...some.map(({ assignment }) => `/assignments/${assignment}/history/`),
  ...some.map(({ assignment, at }) => `/assignments/${assignment}/?as_of=${at}`),
  ...some.map(({ assignment, at }) => `/assignments/${assignment}/?as_of=${iso(Date.parse(at) - 1)}`),
]

const toReports = paths.filter((path) => path.includes('/reports/'))
const onlyReports = (answers: Json) =>
  Object.fromEntries(Object.entries(answers).filter(([asked]) => asked.includes('/reports/')))

async function answersOf(db: Database, asked = paths) {
  const answers: Json = {}
  for (const [index, person] of [ada, bob].entries())
    for (const path of asked) answers[`${index} ${path}`] = await ask(db, path, person)
  return answers
}

/** The answers to all, while the log is as it was made. */
let expected: Json

/** All before it is aggregated. */
const MARK = '2026-11-10T12:00:00Z'

const refresh = () => client`call refresh_continuous_aggregate('assignment_activity', null, ${MARK}::timestamptz)`

/** What the aggregate itself holds, without what is added to it from the log as it is read. */
async function aggregated(using = client) {
  const [row] = await using`
    select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as name
    from timescaledb_information.continuous_aggregates`
  const [held] = await using.unsafe(`select coalesce(sum(events), 0)::int as events from ${row?.name}`)
  return held?.events as number
}

const catalogue = async (using = client) => ({
  aggregates: await using`
    select view_name, materialized_only, view_definition from timescaledb_information.continuous_aggregates`,
  dimensions: await using`
    select column_name, time_interval::text, compression_enabled, num_chunks
    from timescaledb_information.dimensions join timescaledb_information.hypertables using (hypertable_name)
    where hypertable_name = 'assignment_events'`,
  policies: await using`
    select proc_name, hypertable_name, schedule_interval::text, config - 'hypertable_id' - 'mat_hypertable_id' as config
    from timescaledb_information.jobs where proc_name <> 'policy_job_stat_history_retention' order by proc_name`,
  indexes:
    await using`select schemaname, indexdef from pg_indexes where starts_with(tablename, '_materialized') order by indexdef`,
})

describe('the log is equipped with what the Community edition can', () => {
  test('a hypertable of 30-day chunks, in columns when old, and a continuous aggregate in real time', async () => {
    const { aggregates, dimensions, policies } = await catalogue()
    expect(aggregates).toMatchObject([{ view_name: 'assignment_activity', materialized_only: false }])
    expect(dimensions).toMatchObject([{ column_name: 'at', time_interval: '30 days', compression_enabled: true }])
    expect(policies).toMatchObject([
      { proc_name: 'policy_compression', hypertable_name: 'assignment_events', config: { compress_after: '90 days' } },
      { proc_name: 'policy_refresh_continuous_aggregate', schedule_interval: '00:30:00' },
    ])
    expect(policies[1]?.config).toEqual({ start_offset: null, end_offset: '01:00:00', buckets_per_batch: 0 })
  })

  test('once: a second time changes nothing', async () => {
    const before = await catalogue()
    expect(await setUpTimescale(client)).toMatchObject({ level: 'community' })
    expect(await catalogue()).toEqual(before)
  })

  test('what is older than so many days is dropped while it is wished, and the aggregate keeps clear of it', async () => {
    const before = await catalogue()
    for (const days of [4000, 3000]) {
      expect((await setUpTimescale(client, days)).description).toMatch(`Events older than ${days} days are dropped.`)
      const { policies } = await catalogue()
      expect(policies.map(({ proc_name, config }) => [proc_name, config])).toEqual([
        ['policy_compression', { compress_after: '90 days' }],
        [
          'policy_refresh_continuous_aggregate',
          { start_offset: `${days} days`, end_offset: '01:00:00', buckets_per_batch: 0 },
        ],
        ['policy_retention', { drop_after: `${days} days` }],
      ])
    }
    await setUpTimescale(client)
    expect(await catalogue()).toEqual(before)
  })
})

describe('answers are those of the other database', () => {
  beforeAll(async () => {
    for (const db of [ordinary, community]) await insertLog(db)
    expected = await answersOf(ordinary)
  })

  test('while nothing is aggregated', async () => {
    expect(await aggregated()).toBe(0)
    const answers = await answersOf(community)
    expect(Object.values(answers).filter(({ status }) => status === 200).length).toBeGreaterThan(80)
    expect(answers).toEqual(expected)
  })

  test('when all but the last days is aggregated', async () => {
    await refresh()
    expect(await aggregated()).toBe(log.filter(({ at }) => at < MARK).length)
    expect(await answersOf(community)).toEqual(expected)
  })

  test('when what is old is in columns', async () => {
    const compressed = await client`
      select compress_chunk(chunk) from show_chunks('assignment_events', older_than => timestamptz '2026-09-01') as chunk`
    expect(compressed.length).toBeGreaterThan(3)
    expect(await answersOf(community)).toEqual(expected)
  })

  test('to those who follow the log from its start, what is in columns included', async () => {
    for (const person of people) {
      const events = await follow(ordinary, 'start', person)
      expect(events.length).toBeGreaterThan(100)
      expect(await follow(community, 'start', person)).toEqual(events)
    }
  })

  test('when events came late, to columns too, and are aggregated', async () => {
    const late = living
      .filter(({ at }, index) => at < '2026-11-01' && index % 3 === 0)
      .map((last) => next(last, iso(Date.parse(last.at) + MINUTE), last.status === 'done' ? {} : { status: 'done' }))
    expect(late.filter(({ at }) => at < '2026-08-01').length).toBeGreaterThan(3)
    for (const db of [ordinary, community]) await db.insert(assignment_events).values(late)
    await refresh()
    expect(await answersOf(community)).toEqual(await answersOf(ordinary))
  })

  test('when the app writes, of what is in columns too', async () => {
    const old = living.find(({ creator, at }, index) => creator === ada.id && at < '2026-08-01' && index % 3 === 1)
    const changes = ['{"status":"error"}', '{"status":"in progress"}', '{"status":"done"}']
    const start = clock.now
    for (const db of [ordinary, community]) {
      clock.now = start
      const made = await ask(db, '/assignments/', ada, { method: 'POST', body: '{"name":"New"}' })
      for (const id of [made.body.id, old?.assignment as string]) {
        for (const init of [...changes.map((body) => ({ method: 'PATCH', body })), { method: 'DELETE' }]) {
          clock.now += MINUTE
          const { status } = await ask(db, `/assignments/${id}/`, ada, init)
          expect([200, 204]).toContain(status)
        }
      }
    }
    expect(await answersOf(community, toReports)).toEqual(await answersOf(ordinary, toReports))
    clock.now = start
  })
})

describe('a plan opens no chunk of the log but those that can have what is asked', () => {
  let chunks: { name: string; from: string; to: string }[]
  beforeAll(async () => {
    // As the policy would what came late.
    await client`
      select compress_chunk(chunk) from show_chunks('assignment_events', older_than => timestamptz '2026-09-01') as chunk`
    const rows = await client`
      select chunk_name, range_start, range_end from timescaledb_information.chunks
      where hypertable_name = 'assignment_events' order by range_start`
    chunks = rows.map((row) => ({
      name: row.chunk_name,
      from: row.range_start.toISOString(),
      to: row.range_end.toISOString(),
    }))
    expect(chunks.length).toBeGreaterThan(8)
  })

  /** The chunks of the log that were read to answer, in the order of time. */
  async function opened(path: string, mode: (typeof modes)[number]) {
    asked.length = 0
    expect(await ask(community, path)).toMatchObject({ status: 200 })
    const nodes: Plan[] = []
    for (const one of [...asked]) nodes.push(...(await explain(client, one, mode)))
    const read = nodes.filter((node) => Number(node['Actual Loops']) > 0).map((node) => node['Relation Name'])
    return chunks.map(({ name }) => name).filter((name) => read.includes(name))
  }
  const over = (from: string, to: string) =>
    chunks.filter((chunk) => chunk.from < to && chunk.to > from).map(({ name }) => name)

  describe.each(modes)('with %s', (mode) => {
    test('none for a month that is aggregated', async () => {
      const range = 'from=2026-06-01&to=2026-07-01'
      expect(await opened(`/assignments/reports/throughput/?${range}`, mode)).toEqual([])
      expect(await opened(`/assignments/reports/flow/?${range}`, mode)).toEqual([])
    })

    test('those of its two ends, where it begins or ends within a quarter of an hour', async () => {
      const path = '/assignments/reports/throughput/?from=2026-05-20T00:01:00Z&to=2026-08-20T00:01:00Z'
      const ends = [...over('2026-05-20T00:01', '2026-05-20T00:15'), ...over('2026-08-20T00:00', '2026-08-20T00:01')]
      expect(await opened(path, mode)).toEqual(ends)
    })

    test('those from the mark on, where it reaches beyond what is aggregated', async () => {
      const path = '/assignments/reports/throughput/?from=2026-08-01&to=2026-11-15'
      expect(await opened(path, mode)).toEqual(over(MARK, '2026-11-15'))
    })

    test('the newest, for who follows the log', async () => {
      const { body } = await ask(community, '/assignments/events/')
      const newest = over(iso(clock.now - 46 * DAY), '9999')
      for (const path of ['/assignments/events/', `/assignments/events/?cursor=${body.next}`]) {
        const read = await opened(path, mode)
        expect(read.length).toBeGreaterThan(0)
        expect(newest).toEqual(expect.arrayContaining(read))
      }
    })

    test('none from before the assignment was made, for its history and its past', async () => {
      const some = living.filter(({ creator, version }) => creator === ada.id && version > 1)
      expect(some.length).toBeGreaterThan(5)
      for (const { assignment, created_at, at } of some) {
        const history = await opened(`/assignments/${assignment}/history/`, mode)
        const past = await opened(`/assignments/${assignment}/?as_of=${at}`, mode)
        expect(Math.min(history.length, past.length)).toBeGreaterThan(0)
        expect(over(created_at, '9999')).toEqual(expect.arrayContaining(history))
        expect(over(created_at, iso(Date.parse(at) + 1))).toEqual(expect.arrayContaining(past))
      }
    })
  })
})

describe('a log that was kept without the extension', () => {
  let taken: Awaited<ReturnType<typeof startWebAssembly>>
  let reader: ReturnType<typeof connect>
  let owner: postgres.Sql
  beforeAll(async () => {
    taken = await startWebAssembly()
    reader = connect(taken.url, { max: 1 })
    owner = postgres(taken.url, { max: 1, onnotice: () => {} })
  })
  afterAll(async () => {
    await Promise.all([reader.close(), owner.end()])
    await taken.close()
  })

  test('is taken over whole at the next migration, what will be dropped included', async () => {
    expect(await migrate(taken.url)).toMatchObject({ level: 'none' })
    await reader.db.insert(users).values(await ordinary.select().from(users))
    await reader.db.insert(sessions).values(await ordinary.select().from(sessions))
    await insertLog(reader.db)
    await owner`create extension timescaledb`
    expect(await migrate(taken.url, 90)).toMatchObject({ level: 'community' })
    expect(await catalogue(owner)).toMatchObject({
      aggregates: [{ materialized_only: false }],
      dimensions: [{ time_interval: '30 days', num_chunks: '9' }],
    })
    expect(await aggregated(owner)).toBe(log.length)
    expect(await answersOf(reader.db)).toEqual(expected)
  })

  test('is reported on when it is dropped too, however many days are then to be kept', async () => {
    await owner`select drop_chunks('assignment_events', older_than => timestamptz '2026-09-01')`
    const [left] = await reader.db.select({ count: count() }).from(assignment_events)
    expect(left?.count).toBeLessThan(log.length - 100)
    for (const days of [90, 2000, undefined, undefined, 30]) {
      await setUpTimescale(owner, days)
      // As the policy would, in the range that it was given.
      const [{ reach } = {}] = await owner`
        select config->>'start_offset' as reach from timescaledb_information.jobs
        where proc_name = 'policy_refresh_continuous_aggregate'`
      await owner`
        call refresh_continuous_aggregate('assignment_activity', now() - ${reach}::interval, now() - interval '1 hour')`
      expect(await aggregated(owner)).toBe(log.length)
    }
    expect(await answersOf(reader.db, toReports)).toEqual(onlyReports(expected))
  })

  test('is aggregated in one step, so that nobody finds it half done', async () => {
    await setUpTimescale(owner)
    const late = living
      .filter(({ at }) => at > '2026-09-15')
      .map((last) => next(last, iso(Date.parse(last.at) + MINUTE), {}))
    expect(late.length).toBeGreaterThan(20)
    await reader.db.insert(assignment_events).values(late)
    // What others find after the first of its transactions, if it takes several.
    const [policy] = await owner`
      select job_id, alter_job(job_id, config => config || '{"max_batches_per_execution": 1}')
      from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate'`
    await owner`call run_job(${policy?.job_id})`
    expect(await aggregated(owner)).toBe(log.length + late.length)
  })
})

test('a log that is in columns before its events have positions is followed from its start, in the order of time', async () => {
  const old = await startWebAssembly()
  const owner = postgres(old.url, { max: 1, onnotice: () => {} })
  const reader = connect(old.url, { max: 1 })
  await owner`create extension timescaledb`
  const folder = await temporaryFolder()
  await cp(new URL('../../drizzle', import.meta.url), folder, { recursive: true })
  const before = { ...journal, entries: journal.entries.filter(({ idx }) => idx < 5) }
  await writeFile(join(folder, 'meta/_journal.json'), JSON.stringify(before))
  await applyMigrations(drizzle(owner), { migrationsFolder: folder })
  await setUpTimescale(owner)
  await owner`
    insert into assignment_events
    select * from json_populate_recordset(null::assignment_events, ${JSON.stringify(log)}::text::json)`
  await owner`select compress_chunk(chunk) from show_chunks('assignment_events', older_than => timestamptz '2026-09-01') as chunk`
  expect(await migrate(old.url)).toMatchObject({ level: 'community' })
  await reader.db.insert(users).values(await ordinary.select().from(users))
  await reader.db.insert(sessions).values(await ordinary.select().from(sessions))
  const isHers = ({ creator, assignee, old_assignee }: Event) => [creator, assignee, old_assignee].includes(ada.id)
  const expected = log.filter(isHers).toSorted((a, b) => (a.at + a.id < b.at + b.id ? -1 : 1))
  expect((await follow(reader.db, 'start')).map(({ id }) => id)).toEqual(expected.map(({ id }) => id))
  const { body } = await ask(reader.db, '/assignments/events/')
  await ask(reader.db, '/assignments/', ada, { method: 'POST', body: '{"name":"New"}' })
  expect(await follow(reader.db, body.next)).toMatchObject([{ name: 'New' }])
  await Promise.all([reader.close(), owner.end()])
  await old.close()
})
