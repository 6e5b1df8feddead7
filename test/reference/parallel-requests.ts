import { expect } from 'vitest'
import type { Docket } from '../support/fixtures.ts'
import { until } from '../support/wait.ts'

/** Sends four kinds of requests in parallel, and expects each to succeed or to get a 503, without a trace in the database. */
export async function expectParallelRequests(docket: Docket, rounds: number) {
  const { call, createUser, drain } = docket
  const { token } = await createUser()
  const { id } = (await call('POST', '/assignments/', { token, body: { name: 'x' } })).body
  const responses = await Promise.all(
    Array.from({ length: rounds }, (_, number) => [
      call('GET', '/accounts/', { token }),
      call('GET', '/assignments/', { token }),
      call('GET', '/accounts/', { token: 'dkt_unknown' }),
      call('PATCH', `/assignments/${id}/`, { token, body: { name: `x${number}` } }),
    ]).flat(),
  )
  const expected = [200, 200, 401, 200]
  for (const [number, { status, headers }] of responses.entries()) {
    expect([expected[number % 4], 503]).toContain(status)
    if (status === 503) expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
  }
  await drain()
  await expectDisconnected(docket)

  // Each acknowledged change has a version of its own. One with a 503 may have been made, if its response was too late.
  const changes = responses.filter((_, number) => number % 4 === 3)
  const versions = changes.filter(({ status }) => status === 200).map(({ body }) => body.version)
  expect(new Set(versions).size).toBe(versions.length)
  const { version } = (await call('GET', `/assignments/${id}/`, { token })).body
  expect(version - 1).toBeGreaterThanOrEqual(versions.length)
  expect(version - 1).toBeLessThanOrEqual(changes.length)
}

/** Waits until the API has no connection to the database. A pooler closes its last one after a second. */
export async function expectDisconnected({ db }: Docket) {
  const others = `select from pg_stat_activity
    where datname = current_database() and application_name = 'docket' and pid <> pg_backend_pid()`
  await until(async () => (await db.execute(others)).length === 0)
}
