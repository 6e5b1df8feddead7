import { expect, test } from 'vitest'
import { reportPath, startDemo } from '../support/demo.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/process.ts'

test('the demo keeps its data and makes the same data elsewhere', async () => {
  const DATA_DIR = await temporaryFolder()
  const first = await startDemo({ DATA_DIR })
  const count = await first.count()
  const flow = await first.getJson(reportPath('flow'))
  const throughput = await first.getJson(reportPath('throughput'))
  expect(await first.server.stop()).toBe(0)

  const second = await startDemo({ DATA_DIR })
  expect(await second.count()).toBe(count)
  expect(await second.server.stop()).toBe(0)

  const other = await startDemo({ DATABASE_URL: await cloneDatabase() })
  expect(await other.getJson(reportPath('flow'))).toEqual(flow)
  expect(await other.getJson(reportPath('throughput'))).toEqual(throughput)
  expect(await other.server.stop()).toBe(0)
}, 180_000)
