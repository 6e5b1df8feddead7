import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drawFlow, drawThroughput } from '../../src/reports/charts.ts'
import { CHART_POLICY } from '../../src/reports/svg.ts'
import {
  BOTTOM,
  barsOf,
  busyCounts,
  descriptionOf,
  EVENTS,
  heightsOf,
  LEFT,
  labelsOf,
  pathOf,
  RIGHT,
  report,
  TOP,
  textsOf,
} from '../support/charts.ts'

describe('a throughput chart', () => {
  test('draws each count as a bar of proportional height', () => {
    const counts = fc.nat({ max: 9_000_000 })
    const buckets = fc.array(
      fc.record({ created: counts, started: counts, done: counts, error: counts, deleted: counts }),
    )
    fc.assert(
      fc.property(
        buckets.filter(({ length }) => length > 0 && length <= 60),
        (filled) => {
          const svg = drawThroughput(report(filled.length, (index) => filled[index] ?? {}))
          const max = Math.max(...filled.flatMap((bucket) => Object.values(bucket)))
          const bars = Object.values(EVENTS).map((colour) => barsOf(svg, colour))
          const highest = Math.max(...bars.flat().map(({ height }) => height))
          expect(highest).toBeLessThanOrEqual(BOTTOM - TOP)
          expect(max === 0 || highest > (BOTTOM - TOP) / 2 || max === 1).toBe(true)
          for (const [place, name] of (Object.keys(EVENTS) as (keyof typeof EVENTS)[]).entries()) {
            const heights = bars[place]?.map(({ height }) => height)
            expect(heights).toHaveLength(filled.length)
            filled.forEach((bucket, index) => {
              expect(heights?.[index]).toBeCloseTo((bucket[name] / (max || 1)) * highest, 1)
            })
          }
        },
      ),
    )
  })

  test('draws the bars of a bucket side by side', () => {
    const svg = drawThroughput(report(52, busyCounts, { bucket: 'week' }))
    const bars = Object.values(EVENTS).map((colour) => barsOf(svg, colour))
    const slot = (RIGHT - LEFT) / 52
    for (let index = 0; index < 52; index++) {
      const group = bars.map((bars) => bars[index])
      group.reduce(
        (edge, bar) => {
          expect(bar?.left).toBeGreaterThanOrEqual(edge - 0.05)
          return (bar?.left ?? 0) + (bar?.width ?? 0)
        },
        LEFT + slot * index,
      )
      expect((group[4]?.left ?? 0) + (group[4]?.width ?? 0)).toBeLessThanOrEqual(LEFT + slot * (index + 1) + 0.05)
    }
  })

  test('stacks the bars if there are many buckets, and says so', () => {
    const svg = drawThroughput(report(1000, busyCounts))
    expect(svg).toContain('Assignments per day, stacked')
    const [created, started, , , deleted] = Object.values(EVENTS).map((colour) => barsOf(svg, colour))
    expect(created).toHaveLength(1000)
    const own = created?.map(({ height }, index) => height - (started?.[index]?.height ?? 0))
    const unit = deleted?.[1]?.height ?? 0
    for (const [index, height] of own?.entries() ?? []) {
      expect(Math.abs(height - busyCounts(index).created * unit)).toBeLessThan(0.2)
    }
    expect(svg.length).toBeLessThan(200_000)
    expect(drawThroughput(report(61, busyCounts))).not.toContain('stacked')
  })

  test('has a description with totals, minima and maxima', () => {
    const svg = drawThroughput(report(3, (index) => ({ created: [1200, 7, 30][index] ?? 0, done: index })))
    expect(descriptionOf(svg)).toMatch(
      /^Assignments per day, 1 – 3 Nov 2026, UTC\. In all: created 1,237, least 7 \(2 Nov 2026\), /,
    )
    expect(descriptionOf(svg)).toContain('most 1,200 (1 Nov 2026); started 0, least 0')
    expect(descriptionOf(svg)).toContain('; done 3, least 0 (1 Nov 2026), most 2 (3 Nov 2026); ')
    expect(svg).toMatch(/role="img" aria-labelledby="throughput-title throughput-desc"/)
    expect(svg).toContain('<title id="throughput-title">Throughput by day</title>')
    expect(svg).toContain('<desc id="throughput-desc">')
  })
})

describe('a flow chart', () => {
  test('stacks done, error, in progress and todo', () => {
    const svg = drawFlow(report(40, busyCounts))
    const tops = ['green', 'vermilion', 'orange', 'blue'].map((colour) => heightsOf(svg, colour))
    const unit = (tops[0]?.[39] ?? 0) / busyCounts(39).done
    for (let index = 0; index < 40; index++) {
      const { done, error, todo, ...rest } = busyCounts(index)
      const expected = [
        done,
        done + error,
        done + error + rest['in progress'],
        done + error + rest['in progress'] + todo,
      ]
      expect(tops.map((heights) => heights[index])).toEqual(expected.map((sum) => expect.closeTo(sum * unit, 1)))
    }
    // Each area covers the lower part of the one before it, so the order of drawing matters.
    const order = [...svg.matchAll(/class="(\w+) edge"/g)].map(([, colour]) => colour)
    expect(order).toEqual(['blue', 'orange', 'vermilion', 'green'])
  })

  test('has a description with the final counts, minima and maxima', () => {
    const svg = drawFlow(report(3, (index) => ({ todo: [5, 9, 2][index] ?? 0 }), { bucket: 'week' }))
    expect(descriptionOf(svg)).toContain('At the end: todo 2, least 2 (21 Nov 2026), most 9 (14 Nov 2026); ')
  })

  test('fills the width with any number of buckets', () => {
    for (const size of [1, 2, 1000]) {
      expect(pathOf(drawFlow(report(size, busyCounts)), 'blue')).toMatch(/^M64 364V\S+L.*H928V364z$/)
    }
  })
})

