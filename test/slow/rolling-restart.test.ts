import { expect, test } from 'vitest'
import { expectConsistent, startLoad } from '../support/load.ts'
import { openServers, startBalancer } from '../support/servers.ts'

// test/slow/crashes.test.ts kills servers.

test('a rolling restart of two servers loses no request', { timeout: 120_000 }, async () => {
  const { people, owner, start } = await openServers()
  const servers = [start(), start()]
  const targets = await Promise.all(servers.map((server) => server.url()))
  const load = startLoad(await startBalancer(targets), people)
  await load.waitForSuccesses(100)
  for (const [index, server] of servers.entries()) {
    expect(await server.stop()).toBe(0)
    await load.waitForSuccesses(50)
    targets[index] = await start().url()
    await load.waitForSuccesses(50)
  }
  const acknowledged = await load.stop()
  expect(load.outcomes.filter(({ status }) => !status || status >= 300)).toEqual([])
  await expectConsistent(owner, acknowledged)
})
