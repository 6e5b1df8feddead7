import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { createEmailChange } from '../../src/accounts/email-changes.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import { beginDeletion } from '../../src/assignments/account-deletion.ts'
import { sha256 } from '../../src/crypto.ts'
import { assignment_events, assignment_search, assignments, sessions, users } from '../../src/database/schema.ts'
import { generateLog, insertLog, pathsToCompare } from '../reference/event-log.ts'
import { comparable, createSignupBody, fewerOnWorkers, type Json, openDocket, PASSWORD } from '../support/fixtures.ts'
import { until } from '../support/wait.ts'

const docket = await openDocket()
const { call, logIn, createUser, newestCode, drain, resend, db, now, advance, purge, passwordHash } = docket

type User = Awaited<ReturnType<typeof createUser>>

const remove = ({ token }: { token: string }, password = PASSWORD) =>
  call('POST', '/accounts/delete/', { token, body: { password } })

async function create({ token }: User, body: Json) {
  const response = await call('POST', '/assignments/', { token, body })
  expect(response.status).toBe(201)
  return response.body
}

async function change({ token }: User, id: string, body: Json) {
  const response = await call('PATCH', `/assignments/${id}/`, { token, body })
  expect(response.status).toBe(200)
  return response.body
}

const read = ({ token }: User, path: string) => call('GET', path, { token })

/** Returns the first events of a user, once they are readable: they wait for older transactions, such as one of autovacuum. */
async function eventsOf(user: User, count: number): Promise<Json[]> {
  let events: Json[] = []
  await until(async () => {
    events = (await read(user, '/assignments/events/?cursor=start&limit=100')).body.results
    return events.length >= count
  })
  return events
}

/** Returns where the database has a text, as `table.column`. */
async function placesOf(text: string) {
  const columns = await db.execute<{ table: string; column: string }>(sql`
    select table_name as "table", column_name as "column" from information_schema.columns
    where table_schema = 'public' and table_name in (
      select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'
    )`)
  const places = []
  for (const { table, column } of columns) {
    const [found] = await db.execute(
      sql`select from ${sql.identifier(table)} where strpos(lower(${sql.identifier(column)}::text), ${text}) > 0 limit 1`,
    )
    if (found) places.push(`${table}.${column}`)
  }
  return places
}

