import { expect, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { users } from '../../src/database/schema.ts'
import { reportPath, startDemo } from '../support/demo.ts'
import { cloneDatabase, type Json } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'

// test/slow/demo.test.ts restarts the demo.

test('the demo shows a year of work', async () => {
  const demo = await startDemo({ DATABASE_URL: await cloneDatabase() })
  const flow = (await demo.getJson(reportPath('flow'))).results as Json[]
  const throughput = (await demo.getJson(reportPath('throughput'))).results as Json[]

  const busyWeeks = throughput.filter(({ created, done }) => created > 0 && done > 0)
  expect(busyWeeks.length).toBeGreaterThan(throughput.length * 0.7)
  for (const event of ['created', 'started', 'done', 'error', 'deleted']) {
    expect(throughput.some((week) => week[event] > 0)).toBe(true)
  }
  for (const status of ['todo', 'in progress', 'done', 'error']) {
    const counts = flow.map((week) => week[status] as number)
    expect(Math.max(...counts)).toBeGreaterThan(0)
    expect(counts.at(-1)).toBe(await demo.count(`&status=${encodeURIComponent(status)}`))
  }
  expect(await demo.count()).toBeGreaterThan(400)

  const chart = await demo.get(demo.chartUrl)
  expect(chart.headers.get('Content-Type')).toBe('image/svg+xml')
  expect(await chart.text()).toMatch(/^<svg /)
  // The sessions that created the data are gone; only this login is left.
  expect((await demo.getJson('/accounts/sessions/')).results).toHaveLength(1)
  expect(await demo.server.stop()).toBe(0)
})

test('the demo refuses a database with other accounts', async () => {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL)
  const at = new Date().toISOString()
  await db.insert(users).values({
    id: crypto.randomUUID(),
    email: 'ada@example.com',
    first_name: 'Ada',
    last_name: 'Lovelace',
    password: '',
    created_at: at,
    updated_at: at,
  })
  const server = startServer({ DATABASE_URL }, ['demo'])
  expect(await server.exitCode).toBe(1)
  expect(server.output()).toMatch(
    /^Docket did not start\.\nThe database \S+ at \S+ has accounts that do not belong to the demo\. .* set DATABASE_URL to one/,
  )
  expect(await db.$count(users)).toBe(1)
  await close()
})
