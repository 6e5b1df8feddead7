import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Assignment } from '../../src/assignments/assignments.ts'
import { newId } from '../../src/crypto.ts'
import { assignment_events, assignments, statuses } from '../../src/database/schema.ts'
import { fewerOnWorkers, openDocket } from '../support/fixtures.ts'

const { call, createUser, db, clock } = await openDocket()

const ada = await createUser({ email: 'Ada.Lovelace@Example.com' })
const people = [ada, await createUser(), await createUser(), await createUser()]
type Person = typeof ada
const writable = ['name', 'description', 'status', 'assignee'] as const
type Fields = Partial<Pick<Assignment, (typeof writable)[number]>>
type Query = Record<string, string>

const start = clock.now
const hour = 3_600_000
const isoOf = (time: number) => new Date(time).toISOString()

// The model: what there is, what happened, and the ids that a request may name, which begin with two that never were.
const present = new Map<string, Assignment>()
const log: ReturnType<typeof eventOf>[] = []
const ids: string[] = []

async function forget() {
  await db.delete(assignments)
  await db.delete(assignment_events)
  present.clear()
  log.length = 0
  ids.splice(0, ids.length, newId(new Date(start)), 'no-uuid')
  clock.now = start
}

const eventsOf = (id: string) => log.filter(({ assignment }) => assignment === id)

const eventOf = (
  kind: 'created' | 'changed' | 'deleted',
  actor: Person,
  { id: assignment, created_at: _, updated_at: at, ...fields }: Assignment,
  changed: string[] = [],
) => ({ id: expect.any(String), at, kind, actor: actor.id, assignment, ...fields, changed })

/** The next version. Its time is the clock's; where that stood still or stepped back, the next that there is. */
const advance = (before: Assignment): Assignment => ({
  ...{ ...before, version: before.version + 1 },
  updated_at: isoOf(Math.max(clock.now, Date.parse(before.updated_at) + 1)),
})

const isVisibleTo = ({ id }: Person, row: { creator: string; assignee: string } | undefined) =>
  id === row?.creator || id === row?.assignee

/** What fields mean, once names are trimmed and addresses are people; undefined where the assignee is nobody. */
function understand({ name, assignee, ...rest }: Fields): Fields | undefined {
  const given = assignee?.toLowerCase()
  const person = people.find(({ id, email }) => given === id || given === email.toLowerCase())
  if (given && !person) return undefined
  return { ...rest, ...(name && { name: name.trim() }), ...(person && { assignee: person.id }) }
}

const shown = (assignment: Assignment, status = 200) => ({ status, etag: `"${assignment.version}"`, body: assignment })

function refused(status: number, code: string) {
  const text = expect.any(String)
  const errors = code === 'invalid_request' && { errors: [{ in: 'body', pointer: '/assignee', message: text }] }
  const said = { title: text, detail: text, request_id: text }
  return { status, etag: null, body: { type: `urn:docket:problem:${code}`, status, code, ...said, ...errors } }
}

function expectAnswer({ status, headers, body }: Awaited<ReturnType<typeof call>>, expected: object) {
  expect({ status, etag: headers.get('ETag'), body }).toEqual(expected)
}

/** Walks a list to its end and back, and holds every page to its part of what there must be. */
async function walk(who: Person, path: string, query: Query, rows: object[], counted = {}) {
  const limit = Number(query.limit ?? 20)
  const last = Math.max(0, Math.ceil(rows.length / limit) - 1)
  const there = Array.from({ length: last + 1 }, (_, page) => page)
  const link = (isThere: boolean) => (isThere ? expect.any(String) : null)
  let url = `${path}?${new URLSearchParams(query)}`
  for (const [step, page] of [...there, ...there.slice(0, -1).reverse()].entries()) {
    const answer = await call('GET', url, { token: who.token })
    const results = rows.slice(page * limit, (page + 1) * limit)
    const body = { next: link(page < last), previous: link(page > 0), results, ...counted }
    expectAnswer(answer, { status: 200, etag: null, body })
    url = step < last ? answer.body.next : answer.body.previous
  }
}

async function expectHistory(who: Person, id: string, query: Query) {
  const path = `/assignments/${id}/history/`
  const events = eventsOf(id)
  if (isVisibleTo(who, events.at(-1))) return walk(who, path, query, events)
  expectAnswer(await call('GET', path, { token: who.token }), refused(404, 'not_found'))
}

