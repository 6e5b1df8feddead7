import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { count } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import journal from '../../drizzle/meta/_journal.json' with { type: 'json' }
import { migrate } from '../../src/database/migrate.ts'
import { assignment_events } from '../../src/database/schema.ts'
import { setUpTimescale } from '../../src/database/timescale.ts'
import { insertLog, insertPresent, lastEvents, type NewEvent, nextEvent } from '../reference/event-log.ts'
import { startWebAssembly } from '../support/community.ts'
import { temporaryFolder } from '../support/process.ts'
import { openServices } from '../support/runtimes.ts'
import { cursorIn } from '../support/stream.ts'
import {
  adaptLog,
  compressOldChunks,
  copyPeople,
  countAggregated,
  createComparison,
  openOrdinary,
  readCatalogue,
} from '../support/timescale.ts'

// Databases that get TimescaleDB's Community edition, in WebAssembly, when they already have a log.

const MINUTE = 60_000

const { ordinary, now, people, log, paths, reportPaths } = await openOrdinary()
const [ada, bob] = people
await insertLog(ordinary, log)

/** Opens an empty database without the extension, until the end of the test. */
async function openPlain() {
  const { url, close } = await startWebAssembly()
  const { services, close: closeServices } = openServices({ url, now, environment: {}, options: { max: 1 } })
  const owner = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(async () => {
    await Promise.all([closeServices(), owner.end()])
    await close()
  })
  return { url, owner, db: services.db, ...createComparison(services, [ada, bob]) }
}

/** Opens a database that was migrated with a log before it got the extension. */
async function openTakenOver() {
  const plain = await openPlain()
  expect(await migrate(plain.url)).toMatchObject({ level: 'none' })
  await copyPeople(ordinary, plain.db)
  await insertLog(plain.db, log)
  await plain.owner`create extension timescaledb`
  expect(await migrate(plain.url)).toMatchObject({ level: 'community' })
  return plain
}

test('a migration takes over a log that was kept without the extension', async () => {
  const { db, owner, readAll } = await openTakenOver()
  expect(await readCatalogue(owner)).toMatchObject({
    aggregates: [{ materialized_only: false }],
    dimensions: [{ time_interval: '30 days', num_chunks: '9' }],
  })
  expect(await countAggregated(owner)).toBe(log.length)
  expect(await readAll(db, paths)).toEqual(await readAll(ordinary, paths))
})

test('reports count events that were dropped, whatever HISTORY_DAYS was', async () => {
  const { db, owner, readAll } = await openTakenOver()
  await owner`select drop_chunks('assignment_events', older_than => timestamptz '2026-09-01')`
  const [left] = await db.select({ count: count() }).from(assignment_events)
  expect(left?.count).toBeLessThan(log.length - 100)
  for (const days of [90, 2000, undefined, undefined, 30]) {
    await adaptLog(owner, days)
    // Refreshes the range of the policy.
    const [{ start } = {}] = await owner`
      select config->>'start_offset' as start from timescaledb_information.jobs
      where proc_name = 'policy_refresh_continuous_aggregate'`
    await owner`
      call refresh_continuous_aggregate('assignment_activity', now() - ${start}::interval, now() - interval '1 hour')`
    expect(await countAggregated(owner)).toBe(log.length)
  }
  expect(await readAll(db, reportPaths)).toEqual(await readAll(ordinary, reportPaths))
})

test('the policy aggregates late events in one transaction', async () => {
  const { db, owner } = await openTakenOver()
  await adaptLog(owner)
  const late = lastEvents(log)
    .filter(({ at }) => at > '2026-09-15')
    .map((last) => nextEvent(last, new Date(Date.parse(last.at) + MINUTE).toISOString(), {}))
  expect(late.length).toBeGreaterThan(20)
  await db.insert(assignment_events).values(late)
  // With one batch, the job would stop after the first of several transactions.
  const [policy] = await owner`
    select job_id, alter_job(job_id, config => config || '{"max_batches_per_execution": 1}')
    from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate'`
  await owner`call run_job(${policy?.job_id})`
  expect(await countAggregated(owner)).toBe(log.length + late.length)
})

