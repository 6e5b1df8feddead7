import { expect, test } from 'vitest'
import { compareDaysIn } from '../support/process-zones.ts'

const processes = ['UTC', 'Africa/Cairo', 'Asia/Beirut', 'America/Santiago', 'America/Havana', 'Europe/Berlin']

test('days of all zones from 1970 to 2037 are the same in a process of any zone', { timeout: 1_800_000 }, async () => {
  const results = await compareDaysIn(processes, [1970, 2037], Intl.supportedValuesOf('timeZone'))
  for (const zone of processes) {
    expect([zone, results[zone]?.differences]).toEqual([zone, []])
    expect(results[zone]?.digest).toBe(results.UTC?.digest)
  }
})
