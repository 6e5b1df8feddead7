import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { app } from '../../src/app.ts'
import { newId } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { isMigrated } from '../../src/database/migration-status.ts'
import { Hub, type Intervals } from '../../src/events/hub.ts'
import { START } from '../../src/events/position.ts'
import { cloneDatabase, type Json, openDocket } from '../support/fixtures.ts'
import { openServices } from '../support/runtimes.ts'
import { assignmentActions, type Person, readStream } from '../support/stream.ts'

const docket = await openDocket()
const { call, createUser, db, url, now, advance, clock } = docket
const { create, change, remove, poll } = assignmentActions(docket)
const { services, close } = openServices({ url, now, environment: {} })
const owner = postgres(url, { max: 4, onnotice: () => {} })
afterAll(() => owner.end())

// Creates the chunk of the hypertable: the transaction that creates it would block the others.
await create(await createUser())

const iso = (time: number) => new Date(time).toISOString()

const hubs = new Set<Hub>()
const hubOf = (intervals: Partial<Intervals>, of = db) => {
  const hub = new Hub(of, { ...services, pollInterval: 10, ...intervals })
  hubs.add(hub)
  return hub
}
afterAll(() => {
  for (const hub of hubs) hub.close()
  return close()
})

/** Opens a stream in this process without reading from it. */
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
const logBy = (connection: postgres.Sql, { id }: Person, name: string) => connection`
  insert into assignment_events
    (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at)
  select ${newId(new Date(clock.now))}, ${iso(clock.now)}, 'created', ${id}::uuid, gen_random_uuid(), ${name}, '', 'todo', ${id}::uuid, ${id}::uuid, 1, '{}', now()`

describe('concurrent transactions', () => {
  test('are delivered in the order they began, by polls and streams', async () => {
    const ada = await createUser()
    const [first, second, third] = await Promise.all([owner.reserve(), owner.reserve(), owner.reserve()])
    const stream = await follow(ada)
    const polled: string[] = []
    let { next } = await poll(ada)
    const read = async () => {
      const page = await poll(ada, next)
      polled.push(...page.results.map(({ name }) => name))
      next = page.next
    }
    await first`begin`
    await logBy(first, ada, 'began first')
    await second`begin`
    await logBy(second, ada, 'began second')
    await logBy(third, ada, 'began third')
    await read()
    expect(polled).toEqual([])
    await second`commit`
    await read()
    await logBy(third, ada, 'began fourth')
    await read()
    expect(polled).toEqual([])
    await first`commit`
    await first`begin`
    await logBy(first, ada, 'rolled back')
    await read()
    const all = ['began first', 'began second', 'began third', 'began fourth']
    expect(polled).toEqual(all)
    await first`rollback`
    await logBy(third, ada, 'last')
    await read()
    expect(polled).toEqual([...all, 'last'])
    expect((await stream.take(5)).map(({ data }) => JSON.parse(data ?? '').name)).toEqual([...all, 'last'])
    for (const connection of [first, second, third]) connection.release()
    await stream.cancel()
  })

  test('of another database do not delay events', async () => {
    const ada = await createUser()
    const elsewhere = postgres(await cloneDatabase(), { max: 1, onnotice: () => {} })
    const connection = await elsewhere.reserve()
    await connection`begin`
    await connection`insert into common_passwords values ('not yet committed')`
    const { next } = await poll(ada)
    await create(ada)
    expect((await poll(ada, next)).results).toHaveLength(1)
    await connection`rollback`
    connection.release()
    await elsewhere.end()
  })

  test('with several events are delivered in the order of their times', async () => {
    const ada = await createUser()
    const connection = await owner.reserve()
    const { next } = await poll(ada)
    await connection`begin`
    for (const name of ['1', '2', '3', '4', '5']) {
      if (name !== '4') advance(1)
      await logBy(connection, ada, name)
    }
    await connection`commit`
    connection.release()
    const walked: string[] = []
    let cursor = next
    for (let page = 0; page < 4; page++) {
      const { results, next } = await poll(ada, cursor, { limit: '2' })
      walked.push(...results.map(({ name }) => name))
      cursor = next
    }
    expect(walked.sort()).toEqual(['1', '2', '3', '4', '5'])
  })
})

