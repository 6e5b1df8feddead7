import fc from 'fast-check'
import { pick, writableFields } from '../../src/assignments/fields.ts'
import { newId } from '../../src/crypto.ts'
import type { Database } from '../../src/database/connect.ts'
import { assignment_events, assignment_search, assignments, statuses } from '../../src/database/schema.ts'

export type NewEvent = typeof assignment_events.$inferInsert

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const iso = (time: number) => new Date(time).toISOString()

/** Generates a log of eight months of work of three people, in order of time. It ends before `end`. */
export function generateLog(people: string[], end: number): NewEvent[] {
  const person = (index: number) => people[index] as string
  const samples = fc.sample(storiesBefore(end), { numRuns: 140, seed: 7 })
  const events = samples.flatMap(({ createdAt, creator, assignee, steps }, number) => {
    const at = iso(createdAt)
    const created: NewEvent = {
      id: newId(new Date(createdAt)),
      assignment: newId(new Date(createdAt)),
      at,
      created_at: at,
      kind: 'created',
      actor: person(creator),
      creator: person(creator),
      assignee: person(assignee),
      name: `Task ${number % 20}`,
      description: `What ${number} is about`,
      status: 'todo',
      version: 1,
      changed: [],
    }
    const story = [created]
    for (const { pause, status, assignee, isRenamed, isDeleted } of steps) {
      const last = story.at(-1) as NewEvent
      const at = iso(Date.parse(last.at) + pause)
      if (Date.parse(at) > end || last.kind === 'deleted') break
      const change = {
        ...(status && { status }),
        ...(assignee !== undefined && { assignee: person(assignee) }),
        ...(isRenamed && { name: `Renamed ${last.version}`, description: `About ${number}, version ${last.version}` }),
      }
      story.push(nextEvent(last, at, isDeleted ? {} : change))
    }
    return story
  })
  return events.sort((a, b) => (a.at < b.at ? -1 : 1))
}

const storiesBefore = (end: number) =>
  fc.record({
    createdAt: fc.integer({ min: end - 245 * DAY, max: end - DAY }),
    creator: fc.nat(2),
    assignee: fc.nat(2),
    steps: fc.array(
      fc.record({
        pause: fc.oneof(fc.integer({ min: 1, max: 90 * MINUTE }), fc.integer({ min: 1, max: 25 * DAY })),
        status: fc.constantFrom(undefined, ...statuses, 'in progress' as const, 'done' as const),
        assignee: fc.option(fc.nat(2), { nil: undefined, freq: 2 }),
        isRenamed: fc.nat(4).map((number) => number === 0),
        isDeleted: fc.nat(11).map((number) => number === 0),
      }),
      { maxLength: 8 },
    ),
  })

type Change = Partial<Pick<NewEvent, (typeof writableFields)[number]>>

/** Returns the event after another of the same assignment. A change that changes nothing deletes it. */
export function nextEvent(last: NewEvent, at: string, change: Change): NewEvent {
  const before = pick(last, writableFields)
  const after = { ...before, ...change }
  const changed = writableFields.filter((field) => after[field] !== before[field])
  return {
    ...last,
    ...after,
    id: newId(new Date(at)),
    at,
    kind: changed.length > 0 ? 'changed' : 'deleted',
    changed,
    version: last.version + 1,
    old_status: last.status,
    old_assignee: last.assignee,
    old_name: changed.includes('name') ? last.name : null,
    old_description: changed.includes('description') ? last.description : null,
    old_updated_at: last.at,
    started_at: last.started_at ?? (after.status === 'in progress' ? at : null),
  }
}

/** Returns the last event of each assignment that was not deleted. */
export const lastEvents = (log: NewEvent[]) =>
  [...new Map(log.map((event) => [event.assignment, event])).values()].filter(({ kind }) => kind !== 'deleted')

/** Inserts a log and the assignments at its end. */
export async function insertLog(db: Database, log: NewEvent[]) {
  await db.insert(assignment_events).values(log)
  await insertPresent(db, log)
}

/** Inserts the assignments at the end of a log. */
export async function insertPresent(db: Database, log: NewEvent[]) {
  const last = lastEvents(log)
  await db.insert(assignments).values(last.map((event) => ({ ...event, id: event.assignment, updated_at: event.at })))
  await db.insert(assignment_search).values(
    last.map(({ assignment, assignee, creator, name, description }) => ({
      assignment,
      people: [assignee, creator],
      text: `${name}"${description}`.toLowerCase(),
    })),
  )
}

const REPORTS: Record<string, string>[] = [
  {},
  { bucket: 'month', from: '2026-03-01', to: '2026-11-20' },
  { bucket: 'month', from: '2026-03-01', to: '2026-11-20', timezone: 'America/St_Johns', assignee: 'me' },
  { bucket: 'week', from: '2026-03-29T01:07:13.123Z', to: '2026-11-19T23:52:59.999Z', timezone: 'Europe/Berlin' },
  { bucket: 'week', from: '2026-05-01', to: '2026-09-01', timezone: 'Asia/Kathmandu', creator: 'me' },
  { bucket: 'week', from: '2026-05-01', to: '2026-09-01', assignee: 'BOB', creator: 'me' },
  { bucket: 'day', from: '2026-10-20T10:01:00Z', to: '2026-11-20T10:06:59Z', timezone: 'America/New_York' },
  { bucket: 'day', from: '2026-06-01', to: '2026-07-01', timezone: 'Australia/Lord_Howe', assignee: 'BOB' },
  { bucket: 'hour', from: '2026-08-11T03:20:00Z', to: '2026-08-25T03:40:00Z', timezone: 'Asia/Kolkata' },
  { bucket: 'hour', from: '2026-11-19T22:00:00.001Z', to: '2026-11-20T10:06:00Z' },
  { bucket: 'hour', from: '2026-07-07T07:01:00Z', to: '2026-07-07T07:14:00Z' },
  { bucket: 'hour', from: '2026-07-07T07:01:00Z', to: '2026-07-07T07:16:00Z' },
]

const MOMENTS = ['2026-03-01', '2026-07-01', '2026-09-15T08:30:00.500Z', '2026-11-20T10:00:00Z']

const LISTS: Record<string, string>[] = [
  ...MOMENTS.flatMap((as_of) => [
    { as_of, limit: '100', count: 'true' },
    { as_of, ordering: '-status,updated_at', assignee: 'me', status: 'in progress,done' },
    { as_of, ordering: 'name', search: 'task 1', creator: 'BOB' },
  ]),
  { ordering: '-updated_at', limit: '100' },
  { search: 'task 7', count: 'true' },
]

/** Returns paths of reports, lists, histories and past versions whose responses two databases must share. */
export function pathsToCompare(log: NewEvent[], bob: string): string[] {
  const urlOf = (path: string, query: Record<string, string>) =>
    `${path}?${new URLSearchParams(query)}`.replaceAll('BOB', bob)
  const sample = log.filter((_, index) => index % 60 === 0)
  return [
    ...['throughput', 'flow'].flatMap((name) => REPORTS.map((query) => urlOf(`/assignments/reports/${name}/`, query))),
    ...LISTS.map((query) => urlOf('/assignments/', query)),
    ...sample.map(({ assignment }) => `/assignments/${assignment}/history/`),
    ...sample.map(({ assignment, at }) => `/assignments/${assignment}/?as_of=${at}`),
    ...sample.map(({ assignment, at }) => `/assignments/${assignment}/?as_of=${iso(Date.parse(at) - 1)}`),
  ]
}
