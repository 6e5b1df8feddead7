import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { migrationStatus } from '../../src/database/migration-status.ts'
import { listEventsOfUser } from '../../src/events/log.ts'
import { positionOf } from '../../src/events/position.ts'
import { cloneDatabase, openDocket } from '../support/fixtures.ts'
import { eventIn, openStreams } from '../support/follow.ts'
import { assignmentActions } from '../support/stream.ts'

const docket = await openDocket()
const { call, createUser, db, url, advance } = docket
const { create, poll } = assignmentActions(docket)
const { owner, follow, insertEvent } = await openStreams(docket)

describe('events of concurrent transactions', () => {
  test('are delivered in the order the transactions began', async () => {
    const ada = await createUser()
    const [first, second, third] = await Promise.all([owner.reserve(), owner.reserve(), owner.reserve()])
    const stream = await follow(ada)
    const polled: string[] = []
    let { next } = await poll(ada)
    const readPage = async () => {
      const page = await poll(ada, next)
      polled.push(...page.results.map(({ name }) => name))
      next = page.next
    }
    await first`begin`
    await insertEvent(first, ada, 'began first')
    await second`begin`
    await insertEvent(second, ada, 'began second')
    await insertEvent(third, ada, 'began third')
    await readPage()
    expect(polled).toEqual([])
    await second`commit`
    await readPage()
    await insertEvent(third, ada, 'began fourth')
    await readPage()
    expect(polled).toEqual([])
    await first`commit`
    await first`begin`
    await insertEvent(first, ada, 'rolled back')
    await readPage()
    const committed = ['began first', 'began second', 'began third', 'began fourth']
    expect(polled).toEqual(committed)
    await first`rollback`
    await insertEvent(third, ada, 'last')
    await readPage()
    expect(polled).toEqual([...committed, 'last'])
    expect((await stream.take(5)).map((block) => eventIn(block).name)).toEqual([...committed, 'last'])
    for (const connection of [first, second, third]) connection.release()
    await stream.cancel()
  })

  test('in another database do not delay events', async () => {
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

  // The watermark falls for a moment while a transaction of another database ends.
  test('never move the position of a reader back', async () => {
    const ada = await createUser()
    await create(ada)
    const [first, second] = await Promise.all([owner.reserve(), owner.reserve()])
    await first`begin`
    await insertEvent(first, ada, 'uncommitted')
    await insertEvent(second, ada, 'committed')
    const [event] = await second`
      select position::text, at, id from assignment_events where name = 'committed'`
    const from = positionOf({ position: event?.position, at: event?.at.toISOString(), id: event?.id })
    const query = { filter: {}, from, limit: 100 }
    expect(await listEventsOfUser(db, ada.id, query, docket.now())).toMatchObject({ events: [], next: from })
    await first`rollback`
    for (const connection of [first, second]) connection.release()
  })

  test('are delivered in the order of their times within a transaction', async () => {
    const ada = await createUser()
    const connection = await owner.reserve()
    let cursor = (await poll(ada)).next
    await connection`begin`
    const names = ['1', '2', '3', '4', '5']
    for (const name of names) {
      advance(1)
      await insertEvent(connection, ada, name)
    }
    await connection`commit`
    connection.release()
    const delivered: string[] = []
    for (let page = 0; page < 4; page++) {
      const { results, next } = await poll(ada, cursor, { limit: '2' })
      delivered.push(...results.map(({ name }) => name))
      cursor = next
    }
    expect(delivered).toEqual(names)
  })

  test('at the same time in one transaction are each delivered once', async () => {
    const ada = await createUser()
    const connection = await owner.reserve()
    let cursor = (await poll(ada)).next
    await connection`begin`
    for (const name of ['1', '2', '3']) await insertEvent(connection, ada, name)
    await connection`commit`
    connection.release()
    const [row] =
      await owner`select array_agg(name order by id) as names from assignment_events where actor = ${ada.id}`
    const delivered: string[] = []
    for (let page = 0; page < 3; page++) {
      const { results, next } = await poll(ada, cursor, { limit: '1' })
      delivered.push(...results.map(({ name }) => name))
      cursor = next
    }
    expect(delivered).toEqual(row?.names)
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
  const response = await call('GET', '/assignments/events/', { token: ada.token })
  expect(response).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  expect(await call('GET', '/assignments/events/', { token: 'dkt_unknown' })).toMatchObject({ status: 401 })
  expect(await migrationStatus(db)).toBe('unmigrated')
  expect(await stream.nextEvent()).toBeUndefined()

  await migrate(url)
  expect(await migrationStatus(db)).toBe('migrated')
  const afterMigration = (await poll(ada)).next
  await create(ada, { name: 'after the migration' })
  const [row] = await owner`select position::text from assignment_events where name = 'after the migration'`
  expect(BigInt(row?.position)).toBeGreaterThan(BigInt(newest?.position))
  expect((await poll(ada, afterMigration)).results).toMatchObject([{ name: 'after the migration' }])
  // The positions have changed, so earlier cursors are invalid.
  expect(await call('GET', `/assignments/events/?cursor=${next}`, { token: ada.token })).toMatchObject({ status: 410 })

  const readFunction = () =>
    owner`select prosrc, pg_get_functiondef(oid) as source from pg_proc where proname = 'log_position'`
  const before = await readFunction()
  await migrate(url)
  expect(await readFunction()).toEqual(before)
})
