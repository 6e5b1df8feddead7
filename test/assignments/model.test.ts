import { test } from 'vitest'
import { expectModel } from '../reference/assignment-operations.ts'
import { fewerOnWorkers, openDocket } from '../support/fixtures.ts'

const docket = await openDocket({ RATE_LIMITS: 'off' })

test('random sequences of operations get the responses of a plain model', async () => {
  await expectModel(docket, fewerOnWorkers(4), 12)
})
