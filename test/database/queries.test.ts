import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { app } from '../../src/app.ts'
import { newId } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { listEventsOfAudience } from '../../src/events/log.ts'
import { fromCursorKeys } from '../../src/events/position.ts'
import { openDocket } from '../support/fixtures.ts'
import { type Asked, explain, modes, type Plan } from '../support/plans.ts'
import { startProxy } from '../support/proxy.ts'
import { openServices } from '../support/runtimes.ts'

// What the database is asked, and how it finds the answer among 30,000 assignments of 200 people, half of them Ada's.

const asked: Asked[] = []
const told = {
  max: 1,
  debug: (_: number, text: string, parameters: Asked['parameters']) => asked.push({ text, parameters }),
}
const { call, createUser, url, now } = await openDocket({}, told)
const { db, close } = connect(url, told)
afterAll(close)
const [ada, bob] = [await createUser(), await createUser()]

const owner = postgres(url, { max: 1, onnotice: () => {} })
afterAll(() => owner.end())

const idOf = (number: string) => `('01900000-0000-7000-8000-' || lpad((${number})::text, 12, '0'))::uuid`
await owner.unsafe(`
  drop index assignment_search_index;
  insert into users (id, email, first_name, last_name, password, created_at, updated_at)
    select ${idOf('n')}, 'user' || n || '@example.com', 'A', 'B', '', now(), now() from generate_series(0, 197) as n;
  insert into assignments
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008' || lpad(n::text, 15, '0'))::uuid, 'Task ' || n, concat_ws(' ', case when n % 3 = 0 then 'frequent' end,
        case when n % 3000 = 6 then 'quasar' end, md5(n::text)),
      (enum_range(null::assignment_status))[1 + n % 4],
      case when n % 50 = 1 then '${bob.id}' else ${idOf('n % 198')} end,
      case when n % 2 = 0 then '${ada.id}' else ${idOf('n * 7 % 198')} end,
      at, at + n * interval '1 hour', 1
    from generate_series(1, 30000) as n, lateral (select timestamptz '2026-01-01' + n * interval '1 minute' as at) as times;
  insert into assignment_search
    select id, array[assignee, creator], fold(name) || '"' || fold(description) from assignments;
  insert into assignment_events
    select id, created_at, 'created', creator, id, name, description, status, assignee, creator, 1, '{}', created_at from assignments;
  create index assignment_search_index on assignment_search using gin (people, text gin_trgm_ops);`)
await owner`vacuum analyze`

const first = (await call('GET', '/assignments/?limit=100', { token: ada.token })).body
const someOfAdas = first.results[50].id
const tip = (await call('GET', '/assignments/events/', { token: ada.token })).body.next

/** The scans of what there is a lot of; TimescaleDB's own node only passes on what those of the chunks have found. */
const scansIn = (plan: Plan[]) =>
  plan.filter(
    (node) => node['Node Type'] !== 'Custom Scan' && /^(assignment|_hyper)/.test(String(node['Relation Name'])),
  )

/** The rows that scans have looked at. */
const looked = (scans: Plan[]) =>
  scans
    .map((node) => {
      const removed = Number(node['Rows Removed by Filter'] ?? 0) + Number(node['Rows Removed by Index Recheck'] ?? 0)
      return (Number(node['Actual Rows']) + removed) * Number(node['Actual Loops'])
    })
    .reduce((sum, rows) => sum + rows, 0)

let deep = first.next
for (let page = 0; page < 100; page++) deep = (await call('GET', deep, { token: ada.token })).body.next

