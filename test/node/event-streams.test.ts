import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { connect } from '../../src/database/connect.ts'
import { START } from '../../src/events/position.ts'
import { type Json, openDocket } from '../support/fixtures.ts'
import { eventIn, openStreams } from '../support/follow.ts'
import { assignmentActions, type Block, type Person, readStream } from '../support/stream.ts'
import { until } from '../support/wait.ts'

const docket = await openDocket()
const { call, createUser, db, url, clock } = docket
const { create, change, remove, poll } = assignmentActions(docket)
const { owner, startHub, follow, insertEvent } = await openStreams(docket)

const namesIn = (blocks: Block[]) => blocks.map((block) => eventIn(block).name)

/** Returns different names of 5,000 characters. */
const longNames = (count: number) => Array.from({ length: count }, (_, index) => `${index}`.padStart(5_000, '0'))

describe('an event stream', () => {
  test('sends each change with an id from which it can be resumed', async () => {
    const ada = await createUser()
    const stream = await follow(ada)
    expect(await stream.next()).toEqual({ retry: '2000', id: (await poll(ada)).next })
    const made = await create(ada)
    await change(ada, made, { status: 'done' })
    await remove(ada, made)
    const blocks = await stream.take(3)
    const history = (await call('GET', `/assignments/${made.id}/history/`, { token: ada.token })).body.results
    expect(blocks.map(eventIn)).toEqual(history)
    expect(blocks.map(({ event }) => event)).toEqual(['created', 'changed', 'deleted'])
    await stream.cancel()
    for (const [index, { id }] of blocks.entries()) {
      const resumed = await follow(ada, {}, { 'Last-Event-ID': id as string })
      expect(await resumed.take(2 - index)).toEqual(blocks.slice(index + 1))
      await resumed.cancel()
      expect((await poll(ada, id)).results).toEqual(history.slice(index + 1))
    }
  })

  test('catches up with 300 old events and continues with new ones', async () => {
    const ada = await createUser()
    const names = Array.from({ length: 350 }, (_, index) => `${index}`)
    for (const name of names.slice(0, 300)) await insertEvent(owner, ada, name)
    const streams = await Promise.all(Array.from({ length: 5 }, () => follow(ada, { cursor: 'start' })))
    for (const name of names.slice(300)) await insertEvent(owner, ada, name)
    for (const stream of streams) {
      expect(namesIn(await stream.take(350))).toEqual(names)
      await stream.cancel()
    }
  })

  test('sends each reader the visible events that match the filters', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const adaStream = await follow(ada, { status: 'done' })
    const bobStream = await follow(bob)
    const made = await create(ada)
    await change(ada, made, { assignee: bob.id })
    await change(bob, made, { status: 'done' })
    await change(ada, made, { assignee: ada.id, name: 'y', description: 'private' })
    await change(ada, made, { status: 'todo' })
    await change(ada, made, { name: 'z' })
    await change(ada, made, { status: 'done' })
    const [adaBlocks, bobBlocks] = [await adaStream.take(4), await bobStream.take(3)]
    expect(adaBlocks.map((block) => eventIn(block).version)).toEqual([3, 4, 5, 7])
    expect(bobBlocks.map((block) => eventIn(block).version)).toEqual([2, 3, 4])
    expect(eventIn(adaBlocks[1] as Block)).toMatchObject({ name: 'y', description: 'private' })
    expect(eventIn(bobBlocks[2] as Block)).toMatchObject({ name: null, description: null, assignee: ada.id })
    expect((await poll(ada, adaBlocks[0]?.id, { status: 'done' })).results).toHaveLength(3)
    expect((await poll(bob, bobBlocks[0]?.id)).results).toHaveLength(2)
    await Promise.all([adaStream.cancel(), bobStream.cancel()])
  })

  test('sends heartbeats with a current cursor and ends after its lifetime', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const stream = await follow(ada, {}, {}, startHub({ heartbeatInterval: 20, maxLifetime: 3_000 }))
    const first = await stream.next()
    expect(await stream.next()).toMatchObject({ comment: 'still here' })
    await create(bob)
    const moved = await until(async () => {
      const block = await stream.next()
      return block === undefined || block.id !== undefined ? { block } : undefined
    })
    expect(moved?.block).toEqual({ comment: 'still here', id: (await poll(ada)).next })
    expect(moved?.block?.id).not.toEqual(first?.id)
    expect(await stream.nextEvent()).toBeUndefined()
    expect((await poll(ada, stream.lastId())).results).toEqual([])
  })

  const endings: [string, (person: Person) => PromiseLike<unknown>][] = [
    ['logs out', ({ token }) => call('POST', '/accounts/logout/', { token })],
    ['has a new password', ({ id }) => owner`update users set password_version = 2 where id = ${id}`],
    [
      'has an expired session',
      ({ id }) => owner`update sessions set expires_at = ${new Date(clock.now).toISOString()} where user_id = ${id}`,
    ],
    [
      'has logged in 100 times more',
      async ({ id }) => {
        const session = { user_id: id, password_version: 1, user_agent: null, days: 30 }
        for (let login = 1; login <= 100; login++) await createSession(db, session, new Date(clock.now + login))
      },
    ],
  ]

  test.each(endings)('ends soon after its reader %s, and other streams go on', async (_, endSession) => {
    const [ada, bob] = [await createUser(), await createUser()]
    const hub = startHub({ sessionCheckInterval: 20 })
    const [adaStream, bobStream] = [await follow(ada, {}, {}, hub), await follow(bob, {}, {}, hub)]
    await adaStream.next()
    await endSession(ada)
    expect(await adaStream.nextEvent()).toBeUndefined()
    await create(bob, { assignee: ada.id })
    expect(await bobStream.take(1)).toHaveLength(1)
    await bobStream.cancel()
  })

  test.each(endings)('sends no event from after its reader %s', async (_, endSession) => {
    const [ada, bob] = [await createUser(), await createUser()]
    const hub = startHub({ sessionCheckInterval: 1_000_000 })
    const [adaStream, bobStream] = [await follow(ada, {}, {}, hub), await follow(bob, {}, {}, hub)]
    await create(bob, { assignee: ada.id })
    expect(await adaStream.take(1)).toHaveLength(1)
    await endSession(ada)
    await create(bob, { assignee: ada.id })
    expect(await adaStream.nextEvent()).toBeUndefined()
    expect(await bobStream.take(2)).toHaveLength(2)
    await bobStream.cancel()
  })

  test('does not start for a reader that is already gone', async () => {
    const { id: caller } = await createUser()
    const [session] = await owner`select id from sessions where user_id = ${caller}`
    const subscriber = { caller, session: session?.id, filter: {}, toCursor: () => 'x' }
    const page = { events: [], next: START, isFull: false }
    const stream = readStream(startHub({}).subscribe(subscriber, undefined, page, AbortSignal.abort()))
    expect(await stream.next()).toMatchObject({ id: 'x' })
    expect(await stream.next()).toBeUndefined()
  })

  test('is cut off with a bounded buffer if its reader does not read', async () => {
    const ada = await createUser()
    const hub = startHub({ heartbeatInterval: 30 })
    const [slow, quick] = [await follow(ada, {}, {}, hub), await follow(ada, {}, {}, hub)]
    const names = longNames(40)
    const received = quick.take(40)
    for (const name of names) await insertEvent(owner, ada, name)
    expect(await received).toHaveLength(40)
    // After some heartbeats, the hub has cut off the slow stream.
    for (let heartbeats = 0; heartbeats < 8; ) {
      const block = await quick.next()
      expect(block).toBeDefined()
      if (block?.comment) heartbeats++
    }
    await quick.cancel()
    const buffered: Json[] = []
    for (let block = await slow.nextEvent(); block; block = await slow.nextEvent()) buffered.push(eventIn(block))
    expect(buffered.length).toBeGreaterThan(5)
    expect(buffered.length).toBeLessThan(20)
    const { results } = await poll(ada, slow.lastId())
    expect([...buffered, ...results].map(({ name }) => name)).toEqual(names)
  })

  test('continues after its reader pauses', async () => {
    const ada = await createUser()
    const stream = await follow(ada)
    const names = longNames(60)
    for (const name of names.slice(0, 59)) await insertEvent(owner, ada, name)
    expect((await poll(ada, 'start')).results).toHaveLength(59)
    const blocks = await stream.take(59)
    await insertEvent(owner, ada, names[59] as string)
    blocks.push(...(await stream.take(1)))
    expect(namesIn(blocks)).toEqual(names)
    await stream.cancel()
  })
})

test('the hub queries once an interval, and not at all without streams', async () => {
  const pollInterval = 25
  const queryTimes: number[] = []
  const { db, close } = connect(url, { max: 4, debug: () => queryTimes.push(performance.now()) })
  const hub = startHub({ pollInterval, sessionCheckInterval: 60_000 }, db)
  const people = [await createUser(), await createUser(), await createUser()]
  const streams = await Promise.all(
    Array.from({ length: 30 }, (_, index) => follow(people[index % 3] as Person, {}, {}, hub)),
  )
  const events = streams.map((stream) => stream.take(1))
  for (const person of people) await create(person)
  await Promise.all(events)
  queryTimes.length = 0
  await until(() => queryTimes.length >= 10)
  // At least an interval lies between two queries, with a tolerance for timers.
  expect((queryTimes[9] as number) - (queryTimes[0] as number)).toBeGreaterThan(8 * pollInterval)
  await Promise.all(streams.map((stream) => stream.cancel()))
  // The last query may still be running.
  await delay(4 * pollInterval)
  queryTimes.length = 0
  await delay(8 * pollInterval)
  expect(queryTimes).toEqual([])
  await close()
})
