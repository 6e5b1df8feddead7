import { expect, test } from 'vitest'
import { compareDaysIn } from '../support/process-zones.ts'

const zones = Intl.supportedValuesOf('timeZone')

const [first = 0, last = 0] = (process.env.YEARS ?? '1995-2027').split('-').map(Number)

test('days of all zones match the reference', { timeout: 1_800_000 }, async () => {
  // Its clock changes at midnight, so a process there is the hardest case.
  const results = await compareDaysIn(['Africa/Cairo'], [first, last], zones)
  expect(results['Africa/Cairo']?.differences).toEqual([])
})

test('days of all zones are the same in a process of any zone', { timeout: 1_800_000 }, async () => {
  const processes = ['UTC', 'Asia/Beirut', 'America/Santiago']
  const results = await compareDaysIn(processes, [2009, 2011], zones)
  for (const zone of processes) {
    expect([zone, results[zone]?.differences]).toEqual([zone, []])
    expect(results[zone]?.digest).toBe(results.UTC?.digest)
  }
})