describe('a deleted account', () => {
  test('has no session, no login and no address, and its address can sign up as a new person', async () => {
    const ada = await createUser()
    const other = (await logIn(ada.email, PASSWORD)).body.token
    await create(ada, { name: 'Private' })
    expect(await remove(ada)).toMatchObject({ status: 204, text: '' })
    for (const token of [ada.token, other])
      expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
    expect(comparable(await logIn(ada.email, PASSWORD))).toEqual(
      comparable(await logIn('nobody@example.com', PASSWORD)),
    )
    expect(await remove(ada)).toMatchObject({ status: 401 })

    await call('POST', '/accounts/signup/', { body: createSignupBody(ada.email) })
    const body = { code: await newestCode() }
    expect(await call('POST', '/accounts/activate-account/', { body })).toMatchObject({ status: 200 })
    const { user, token } = (await logIn(ada.email, PASSWORD)).body
    expect(user.id).not.toBe(ada.id)
    expect((await call('GET', '/assignments/?count=true', { token })).body).toMatchObject({ count: 0, results: [] })
    expect((await call('GET', '/assignments/events/?cursor=start', { token })).body.results).toEqual([])
  })

  test('is told by mail, without a code', async () => {
    const ada = await createUser()
    await remove(ada)
    await drain()
    const mails = resend.sent.filter(({ to }) => to === ada.email)
    expect(mails).toHaveLength(1)
    expect(mails[0]?.text).toContain('2026-11-22 at ')
    expect(mails[0]?.text).not.toMatch(/[0-9A-Z]{4}-[0-9A-Z]{4}|https?:/)
  })

  test('takes what it created with it, and gives back what others assigned to it', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const own = await create(ada, { name: 'Own' })
    const shared = await create(ada, { name: 'Shared', assignee: bob.id })
    const given = await create(bob, { name: 'Given', description: 'By Bob', assignee: ada.id, status: 'in progress' })
    const history = (await read(bob, `/assignments/${shared.id}/history/`)).body.results
    advance(60)
    await remove(ada)

    const at = now().toISOString()
    expect(await read(bob, `/assignments/${shared.id}/`)).toMatchObject({ status: 404 })
    expect((await read(bob, `/assignments/${given.id}/`)).body).toEqual({
      ...given,
      assignee: bob.id,
      version: 2,
      updated_at: at,
    })
    expect((await read(bob, '/assignments/?search=given')).body.results).toHaveLength(1)
    const events = await eventsOf(bob, 4)
    // The events of one transaction are in no particular order.
    const last = events.slice(2).sort((a, b) => (a.kind > b.kind ? -1 : 1))
    expect([...events.slice(0, 2), ...last]).toMatchObject([
      { kind: 'created', assignment: shared.id },
      { kind: 'created', assignment: given.id },
      { kind: 'deleted', assignment: shared.id, actor: ada.id, name: 'Shared', version: 2, at, changed: [] },
      { kind: 'changed', assignment: given.id, actor: ada.id, assignee: bob.id, version: 2, at, changed: ['assignee'] },
    ])
    const later = (await read(bob, `/assignments/${shared.id}/history/`)).body.results
    expect(later.slice(0, 1)).toEqual(history)
    expect(later).toHaveLength(2)
    const ids = [own.id, shared.id, given.id]
    const rows = await db.execute(sql`select assignment from assignment_search where ${ada.id} = any(people)`)
    expect(rows).toEqual([])
    expect(await db.$count(assignments, sql`id in ${ids}`)).toBe(1)
    expect(await db.$count(users, sql`id = ${ada.id}`)).toBe(0)
    const versions = await db.execute<{ version: string }>(
      sql`select distinct substr(id::text, 15, 1) as version from assignment_events where actor = ${ada.id}`,
    )
    expect(versions).toEqual([{ version: '7' }])
  })

  test('leaves its pending address to others', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    const email = 'wanted@example.org'
    const session = { password_version: 1, account: ada }
    const code = (await createEmailChange(db, session, email, now()))?.code
    await remove(ada)
    const change = (await createEmailChange(db, { ...session, account: bob }, email, now()))?.code
    const verify = (body: Json) => call('POST', '/accounts/email-change/verify/', { token: bob.token, body })
    expect(await verify({ code })).toMatchObject({ status: 400 })
    expect(await verify({ code: change })).toMatchObject({ status: 200, body: { id: bob.id, email } })
  })

  test('cannot be assigned to', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await remove(ada)
    for (const assignee of [ada.id, ada.email]) {
      const response = await call('POST', '/assignments/', { token: bob.token, body: { name: 'A', assignee } })
      expect(response).toMatchObject({ status: 400, body: { errors: [{ pointer: '/assignee' }] } })
    }
  })

  test('leaves no address, name and private text in any table', async () => {
    const ada = await createUser({ first_name: 'Xaviera', last_name: 'Quillfeather', email: 'xaviera@example.com' })
    const [bob, cy] = [await createUser(), await createUser()]
    await createEmailChange(db, { password_version: 1, account: bob }, ada.email, now())
    const waiting = { first_name: 'Xaviera', last_name: 'Quillfeather', email: 'xaviera@example.com' }
    await createEmailChange(db, { password_version: 1, account: ada }, 'xaviera@example.org', now())
    await db.execute(sql`update users set email = 'moved@example.com' where id = ${ada.id}`)
    await createSignup(db, { ...waiting, password: passwordHash }, now())
    await db.execute(sql`update users set email = 'xaviera@example.com' where id = ${ada.id}`)

    const secret = await create(ada, { name: 'Hushhush plan', description: 'Hushhush text' })
    advance(1)
    await change(ada, secret.id, { name: 'Hushhush plan, second', description: 'Hushhush text, second' })
    const gone = await create(ada, { name: 'Hushhush and deleted' })
    advance(1)
    await call('DELETE', `/assignments/${gone.id}/`, { token: ada.token })
    // Bob sees this one for a while.
    const lent = await create(ada, { name: 'Hushhush before', description: 'Shown to Bob' })
    advance(1)
    await change(ada, lent.id, { name: 'Shown name', assignee: bob.id })
    advance(1)
    await change(ada, lent.id, { name: 'Shown name, second' })
    advance(1)
    const shownAt = now().toISOString()
    const shown = (await read(bob, `/assignments/${lent.id}/?as_of=${shownAt}`)).body
    advance(1)
    await change(ada, lent.id, { name: 'Hushhush after', assignee: ada.id })
    advance(1)
    await change(ada, lent.id, { description: 'Hushhush at the end' })
    // Cy sees this one at its end, and so its whole history.
    const kept = await create(ada, { name: 'Known to Cy later' })
    advance(1)
    await change(ada, kept.id, { name: 'Handed over', assignee: cy.id })
    const [bobs, cys] = [await eventsOf(bob, 3), await read(cy, `/assignments/${kept.id}/history/`)]
    advance(1)
    expect(await remove(ada)).toMatchObject({ status: 204 })

    for (const text of ['xaviera', 'quillfeather', 'hushhush']) expect(await placesOf(text)).toEqual([])
    expect((await read(bob, `/assignments/${lent.id}/?as_of=${shownAt}`)).body).toEqual(shown)
    expect(await eventsOf(bob, 3)).toEqual(bobs)
    const history = (await read(cy, `/assignments/${kept.id}/history/`)).body.results
    expect(history.slice(0, -1)).toEqual(cys.body.results)
    expect(history.map(({ name }: Json) => name)).toEqual(['Known to Cy later', 'Handed over', 'Handed over'])
  })
})

