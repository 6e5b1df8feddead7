import postgres from 'postgres'
import { afterAll, expect } from 'vitest'
import { app } from '../../src/app.ts'
import { newId } from '../../src/crypto.ts'
import { Hub, type Intervals } from '../../src/events/hub.ts'
import type { Docket } from './fixtures.ts'
import { openServices } from './runtimes.ts'
import { assignmentActions, type Block, type Person, readStream } from './stream.ts'

/** Opens streams of the API in this process, and a connection to the log. Closes all after the test file. */
export async function openStreams(docket: Docket) {
  const { createUser, db, url, now, clock } = docket
  const { services, close } = openServices({ url, now, environment: {} })
  const owner = postgres(url, { max: 4, onnotice: () => {} })
  const hubs = new Set<Hub>()
  afterAll(async () => {
    for (const hub of hubs) hub.close()
    await Promise.all([close(), owner.end()])
  })
  // Creates the chunk of the hypertable: the transaction that creates it would block the others.
  await assignmentActions(docket).create(await createUser())

  /** Starts a hub with its own intervals. */
  function startHub(intervals: Partial<Intervals>, database = db) {
    const hub = new Hub(database, { ...services, pollInterval: 10, ...intervals })
    hubs.add(hub)
    return hub
  }

  /** Opens a stream without reading from it. */
  async function follow({ token }: Person, query: Record<string, string> = {}, headers = {}, hub = services.hub) {
    const response = await app.request(
      `/assignments/events/?${new URLSearchParams(query)}`,
      { headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream', ...headers } },
      { ...services, hub, address: '192.0.2.1' },
    )
    expect([response.status, response.headers.get('Content-Type')]).toEqual([200, 'text/event-stream'])
    expect(response.headers.get('Cache-Control')).toBe('no-store, no-transform')
    return readStream(response.body)
  }

  /** Inserts an event on a connection whose transaction the test controls. */
  function insertEvent(connection: postgres.Sql, { id }: Person, name: string) {
    const at = new Date(clock.now)
    return connection`
      insert into assignment_events
        (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at)
      select ${newId(at)}, ${at.toISOString()}, 'created', ${id}::uuid, gen_random_uuid(), ${name}, '', 'todo',
        ${id}::uuid, ${id}::uuid, 1, '{}', now()`
  }

  return { owner, startHub, follow, insertEvent }
}

/** Returns the event in a block. */
export const eventIn = ({ data }: Block) => JSON.parse(data ?? '')
