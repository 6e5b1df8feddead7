import { setTimeout as delay } from 'node:timers/promises'
import type postgres from 'postgres'
import { expect } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { newId } from '../../src/crypto.ts'
import type { Database } from '../../src/database/connect.ts'
import { statuses, users } from '../../src/database/schema.ts'
import { until } from './wait.ts'

export type Person = { id: string; token: string }

/** Inserts accounts with one session each. */
export async function createPeople(db: Database, count: number): Promise<Person[]> {
  const now = new Date()
  const at = now.toISOString()
  const people: Person[] = []
  for (let number = 0; number < count; number++) {
    const id = newId(now)
    const email = `p${number}@example.com`
    await db
      .insert(users)
      .values({ id, email, first_name: 'A', last_name: 'B', password: '', created_at: at, updated_at: at })
    const session = { user_id: id, password_version: 1, user_agent: null, days: 1 }
    const { token } = await createSession(db, session, now)
    people.push({ id, token })
  }
  return people
}

/** The last state of an assignment that the server acknowledged. */
type Acknowledged = {
  id: string
  creator: string
  name: string
  status: string
  version: number
  isDeleted?: boolean
}

/** What a client saw of a response. Without a status, the connection was refused or broke. */
type Outcome = { status?: number; retryAfter: string | null; isOwnAccount: boolean }

/**
 * Starts one client for each person, which creates, reads, changes and deletes assignments, one request after the other. A
 * client no longer uses an assignment once the result of a change is unknown.
 */
export function startLoad(url: string, people: Person[], pauseMs = 5) {
  const acknowledged: Acknowledged[] = []
  const outcomes: Outcome[] = []
  let isStopped = false

  async function request(person: Person, method: string, path: string, fields?: object) {
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { Authorization: `Bearer ${person.token}`, ...(fields && { 'Content-Type': 'application/json' }) },
      ...(fields && { body: JSON.stringify(fields) }),
    }).catch(() => undefined)
    const body = (await response?.json().catch(() => undefined)) as Record<string, unknown> | undefined
    const isOwnAccount = path !== 'accounts/' || response?.status !== 200 || body?.id === person.id
    const retryAfter = response?.headers.get('Retry-After') ?? null
    outcomes.push({ ...(response && { status: response.status }), retryAfter, isOwnAccount })
    return { status: response?.status, body }
  }

  async function runClient(person: Person) {
    const own: Acknowledged[] = []
    const forget = (assignment: Acknowledged) => {
      own.splice(own.indexOf(assignment), 1)
      acknowledged.splice(acknowledged.indexOf(assignment), 1)
    }
    for (let round = 0; !isStopped; round++) {
      await delay(pauseMs)
      if (round % 3 === 0) await request(person, 'GET', 'accounts/')
      const assignment = own.length < 3 ? undefined : own[round % own.length]
      if (!assignment) {
        const { status, body } = await request(person, 'POST', 'assignments/', { name: `${round} of ${person.id}` })
        if (status !== 201) continue
        own.push(body as Acknowledged)
        acknowledged.push(body as Acknowledged)
      } else if (round % 11 === 0) {
        const { status } = await request(person, 'DELETE', `assignments/${assignment.id}/`)
        if (status !== 204) forget(assignment)
        else {
          own.splice(own.indexOf(assignment), 1)
          assignment.isDeleted = true
        }
      } else {
        const change = { name: `${round} of ${person.id}`, status: statuses[round % 4] }
        const { status, body } = await request(person, 'PATCH', `assignments/${assignment.id}/`, change)
        if (status === 200) Object.assign(assignment, body)
        else forget(assignment)
      }
    }
  }

  const clients = people.map(runClient)
  return {
    outcomes,
    /** Waits until this many more requests have succeeded. */
    waitForSuccesses: async (count: number) => {
      const successes = () => outcomes.filter(({ status }) => status && status < 300).length
      const target = successes() + count
      await until(() => successes() >= target)
    },
    /** Stops the clients and returns what was acknowledged. */
    stop: async () => {
      isStopped = true
      await Promise.all(clients)
      return acknowledged
    },
  }
}

/** Expects every assignment in its acknowledged state, with its search text and an event for each version. */
export async function expectConsistent(sql: postgres.Sql, acknowledged: Acknowledged[]) {
  const rows = await sql`
    select id, creator, name, status, version, false as "isDeleted" from assignments
    where id = any(${acknowledged.map(({ id }) => id)})`
  const byId = new Map(rows.map((row) => [row.id, row]))
  for (const { id, creator, name, status, version, isDeleted = false } of acknowledged) {
    expect(byId.get(id)).toEqual(isDeleted ? undefined : { id, creator, name, status, version, isDeleted })
  }
  const inconsistent = await sql`
    with last as (
      select distinct on (assignment) assignment, kind, name, status, version, count(*) over (partition by assignment) as events
      from assignment_events order by assignment, version desc
    )
    select * from last
    full join assignments on assignments.id = last.assignment
    full join assignment_search on assignment_search.assignment = assignments.id
    where last.events is distinct from last.version
      or (last.kind = 'deleted') is distinct from (assignments.id is null)
      or (assignments.id is null) is distinct from (assignment_search.assignment is null)
      or (assignments.id is not null and (last.name, last.status, last.version) is distinct from (assignments.name, assignments.status, assignments.version))
      or (assignments.id is not null and position(lower(assignments.name) in assignment_search.text) = 0)`
  expect(inconsistent).toEqual([])
}
