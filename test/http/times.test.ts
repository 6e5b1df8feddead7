import postgres from 'postgres'
import { expect, test } from 'vitest'
import { cloneDatabase, openDocket } from '../support/fixtures.ts'

test('times do not depend on the date style and the time zone of the database', async () => {
  const database = await cloneDatabase()
  const admin = postgres(database, { max: 1, onnotice: () => {} })
  const name = new URL(database).pathname.slice(1)
  await admin.unsafe(
    `alter database ${name} set datestyle = 'SQL, DMY'; alter database ${name} set timezone = 'Asia/Kabul'`,
  )
  await admin.end()
  const { createUser, call, now, logIn, advance } = await openDocket({}, { database })
  const { token, email } = await createUser()
  advance(-20 * 86_400)
  const { body } = await call('POST', '/assignments/', { token, body: { name: 'Write' } })
  expect(body).toMatchObject({ created_at: now().toISOString(), updated_at: now().toISOString() })
  const { body: list } = await call('GET', '/assignments/', { token })
  expect(list.results).toEqual([body])
  const { body: events } = await call('GET', '/assignments/events/?cursor=start', { token })
  expect(events.results[0].at).toBe(body.created_at)
  expect(await logIn(email, 'wrong password')).toMatchObject({ status: 401 })
})
