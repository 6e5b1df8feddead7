import { eq, sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { assignments } from '../../src/database/schema.ts'
import { fewerOnWorkers, openDocket } from '../support/fixtures.ts'
import { until } from '../support/wait.ts'

const { call, createUser, db, url } = await openDocket()
const { token } = await createUser()

const create = (body: object) => call('POST', '/assignments/', { token, body })
const read = (id: string) => call('GET', `/assignments/${id}/`, { token })
const history = (id: string) => call('GET', `/assignments/${id}/history/`, { token })
const patch = (id: string, body: object, headers: Record<string, string> = {}) =>
  call('PATCH', `/assignments/${id}/`, { token, body, headers })

describe('concurrent requests', () => {
  test('with the same If-Match: one of 50 succeeds', async () => {
    const { body: made } = await create({ name: 'x' })
    const headers = { 'If-Match': '"1"' }
    const responses = await Promise.all(
      Array.from({ length: 50 }, (_, n) => patch(made.id, { name: `n${n}` }, headers)),
    )
    const statuses = responses.map(({ status }) => status).sort()
    expect(statuses).toEqual([200, ...Array(49).fill(412)])
    expect((await read(made.id)).body.version).toBe(2)
    expect((await history(made.id)).body.results).toHaveLength(2)
  })

  test('that change different fields lose no change', async () => {
    for (let round = 0; round < fewerOnWorkers(20); round++) {
      const made = await Promise.all(Array.from({ length: 10 }, () => create({ name: 'x' })))
      await Promise.all(
        made.flatMap(({ body }) => [patch(body.id, { name: 'named' }), patch(body.id, { status: 'done' })]),
      )
      for (const { body } of made) {
        expect((await read(body.id)).body).toMatchObject({ name: 'named', status: 'done', version: 3 })
      }
    }
  })

  test('log their events in the order of the versions', async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => create({ name: 'x' })))
    // Many clients for few assignments: each waits while others already wait.
    const changeOften = async (client: number) => {
      for (let round = 0; round < fewerOnWorkers(25); round++) {
        const id = made[(client + round) % made.length]?.body.id
        expect(await patch(id, { description: `${round} of ${client}` })).toMatchObject({ status: 200 })
      }
    }
    await Promise.all(Array.from({ length: 24 }, (_, client) => changeOften(client)))
    const unordered = await db.execute(sql`
      select assignment, version from (
        select assignment, version, position, lag(position) over (partition by assignment order by version) as previous
        from assignment_events
      ) as events where position <= previous`)
    expect(unordered).toEqual([])
  })

  test('take the same lock in whatever case they write the id', async () => {
    const { body: made } = await create({ name: 'x' })
    const holder = connect(url, { max: 1 })
    /** Returns the advisory lock of a change that waits for the row. */
    const lockOfChange = async (id: string) => {
      await holder.db.execute('begin')
      await holder.db.select().from(assignments).where(eq(assignments.id, made.id)).for('update')
      const change = patch(id, { description: 'y' })
      const locks = await until(async () => {
        const locks = await db.execute(sql`
          select classid, objid from pg_locks join pg_stat_activity using (pid)
          where locktype = 'advisory' and granted and wait_event_type = 'Lock' and datname = current_database()`)
        return locks.length > 0 && locks
      })
      await holder.db.execute('rollback')
      expect(await change).toMatchObject({ status: 200 })
      return locks
    }
    expect(await lockOfChange(made.id.toUpperCase())).toEqual(await lockOfChange(made.id))
    await holder.close()
  })

  test('that change and delete an assignment end with its deletion', async () => {
    for (let round = 0; round < fewerOnWorkers(10); round++) {
      const { body: made } = await create({ name: 'x' })
      const responses = await Promise.all([
        ...Array.from({ length: 5 }, (_, n) => patch(made.id, { name: `n${n}` })),
        call('DELETE', `/assignments/${made.id}/`, { token }),
        ...Array.from({ length: 5 }, (_, n) => patch(made.id, { name: `m${n}` })),
      ])
      for (const { status } of responses) expect([200, 204, 404]).toContain(status)
      expect(await db.select().from(assignments).where(eq(assignments.id, made.id))).toEqual([])
      const { results } = (await history(made.id)).body
      const versions = results.map(({ version }: { version: number }) => version)
      expect(versions).toEqual(versions.map((_: number, index: number) => index + 1))
      expect(results.at(-1).kind).toBe('deleted')
      expect(results.length).toBe(2 + responses.filter(({ status }) => status === 200).length)
    }
  })
})