test('a wrong password deletes nothing and counts as a failed login', async () => {
  const ada = await createUser()
  const from = '198.51.100.9'
  const attempt = () => call('POST', '/accounts/delete/', { token: ada.token, body: { password: 'wrong horse' }, from })
  for (let count = 0; count < 10; count++) {
    expect(await attempt()).toMatchObject({ status: 400, body: { code: 'wrong_password' } })
  }
  expect(await attempt()).toMatchObject({ status: 429 })
  expect(await call('GET', '/accounts/', { token: ada.token })).toMatchObject({ status: 200 })
})

test('the past of everybody else stays as it was', async () => {
  const { call, createUser, db, clock } = await openDocket()
  const people = [await createUser(), await createUser(), await createUser()] as const
  const [ada, bob, cy] = people
  const log = generateLog(
    people.map(({ id }) => id),
    clock.now - 60_000,
  )
  await insertLog(db, log)
  // The deletion belongs to the present: to lists of now, and to no period of a report.
  clock.now += 15 * 86_400_000
  const paths = pathsToCompare(log, bob.id).filter(
    (path) => !/\/(assignments|throughput|flow)\/\?/.test(path) || /as_of|to=/.test(path),
  )
  const readAll = async ({ token }: User) => {
    const bodies = []
    for (const path of paths) {
      const { status, body } = await call('GET', path, { token })
      const { request_id, ...rest } = body
      bodies.push({ path, status, ...rest })
    }
    return bodies
  }
  const before = [await readAll(bob), await readAll(cy)]
  const { token } = ada
  expect(await call('POST', '/accounts/delete/', { token, body: { password: PASSWORD } })).toMatchObject({
    status: 204,
  })
  const after = [await readAll(bob), await readAll(cy)]
  // The deletion adds an event to histories.
  const past = (bodies: Json[]) =>
    bodies.map((body) =>
      body.path.endsWith('/history/') && body.results
        ? { ...body, results: body.results.filter(({ at }: Json) => at < new Date(clock.now).toISOString()) }
        : body,
    )
  expect(past(after[0] as Json[])).toEqual(before[0])
  expect(past(after[1] as Json[])).toEqual(before[1])
})