// The most rows that each may look at: what a page shows, or a search reads before it asks its index, and a few.
const queries: [who: typeof ada, path: string, most: number][] = [
  [ada, '/assignments/', 60],
  [ada, `/assignments/?${new URL(deep).searchParams}`, 230],
  [bob, '/assignments/', 60],
  ...['created_at', 'updated_at', 'name', 'status'].flatMap((field): typeof queries => [
    [ada, `/assignments/?ordering=${field}`, 60],
    [ada, `/assignments/?ordering=-${field}`, 60],
  ]),
  [ada, '/assignments/?status=done&ordering=-updated_at', 300],
  [ada, '/assignments/?creator=me', 60],
  [ada, `/assignments/?assignee=${bob.id}&creator=me`, 15_000],
  [ada, '/assignments/?created_after=2026-01-15&created_before=2026-01-16&ordering=created_at', 60],
  [ada, '/assignments/?updated_after=2027-01-01&ordering=updated_at', 100],
  [ada, '/assignments/?search=frequent', 200],
  [ada, '/assignments/?search=quasar', 2_800],
  // Half of what is read in order is of another status.
  [ada, '/assignments/?search=quasar+task&status=done&ordering=name', 5_100],
  [bob, '/assignments/?search=quasar', 2_800],
  [ada, '/assignments/?search=quasar&count=true', 2_900],
  [ada, `/assignments/${someOfAdas}/`, 4],
  [ada, `/assignments/${someOfAdas}/history/`, 6],
  [ada, '/assignments/reports/throughput/?from=2026-01-10&to=2026-01-11T00:07:00Z', 730],
  [bob, '/assignments/reports/flow/?from=2026-01-02&to=2026-01-03', 70],
  [ada, `/assignments/${someOfAdas}/?as_of=2026-06-01`, 2],
  // All that was the caller's until then, and for each a look whether there is a later event.
  [bob, '/assignments/?as_of=2026-01-05&ordering=name', 250],
  [ada, '/assignments/events/', 10],
  [ada, `/assignments/events/?cursor=${tip}`, 10],
  [ada, `/assignments/events/?cursor=start&assignment=${someOfAdas}`, 10],
  // The nearest, and where these do not fill the page one's own.
  [ada, '/assignments/events/?cursor=start', 2_600],
  [bob, '/assignments/events/?cursor=start&limit=100', 3_700],
]

describe.each(modes)('by an index, with %s', (mode) => {
  test.each(queries.map(([who, path, most]) => [path, who, most] as const))('%s', async (path, who, most) => {
    asked.length = 0
    expect(await call('GET', path, { token: who.token })).toMatchObject({ status: 200 })
    const scans: Plan[] = []
    for (const one of [...asked]) scans.push(...scansIn(await explain(owner, one, mode)))
    expect(scans.map((node) => `${node['Node Type']} on ${node['Relation Name']}`)).not.toContain(
      expect.stringContaining('Seq Scan'),
    )
    expect(looked(scans)).toBeLessThanOrEqual(most)
  })
})

test.each(modes)('a look for all followers reads what is new and no more, with %s', async (mode) => {
  const { body } = await call('POST', '/assignments/', { token: ada.token, body: { name: 'x', assignee: bob.id } })
  const position = fromCursorKeys(JSON.parse(Buffer.from(tip, 'base64url').toString())[0])
  const people = Array.from({ length: 50 }, () => newId(new Date()))
  for (const [audience, found] of [
    [people, 0],
    [[...people, bob.id], 1],
  ] as const) {
    asked.length = 0
    const page = await listEventsOfAudience(
      db,
      { audience: [...audience], from: position, mustExist: position, limit: 100 },
      now(),
    )
    expect(page).toMatchObject({ events: found ? [{ assignment: body.id }] : [] })
    const scans = scansIn(await explain(owner, asked.at(-1) as Asked, mode))
    expect(scans.map((node) => node['Node Type'])).not.toContain('Seq Scan')
    expect(looked(scans)).toBeLessThanOrEqual(10)
  }
  await call('DELETE', `/assignments/${body.id}/`, { token: ada.token })
  await owner`delete from assignment_events where assignment = ${body.id}`
})

test('who catches up reads own events from an index, and as many others as the page shows', async () => {
  asked.length = 0
  await call('GET', '/assignments/events/?cursor=start&limit=100', { token: bob.token })
  const scans = scansIn(await explain(owner, asked.at(-1) as Asked, 'force_generic_plan'))
  const byPerson = scans.filter((node) => /(assignee|creator)_at_index/.test(String(node['Index Name'])))
  expect(byPerson.length).toBeGreaterThanOrEqual(3)
  expect(new Set(byPerson.map((node) => node['Node Type']))).toEqual(new Set(['Index Only Scan']))
})

const proxy = await startProxy(url)
const counted = openServices({ ...{ url: proxy.url, now, environment: {} }, options: { max: 1 } })
afterAll(async () => {
  await counted.close()
  proxy.close()
})