test('a log restored in another cluster is served only after a migration', async () => {
  const ada = await createUser()
  await create(ada)
  const { next } = await poll(ada)
  const stream = await follow(ada)
  // As if the log came from a cluster with higher transaction ids.
  await owner.unsafe(`
    update assignment_events set position = position + 1000000 where position > 0;
    update assignment_events set position = 1000000 + (select max(position) from assignment_events)
    where position = (select max(position) from assignment_events)`)
  const [newest] = await owner`select max(position)::text as position from assignment_events`
  expect(await call('GET', '/assignments/events/', { token: ada.token })).toMatchObject({
    ...{ status: 503, body: { code: 'unavailable' } },
  })
  expect(await isMigrated(db)).toBe(false)
  expect(await stream.nextEvent()).toBeUndefined()
  await migrate(url)
  expect(await isMigrated(db)).toBe(true)
  const moved = (await poll(ada)).next
  await create(ada, { name: 'after the move' })
  const [row] = await owner`select position::text from assignment_events where name = 'after the move'`
  expect(BigInt(row?.position)).toBeGreaterThan(BigInt(newest?.position))
  expect((await poll(ada, moved)).results).toMatchObject([{ name: 'after the move' }])
  // The positions have moved, so cursors from before are invalid.
  expect(await call('GET', `/assignments/events/?cursor=${next}`, { token: ada.token })).toMatchObject({ status: 400 })
  const shift =
    await owner`select prosrc, pg_get_functiondef(oid) as source from pg_proc where proname = 'log_position'`
  await migrate(url)
  expect(
    await owner`select prosrc, pg_get_functiondef(oid) as source from pg_proc where proname = 'log_position'`,
  ).toEqual(shift)
})