/** Opens a database with the first migrations only, and with the log in columns. */
async function openOld(migrations: number) {
  const plain = await openPlain()
  const { owner } = plain
  await owner`create extension timescaledb`
  const folder = await temporaryFolder()
  await cp(new URL('../../drizzle', import.meta.url), folder, { recursive: true })
  const entries = journal.entries.slice(0, migrations)
  await writeFile(join(folder, 'meta/_journal.json'), JSON.stringify({ ...journal, entries }))
  await applyMigrations(drizzle(owner), { migrationsFolder: folder })
  await setUpTimescale(owner)
  const events = log.map((event) => ({ ...event, position: 0 }))
  await owner`
    insert into assignment_events
    select * from json_populate_recordset(null::assignment_events, ${JSON.stringify(events)}::text::json)`
  await compressOldChunks(owner)
  return plain
}

test('events in columns get the values that they replaced', async () => {
  const { url, owner, db, readAll } = await openOld(8)
  // Less than a chunk has.
  await owner`set timescaledb.max_tuples_decompressed_per_dml_transaction = 10`
  expect(await migrate(url)).toMatchObject({ level: 'community' })
  await copyPeople(ordinary, db)
  await insertPresent(db, log)
  const { id, old_name, old_description, old_updated_at } = assignment_events
  const readOldValues = (of: typeof db) =>
    of.select({ id, old_name, old_description, old_updated_at }).from(assignment_events).orderBy(id)
  expect(await readOldValues(db)).toEqual(await readOldValues(ordinary))
  expect(await readAll(db, paths)).toEqual(await readAll(ordinary, paths))
})

test('the past begins after the last event whose old values were dropped', async () => {
  const { url, owner, db, request } = await openOld(8)
  await owner`select drop_chunks('assignment_events', older_than => timestamptz '2026-09-01')`
  await migrate(url, 300)
  await copyPeople(ordinary, db)
  await insertPresent(db, log)
  const left = await db.select().from(assignment_events).orderBy(assignment_events.at)
  const isIncomplete = ({ kind, old_updated_at: at = null }: NewEvent) =>
    kind !== 'created' && (at === null || at < (left[0]?.at as string))
  const start = log.findLast((event) => event.at >= (left[0]?.at as string) && isIncomplete(event))?.at as string
  const before = new Date(Date.parse(start) - 1).toISOString()
  const refused = await request(db, `/assignments/?as_of=${before}`, ada)
  expect(refused).toMatchObject({ status: 400, body: { detail: expect.stringContaining(start) } })
  for (const time of [start, '2026-11-19']) {
    const path = `/assignments/?limit=100&as_of=${time}`
    expect(await request(db, path, ada)).toEqual(await request(ordinary, path, ada))
  }
})

test('events in columns that get positions later are delivered in order', async () => {
  const { url, db, request, readEvents } = await openOld(5)
  expect(await migrate(url)).toMatchObject({ level: 'community' })
  await copyPeople(ordinary, db)
  const isVisible = ({ creator, assignee, old_assignee }: NewEvent) =>
    [creator, assignee, old_assignee].includes(ada.id)
  const expected = log.filter(isVisible).toSorted((a, b) => (a.at + a.id < b.at + b.id ? -1 : 1))
  expect((await readEvents(db, 'start', ada)).map(({ id }) => id)).toEqual(expected.map(({ id }) => id))
  const { body } = await request(db, '/assignments/events/', ada)
  await request(db, '/assignments/', ada, { method: 'POST', body: '{"name":"New"}' })
  expect(await readEvents(db, cursorIn(body.next), ada)).toMatchObject([{ name: 'New' }])
})
