import { expect, test } from 'vitest'
import { compareDaysIn } from '../support/process-zones.ts'

const zones = Intl.supportedValuesOf('timeZone')

test('days of all zones from 1970 to 2037 match the reference', { timeout: 1_800_000 }, async () => {
  // Its clock changes at midnight, so a process there is the hardest case.
  const results = await compareDaysIn(['Africa/Cairo'], [1970, 2037], zones)
  expect(results['Africa/Cairo']?.differences).toEqual([])
})

test('days of all zones are the same in a process of any zone', { timeout: 1_800_000 }, async () => {
  const processes = ['UTC', 'Asia/Beirut', 'America/Santiago', 'America/Havana', 'Europe/Berlin']
  const results = await compareDaysIn(processes, [2005, 2012], zones)
  for (const zone of processes) {
    expect([zone, results[zone]?.differences]).toEqual([zone, []])
    expect(results[zone]?.digest).toBe(results.UTC?.digest)
  }
})
