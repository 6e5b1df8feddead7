import { setTimeout as delay } from 'node:timers/promises'
import type postgres from 'postgres'
import { expect } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { newId } from '../../src/crypto.ts'
import type { Database } from '../../src/database/connect.ts'
import { statuses, users } from '../../src/database/schema.ts'

export type Person = { id: string; token: string }

/** So many accounts with a live session each. */
export async function createPeople(db: Database, count: number): Promise<Person[]> {
  const now = new Date()
  const at = now.toISOString()
  const people: Person[] = []
  for (let number = 0; number < count; number++) {
    const [user] = await db
      .insert(users)
      .values({
        ...{ id: newId(now), email: `p${number}@example.com`, first_name: 'A', last_name: 'B', password: '' },
        ...{ created_at: at, updated_at: at },
      })
      .returning()
    const session = { user_id: user?.id as string, password_version: 1, user_agent: null, days: 1 }
    people.push({ id: session.user_id, ...(await createSession(db, session, now)) })
  }
  return people
}

/** What a client was told last of one of its assignments. */
type Known = { id: string; creator: string; name: string; status: string; version: number; isDeleted?: boolean }

/** What came of a request: no status where the connection was refused or broke; `isOwn` unless it showed another's account. */
type Outcome = { status?: number; retry: string | null; ms: number; isOwn: boolean }

/**
 * Clients, one a person, that make, read, change and delete assignments, one request after the other, and keep what they were
 * told outside of the database. An assignment of which one is not told what became of it is left alone from then on.
 */
export function startLoad(url: string, people: Person[], pause = 5) {
  const told: Known[] = []
  const outcomes: Outcome[] = []
  let isOver = false

  async function ask(me: Person, method: string, path: string, body?: object) {
    const start = performance.now()
    const answer = await fetch(`${url}/${path}`, {
      method,
      headers: { Authorization: `Bearer ${me.token}`, ...(body && { 'Content-Type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    }).catch(() => undefined)
    const read = (await answer?.json().catch(() => undefined)) as Record<string, unknown> | undefined
    const isOwn = path !== 'accounts/' || answer?.status !== 200 || read?.id === me.id
    const retry = answer?.headers.get('Retry-After') ?? null
    outcomes.push({ ...(answer && { status: answer.status }), retry, ms: performance.now() - start, isOwn })
    return { status: answer?.status, read }
  }

  async function work(me: Person) {
    const mine: Known[] = []
    for (let turn = 0; !isOver; turn++) {
      await delay(pause)
      if (turn % 3 === 0) await ask(me, 'GET', 'accounts/')
      const one = mine.length < 3 ? undefined : mine[turn % mine.length]
      if (!one) {
        const { status, read } = await ask(me, 'POST', 'assignments/', { name: `${turn} of ${me.id}` })
        if (status !== 201) continue
        mine.push(read as Known)
        told.push(read as Known)
      } else if (turn % 11 === 0) {
        const { status } = await ask(me, 'DELETE', `assignments/${one.id}/`)
        mine.splice(mine.indexOf(one), 1)
        if (status === 204) one.isDeleted = true
        else told.splice(told.indexOf(one), 1)
      } else {
        const change = { name: `${turn} of ${me.id}`, status: statuses[turn % 4] }
        const { status, read } = await ask(me, 'PATCH', `assignments/${one.id}/`, change)
        if (status === 200) Object.assign(one, read)
        else {
          mine.splice(mine.indexOf(one), 1)
          told.splice(told.indexOf(one), 1)
        }
      }
    }
  }

  const working = people.map(work)
  return {
    outcomes,
    /** Waits for so many more requests that were done. */
    more: async (count: number) => {
      const done = () => outcomes.filter(({ status }) => status && status < 300).length
      for (const until = done() + count; done() < until; ) await delay(20)
    },
    stop: async () => {
      isOver = true
      await Promise.all(working)
      return told
    },
  }
}

/** Every assignment is as its creator was last told, and whole: with its part of the search, and an event for each version. */
export async function expectWhole(sql: postgres.Sql, told: Known[]) {
  const rows = await sql`
    select id, creator, name, status, version, false as "isDeleted" from assignments where id = any(${told.map(({ id }) => id)})`
  const byId = new Map(rows.map((row) => [row.id, row]))
  for (const { id, creator, name, status, version, isDeleted = false } of told) {
    expect(byId.get(id)).toEqual(isDeleted ? undefined : { id, creator, name, status, version, isDeleted })
  }
  const halves = await sql`
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
  expect(halves).toEqual([])
}