async function expectList(who: Person, query: Query) {
  const asked = Object.entries(query).map(([name, given]) => [name, given === 'me' ? who.id : given] as const)
  const order = (query.ordering ?? '-created_at').split(',')
  order.push(order.at(-1)?.startsWith('-') ? '-id' : 'id')
  const rows = [...present.values()]
    .filter((row) => isVisibleTo(who, row) && asked.every(([name, given]) => filters[name]?.[1](row, given) ?? true))
    .sort((a, b) => {
      for (const field of order) {
        const [left, right] = [keyOf(a, field.replace('-', '')), keyOf(b, field.replace('-', ''))]
        if (left !== right) return left < right === field.startsWith('-') ? 1 : -1
      }
      return 0
    })
  await walk(who, '/assignments/', query, rows, query.count === 'true' ? { count: rows.length } : {})
}

function keyOf(row: Assignment, field: string) {
  // Bytes decide about names: as UTF-16, an emoji would come before a full-width tilde.
  if (field === 'name') return Buffer.from(row.name.toLowerCase()).toString('hex')
  return field === 'status' ? statuses.indexOf(row.status) : row[field as 'id']
}

const word = fc.constantFrom('report', 'Report', 'RÉSUMÉ', '50%', 'a\\b', 'off_now', "it's x", '😀', '～')
const words = (least: number) => fc.array(word, { minLength: least, maxLength: 2 }).map((chosen) => chosen.join(' '))
const status = fc.constantFrom(...statuses)
const nobody = newId(new Date(start))
const fields = {
  name: words(1).map((name) => ` ${name}\n`),
  description: words(0),
  status,
  assignee: fc.constantFrom(
    ...people.flatMap(({ id, email }) => [id, id.toUpperCase(), email, email.toUpperCase()]),
    ...[nobody, 'nobody@example.com'],
  ),
}
const whole = fc.record(fields, { requiredKeys: ['name'] })
const only = (name: keyof Fields) => fc.record<Fields>({ [name]: fields[name] })
const part = fc.oneof(...writable.map(only), only('status'), fc.record(fields, { requiredKeys: ['status'] }))

const person = fc.constantFrom('me', ...people.map(({ id }) => id), nobody)
// Few, so that rows of just that time are met.
const moment = fc.integer({ min: -1, max: 3 }).map((hours) => isoOf(start + hours * hour))

/** The values that a filter may have, and the rows that it keeps. */
type Filter = [fc.Arbitrary<string>, (row: Assignment, given: string) => boolean]
const filters: Record<string, Filter> = {
  status: [fc.uniqueArray(status, { minLength: 1 }).map(String), (row, given) => given.split(',').includes(row.status)],
  assignee: [person, (row, id) => row.assignee === id],
  creator: [person, (row, id) => row.creator === id],
  created_after: [moment, (row, time) => row.created_at >= time],
  created_before: [moment, (row, time) => row.created_at < time],
  updated_after: [moment, (row, time) => row.updated_at >= time],
  updated_before: [moment, (row, time) => row.updated_at < time],
  search: [
    fc.constantFrom('REPORT', 'résumé', 'po,50%', '"t off_",R', '%', '_', '\\', "',😀", '～'),
    (row, given) => termsOf(given).every((term) => `${row.name}\n${row.description}`.toLowerCase().includes(term)),
  ],
}
const termsOf = (search: string) => search.toLowerCase().replaceAll('"', '').split(',')
const filtered = fc
  .subarray(Object.entries(filters), { maxLength: 3 })
  .chain((chosen) => fc.record(Object.fromEntries(chosen.map(([name, [values]]) => [name, values]))))

const fieldsOfOrder = ['created_at', 'updated_at', 'name', 'status'].flatMap((by) => [by, `-${by}`])
const ordering = fc
  .uniqueArray(fc.constantFrom(...fieldsOfOrder), { minLength: 1, maxLength: 3, selector: (by) => by.replace('-', '') })
  .map(String)
const limit = fc.constantFrom('1', '2', '3', '7', '100')
const listed = fc.record({ ordering, limit, count: fc.constantFrom('true', 'false') }, { requiredKeys: [] })

const anyone = fc.nat(people.length - 1)
const role = fc.constantFrom('creator', 'creator', 'assignee')
const target = { which: fc.nat(99), as: fc.oneof(role, role, anyone) }

/** Who comes, and the id that is meant. */
function aim({ which, as }: { which: number; as: number | 'creator' | 'assignee' }) {
  const id = ids[which % ids.length] as string
  const last = eventsOf(id).at(-1)
  const who = typeof as === 'number' ? people[as] : people.find((one) => one.id === last?.[as])
  return [who ?? ada, id] as const
}

// N stands for the version that there is, and nothing for no header.
const matching = ['*', '"N"', '"999", "N"']
const weak = ['W/"N"', 'W/"N", "999"']
const tags = fc.constantFrom(...Array(5).fill(''), ...matching, ...weak, '"999"')

/** A kind of operation: what it is given, and what it does and expects with that. A failing sequence tells it. */
const operation = <Given>(name: string, given: fc.Arbitrary<Given>, run: (given: Given) => unknown) =>
  given.map((given) => ({ run: () => run(given), [fc.toStringMethod]: () => `${name} ${fc.stringify(given)}` }))

