import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { type Json, openDocket } from '../support/fixtures.ts'
import { assignmentActions, type Person, summarize } from '../support/stream.ts'
import { until } from '../support/wait.ts'

const docket = await openDocket()
const { call, createUser, url } = docket
const actions = assignmentActions(docket)
const { create, change, remove } = actions
const owner = postgres(url, { max: 1, onnotice: () => {} })
afterAll(() => owner.end())

/** Polls once no transaction of other tests on the same server can delay the events so far. */
async function poll(...args: Parameters<typeof actions.poll>) {
  await until(async () => {
    const [log] = await owner`
      select coalesce(max(position) < log_position(pg_snapshot_xmin(pg_current_snapshot())), true) as is_settled
      from assignment_events`
    return log?.is_settled
  })
  return actions.poll(...args)
}

describe('polling for events', () => {
  test('without a cursor returns later events, in order and once', async () => {
    const ada = await createUser()
    await create(ada)
    const first = await poll(ada)
    expect(first.results).toEqual([])
    expect((await poll(ada, first.next)).results).toEqual([])
    const made = await create(ada)
    await change(ada, made, { status: 'done' })
    await change(ada, made, { status: 'done' })
    await remove(ada, made)
    const second = await poll(ada, first.next)
    expect(summarize(second.results)).toEqual(['created 1', 'changed 2', 'deleted 3'])
    const history = (await call('GET', `/assignments/${made.id}/history/`, { token: ada.token })).body.results
    expect(second.results).toEqual(history)
    expect((await poll(ada, second.next)).results).toEqual([])
    // A cursor can be used again.
    expect((await poll(ada, first.next)).results).toEqual(second.results)
  })

  test('from the start returns all events in pages of any size', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    expect(await poll(ada, 'start')).toMatchObject({ results: [] })
    for (let index = 0; index < 7; index++)
      await create(index % 3 === 0 ? bob : ada, { name: `${index}`, assignee: ada.id })
    const all = (await poll(ada, 'start')).results
    expect(all.map(({ name }) => name)).toEqual(['0', '1', '2', '3', '4', '5', '6'])
    for (const limits of [['1'], ['2', '1'], ['7'], ['8']]) {
      const collected: Json[] = []
      let cursor = 'start'
      for (let page = 0; page < 10; page++) {
        const { next, results } = await poll(ada, cursor, { limit: limits[page % limits.length] as string })
        collected.push(...results)
        cursor = next
      }
      expect(collected).toEqual(all)
    }
  })

  test('includes the event that takes an assignment away, and none after it', async () => {
    const [ada, bob, eve] = [await createUser(), await createUser(), await createUser()]
    const start = await Promise.all([ada, bob, eve].map((person) => poll(person)))
    const made = await create(ada)
    await change(ada, made, { assignee: bob.id })
    await change(bob, made, { status: 'in progress' })
    await change(ada, made, { assignee: ada.id, name: 'y', description: 'private' })
    await change(ada, made, { status: 'done' })
    const [adaPage, bobPage, evePage] = await Promise.all(
      [ada, bob, eve].map((person, index) => poll(person, start[index]?.next)),
    )
    expect(summarize(adaPage?.results ?? [])).toEqual(['created 1', 'changed 2', 'changed 3', 'changed 4', 'changed 5'])
    expect(summarize(bobPage?.results ?? [])).toEqual(['changed 2', 'changed 3', 'changed 4'])
    expect(evePage?.results).toEqual([])
    // What the assignment is after the change was never Bob's to see.
    expect(adaPage?.results[3]).toMatchObject({ name: 'y', description: 'private' })
    const changed = ['name', 'description', 'assignee']
    expect(bobPage?.results[2]).toMatchObject({ name: null, description: null, assignee: ada.id, version: 4, changed })
    expect(bobPage?.results[1]).toMatchObject({ name: 'x', description: '' })
    for (const [person, page] of [
      [ada, adaPage],
      [bob, bobPage],
      [eve, evePage],
    ] as const) {
      expect((await poll(person, 'start')).results).toEqual(page?.results)
    }
  })

  test('keeps the texts for a creator who assigns it to somebody else, and in a deletion', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const made = await create(ada, { description: 'private', assignee: bob.id })
    await change(ada, made, { assignee: ada.id })
    await change(ada, made, { assignee: bob.id })
    await remove(ada, made)
    const texts = async (person: Person) => (await poll(person, 'start')).results.map(({ description }) => description)
    expect(await texts(ada)).toEqual(['private', 'private', 'private', 'private'])
    expect(await texts(bob)).toEqual(['private', null, 'private', 'private'])
    const { results } = (await call('GET', `/assignments/${made.id}/history/`, { token: bob.token })).body
    expect(results).toEqual((await poll(bob, 'start')).results)
  })

  test('filters by the state of the assignment before or after the event', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const made = await create(ada)
    await change(ada, made, { assignee: bob.id })
    await change(bob, made, { status: 'done' })
    const other = await create(bob, { assignee: ada.id, status: 'error' })
    await remove(bob, other)
    for (const [query, expected] of [
      [{ assignee: 'me' }, ['created 1', 'changed 2', 'created 1', 'deleted 2']],
      [{ assignee: bob.id.toUpperCase() }, ['changed 2', 'changed 3']],
      [{ creator: bob.id }, ['created 1', 'deleted 2']],
      [{ status: 'done,error' }, ['changed 3', 'created 1', 'deleted 2']],
      [{ assignment: other.id }, ['created 1', 'deleted 2']],
      [{ assignment: made.id.toUpperCase(), status: 'todo' }, ['created 1', 'changed 2', 'changed 3']],
      [{ assignment: ada.id }, []],
      // Before as a whole or after as a whole: it was never done and assigned to Ada.
      [{ status: 'done', assignee: 'me' }, []],
      [{ status: 'todo', assignee: 'me' }, ['created 1', 'changed 2']],
    ] as const) {
      expect([query, summarize((await poll(ada, 'start', query)).results)]).toEqual([query, expected])
    }
    const eve = await createUser()
    expect((await poll(eve, 'start', { assignment: made.id })).results).toEqual([])
    // Pages of one event use the index by assignment.
    let cursor = 'start'
    for (const version of [1, 2, 3]) {
      const page = await poll(ada, cursor, { assignment: made.id, limit: '1' })
      expect(page.results).toMatchObject([{ version }])
      cursor = page.next
    }
    expect((await poll(ada, cursor, { assignment: made.id, limit: '1' })).results).toEqual([])
  })

  test('checks the token first, then the query, then the cursor', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await create(ada)
    const current = (await poll(ada)).next
    const full = (await poll(ada, 'start', { limit: '1' })).next
    const request = (query: string, { token }: { token?: string } = ada, headers = {}) =>
      call('GET', `/assignments/events/?${query}`, { ...(token && { token }), headers })
    expect(await request('cursor=x&limit=no', {})).toMatchObject({ status: 401 })
    expect(await request('limit=101&statue=done')).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    for (const [query, caller] of [
      ['cursor=x', ada],
      [`cursor=${current}x`, ada],
      [`cursor=${current}`, bob],
      [`cursor=${full}`, bob],
      [`cursor=${current}&status=done`, ada],
      [`cursor=${full}&assignee=me`, ada],
      [`cursor=${(await poll(ada, undefined, { status: 'done' })).next}`, ada],
    ] as const) {
      for (const Accept of ['application/json', 'text/event-stream']) {
        expect(await request(query, caller, { Accept })).toMatchObject({
          status: 400,
          body: { code: 'invalid_cursor' },
        })
      }
    }
    expect(await request(`cursor=${current}`, ada, { 'Last-Event-ID': 'x' })).toMatchObject({
      body: { code: 'invalid_cursor' },
    })
    expect(await request(`cursor=x`, ada, { 'Last-Event-ID': current })).toMatchObject({ status: 200 })
    expect(await request(`cursor=${current}`, ada, { 'Last-Event-ID': '' })).toMatchObject({ status: 200 })
  })

  test('resumes from Last-Event-ID, else lastEventId, else cursor', async () => {
    const ada = await createUser()
    for (let count = 0; count < 3; count++) await create(ada)
    const first = (await poll(ada, 'start', { limit: '1' })).next
    const second = (await poll(ada, 'start', { limit: '2' })).next
    const ask = async (query: object, headers = {}) => {
      const path = `/assignments/events/?${new URLSearchParams({ ...query })}`
      const { status, body } = await call('GET', path, { token: ada.token, headers })
      return status === 200 ? body.results.length : body.code
    }
    const header = { 'Last-Event-ID': first }
    expect(await ask({ lastEventId: second })).toBe(1)
    expect(await ask({ lastEventId: second, cursor: 'start' })).toBe(1)
    expect(await ask({ lastEventId: second, cursor: 'x' })).toBe(1)
    expect(await ask({ lastEventId: '', cursor: first })).toBe(2)
    expect(await ask({ lastEventId: second, cursor: 'start' }, header)).toBe(2)
    expect(await ask({ lastEventId: 'x' }, header)).toBe(2)
    expect(await ask({ lastEventId: second }, { 'Last-Event-ID': '' })).toBe(1)
    expect(await ask({ lastEventId: 'start' })).toBe(3)
    expect(await ask({ lastEventId: 'x', cursor: first })).toBe('invalid_cursor')
    expect(await ask({ lastEventId: first, status: 'done' })).toBe('invalid_cursor')
    expect(await ask({ last_event_id: first })).toBe('invalid_request')
  })

  test('answers 410 to a cursor whose event is no longer in the log', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await create(ada)
    const ownCursor = (await poll(ada, 'start', { limit: '1' })).next
    const bobsAssignment = await create(bob)
    const newestCursor = (await poll(ada)).next
    await create(bob)
    expect((await poll(ada, newestCursor)).results).toEqual([])
    await owner`delete from assignment_events where creator = ${ada.id} or assignment = ${bobsAssignment.id}`
    for (const cursor of [ownCursor, newestCursor]) {
      const response = await call('GET', `/assignments/events/?cursor=${cursor}`, { token: ada.token })
      expect(response).toMatchObject({ status: 410, body: { code: 'cursor_expired' } })
      const headers = { Accept: 'text/event-stream', 'Last-Event-ID': cursor }
      const stream = await call('GET', '/assignments/events/', { token: ada.token, headers })
      expect(stream).toMatchObject({ status: 410, body: { code: 'cursor_expired' } })
    }
  })

  test('returns cursors without ids of other users’ events', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const made = await create(bob)
    const [event] = await owner`select id, at from assignment_events where assignment = ${made.id}`
    const cursor = Buffer.from((await poll(ada)).next, 'base64url').toString()
    for (const secret of [made.id, event?.id, event?.at.toISOString()]) expect(cursor).not.toContain(secret)
  })

  test('allows GET and HEAD, with and without the slash', async () => {
    const { token } = await createUser()
    for (const path of ['/assignments/events', '/assignments/events/']) {
      expect(await call('HEAD', path, { token })).toMatchObject({ status: 200, text: '' })
      expect(await call('GET', path, { token })).toMatchObject({ status: 200 })
      for (const method of ['PUT', 'PATCH', 'DELETE', 'POST']) {
        const response = await call(method, path)
        expect([response.status, response.headers.get('Allow')]).toEqual([405, 'GET, HEAD'])
        expect(response.body).toMatchObject({ code: 'method_not_allowed' })
      }
    }
    const head = await call('HEAD', '/assignments/events/', { token, headers: { Accept: 'text/event-stream' } })
    expect(head.headers.get('Content-Type')).toBe('text/event-stream')
  })
})
