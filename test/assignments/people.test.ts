import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { insertAssignments } from '../reference/listing.ts'
import { openDocket } from '../support/fixtures.ts'
import { walkPages } from '../support/pages.ts'

const { call, createUser, db, now } = await openDocket()

type User = Awaited<ReturnType<typeof createUser>>

type Query = [name: string, value: string][]

const list = async ({ token }: User, query: Query = []) =>
  call('GET', `/accounts/people/?${new URLSearchParams(query)}`, { token })

const share = async ({ token }: User, assignee: User) => {
  const response = await call('POST', '/assignments/', { token, body: { name: 'Shared', assignee: assignee.id } })
  expect(response.status).toBe(201)
  return response.body
}

const idsOf = (results: { id: string }[]) => results.map(({ id }) => id)

/** Returns people as they are listed: by id. Those of one millisecond have random ids. */
const sorted = <P extends { id: string }>(...people: P[]) => people.sort((a, b) => (a.id < b.id ? -1 : 1))

const named = (first_name: string, last_name: string) => createUser({ first_name, last_name })

test('the list has the caller and everyone who shares an assignment, by name only', async () => {
  const [ada, bob, cy, eve] = [
    await named('Ada', 'Lovelace'),
    await named('Bob', 'Bauer'),
    await named('Cy', 'Young'),
    await named('Eve', 'Stranger'),
  ]
  expect((await list(ada)).body).toEqual({
    next: null,
    previous: null,
    results: [{ id: ada.id, first_name: 'Ada', last_name: 'Lovelace' }],
  })
  await share(ada, bob)
  const { id } = await share(cy, ada)
  // Bob shares something with Eve, and Ada does not.
  await share(bob, eve)
  expect((await list(ada)).body.results).toEqual(
    sorted(
      { id: ada.id, first_name: 'Ada', last_name: 'Lovelace' },
      { id: bob.id, first_name: 'Bob', last_name: 'Bauer' },
      { id: cy.id, first_name: 'Cy', last_name: 'Young' },
    ),
  )
  await call('DELETE', `/assignments/${id}/`, { token: cy.token })
  expect(idsOf((await list(ada)).body.results)).toEqual(idsOf(sorted(ada, bob)))
})

test('ids give names of those whom the caller can see, and nothing of others', async () => {
  const [ada, bob, eve] = [await createUser(), await createUser(), await createUser()]
  await share(ada, bob)
  const ids = [bob.id.toUpperCase(), eve.id, ada.id, bob.id, crypto.randomUUID()]
  const { body } = await list(
    ada,
    ids.map((id) => ['id', id]),
  )
  expect(idsOf(body.results)).toEqual(idsOf(sorted(ada, bob)))
  expect((await list(ada, [['id', eve.id]])).body.results).toEqual([])
  const many: Query = Array.from({ length: 101 }, () => ['id', crypto.randomUUID()])
  expect(await list(ada, many)).toMatchObject({ status: 400, body: { errors: [{ in: 'query', pointer: '/id' }] } })
  expect(await list(ada, [['id', 'me']])).toMatchObject({ status: 400 })
})

test('a search finds names by all terms, folded', async () => {
  const ada = await named('Ada', 'Lovelace')
  const [strasse, other] = [await named('Zoë', 'Straße'), await named('Zed', 'Weg_%')]
  await share(ada, strasse)
  await share(other, ada)
  const found = async (search: string) => idsOf((await list(ada, [['search', search]])).body.results)
  expect(await found('STRASSE zo')).toEqual([strasse.id])
  expect(await found('"zoe\u0308 str"')).toEqual([strasse.id])
  expect(await found('z')).toEqual(idsOf(sorted(strasse, other)))
  expect(await found('_%')).toEqual([other.id])
  expect(await found('zoë weg')).toEqual([])
})

describe('pages', () => {
  test('have everybody once, forward and backward, with any filter', async () => {
    const people: User[] = []
    for (let index = 0; index < 24; index++) people.push(await named(index % 3 ? 'Per' : 'Ulf', `Son ${index}`))
    const [ada, others] = [people[11] as User, people.filter((_, index) => index !== 11)]
    for (const [index, person] of others.entries()) await (index % 2 ? share(ada, person) : share(person, ada))
    const queries: Query[] = [
      [],
      [['search', 'ulf']],
      people.filter((_, index) => index % 4).map(({ id }) => ['id', id]),
    ]
    for (const query of queries) {
      const whole = (await list(ada, [...query, ['limit', '100']])).body.results
      expect(whole.length).toBeGreaterThan(6)
      expect(idsOf(whole)).toEqual([...idsOf(whole)].sort())
      for (const limit of ['1', '3', '5', '6']) {
        const first = `/accounts/people/?${new URLSearchParams([...query, ['limit', limit]])}`
        const pages = await walkPages((url) => call('GET', url, { token: ada.token }), first)
        expect(pages).toEqual({ forward: idsOf(whole), backward: idsOf(whole) })
      }
    }
  })

  test('refuse a cursor of another user, filter or kind', async () => {
    const [ada, bob] = [await createUser(), await createUser()]
    await share(ada, bob)
    const { body } = await list(ada, [['limit', '1']])
    const cursor = new URL(body.next).searchParams.get('cursor') ?? ''
    expect(
      await list(ada, [
        ['cursor', cursor],
        ['limit', '5'],
      ]),
    ).toMatchObject({ status: 200 })
    const wrong: [User, Query][] = [
      [bob, [['cursor', cursor]]],
      [
        ada,
        [
          ['cursor', cursor],
          ['search', 'per'],
        ],
      ],
      [ada, [['cursor', 'WzFd']]],
    ]
    for (const [person, query] of wrong) {
      expect(await list(person, query)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } })
    }
    expect(await call('GET', `/assignments/?cursor=${cursor}`, { token: ada.token })).toMatchObject({ status: 400 })
  })
})

test('the people agree with the assignments', async () => {
  const { call, createUser, db, clock } = await openDocket()
  const people: User[] = []
  for (let index = 0; index < 12; index++) people.push(await createUser())
  await insertAssignments(
    db,
    people.map(({ id }) => id),
    60,
    clock.now,
  )
  for (const person of people) {
    const rows = await db.execute<{ id: string }>(sql`
      select ${person.id}::uuid as id union select creator from assignments where assignee = ${person.id}
      union select assignee from assignments where creator = ${person.id} order by id`)
    const { token } = person
    const { body } = await call('GET', '/accounts/people/?limit=100', { token })
    expect(idsOf(body.results)).toEqual(idsOf([...rows]))
  }
})

test('an account whose deletion was interrupted is not listed', async () => {
  const [ada, bob] = [await createUser(), await createUser()]
  await share(ada, bob)
  await db.execute(sql`update users set deleted_at = ${now().toISOString()} where id = ${bob.id}`)
  expect(idsOf((await list(ada)).body.results)).toEqual([ada.id])
  expect((await list(ada, [['id', bob.id]])).body.results).toEqual([])
})