const create = operation('create', fc.record({ as: anyone, body: whole }), async ({ as, body }) => {
  const who = people[as] as Person
  const answer = await call('POST', '/assignments/', { token: who.token, body })
  const given = understand(body)
  if (!given) return expectAnswer(answer, refused(400, 'invalid_request'))
  const { id } = answer.body
  const at = isoOf(clock.now)
  const made: Assignment = {
    ...{ id, name: '', description: '', status: 'todo', assignee: who.id, ...given },
    ...{ creator: who.id, created_at: at, updated_at: at, version: 1 },
  }
  expectAnswer(answer, shown(made, 201))
  expect(answer.headers.get('Location')).toBe(`/assignments/${id}/`)
  expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(clock.now)
  expect(ids).not.toContain(id)
  ids.push(id)
  present.set(id, made)
  log.push(eventOf('created', who, made))
})

/** A request about one assignment. To those who may not see it, it is 404 whatever they ask. */
const about = <Body>(
  [method, header]: [string, string],
  bodies: fc.Arbitrary<Body>,
  answerTo: (who: Person, there: Assignment, tag: string, body: Body) => object,
) =>
  operation(method, fc.record({ ...target, tag: tags, body: bodies }), async ({ tag, body, ...given }) => {
    const [who, id] = aim(given)
    const there = present.get(id)
    const headers = tag ? { [header]: tag.replace('N', String(there?.version ?? 1)) } : {}
    const answer = await call(method, `/assignments/${id}/`, { token: who.token, body, headers })
    expectAnswer(answer, there && isVisibleTo(who, there) ? answerTo(who, there, tag, body) : refused(404, 'not_found'))
  })

const none = fc.constant(undefined)
const read = about(['GET', 'If-None-Match'], none, (_, there, tag) =>
  [...matching, ...weak].includes(tag) ? { ...shown(there, 304), body: {} } : shown(there),
)

const change = (method: 'PUT' | 'PATCH', bodies: fc.Arbitrary<Fields>, defaults: Fields) =>
  about([method, 'If-Match'], bodies, (who, there, tag, body) => {
    const isStatusAlone = method === 'PATCH' && Object.keys(body).join() === 'status'
    if (there.creator !== who.id && !isStatusAlone) return refused(403, 'forbidden')
    if (tag && !matching.includes(tag)) return refused(412, 'precondition_failed')
    const wanted = understand(body)
    if (!wanted) return refused(400, 'invalid_request')
    const after = { ...advance(there), ...defaults, ...wanted }
    const changed = writable.filter((name) => after[name] !== there[name])
    if (changed.length === 0) return shown(there)
    present.set(there.id, after)
    log.push(eventOf('changed', who, after, changed))
    return shown(after)
  })
const patch = change('PATCH', part, {})
const put = change('PUT', fc.oneof(only('name'), whole), { description: '', status: 'todo' })

const remove = about(['DELETE', 'If-Match'], none, (who, there, tag) => {
  if (there.creator !== who.id) return refused(403, 'forbidden')
  if (tag && !matching.includes(tag)) return refused(412, 'precondition_failed')
  present.delete(there.id)
  log.push(eventOf('deleted', who, advance(there)))
  return { status: 204, etag: null, body: {} }
})

const history = operation('history', fc.record({ ...target, limit }), ({ limit, ...given }) =>
  expectHistory(...aim(given), { limit }),
)

const list = operation('list', fc.record({ as: anyone, filtered, listed }), ({ as, filtered, listed }) =>
  expectList(people[as] as Person, { ...filtered, ...listed }),
)

const pass = operation('pass', fc.constantFrom(hour, hour, hour, -hour, -hour, 1), (time) => {
  clock.now += time
})

const first = fc.array(create, { minLength: 6, maxLength: 6 })
const later = fc.oneof(
  ...[create, read, patch, patch, patch, patch, put, put, remove],
  ...[history, list, list, list, pass, pass],
)
const sequence = fc.tuple(first, fc.array(later, { maxLength: 160, size: 'max' })).map((parts) => parts.flat())

const runs = Number(process.env.RUNS ?? fewerOnWorkers(10))
// Most of it is for finding the shortest sequence that fails, if one does.
const timeout = 60_000 + runs * 2_000

test('whatever is done in whatever order, every answer is as a plain model says', { timeout }, async () => {
  const property = fc.asyncProperty(sequence, async (operations) => {
    for (const { run } of operations) await run()
    for (const who of people) {
      await expectList(who, { limit: '3' })
      for (const id of ids) await expectHistory(who, id, {})
    }
  })
  await fc.assert(property.beforeEach(forget), { numRuns: runs, seed: 12, unbiased: true })
})
