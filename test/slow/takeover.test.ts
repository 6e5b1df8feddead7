import { test } from 'vitest'
import { expectNoTakeover, ORDERS } from '../reference/takeover.ts'
import { openDocket } from '../support/fixtures.ts'

const docket = await openDocket()

test('a sign-up with the address of somebody else fails in any order of steps', async () => {
  await expectNoTakeover(docket, ORDERS)
})