describe('an event stream', () => {
  test('sends each change with an id from which it can be resumed', async () => {
    const ada = await createUser()
    const stream = await follow(ada)
    expect(await stream.next()).toEqual({ retry: '2000', id: (await poll(ada)).next })
    const made = await create(ada)
    await change(ada, made, { status: 'done' })
    await remove(ada, made)
    const seen = await stream.take(3)
    const history = (await call('GET', `/assignments/${made.id}/history/`, { token: ada.token })).body.results
    expect(seen.map(({ data }) => JSON.parse(data ?? ''))).toEqual(history)
    expect(seen.map(({ event }) => event)).toEqual(['created', 'changed', 'deleted'])
    await stream.cancel()
    for (const [index, { id }] of seen.entries()) {
      const rest = await follow(ada, {}, { 'Last-Event-ID': id as string })
      expect(await rest.take(2 - index)).toEqual(seen.slice(index + 1))
      await rest.cancel()
      expect((await poll(ada, id)).results).toEqual(history.slice(index + 1))
    }
  })

  test('catches up with 300 old events and continues with new ones', async () => {
    const ada = await createUser()
    const names = Array.from({ length: 350 }, (_, index) => `${index}`)
    for (const name of names.slice(0, 300)) await logBy(owner, ada, name)
    const streams = await Promise.all(Array.from({ length: 5 }, () => follow(ada, { cursor: 'start' })))
    for (const name of names.slice(300)) await logBy(owner, ada, name)
    for (const stream of streams) {
      expect((await stream.take(350)).map(({ data }) => JSON.parse(data ?? '').name)).toEqual(names)
      await stream.cancel()
    }
  })

  test('sends each reader the visible events that match the filters', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const adas = await follow(ada, { status: 'done' })
    const bobs = await follow(bob)
    const made = await create(ada)
    await change(ada, made, { assignee: bob.id })
    await change(bob, made, { status: 'done' })
    await change(ada, made, { assignee: ada.id })
    await change(ada, made, { status: 'todo' })
    await change(ada, made, { status: 'done' })
    const [one, other] = [await adas.take(3), await bobs.take(3)]
    const versions = (events: typeof one) => events.map(({ data }) => JSON.parse(data ?? '').version)
    expect([versions(one), versions(other)]).toEqual([
      [3, 4, 6],
      [2, 3, 4],
    ])
    expect((await poll(ada, one[0]?.id, { status: 'done' })).results).toHaveLength(2)
    expect((await poll(bob, other[0]?.id)).results).toHaveLength(2)
    await Promise.all([adas.cancel(), bobs.cancel()])
  })

  test('sends heartbeats with a current cursor and ends after its lifetime', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const stream = await follow(ada, {}, {}, hubOf({ heartbeatInterval: 20, maxLifetime: 400 }))
    const begin = await stream.next()
    expect(await stream.next()).toMatchObject({ comment: 'still here' })
    await create(bob)
    let block = await stream.next()
    while (!block?.id) block = await stream.next()
    expect(block).toEqual({ comment: 'still here', id: (await poll(ada)).next })
    expect(block.id).not.toEqual(begin?.id)
    while (await stream.next());
    expect((await poll(ada, stream.lastId())).results).toEqual([])
  })

  const ends: [string, (person: Person) => PromiseLike<unknown>][] = [
    ['logs out', ({ token }) => call('POST', '/accounts/logout/', { token })],
    ['has a new password', ({ id }) => owner`update users set password_version = 2 where id = ${id}`],
    [
      'has an expired session',
      ({ id }) => owner`update sessions set expires_at = ${iso(clock.now)} where user_id = ${id}`,
    ],
  ]

  test.each(ends)('ends soon after its reader %s, and other streams go on', async (_, endSession) => {
    const [ada, bob] = [await createUser(), await createUser()]
    const hub = hubOf({ sessionCheckInterval: 20 })
    const [adas, bobs] = [await follow(ada, {}, {}, hub), await follow(bob, {}, {}, hub)]
    await adas.next()
    await endSession(ada)
    expect(await adas.nextEvent()).toBeUndefined()
    await create(bob, { assignee: ada.id })
    expect(await bobs.take(1)).toHaveLength(1)
    await bobs.cancel()
  })

  test.each(ends)('sends no event from after its reader %s', async (_, endSession) => {
    const [ada, bob] = [await createUser(), await createUser()]
    const hub = hubOf({ sessionCheckInterval: 1_000_000 })
    const [adas, bobs] = [await follow(ada, {}, {}, hub), await follow(bob, {}, {}, hub)]
    await create(bob, { assignee: ada.id })
    expect(await adas.take(1)).toHaveLength(1)
    await endSession(ada)
    await create(bob, { assignee: ada.id })
    expect(await adas.nextEvent()).toBeUndefined()
    expect(await bobs.take(2)).toHaveLength(2)
    await bobs.cancel()
  })

  test('does not start for a reader that is already gone', async () => {
    const { id: caller } = await createUser()
    const [session] = await owner`select id from sessions where user_id = ${caller}`
    const subscriber = { caller, session: session?.id, filter: {}, toCursor: () => 'x' }
    const page = { events: [], next: START, isFull: false }
    const stream = readStream(hubOf({}).subscribe(subscriber, undefined, page, AbortSignal.abort()))
    expect(await stream.next()).toMatchObject({ id: 'x' })
    expect(await stream.next()).toBeUndefined()
  })

  test('is cut off with a bounded buffer if its reader does not read', async () => {
    const ada = await createUser()
    const hub = hubOf({ heartbeatInterval: 30 })
    const [slow, quick] = [await follow(ada, {}, {}, hub), await follow(ada, {}, {}, hub)]
    const names = Array.from({ length: 40 }, (_, index) => `${index}`.padStart(5_000, '0'))
    const taken = quick.take(40)
    for (const name of names) await logBy(owner, ada, name)
    expect(await taken).toHaveLength(40)
    for (let signs = 0; signs < 8; ) if ((await quick.next())?.comment) signs++
    await quick.cancel()
    const got: Json[] = []
    for (let event = await slow.nextEvent(); event; event = await slow.nextEvent())
      got.push(JSON.parse(event.data ?? ''))
    expect(got.length).toBeGreaterThan(5)
    expect(got.length).toBeLessThan(20)
    const { results } = await poll(ada, slow.lastId())
    expect([...got, ...results].map(({ name }) => name)).toEqual(names)
  })

  test('continues after its reader pauses', async () => {
    const ada = await createUser()
    const stream = await follow(ada)
    const names = Array.from({ length: 60 }, (_, index) => `${index}`.padStart(5_000, '0'))
    for (const name of names.slice(0, 59)) await logBy(owner, ada, name)
    expect((await poll(ada, 'start')).results).toHaveLength(59)
    const seen = await stream.take(59)
    await logBy(owner, ada, names[59] as string)
    seen.push(...(await stream.take(1)))
    expect(seen.map(({ data }) => JSON.parse(data ?? '').name)).toEqual(names)
    await stream.cancel()
  })
})

test('the hub queries once a tick for all streams, and not without streams', async () => {
  const asked: string[] = []
  const { db, close } = connect(url, { max: 4, debug: (_, text) => asked.push(text) })
  const hub = hubOf({ pollInterval: 25, sessionCheckInterval: 60_000 }, db)
  const people = [await createUser(), await createUser(), await createUser()]
  const streams = await Promise.all(
    Array.from({ length: 30 }, (_, index) => follow(people[index % 3] as Person, {}, {}, hub)),
  )
  const events = streams.map((stream) => stream.take(1))
  for (const person of people) await create(person)
  await Promise.all(events)
  asked.length = 0
  const start = performance.now()
  while (asked.length < 10) await new Promise(setImmediate)
  expect(performance.now() - start).toBeGreaterThan(8 * 25)
  await Promise.all(streams.map((stream) => stream.cancel()))
  asked.length = 0
  await new Promise((resolve) => setTimeout(resolve, 8 * 25))
  expect(asked).toEqual([])
  await close()
})
