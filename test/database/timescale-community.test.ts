import { eq, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finishDeletion } from '../../src/assignments/account-deletion.ts'
import type { Database } from '../../src/database/connect.ts'
import { assignment_events, users } from '../../src/database/schema.ts'
import { insertLog, lastEvents, nextEvent } from '../reference/event-log.ts'
import { openCommunity } from '../support/community.ts'
import { explain, type PlanNode, planModes, type Statement } from '../support/plans.ts'
import { openServices } from '../support/runtimes.ts'
import {
  adaptLog,
  compressOldChunks,
  copyPeople,
  countAggregated,
  createComparison,
  openOrdinary,
  readCatalogue,
} from '../support/timescale.ts'

// The API over TimescaleDB's Community edition, in WebAssembly, must respond as it does over an ordinary database.

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const iso = (time: number) => new Date(time).toISOString()

const { ordinary, clock, now, people, log, paths, reportPaths } = await openOrdinary()
const [ada, bob] = people
const living = lastEvents(log)

const statements: Statement[] = []
const { url, close } = await openCommunity()
const connected = openServices({
  url,
  now,
  environment: {},
  options: { max: 1, debug: (_, text, parameters) => statements.push({ text, parameters }) },
})
const community = connected.services.db
const client = postgres(url, { max: 1, onnotice: () => {} })
afterAll(async () => {
  await Promise.all([connected.close(), client.end()])
  await close()
})
const { request, readEvents, readAll } = createComparison(connected.services, [ada, bob])

/** Events before this time are aggregated. */
const AGGREGATED_UNTIL = '2026-11-10T12:00:00Z'

const aggregate = () =>
  client`call refresh_continuous_aggregate('assignment_activity', null, ${AGGREGATED_UNTIL}::timestamptz)`

let filled: ReturnType<typeof readAll> | undefined

/** Inserts the log into both databases, once. Returns the responses over the ordinary one. */
async function fillOnce() {
  await copyPeople(ordinary, community)
  for (const db of [ordinary, community]) await insertLog(db, log)
  return readAll(ordinary, paths)
}

describe('a migration with the Community edition', () => {
  test('sets up 30-day chunks, columns and a continuous aggregate', async () => {
    const { aggregates, dimensions, policies } = await readCatalogue(client)
    expect(aggregates).toMatchObject([{ view_name: 'assignment_activity', materialized_only: false }])
    expect(dimensions).toMatchObject([{ column_name: 'at', time_interval: '30 days', compression_enabled: true }])
    expect(policies).toMatchObject([
      { proc_name: 'policy_compression', hypertable_name: 'assignment_events', config: { compress_after: '90 days' } },
      { proc_name: 'policy_refresh_continuous_aggregate', schedule_interval: '00:30:00' },
    ])
    expect(policies[1]?.config).toEqual({ start_offset: null, end_offset: '01:00:00', buckets_per_batch: 0 })
  })

  test('changes nothing the second time', async () => {
    const before = await readCatalogue(client)
    expect(await adaptLog(client)).toMatchObject({ level: 'community' })
    expect(await readCatalogue(client)).toEqual(before)
  })

  test('drops old events while HISTORY_DAYS is set, but not their aggregates', async () => {
    const before = await readCatalogue(client)
    for (const days of [4000, 3000]) {
      expect((await adaptLog(client, days)).description).toMatch(`Events older than ${days} days are dropped.`)
      const { policies } = await readCatalogue(client)
      expect(policies.map(({ proc_name, config }) => [proc_name, config])).toEqual([
        ['policy_compression', { compress_after: '90 days' }],
        [
          'policy_refresh_continuous_aggregate',
          { start_offset: `${days} days`, end_offset: '01:00:00', buckets_per_batch: 0 },
        ],
        ['policy_retention', { drop_after: `${days} days` }],
      ])
    }
    await adaptLog(client)
    expect(await readCatalogue(client)).toEqual(before)
  })
})

