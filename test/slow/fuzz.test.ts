import { expect, test } from 'vitest'
import { fuzz } from '../reference/fuzzer.ts'

// More requests: SEED=7 RUNS=100000 npm run fuzz. With TARGET=http://127.0.0.1:8000, they go to a running server over HTTP.
// That server needs RATE_LIMITS=off, and its DATABASE_URL must be set here too, to insert accounts and codes: use a database
// without other data.
const { TARGET, SEED = '20261122', RUNS } = process.env
const isVerbose = RUNS !== undefined

const timeout = 86_400_000

test('random requests get responses as documented', { timeout }, async () => {
  const environment = { RATE_LIMITS: 'off', TRUST_PROXY: 'true' }
  const options = { runs: Number(RUNS ?? 4000), seed: Number(SEED), environment, isVerbose }
  const { violations, counts, logLines } = await fuzz(options)
  expect(violations).toEqual([])
  for (const [id, statuses] of counts) {
    expect(Math.min(...statuses.keys()), `${id} has never succeeded`).toBeLessThan(300)
  }
  // Each line of the log is one JSON object, whatever was in the requests, and reports no bug.
  const strange = logLines.filter((line) => /\p{Cc}./u.test(line) || JSON.parse(line).level === 'error')
  expect(strange).toEqual([])
})

test.skipIf(TARGET)('random requests above the rate limits get responses as documented', { timeout }, async () => {
  const options = { runs: Math.min(Number(RUNS ?? 2400), 20_000), seed: Number(SEED) + 1, status: 429, isVerbose }
  const { violations, counts } = await fuzz(options)
  expect(violations).toEqual([])
  for (const id of ['activateAccount', 'resetPassword']) expect(counts.get(id)?.has(429), id).toBe(true)
})
