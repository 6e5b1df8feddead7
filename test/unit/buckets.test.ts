import { describe, expect, test } from 'vitest'
import { bucketEdges } from '../../src/reports/buckets.ts'
import { compareDaysIn } from '../support/process-zones.ts'

const days = (timezone: string, from: string, to: string) => bucketEdges('day', from, to, timezone, 1000)

describe('a local day', () => {
  test.each([
    // The clock goes from 24:00 back to 23:00, which belongs to the day before.
    ['Africa/Cairo', '2023-10-26T12:00:00Z', ['2023-10-25T21:00', '2023-10-26T22:00', '2023-10-27T22:00']],
    // The clock goes from 0:00 to 1:00: the day starts at 1:00.
    ['Africa/Cairo', '2023-04-27T12:00:00Z', ['2023-04-26T22:00', '2023-04-27T22:00', '2023-04-28T21:00']],
    ['America/Santiago', '2023-09-02T12:00:00Z', ['2023-09-02T04:00', '2023-09-03T04:00', '2023-09-04T03:00']],
    // The clock goes from 1:00 back to 0:00: the first midnight counts.
    ['America/Havana', '2023-11-05T12:00:00Z', ['2023-11-05T04:00', '2023-11-06T05:00', '2023-11-07T05:00']],
    // The clock goes from 0:01 back to 23:01.
    ['America/St_Johns', '2006-10-28T12:00:00Z', ['2006-10-28T02:30', '2006-10-29T02:30', '2006-10-30T03:30']],
    // The 30th was skipped.
    ['Pacific/Apia', '2011-12-29T12:00:00Z', ['2011-12-29T10:00', '2011-12-30T10:00', '2011-12-31T10:00']],
    ['Europe/Athens', '2023-04-24T12:00:00Z', ['2023-04-23T21:00', '2023-04-24T21:00', '2023-04-25T21:00']],
    // An offset with seconds.
    ['Africa/Monrovia', '1971-06-01T12:00:00Z', ['1971-06-01T00:44:30', '1971-06-02T00:44:30', '1971-06-03T00:44:30']],
  ])('of %s contains %s', (timezone, from, [first, second, third]) => {
    const utc = (time = '') => new Date(`${time}Z`).toISOString()
    expect(days(timezone, from, utc(third))).toEqual([utc(first), utc(second), utc(third)])
  })

  test('that was entered again contains no instant of the next day', () => {
    // 23:30 for the second time, after the first midnight of the 29th.
    const from = '2006-10-29T03:00:00.000Z'
    expect(days('America/St_Johns', from, '2006-10-29T04:00:00Z')).toEqual([
      '2006-10-29T02:30:00.000Z',
      '2006-10-30T03:30:00.000Z',
    ])
  })

  test('is the same in a process of any zone', async () => {
    const zones = [
      'Europe/Athens',
      'Africa/Cairo',
      'Asia/Beirut',
      'America/Santiago',
      'America/Havana',
      'Europe/Berlin',
    ]
    const processes = ['Africa/Cairo', 'America/Havana', 'UTC']
    const results = await compareDaysIn(processes, [2021, 2024], [...zones, 'America/St_Johns', 'Pacific/Apia'])
    for (const zone of processes) {
      expect([zone, results[zone]?.differences]).toEqual([zone, []])
      expect(results[zone]?.digest).toBe(results.UTC?.digest)
    }
  })
})

test('hours start at full local hours', () => {
  const hours = bucketEdges('hour', '2026-01-01T10:20:30.456Z', '2026-01-01T11:10:00Z', 'Asia/Kathmandu', 10)
  expect(hours).toEqual(['2026-01-01T10:15:00.000Z', '2026-01-01T11:15:00.000Z'])
  const early = bucketEdges('hour', '1970-01-01T00:00:00.000Z', '1970-01-01T00:10:00Z', 'America/St_Johns', 10)
  expect(early).toEqual(['1969-12-31T23:30:00.000Z', '1970-01-01T00:30:00.000Z'])
})

describe('hours in a zone whose clock is moved by half an hour', () => {
  const zone = 'Australia/Lord_Howe'

  test.each([
    // From 2:00 to 2:30.
    ['2026-10-03T14:00', ['2026-10-03T13:30', '2026-10-03T14:30', '2026-10-03T16:00', '2026-10-03T17:00']],
    // From 2:00 back to 1:30.
    ['2026-04-04T13:10', ['2026-04-04T13:00', '2026-04-04T14:00', '2026-04-04T15:30', '2026-04-04T16:30']],
  ])('from %s start at full local hours', (from, starts) => {
    const utc = (time = '') => `${time}:00.000Z`
    expect(bucketEdges('hour', utc(from), utc(starts.at(-1)), zone, 10)).toEqual(starts.map(utc))
  })

  test.each(['2026-10-03T00:00:00Z', '2026-04-04T00:00:00Z'])('are the same for every range after %s', (start) => {
    const iso = (minutes: number) => new Date(Date.parse(start) + minutes * 60_000).toISOString()
    const all = bucketEdges('hour', iso(0), iso(2160), zone, 100) as string[]
    for (let minutes = 5; minutes < 2160; minutes += 5) {
      const edges = bucketEdges('hour', iso(minutes), iso(2160), zone, 100) as string[]
      expect(edges).toEqual(all.slice(-edges.length))
      expect(edges.filter((edge) => edge <= iso(minutes))).toHaveLength(1)
    }
  })
})
