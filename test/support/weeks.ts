import fc from 'fast-check'
import { assignment_events, statuses } from '../../src/database/schema.ts'
import type { Docket, Json } from './fixtures.ts'

type User = Awaited<ReturnType<Docket['createUser']>>

/** A list as the API returned it at a moment. */
export type Snapshot = { at: string; caller: User; query: Record<string, string>; body: Json }

const HOUR = 3_600_000

/**
 * Lets three people work for five weeks, through the end of daylight saving time in Europe, America and (by half an hour) on
 * Lord Howe. Returns the log in order of time and the lists that the API returned meanwhile.
 */
export async function workForFiveWeeks({ call, createUser, db, clock }: Docket) {
  clock.now = Date.parse('2026-10-01T00:00:00.000Z')
  const people = [await createUser(), await createUser(), await createUser()] as [User, User, User]
  const queries: Record<string, string>[] = [
    {},
    { ordering: 'name', status: 'todo,in progress' },
    { ordering: '-status,updated_at', search: 'word1' },
    { assignee: 'me', count: 'true' },
    { creator: people[1].id, ordering: '-name' },
    { created_after: '2026-10-10', ordering: 'updated_at' },
  ]
  const ids: string[] = []
  const snapshots: Snapshot[] = []

  for (const step of fc.sample(steps, { numRuns: 320, seed: 4 })) {
    clock.now += step.pause
    const { token } = people[step.person] as User
    const path = `/assignments/${ids[step.target % ids.length]}/`
    const assignee = step.assignee === null ? {} : { assignee: people[step.assignee]?.id }
    const body = { status: step.status, ...assignee, name: `Task word${step.word}` }
    if (step.action === 'create' || ids.length === 0) {
      ids.push((await call('POST', '/assignments/', { token, body })).body.id)
    } else if (step.action === 'change') {
      const { status } = await call('PATCH', path, { token, body })
      // An assignee may change only the status.
      if (status === 403) await call('PATCH', path, { token, body: { status: step.status } })
    } else if (step.target % 3 === 0) await call('DELETE', path, { token })

    if (step.snapshot !== 0) continue
    const caller = people[step.target % 3] as User
    const query = queries[step.target % queries.length] as Record<string, string>
    const list = `/assignments/?${new URLSearchParams({ ...query, limit: '100' })}`
    const response = await call('GET', list, { token: caller.token })
    snapshots.push({ at: new Date(clock.now).toISOString(), caller, query, body: response.body })
  }
  clock.now += HOUR
  const log = (await db.select().from(assignment_events)).sort((a, b) => (a.at < b.at ? -1 : 1))
  return { people, log, snapshots, end: clock.now }
}

const steps = fc.record({
  action: fc.constantFrom('create', 'create', 'change', 'change', 'change', 'change', 'delete'),
  person: fc.nat(2),
  target: fc.nat(10_000),
  status: fc.constantFrom(...statuses),
  assignee: fc.option(fc.nat(2), { freq: 3 }),
  word: fc.nat(3),
  pause: fc.integer({ min: 1, max: 4 * HOUR }),
  snapshot: fc.nat(5),
})
