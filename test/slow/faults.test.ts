import { afterAll, describe, test } from 'vitest'
import { expectRowsAfterBrokenConnections } from '../reference/paired-responses.ts'
import { startFaultyDatabase } from '../support/faults.ts'

// More clients: PEOPLE=100 npm run test:slow -- test/slow/faults.test.ts

const { faults, expectSurvival, databaseUrl, close } = await startFaultyDatabase(Number(process.env.PEOPLE ?? 20))
afterAll(close)

describe('a server whose database is', () => {
  test.each(Object.entries(faults))('%s answers every request and loses no change', async (_, fault) => {
    await expectSurvival(fault)
  })
})

test('the pool returns statements their own rows when 150 connections break', async () => {
  await expectRowsAfterBrokenConnections(databaseUrl(), 150)
}, 120_000)