describe('an account with many assignments', () => {
  /** Inserts assignments as SQL, half of them created by the first user and half assigned to them. */
  async function insertMany(user: User, other: User, count: number) {
    await db.execute(sql`
      with created as (
        insert into assignments (id, name, description, status, assignee, creator, created_at, updated_at, version)
        select gen_random_uuid(), 'Many ' || number, '', 'todo',
          case when number % 3 = 0 then ${other.id}::uuid else ${user.id}::uuid end,
          case when number % 3 = 1 then ${other.id}::uuid else ${user.id}::uuid end,
          ${now().toISOString()}, ${now().toISOString()}, 1
        from generate_series(1, ${count}::int) as number returning *
      ), indexed as (
        insert into assignment_search select id, array[assignee, creator], name || '"' from created
      )
      insert into assignment_events
        (id, at, kind, actor, assignment, created_at, name, description, status, assignee, creator, version, changed)
      select gen_random_uuid(), created_at, 'created', creator, id, created_at, name, '', status, assignee, creator, 1, '{}'
      from created`)
  }

  test('is deleted completely', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await insertMany(ada, bob, 1500)
    advance(1)
    expect(await remove(ada)).toMatchObject({ status: 204 })
    expect(await db.$count(users, sql`id = ${ada.id}`)).toBe(0)
    expect(await db.$count(assignments, sql`${ada.id} in (creator, assignee)`)).toBe(0)
    expect((await read(bob, '/assignments/?count=true')).body.count).toBe(500)
    const kinds = await db.execute(sql`
      select kind, count(*)::int from assignment_events where actor = ${ada.id} and version = 2 group by kind order by kind`)
    expect(kinds).toEqual([
      { kind: 'changed', count: 500 },
      { kind: 'deleted', count: 1000 },
    ])
    expect(await db.$count(assignment_search, sql`${ada.id} = any(people)`)).toBe(0)
    expect(await db.$count(assignment_events, sql`creator = ${ada.id} and assignee = creator and name <> ''`)).toBe(0)
  })

  test('whose deletion was interrupted has no login, and the hourly maintenance finishes it', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await insertMany(ada, bob, 450)
    advance(1)
    const bearer = { token_hash: sha256(ada.token), now: now().toISOString() }
    expect(await beginDeletion(db, bearer, { password_version: 1 })).toEqual({ outcome: 'deleted' })

    expect(await call('GET', '/accounts/', { token: ada.token })).toMatchObject({ status: 401 })
    expect(await logIn(ada.email, PASSWORD)).toMatchObject({ status: 401 })
    expect(await placesOf(ada.email)).toEqual([])
    expect(await db.$count(sessions, sql`user_id = ${ada.id}`)).toBe(0)
    const assigned = await call('POST', '/assignments/', { token: bob.token, body: { name: 'A', assignee: ada.id } })
    expect(assigned).toMatchObject({ status: 400 })
    expect(await db.$count(assignments, sql`${ada.id} in (creator, assignee)`)).toBe(250)

    await Promise.all([purge(), purge()])
    expect(await db.$count(users, sql`id = ${ada.id}`)).toBe(0)
    expect(await db.$count(assignments, sql`${ada.id} in (creator, assignee)`)).toBe(0)
    const twice = await db.execute(sql`
      select assignment from assignment_events where actor = ${ada.id} and version = 2 group by assignment having count(*) > 1`)
    expect(twice).toEqual([])
  })
})

