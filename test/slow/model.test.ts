import { test } from 'vitest'
import { expectModel } from '../reference/assignment-operations.ts'
import { openDocket } from '../support/fixtures.ts'

const docket = await openDocket({ RATE_LIMITS: 'off' })

// Most of the time is for finding the shortest sequence that fails.
const timeout = 600_000

// More sequences: RUNS=1000 npm run test:slow -- test/slow/model.test.ts
test('many sequences of operations get the responses of a plain model', { timeout }, async () => {
  await expectModel(docket, Number(process.env.RUNS ?? 20), 13)
})
