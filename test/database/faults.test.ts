import { afterAll, describe, test } from 'vitest'
import { expectRowsAfterBrokenConnections, expectRowsAfterTimeouts } from '../reference/paired-responses.ts'
import { startFaultyDatabase } from '../support/faults.ts'

// test/slow/faults.test.ts has the other faults.

const { faults, expectSurvival, databaseUrl, close } = await startFaultyDatabase()
afterAll(close)

describe('the connection pool', () => {
  test('returns each statement its own rows after others timed out', async () => {
    await expectRowsAfterTimeouts(databaseUrl())
  })

  test('returns each statement its own rows while connections break', async () => {
    await expectRowsAfterBrokenConnections(databaseUrl(), 20)
  })
})

describe('a server whose database is', () => {
  test('killed answers every request and loses no change', async () => {
    await expectSurvival(faults.killed)
  })

  test('frozen answers every request and loses no change', async () => {
    await expectSurvival({ ...faults.frozen, milliseconds: 1_000 })
  })
})