describe('a deletion in parallel', () => {
  test('with changes by others keeps the log and the assignments consistent', async () => {
    for (let round = 0; round < fewerOnWorkers(10); round++) {
      const [ada, bob, cy] = [await createUser(), await createUser(), await createUser()]
      const shared: Json[] = []
      for (let index = 0; index < 4; index++) {
        shared.push(await create(ada, { name: `By Ada ${index}`, assignee: bob.id }))
        shared.push(await create(bob, { name: `By Bob ${index}`, assignee: ada.id }))
      }
      const work = shared.flatMap(({ id, creator }, index) => [
        call('PATCH', `/assignments/${id}/`, { token: bob.token, body: { status: 'done' } }),
        call('PATCH', `/assignments/${id}/`, { token: ada.token, body: { status: 'in progress' } }),
        ...(creator === bob.id
          ? [call('PATCH', `/assignments/${id}/`, { token: bob.token, body: { assignee: index % 4 ? cy.id : ada.id } })]
          : []),
      ])
      const assigning = Array.from({ length: 6 }, () =>
        call('POST', '/assignments/', { token: cy.token, body: { name: 'New', assignee: ada.id } }),
      )
      const { token } = ada
      const change = { email: `moved.${ada.email}`, password: PASSWORD }
      const others = [
        remove(ada),
        remove(ada),
        logIn(ada.email, PASSWORD),
        read(ada, '/assignments/'),
        read(ada, '/assignments/events/?cursor=start'),
        call('POST', '/accounts/password-reset/', { body: { email: ada.email } }),
        call('POST', '/accounts/email-change/', { token, body: change }),
        call('POST', '/accounts/signup/', { body: createSignupBody(ada.email) }),
      ]
      const responses = await Promise.all([...work, ...others, ...assigning])
      expect(responses.filter(({ status }) => status >= 500)).toEqual([])
      expect(await db.$count(users, sql`id = ${ada.id}`)).toBe(0)
      await drain()
      expect(await placesOf(ada.id)).toEqual([
        'assignment_events.actor',
        'assignment_events.assignee',
        'assignment_events.creator',
        'assignment_events.old_assignee',
      ])
      await expectConsistent()
    }
  })

  test('of five accounts that share assignments succeeds for each', async () => {
    for (let round = 0; round < fewerOnWorkers(5); round++) {
      const people: User[] = []
      for (let index = 0; index < 5; index++) people.push(await createUser())
      for (const creator of people) for (const { id } of people) await create(creator, { name: 'Shared', assignee: id })
      const responses = await Promise.all(people.map((person) => remove(person)))
      expect(responses.map(({ status }) => status)).toEqual(Array(5).fill(204))
      expect(await db.$count(users, sql`id in ${people.map(({ id }) => id)}`)).toBe(0)
      await expectConsistent()
    }
  })

  /** Expects that each assignment is as its last event says, and that versions and positions of its events have one order. */
  async function expectConsistent() {
    const differing = await db.execute(sql`
      with latest as (
        select distinct on (assignment) * from assignment_events order by assignment, version desc
      )
      select a.id, latest.assignment from assignments as a
      full join (select * from latest where kind <> 'deleted') as latest on latest.assignment = a.id
      where a.id is null or latest.assignment is null or (a.version, a.assignee, a.creator, a.status, a.updated_at)
        is distinct from (latest.version, latest.assignee, latest.creator, latest.status, latest.at)`)
    expect(differing).toEqual([])
    const unordered = await db.execute(sql`
      select assignment from (
        select assignment, version, position, lag(version) over same as previous, lag(position) over same as before
        from assignment_events window same as (partition by assignment order by at)
      ) as events where version <> previous + 1 or position < before`)
    expect(unordered).toEqual([])
    const orphans = await db.execute(sql`
      select assignment from assignment_search where assignment not in (select id from assignments)`)
    expect(orphans).toEqual([])
  }
})
