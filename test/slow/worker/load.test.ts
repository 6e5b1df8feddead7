import { test } from 'vitest'
import { expectParallelRequests } from '../../reference/parallel-requests.ts'
import { openDocket } from '../../support/fixtures.ts'

const docket = await openDocket()

test('a thousand parallel requests each succeed or get a 503', async () => {
  await expectParallelRequests(docket, 250)
}, 120_000)
