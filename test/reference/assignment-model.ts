import { expect } from 'vitest'
import type { Assignment } from '../../src/assignments/assignments.ts'
import { newId } from '../../src/crypto.ts'
import { assignment_events, assignments, statuses } from '../../src/database/schema.ts'
import type { Docket } from '../support/fixtures.ts'

export type ModelUser = Awaited<ReturnType<Docket['createUser']>>

export const writableFields = ['name', 'description', 'status', 'assignee'] as const
export type Fields = Partial<Pick<Assignment, (typeof writableFields)[number]>>
export type Query = Record<string, string>
/** Preconditions, of which an empty one is not sent. */
type Tags = { 'If-Match'?: string; 'If-None-Match'?: string }
type Response = Awaited<ReturnType<Docket['call']>>
type ModelEvent = ReturnType<typeof eventOf>

export const isoOf = (time: number) => new Date(time).toISOString()

/** The values of If-Match and If-None-Match, in which N stands for the present version. */
export const MATCHING_TAGS = ['*', '"N"', '"999", "N"', 'W/"N"', '"N-gzip", "999"', 'N']

/**
 * A plain model of assignments, beside the real API. Each method sends a request and expects the response that the model
 * computes.
 */
export class AssignmentModel {
  readonly #docket: Docket
  readonly people: ModelUser[]
  readonly #startTime: number
  readonly #present = new Map<string, Assignment>()
  readonly #log: ModelEvent[] = []
  /** The ids that requests may use, of which the first two never exist. */
  readonly ids: string[] = []

  constructor(docket: Docket, people: ModelUser[]) {
    this.#docket = docket
    this.people = people
    this.#startTime = docket.clock.now
  }