describe.each([
  ['throughput', drawThroughput],
  ['flow', drawFlow],
])('any %s chart', (_, draw) => {
  test('without data has axes and a message', () => {
    const svg = draw(report(30, () => ({})))
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['0', '1', 'Nothing to show']))
    expect(labelsOf(svg).length).toBeGreaterThan(10)
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  test('can have a single bucket', () => {
    const svg = draw(report(1, () => ({ created: 4, done: 2 })))
    expect(labelsOf(svg)).toEqual(['1 Nov'])
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  test.each([
    [1, ['0', '1']],
    [4, ['0', '1', '2', '3', '4']],
    [7, ['0', '2', '4', '6', '8']],
    [100, ['0', '20', '40', '60', '80', '100']],
    [101, ['0', '50', '100', '150']],
    [5200, ['0', '2K', '4K', '6K']],
    [1_234_567, ['0', '500K', '1M', '1.5M']],
    [9_999_999_999, ['0', '2B', '4B', '6B', '8B', '10B']],
  ])('labels the axis up to %i with round whole numbers', (done, expected) => {
    const svg = draw(report(3, (index) => (index === 1 ? { done } : {})))
    expect([...svg.matchAll(/text-anchor="end">([^<]*)</g)].map(([, label]) => label)).toEqual(expected)
  })

  test('escapes an invalid time zone and falls back to UTC', () => {
    const svg = draw(report(3, busyCounts, { timezone: `"'/><script>alert(1)</script>&amp;\u0000\uFFFF\uD800` }))
    expect(svg).not.toContain('<script')
    expect(svg).toContain(
      'UTC (&quot;&#39;/&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\uFFFD\uFFFD\uFFFD is not',
    )
    expect(labelsOf(svg)).toEqual(['1 Nov', '2 Nov', '3 Nov'])
  })

  test('loads nothing, and its policy allows only its style', () => {
    const svg = draw(report(3, busyCounts))
    const [style, ...others] = [...svg.matchAll(/<style>([^<]*)<\/style>/g)].map(([, style]) => style ?? '')
    expect(others).toEqual([])
    expect(CHART_POLICY).toContain(
      `style-src 'sha256-${createHash('sha256')
        .update(style ?? '')
        .digest('base64')}'`,
    )
    expect(svg).not.toMatch(/ style=|href|url\(|@import|<script|<image|<foreignObject| on\w+=/)
    expect(svg.match(/\w+:\/\/[^"]*/g)).toEqual(['http://www.w3.org/2000/svg'])
  })
})

describe('the dates of a chart', () => {
  const hours = (timezone: string) =>
    report(6, busyCounts, { bucket: 'hour', from: '2026-10-24T23:00:00.000Z', timezone })

  test('by hour follow the end of daylight saving time', () => {
    expect(labelsOf(drawThroughput(hours('Europe/Berlin')))).toEqual([
      '01:00',
      '02:00',
      '02:00',
      '03:00',
      '04:00',
      '05:00',
    ])
    expect(labelsOf(drawFlow(hours('Europe/Berlin')))).toEqual(['02:00', '02:00', '03:00', '04:00', '05:00', '06:00'])
    expect(labelsOf(drawThroughput(hours('Asia/Kolkata')))[0]).toBe('04:30')
    expect(textsOf(drawThroughput(hours('America/New_York')))).toEqual(expect.arrayContaining(['24 Oct', '25 Oct']))
  })

  test('by day, week and month include each new year', () => {
    const from = '2025-11-30T23:00:00.000Z'
    const drawn = (bucket: 'day' | 'week' | 'month') =>
      report(3, busyCounts, { bucket, from, timezone: 'Europe/Paris' })
    expect(labelsOf(drawThroughput(drawn('day')))).toEqual(['1 Dec', '2 Dec', '3 Dec'])
    expect(labelsOf(drawFlow(drawn('day')))).toEqual(['1 Dec', '2 Dec', '3 Dec'])
    expect(labelsOf(drawThroughput(drawn('week')))).toEqual(['1 Dec', '8 Dec', '15 Dec'])
    expect(labelsOf(drawFlow(drawn('week')))).toEqual(['7 Dec', '14 Dec', '21 Dec'])
    const months = drawThroughput(drawn('month'))
    expect(labelsOf(months)).toEqual(['Dec', 'Dec', 'Jan'])
    expect(textsOf(months).filter((text) => /^\d{4}$/.test(text ?? ''))).toEqual(['2025', '2026'])
  })

  test('are left out if there is no space', () => {
    expect(labelsOf(drawThroughput(report(30, busyCounts)))).toHaveLength(15)
    expect(labelsOf(drawThroughput(report(48, busyCounts, { bucket: 'hour' })))[1]).toBe('03:00')
  })
})