test('a report reads what it needs from an index, and no event', async () => {
  asked.length = 0
  const range = 'from=2026-01-10&to=2026-01-20'
  for (const kind of ['throughput', 'flow'])
    await call('GET', `/assignments/reports/${kind}/?${range}`, { token: bob.token })
  const scans = (await Promise.all(asked.map((one) => explain(owner, one, 'force_generic_plan')))).flat()
  const ways = scansIn(scans).map((node) => node['Node Type'])
  expect(new Set(ways)).toEqual(new Set(['Index Only Scan']))
})

describe('in as few round trips as can be, counted on the wire', () => {
  const ask = (method: string, path: string, token: string, body?: object, headers = {}) => {
    const type = body && { 'Content-Type': 'application/json' }
    const init = {
      method,
      headers: { Authorization: `Bearer ${token}`, ...type, ...headers },
      body: JSON.stringify(body),
    }
    return app.request(path, init as RequestInit, { ...counted.services, address: '192.0.2.1' })
  }
  const create = async () => {
    const made = await ask('POST', '/assignments/', ada.token, { name: 'x', assignee: bob.id })
    return made.headers.get('Location') as string
  }

  // Each is asked twice before it is counted: a connection describes a statement when it first meets it.
  test.each<[status: number, trips: number, ...Parameters<typeof ask>]>([
    [201, 1, 'POST', '/assignments/', ada.token, { name: 'x' }],
    [201, 1, 'POST', '/assignments/', ada.token, { name: 'x', assignee: bob.email }],
    [400, 1, 'POST', '/assignments/', ada.token, { name: 'x', assignee: 'nobody@example.com' }],
    [401, 1, 'POST', '/assignments/', 'dkt_unknown', { name: 'x' }],
    [200, 1, 'GET', '{id}', ada.token],
    [404, 1, 'GET', `/assignments/${ada.id}/`, ada.token],
    [401, 1, 'GET', '{id}', 'dkt_unknown'],
    [200, 1, 'PATCH', '{id}', bob.token, { status: 'done' }],
    [200, 1, 'PATCH', '{id}', ada.token, { name: 'y', assignee: ada.email }, { 'If-Match': '"1"' }],
    [200, 1, 'PUT', '{id}', ada.token, { name: 'y' }],
    [401, 1, 'PATCH', '{id}', 'dkt_unknown', { name: 'y' }],
    [404, 1, 'PATCH', `/assignments/${ada.id}/`, ada.token, { name: 'y' }],
    [403, 1, 'PATCH', '{id}', bob.token, { name: 'y' }, { 'If-Match': '"9"' }],
    [412, 1, 'PATCH', '{id}', ada.token, { name: 'y' }, { 'If-Match': '"9"' }],
    [400, 1, 'PATCH', '{id}', ada.token, {}],
    [204, 1, 'DELETE', '{id}', ada.token],
    [403, 1, 'DELETE', '{id}', bob.token],
    [412, 1, 'DELETE', '{id}', ada.token, undefined, { 'If-Match': '"9"' }],
    [200, 2, 'GET', '/assignments/', ada.token],
    [200, 2, 'GET', '/assignments/?search=quasar&count=true&status=done&ordering=name', ada.token],
    [200, 2, 'GET', '{id}history/', ada.token],
    [200, 2, 'GET', '/assignments/events/', ada.token],
    [200, 2, 'GET', '/assignments/events/?cursor=start&limit=100', bob.token],
    [200, 2, 'GET', '/assignments/reports/throughput/', ada.token],
    [200, 2, 'GET', '/assignments/reports/flow/?format=svg', ada.token],
    [200, 2, 'GET', '/assignments/?as_of=2026-06-01&search=x', ada.token],
    [200, 1, 'GET', '{id}?as_of=2026-11-22T10:00:00Z', ada.token],
    [200, 1, 'GET', '/accounts/', ada.token],
  ])('%i after %i: %s %s', async (status, trips, method, path, ...rest) => {
    for (const isCounted of [false, false, true]) {
      const target = path.startsWith('{id}') ? path.replace('{id}', await create()) : path
      const before = proxy.roundTrips()
      expect(await ask(method, target, ...rest)).toMatchObject({ status })
      if (isCounted) expect(proxy.roundTrips() - before).toBe(trips)
    }
  })
})