  async reset() {
    await this.#docket.db.delete(assignments)
    await this.#docket.db.delete(assignment_events)
    this.#present.clear()
    this.#log.length = 0
    this.ids.splice(0, this.ids.length, newId(new Date(this.#startTime)), 'no-uuid')
    this.#docket.clock.now = this.#startTime
  }

  advanceClock(milliseconds: number) {
    this.#docket.clock.now += milliseconds
  }

  async create(caller: ModelUser, body: Fields) {
    const response = await this.#docket.call('POST', '/assignments/', { token: caller.token, body })
    const fields = this.#normalize(body)
    if (!fields) return expectResponse(response, rejection(400, 'invalid_request'))
    const { id } = response.body
    const at = isoOf(this.#docket.clock.now)
    const created: Assignment = {
      id,
      name: '',
      description: '',
      status: 'todo',
      assignee: caller.id,
      ...fields,
      creator: caller.id,
      created_at: at,
      updated_at: at,
      version: 1,
    }
    expectResponse(response, success(created, 201))
    expect(response.headers.get('Location')).toBe(`/assignments/${id}/`)
    expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(this.#docket.clock.now)
    expect(this.ids).not.toContain(id)
    this.ids.push(id)
    this.#present.set(id, created)
    this.#log.push(eventOf('created', caller, created))
  }

  async read(caller: ModelUser, id: string, tag: string) {
    const response = await this.#requestItem('GET', caller, id, { 'If-None-Match': tag })
    const assignment = this.#visible(caller, id)
    if (!assignment) return expectResponse(response, rejection(404, 'not_found'))
    const isKnown = MATCHING_TAGS.includes(tag)
    expectResponse(response, isKnown ? { ...success(assignment, 304), body: {} } : success(assignment))
  }

  async change(method: 'PUT' | 'PATCH', caller: ModelUser, id: string, tags: Tags, body: Fields) {
    const response = await this.#requestItem(method, caller, id, tags, body)
    const assignment = this.#visible(caller, id)
    if (!assignment) return expectResponse(response, rejection(404, 'not_found'))
    const fields = this.#normalize(body)
    const defaults: Fields = method === 'PUT' ? { description: '', status: 'todo' } : {}
    const { assignee, ...others } = body
    const wanted = fields ?? { ...this.#normalize(others), assignee: 'nobody' }
    const after = { ...this.#nextVersion(assignment), ...defaults, ...wanted }
    const changed = writableFields.filter((name) => after[name] !== assignment[name])
    const refused = changed.filter((name) => name !== 'status')
    if (assignment.creator !== caller.id && refused.length > 0) {
      expect(response.body.detail).toContain(`change ${refused.join(', ')}.`)
      return expectResponse(response, rejection(403, 'forbidden'))
    }
    if (isRefused(tags)) return expectResponse(response, rejection(412, 'precondition_failed'))
    if (!fields) return expectResponse(response, rejection(400, 'invalid_request'))
    if (changed.length === 0) return expectResponse(response, success(assignment))
    this.#present.set(id, after)
    this.#log.push(eventOf('changed', caller, after, changed))
    expectResponse(response, success(after))
  }

  /** Sends back an assignment as it was read, read-only fields included, with another status. */
  async sendBack(method: 'PUT' | 'PATCH', caller: ModelUser, id: string, status: Assignment['status']) {
    await this.change(method, caller, id, {}, { ...(this.#present.get(id) ?? { name: 'x' }), status })
  }

  async remove(caller: ModelUser, id: string, tags: Tags) {
    const response = await this.#requestItem('DELETE', caller, id, tags)
    const assignment = this.#visible(caller, id)
    if (!assignment) return expectResponse(response, rejection(404, 'not_found'))
    if (assignment.creator !== caller.id) return expectResponse(response, rejection(403, 'forbidden'))
    if (isRefused(tags)) return expectResponse(response, rejection(412, 'precondition_failed'))
    this.#present.delete(id)
    this.#log.push(eventOf('deleted', caller, this.#nextVersion(assignment)))
    expectResponse(response, { status: 204, etag: null, body: {} })
  }

  async expectHistory(caller: ModelUser, id: string, query: Query) {
    const path = `/assignments/${id}/history/`
    const events = this.#eventsOf(id)
    const shown = events.map((event, index) => eventFor(caller, event, events[index - 1]))
    if (isVisibleTo(caller, events.at(-1))) return this.#expectPages(caller, path, query, shown)
    const response = await this.#docket.call('GET', path, { token: caller.token })
    expectResponse(response, rejection(404, 'not_found'))
  }

  async expectList(caller: ModelUser, query: Query) {
    const conditions = Object.entries(query).map(([name, value]) => [name, value === 'me' ? caller.id : value] as const)
    const order = (query.ordering ?? '-created_at').split(',')
    order.push(order.at(-1)?.startsWith('-') ? '-id' : 'id')
    const rows = [...this.#present.values()]
      .filter((row) => isVisibleTo(caller, row))
      .filter((row) => conditions.every(([name, value]) => FILTERS[name]?.(row, value) ?? true))
      .sort((a, b) => compare(a, b, order))
    await this.#expectPages(caller, '/assignments/', query, rows, query.count === 'true' ? { count: rows.length } : {})
  }

  /** Returns an id and a caller: one of the people, or the person with a role in the assignment. */
  aim({ which, as }: { which: number; as: number | 'creator' | 'assignee' }): [ModelUser, string] {
    const id = this.ids[which % this.ids.length] as string
    const last = this.#eventsOf(id).at(-1)
    const caller = typeof as === 'number' ? this.people[as] : this.people.find((person) => person.id === last?.[as])
    return [caller ?? (this.people[0] as ModelUser), id]
  }

  #requestItem(method: string, caller: ModelUser, id: string, tags: Tags, body?: Fields) {
    const version = String(this.#present.get(id)?.version ?? 1)
    const defined = Object.entries(tags).filter(([, tag]) => tag !== '')
    const headers = Object.fromEntries(defined.map(([name, tag]) => [name, tag.replace('N', version)]))
    return this.#docket.call(method, `/assignments/${id}/`, { token: caller.token, body, headers })
  }

  #visible(caller: ModelUser, id: string): Assignment | undefined {
    const assignment = this.#present.get(id)
    return isVisibleTo(caller, assignment) ? assignment : undefined
  }

  #eventsOf = (id: string) => this.#log.filter(({ assignment }) => assignment === id)

  /** Trims names and resolves addresses; undefined if the assignee does not exist. */
  #normalize({ name, description, status, assignee }: Fields): Fields | undefined {
    const wanted = assignee?.toLowerCase()
    const person = this.people.find(({ id, email }) => wanted === id || wanted === email.toLowerCase())
    if (wanted && !person) return undefined
    return {
      ...(name && { name: name.trim() }),
      ...(description !== undefined && { description }),
      ...(status && { status }),
      ...(person && { assignee: person.id }),
    }
  }

  /** Raises the version. The time is the clock's, or a millisecond later than before if the clock did not advance. */
  #nextVersion = (before: Assignment): Assignment => ({
    ...before,
    version: before.version + 1,
    updated_at: isoOf(Math.max(this.#docket.clock.now, Date.parse(before.updated_at) + 1)),
  })

  /** Walks a list to its end and back, and expects each page to hold its part of the rows. */
  async #expectPages(caller: ModelUser, path: string, query: Query, rows: object[], count = {}) {
    const limit = Number(query.limit ?? 20)
    const last = Math.max(0, Math.ceil(rows.length / limit) - 1)
    const forward = Array.from({ length: last + 1 }, (_, page) => page)
    const link = (exists: boolean) => (exists ? expect.any(String) : null)
    let url = `${path}?${new URLSearchParams(query)}`
    for (const [step, page] of [...forward, ...forward.slice(0, -1).reverse()].entries()) {
      const response = await this.#docket.call('GET', url, { token: caller.token })
      const results = rows.slice(page * limit, (page + 1) * limit)
      const body = { next: link(page < last), previous: link(page > 0), results, ...count }
      expectResponse(response, { status: 200, etag: null, body })
      url = step < last ? response.body.next : response.body.previous
    }
  }
}

/** Tells whether a precondition of a change fails. */
const isRefused = ({ 'If-Match': match = '', 'If-None-Match': noneMatch = '' }: Tags) =>
  (match !== '' && !MATCHING_TAGS.includes(match)) || MATCHING_TAGS.includes(noneMatch)

const eventOf = (
  kind: 'created' | 'changed' | 'deleted',
  actor: ModelUser,
  { id: assignment, created_at: _, updated_at: at, ...fields }: Assignment,
  changed: string[] = [],
) => ({ id: expect.any(String), at, kind, actor: actor.id, assignment, ...fields, changed })

/** Returns an event for a reader, without the texts if it takes the assignment away from them. */
const eventFor = (reader: ModelUser, event: ModelEvent, before: ModelEvent | undefined) =>
  event.kind === 'changed' && isVisibleTo(reader, before) && !isVisibleTo(reader, event)
    ? { ...event, name: null, description: null }
    : event

const isVisibleTo = ({ id }: ModelUser, row: { creator: string; assignee: string } | undefined) =>
  id === row?.creator || id === row?.assignee

const success = (assignment: Assignment, status = 200) => ({
  status,
  etag: `"${assignment.version}"`,
  body: assignment,
})

function rejection(status: number, code: string) {
  const text = expect.any(String)
  const errors = code === 'invalid_request' && { errors: [{ in: 'body', pointer: '/assignee', message: text }] }
  const texts = { title: text, detail: text, request_id: text }
  return { status, etag: null, body: { type: `urn:docket:problem:${code}`, status, code, ...texts, ...errors } }
}

function expectResponse({ status, headers, body }: Response, expected: object) {
  expect({ status, etag: headers.get('ETag'), body }).toEqual(expected)
}

function compare(a: Assignment, b: Assignment, fields: string[]) {
  for (const field of fields) {
    const [left, right] = [sortKey(a, field.replace('-', '')), sortKey(b, field.replace('-', ''))]
    if (left !== right) return left < right === field.startsWith('-') ? 1 : -1
  }
  return 0
}

function sortKey(row: Assignment, field: string) {
  // Names are sorted by their bytes in UTF-8, where an emoji comes after a full-width tilde.
  if (field === 'name') return Buffer.from(row.name.toLowerCase()).toString('hex')
  return field === 'status' ? statuses.indexOf(row.status) : row[field as 'id']
}

/** Tells for each filter whether a row passes it. */
const FILTERS: Record<string, (row: Assignment, value: string) => boolean> = {
  status: (row, value) => value.split(',').includes(row.status),
  assignee: (row, id) => row.assignee === id,
  creator: (row, id) => row.creator === id,
  created_after: (row, time) => row.created_at >= time,
  created_before: (row, time) => row.created_at < time,
  updated_after: (row, time) => row.updated_at >= time,
  updated_before: (row, time) => row.updated_at < time,
  search: (row, value) =>
    termsOf(value).every((term) => `${row.name}\n${row.description}`.toLowerCase().includes(term)),
}

const termsOf = (search: string) => search.toLowerCase().replaceAll('"', '').split(',')
