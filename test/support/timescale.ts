import type postgres from 'postgres'
import { app } from '../../src/app.ts'
import type { Database } from '../../src/database/connect.ts'
import { sessions, users } from '../../src/database/schema.ts'
import { defineHistoryStart, setPolicies, setUpTimescale } from '../../src/database/timescale.ts'
import { generateLog, pathsToCompare } from '../reference/event-log.ts'
import { type Json, openDocket } from './fixtures.ts'
import type { openServices } from './runtimes.ts'
import { cursorIn } from './stream.ts'

type User = { id: string; token: string }

/** Opens an ordinary database with three people, and generates a log of theirs that ends at a time. */
export async function openOrdinary(end = Date.parse('2026-11-20T10:07:00.000Z')) {
  const { createUser, clock, now, db } = await openDocket()
  clock.now = end
  const people = [await createUser(), await createUser(), await createUser()] as const
  const log = generateLog(
    people.map(({ id }) => id),
    clock.now,
  )
  const paths = pathsToCompare(log, people[1].id)
  return { ordinary: db, clock, now, people, log, paths, reportPaths: paths.filter(isReport) }
}

const isReport = (path: string) => path.includes('/reports/')

/** Copies the accounts and sessions of a database. */
export async function copyPeople(from: Database, to: Database) {
  await to.insert(users).values(await from.select().from(users))
  await to.insert(sessions).values(await from.select().from(sessions))
}

/** Returns functions that send requests to the app over any database. */
export function createComparison(services: ReturnType<typeof openServices>['services'], readers: readonly User[]) {
  /** Returns a response, with numbers rounded: the last digits of a mean depend on the order of summation. */
  async function request(db: Database, path: string, { token }: User, init: RequestInit = {}) {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
    const response = await app.request(path, { headers, ...init }, { ...services, db, address: '192.0.2.1' })
    const round = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(12)) : value)
    const { request_id, ...body }: Json = JSON.parse((await response.text()) || '{}', round)
    return { status: response.status, body }
  }

  /** Returns all events after a cursor. */
  async function readEvents(db: Database, cursor: string, person: User): Promise<Json[]> {
    const { body } = await request(db, `/assignments/events/?limit=100&cursor=${cursor}`, person)
    if (body.results.length < 100) return body.results
    return [...body.results, ...(await readEvents(db, cursorIn(body.next), person))]
  }

  /** Returns the responses to each reader by path. */
  async function readAll(db: Database, paths: string[]) {
    const responses: Record<string, { status: number; body: Json }> = {}
    for (const [index, reader] of readers.entries()) {
      for (const path of paths) responses[`${index} ${path}`] = await request(db, path, reader)
    }
    return responses
  }

  return { request, readEvents, readAll }
}

/** Returns how many events the continuous aggregate holds, without those that it adds from the log when it is read. */
export async function countAggregated(client: postgres.Sql): Promise<number> {
  const [row] = await client`
    select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as name
    from timescaledb_information.continuous_aggregates`
  const [sum] = await client.unsafe(`select coalesce(sum(events), 0)::int as events from ${row?.name}`)
  return sum?.events
}

/** Moves old chunks of the log into columns, as the policy does. */
export const compressOldChunks = (client: postgres.Sql) => client`
  select compress_chunk(chunk) from show_chunks('assignment_events', older_than => timestamptz '2026-09-01') as chunk`

/** Returns everything that the migration sets up in TimescaleDB. */
export const readCatalogue = async (client: postgres.Sql) => ({
  aggregates: await client`
    select view_name, materialized_only, view_definition from timescaledb_information.continuous_aggregates`,
  dimensions: await client`
    select column_name, time_interval::text, compression_enabled, num_chunks
    from timescaledb_information.dimensions join timescaledb_information.hypertables using (hypertable_name)
    where hypertable_name = 'assignment_events'`,
  policies: await client`
    select proc_name, hypertable_name, schedule_interval::text, config - 'hypertable_id' - 'mat_hypertable_id' as config
    from timescaledb_information.jobs where proc_name <> 'policy_job_stat_history_retention' order by proc_name`,
  indexes: await client`
    select schemaname, indexdef from pg_indexes where starts_with(tablename, '_materialized') order by indexdef`,
})

/** Runs the steps of a migration that depend on TimescaleDB. */
export async function adaptLog(client: postgres.Sql, historyDays?: number) {
  const support = await setUpTimescale(client, historyDays)
  await defineHistoryStart(client, support.level, historyDays)
  if (support.level === 'community') await setPolicies(client, historyDays)
  return support
}