describe('responses equal those of an ordinary database', () => {
  let expected: Awaited<ReturnType<typeof readAll>>
  beforeAll(async () => {
    filled ??= fillOnce()
    expected = await filled
  })

  test('before anything is aggregated', async () => {
    expect(await countAggregated(client)).toBe(0)
    const responses = await readAll(community, paths)
    expect(Object.values(responses).filter(({ status }) => status === 200).length).toBeGreaterThan(80)
    expect(responses).toEqual(expected)
  })

  test('when all but the last days are aggregated', async () => {
    await aggregate()
    expect(await countAggregated(client)).toBe(log.filter(({ at }) => at < AGGREGATED_UNTIL).length)
    expect(await readAll(community, paths)).toEqual(expected)
  })

  test('when old events are in columns', async () => {
    expect((await compressOldChunks(client)).length).toBeGreaterThan(3)
    expect(await readAll(community, paths)).toEqual(expected)
  })

  test('for clients that follow the log from its start', async () => {
    for (const person of people) {
      const events = await readEvents(ordinary, 'start', person)
      expect(events.length).toBeGreaterThan(100)
      expect(await readEvents(community, 'start', person)).toEqual(events)
    }
  })

  test('when late events were inserted, also into columns', async () => {
    const late = living
      .filter(({ at }, index) => at < '2026-11-01' && index % 3 === 0)
      .map((last) =>
        nextEvent(last, iso(Date.parse(last.at) + MINUTE), last.status === 'done' ? {} : { status: 'done' }),
      )
    expect(late.filter(({ at }) => at < '2026-08-01').length).toBeGreaterThan(3)
    for (const db of [ordinary, community]) await db.insert(assignment_events).values(late)
    await aggregate()
    expect(await readAll(community, paths)).toEqual(await readAll(ordinary, paths))
  })

  test('when the app has written events, also of assignments in columns', async () => {
    const old = living.find(({ creator, at }, index) => creator === ada.id && at < '2026-08-01' && index % 3 === 1)
    const changes = ['{"status":"error"}', '{"status":"in progress"}', '{"status":"done"}']
    const start = clock.now
    for (const db of [ordinary, community]) {
      clock.now = start
      const made = await request(db, '/assignments/', ada, { method: 'POST', body: '{"name":"New"}' })
      for (const id of [made.body.id, old?.assignment as string]) {
        for (const init of [...changes.map((body) => ({ method: 'PATCH', body })), { method: 'DELETE' }]) {
          clock.now += MINUTE
          expect([200, 204]).toContain((await request(db, `/assignments/${id}/`, ada, init)).status)
        }
      }
    }
    expect(await readAll(community, reportPaths)).toEqual(await readAll(ordinary, reportPaths))
    clock.now = start
  })
})

