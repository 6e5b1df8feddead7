import postgres from 'postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { listEventsOfAudience } from '../../src/events/log.ts'
import { fromCursorKeys } from '../../src/events/position.ts'
import { openDocket } from '../support/fixtures.ts'
import { explain, type PlanNode, planModes, type Statement, vacuum } from '../support/plans.ts'
import { cursorIn } from '../support/stream.ts'

// The plans of all queries over 30,000 assignments of 200 people. Ada created half of them.

const statements: Statement[] = []
const options = {
  max: 1,
  debug: (_: number, text: string, parameters: Statement['parameters']) => statements.push({ text, parameters }),
}
const { call, createUser, url, now } = await openDocket({}, options)
const { db, close } = connect(url, options)
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
      case when n % 2 = 0 then '${ada.id}' else ${idOf('n / 2 * 7 % 198')} end,
      at, at + interval '1 hour' * case when n % 50 = 1 then 1 else n end, 1
    from generate_series(1, 30000) as n, lateral (select timestamptz '2026-01-01' + n * interval '1 minute' as at) as times;
  insert into assignment_search
    select id, array[assignee, creator], fold(name) || '"' || fold(description) from assignments;
  insert into assignment_events
    select id, created_at, 'created', creator, id, name, description,
      case when assignee = '${bob.id}' then 'todo' else status end, assignee, creator, 1, '{}', created_at
    from assignments;
  insert into assignment_events (id, at, kind, actor, assignment, name, description, status, assignee, creator, version,
      changed, created_at, old_status, old_assignee, old_updated_at)
    select id, updated_at, 'changed', creator, id, name, description, status, assignee, creator, 2,
      '{status}', created_at, 'todo', assignee, created_at
    from assignments where assignee = '${bob.id}';
  create index assignment_search_index on assignment_search using gin (people, text gin_trgm_ops);`)
await vacuum(owner)

const first = (await call('GET', '/assignments/?limit=100', { token: ada.token })).body
const assignmentId = first.results[50].id
const newestCursor = cursorIn((await call('GET', '/assignments/events/', { token: ada.token })).body.next)
const changedId = (await call('GET', '/assignments/?limit=1', { token: bob.token })).body.results[0].id

/** Returns the scans of large tables. TimescaleDB's own node only passes on the rows of its chunks. */
const scansIn = (plan: PlanNode[]) =>
  plan.filter(
    (node) => node['Node Type'] !== 'Custom Scan' && /^(assignment|_hyper)/.test(String(node['Relation Name'])),
  )

/** Returns how many rows scans have read. */
const countRows = (scans: PlanNode[]) =>
  scans
    .map((node) => {
      const removed = Number(node['Rows Removed by Filter'] ?? 0) + Number(node['Rows Removed by Index Recheck'] ?? 0)
      return (Number(node['Actual Rows']) + removed) * Number(node['Actual Loops'])
    })
    .reduce((sum, rows) => sum + rows, 0)

let deepPage = first.next
for (let page = 0; page < 100; page++) deepPage = (await call('GET', deepPage, { token: ada.token })).body.next

// The most rows that a query may read: those of its page, or those that a search reads before it uses its index, and a few.
const queries: [caller: typeof ada, path: string, maxRows: number][] = [
  [ada, '/assignments/', 60],
  [ada, `/assignments/?${new URL(deepPage).searchParams}`, 230],
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
  [ada, '/assignments/?search=quasar', 1_100],
  // Half of the rows in order have another status.
  [ada, '/assignments/?search=quasar+task&status=done&ordering=name', 2_100],
  [bob, '/assignments/?search=quasar', 1_100],
  [ada, '/assignments/?search=quasar&count=true', 1_100],
  [ada, `/assignments/${assignmentId}/`, 4],
  [ada, `/assignments/${assignmentId}/history/`, 6],
  [ada, '/assignments/reports/throughput/?from=2026-01-10&to=2026-01-11T00:07:00Z', 730],
  [bob, '/assignments/reports/flow/?from=2026-01-02&to=2026-01-03', 120],
  [bob, `/assignments/${changedId}/?as_of=2026-06-01`, 2],
  // The caller's assignments that have not changed since, and the events of the others since.
  [bob, '/assignments/?as_of=2026-01-05&ordering=name', 1_200],
  [bob, '/assignments/?as_of=2026-01-20&ordering=name', 700],
  // Two index scans for each person, however many assignments they share.
  [ada, '/accounts/people/', 44],
  [ada, '/accounts/people/?limit=100', 204],
  [ada, '/accounts/people/?search=nobody', 410],
  [ada, `/accounts/people/?id=${bob.id}&id=${ada.id}`, 4],
  [ada, '/assignments/events/', 10],
  [ada, `/assignments/events/?cursor=${newestCursor}`, 10],
  [ada, `/assignments/events/?cursor=start&assignment=${assignmentId}`, 10],
  // The next events of anyone, and if these do not fill the page, the caller's own.
  [ada, '/assignments/events/?cursor=start', 2_600],
  [bob, '/assignments/events/?cursor=start&limit=100', 3_850],
]

describe.each(planModes)('a query with %s reads few rows by index', (mode) => {
  test.each(queries.map(([caller, path, maxRows]) => [path, caller, maxRows] as const))(
    '%s',
    async (path, caller, maxRows) => {
      statements.length = 0
      expect(await call('GET', path, { token: caller.token })).toMatchObject({ status: 200 })
      const scans: PlanNode[] = []
      for (const statement of [...statements]) scans.push(...scansIn(await explain(owner, statement, mode)))
      expect(scans.map((node) => `${node['Node Type']} on ${node['Relation Name']}`)).not.toContain(
        expect.stringContaining('Seq Scan'),
      )
      expect(countRows(scans)).toBeLessThanOrEqual(maxRows)
    },
  )
})

test.each(planModes)('the hub reads only new events, with %s', async (mode) => {
  const { body } = await call('POST', '/assignments/', { token: ada.token, body: { name: 'x', assignee: bob.id } })
  const position = fromCursorKeys(JSON.parse(Buffer.from(newestCursor, 'base64url').toString())[0])
  const people = Array.from({ length: 50 }, () => newId(new Date()))
  for (const [audience, found] of [
    [people, 0],
    [[...people, bob.id], 1],
  ] as const) {
    statements.length = 0
    const page = await listEventsOfAudience(
      db,
      { audience: [...audience], from: position, mustExist: position, limit: 100 },
      now(),
    )
    expect(page).toMatchObject({ events: found ? [{ assignment: body.id }] : [] })
    const scans = scansIn(await explain(owner, statements.at(-1) as Statement, mode))
    expect(scans.map((node) => node['Node Type'])).not.toContain('Seq Scan')
    expect(countRows(scans)).toBeLessThanOrEqual(10)
  }
  await call('DELETE', `/assignments/${body.id}/`, { token: ada.token })
  await owner`delete from assignment_events where assignment = ${body.id}`
})

test.each(queries.map(([, path]) => path))('a statement for a bad token reads nothing: %s', async (path) => {
  statements.length = 0
  expect(await call('GET', path, { token: 'dkt_unknown' })).toMatchObject({ status: 401 })
  expect(statements).toHaveLength(1)
  for (const mode of planModes) {
    expect(countRows(scansIn(await explain(owner, statements[0] as Statement, mode)))).toBe(0)
  }
})

test('a client that catches up reads its own events from an index', async () => {
  statements.length = 0
  await call('GET', '/assignments/events/?cursor=start&limit=100', { token: bob.token })
  const scans = scansIn(await explain(owner, statements.at(-1) as Statement, 'force_generic_plan'))
  const byPerson = scans.filter((node) => /(assignee|creator)_at_index/.test(String(node['Index Name'])))
  expect(byPerson.length).toBeGreaterThanOrEqual(3)
  expect(new Set(byPerson.map((node) => node['Node Type']))).toEqual(new Set(['Index Only Scan']))
})

test.each(['', '&status=done'])('a count reads no rows but those of the page: %s', async (filter) => {
  statements.length = 0
  await call('GET', `/assignments/?count=true&limit=1${filter}`, { token: ada.token })
  const scans = scansIn(await explain(owner, statements.at(-1) as Statement, 'force_generic_plan'))
  expect(countRows(scans.filter((node) => node['Node Type'] === 'Index Only Scan'))).toBeGreaterThan(3_000)
  expect(countRows(scans.filter((node) => node['Node Type'] !== 'Index Only Scan'))).toBeLessThan(20)
})

test('a report reads only indexes and no events', async () => {
  statements.length = 0
  const range = 'from=2026-01-10&to=2026-01-20'
  for (const kind of ['throughput', 'flow'])
    await call('GET', `/assignments/reports/${kind}/?${range}`, { token: bob.token })
  const scans = (
    await Promise.all(statements.map((statement) => explain(owner, statement, 'force_generic_plan')))
  ).flat()
  // A flow of this range does not run the part that reads the present.
  const nodeTypes = scansIn(scans)
    .filter((node) => node['Actual Loops'] !== 0)
    .map((node) => node['Node Type'])
  expect(new Set(nodeTypes)).toEqual(new Set(['Index Only Scan']))
})
