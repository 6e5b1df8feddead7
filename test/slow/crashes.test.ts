import { expect, test } from 'vitest'
import { expectConsistent, startLoad } from '../support/load.ts'
import { openServers } from '../support/servers.ts'
import { until } from '../support/wait.ts'

test.each([100, 137, 174])('a server killed after %i requests leaves no change half done', async (count) => {
  const { people, owner, start } = await openServers()
  const server = start()
  const load = startLoad(await server.url(), people, 1)
  await load.waitForSuccesses(count)
  await server.stop('SIGKILL')
  const acknowledged = await load.stop()
  // Statements that the server had sent may still run.
  const backends = () =>
    owner`select from pg_stat_activity where application_name = 'docket' and datname = current_database()`
  await until(async () => (await backends()).length === 0)
  expect(acknowledged.length).toBeGreaterThan(0)
  await expectConsistent(owner, acknowledged)
})
