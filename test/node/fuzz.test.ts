import { expect, test } from 'vitest'
import { fuzz } from '../reference/fuzzer.ts'

// test/slow/fuzz.test.ts sends more requests.

test('400 random requests get responses as documented', async () => {
  const environment = { RATE_LIMITS: 'off', TRUST_PROXY: 'true' }
  const { violations, counts, logLines } = await fuzz({ runs: 400, seed: 1, environment })
  expect(violations).toEqual([])
  expect([...counts.values()].filter((statuses) => statuses.size > 0).length).toBe(counts.size)
  expect(logLines.length).toBeGreaterThan(300)
})