describe('a query reads only the chunks that it needs', () => {
  let chunks: { name: string; from: string; to: string }[]
  beforeAll(async () => {
    filled ??= fillOnce()
    await filled
    await aggregate()
    await compressOldChunks(client)
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

  /** Returns the chunks of the log that a request reads, in order of time. */
  async function chunksRead(path: string, mode: (typeof planModes)[number]) {
    statements.length = 0
    expect(await request(community, path, ada)).toMatchObject({ status: 200 })
    const nodes: PlanNode[] = []
    for (const statement of [...statements]) nodes.push(...(await explain(client, statement, mode)))
    const read = nodes.filter((node) => Number(node['Actual Loops']) > 0).map((node) => node['Relation Name'])
    return chunks.map(({ name }) => name).filter((name) => read.includes(name))
  }
  const chunksBetween = (from: string, to: string) =>
    chunks.filter((chunk) => chunk.from < to && chunk.to > from).map(({ name }) => name)

  describe.each(planModes)('with %s', (mode) => {
    test('none for a report about aggregated events', async () => {
      const range = 'from=2026-06-01&to=2026-07-01'
      expect(await chunksRead(`/assignments/reports/throughput/?${range}`, mode)).toEqual([])
      expect(await chunksRead(`/assignments/reports/flow/?${range}`, mode)).toEqual([])
    })

    test('those at the ends of a report that do not match a quarter of an hour', async () => {
      const path = '/assignments/reports/throughput/?from=2026-05-20T00:01:00Z&to=2026-08-20T00:01:00Z'
      const start = chunksBetween('2026-05-20T00:01', '2026-05-20T00:15')
      const end = chunksBetween('2026-08-20T00:00', '2026-08-20T00:01')
      expect(await chunksRead(path, mode)).toEqual([...start, ...end])
    })

    test('those of a report that are not aggregated yet', async () => {
      const path = '/assignments/reports/throughput/?from=2026-08-01&to=2026-11-15'
      expect(await chunksRead(path, mode)).toEqual(chunksBetween(AGGREGATED_UNTIL, '2026-11-15'))
    })

    test('the newest for a client that follows the log', async () => {
      const { body } = await request(community, '/assignments/events/', ada)
      const newest = chunksBetween(iso(clock.now - 46 * DAY), '9999')
      for (const path of ['/assignments/events/', body.next]) {
        const read = await chunksRead(path, mode)
        expect(read.length).toBeGreaterThan(0)
        expect(newest).toEqual(expect.arrayContaining(read))
      }
    })

    test('those since its creation for the history of an assignment', async () => {
      const assignments = living.filter(({ creator, version }) => creator === ada.id && version > 1)
      expect(assignments.length).toBeGreaterThan(5)
      for (const { assignment, created_at } of assignments.slice(0, 6)) {
        const history = await chunksRead(`/assignments/${assignment}/history/`, mode)
        expect(history.length).toBeGreaterThan(0)
        expect(chunksBetween(created_at, '9999')).toEqual(expect.arrayContaining(history))
      }
    })

    test('those up to the next change for an assignment as of a time', async () => {
      const changes = log.filter(({ creator, version }) => creator === ada.id && version === 2)
      expect(changes.length).toBeGreaterThan(5)
      for (const { assignment, created_at, at } of changes.slice(0, 6)) {
        const read = await chunksRead(`/assignments/${assignment}/?as_of=${created_at}`, mode)
        expect(read.length).toBeGreaterThan(0)
        expect(chunksBetween(created_at, iso(Date.parse(at) + 1))).toEqual(expect.arrayContaining(read))
      }
      const last = living.find(({ creator, at }) => creator === ada.id && at > '2026-11-01')
      expect(await chunksRead(`/assignments/${last?.assignment}/?as_of=${last?.at}`, mode)).toEqual([])
    })
  })
})

test('the deletion of an account erases its private texts, also in columns', async () => {
  filled ??= fillOnce()
  await filled
  await compressOldChunks(client)
  const cy = people[2]
  const time = now
  const isOwn = sql`creator = ${cy.id}`
  const ownTexts = (db: Database) => db.$count(assignment_events, sql`${isOwn} and assignee = creator and name <> ''`)
  const before = await ownTexts(community)
  for (const db of [ordinary, community]) {
    await db
      .update(users)
      .set({ deleted_at: iso(clock.now) })
      .where(eq(users.id, cy.id))
    await finishDeletion(db, cy.id, time)
  }
  const readLog = (db: Database) =>
    db.execute(sql`
      select assignment, version, name, description, old_name, old_description from assignment_events where ${isOwn}
      order by assignment, version`)
  expect(await readLog(community)).toEqual(await readLog(ordinary))
  expect(await ownTexts(community)).toBeLessThan(before / 2)
  // The new events have random ids.
  const comparable = paths.filter((path) => !path.endsWith('/history/'))
  expect(await readAll(community, comparable)).toEqual(await readAll(ordinary, comparable))
})
