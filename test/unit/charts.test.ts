import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import fc from 'fast-check'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawFlow, drawThroughput } from '../../src/reports/charts.ts'
import type { EventCounts, Report, StatusCounts } from '../../src/reports/reports.ts'
import { CHART_POLICY } from '../../src/reports/svg.ts'

const EVENTS = { created: 'blue', started: 'orange', done: 'green', error: 'vermilion', deleted: 'grey' } as const
const [BOTTOM, TOP, LEFT, RIGHT] = [364, 108, 64, 928]
const MINUTES = { hour: 60, day: 1440, week: 10_080, month: 43_830 }

type Options = { bucket?: Report<unknown>['bucket']; from?: string; timezone?: string }
type Counts = EventCounts & StatusCounts
type Filled = Report<{ start: string } & Counts>

/** A report of so many buckets, each with the counts that `fill` gives it, and nothing else. */
function report(size: number, fill: (index: number) => Partial<Counts>, options: Options = {}): Filled {
  const { bucket = 'day', from = '2026-11-01T00:00:00.000Z', timezone = 'UTC' } = options
  const at = (index: number) => new Date(Date.parse(from) + index * MINUTES[bucket] * 60_000).toISOString()
  const none = { created: 0, started: 0, done: 0, error: 0, deleted: 0, todo: 0, 'in progress': 0 }
  const results = Array.from({ length: size }, (_, index) => ({ start: at(index), ...none, ...fill(index) }))
  return { bucket, from, to: at(size), timezone, results }
}

const busy = (index: number) => ({
  created: (index * 7) % 19,
  started: (index * 5) % 17,
  deleted: index % 2,
  todo: 20 + (index % 7),
  done: 3 * index,
  error: index % 3,
  'in progress': 5 + (index % 4),
})

const shape = (svg: string, colour: string) =>
  new RegExp(`<path class="${colour}[^>]* d="([^"]*)"`).exec(svg)?.[1] ?? ''

/** The bars of a colour, by left edge, width and height. */
const barsOf = (svg: string, colour: string) =>
  [...shape(svg, colour).matchAll(/M(\S+) (\S+)h(\S+)v(\S+)h\S+z/g)].map(([, left, top, width, height]) => {
    expect(Number(top) + Number(height)).toBeCloseTo(BOTTOM, 1)
    return { left: Number(left), width: Number(width), height: Number(height) }
  })

/** The upper edge of an area, as heights. */
const heightsOf = (svg: string, colour: string) =>
  (/L([^H]*)H/.exec(shape(svg, colour))?.[1]?.split(' ') ?? [])
    .filter((_, index) => index % 2)
    .map((y) => BOTTOM - Number(y))

const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text)
const descriptionOf = (svg: string) => /<desc[^>]*>([^<]*)<\/desc>/.exec(svg)?.[1]
const labelsOf = (svg: string) => [...svg.matchAll(/<text x="[^"]*" y="384"[^>]*>([^<]*)</g)].map(([, label]) => label)

describe('throughput', () => {
  test('has a bar for each count of each bucket, as high as it is large', () => {
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

  test('stands the bars of a bucket side by side, within its share of the width', () => {
    const svg = drawThroughput(report(52, busy, { bucket: 'week' }))
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

  test('stacks the bars of many buckets, and says so', () => {
    const svg = drawThroughput(report(1000, busy))
    expect(svg).toContain('Assignments per day, stacked')
    const [created, started, , , deleted] = Object.values(EVENTS).map((colour) => barsOf(svg, colour))
    expect(created).toHaveLength(1000)
    const own = created?.map(({ height }, index) => height - (started?.[index]?.height ?? 0))
    const unit = deleted?.[1]?.height ?? 0
    for (const [index, height] of own?.entries() ?? []) {
      expect(Math.abs(height - busy(index).created * unit)).toBeLessThan(0.2)
    }
    expect(svg.length).toBeLessThan(200_000)
    expect(drawThroughput(report(61, busy))).not.toContain('stacked')
  })

  test('says in words what it shows', () => {
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

describe('flow', () => {
  test('lays the statuses on each other: done, error, in progress, todo', () => {
    const svg = drawFlow(report(40, busy))
    const tops = ['green', 'vermilion', 'orange', 'blue'].map((colour) => heightsOf(svg, colour))
    const unit = (tops[0]?.[39] ?? 0) / busy(39).done
    for (let index = 0; index < 40; index++) {
      const { done, error, todo, ...rest } = busy(index)
      const expected = [
        done,
        done + error,
        done + error + rest['in progress'],
        done + error + rest['in progress'] + todo,
      ]
      expect(tops.map((heights) => heights[index])).toEqual(expected.map((sum) => expect.closeTo(sum * unit, 1)))
    }
    // Each covers the lower part of the one before it, so the order of drawing is part of it.
    const order = [...svg.matchAll(/class="(\w+) edge"/g)].map(([, colour]) => colour)
    expect(order).toEqual(['blue', 'orange', 'vermilion', 'green'])
  })

  test('says what there was at the end, and the extremes', () => {
    const svg = drawFlow(report(3, (index) => ({ todo: [5, 9, 2][index] ?? 0 }), { bucket: 'week' }))
    expect(descriptionOf(svg)).toContain('At the end: todo 2, least 2 (21 Nov 2026), most 9 (14 Nov 2026); ')
  })

  test('is as wide as the picture whatever the number of buckets', () => {
    for (const size of [1, 2, 1000]) {
      expect(shape(drawFlow(report(size, busy)), 'blue')).toMatch(/^M64 364V\S+L.*H928V364z$/)
    }
  })
})

describe.each([
  ['throughput', drawThroughput],
  ['flow', drawFlow],
])('%s', (_, draw) => {
  test('without anything to show has its axes and says so', () => {
    const svg = draw(report(30, () => ({})))
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['0', '1', 'Nothing to show']))
    expect(labelsOf(svg).length).toBeGreaterThan(10)
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  test('of one bucket is a picture too', () => {
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
  ])('marks the height of %i with round whole numbers', (done, expected) => {
    const svg = draw(report(3, (index) => (index === 1 ? { done } : {})))
    expect([...svg.matchAll(/text-anchor="end">([^<]*)</g)].map(([, label]) => label)).toEqual(expected)
  })

  test('escapes a time zone that is none, and falls back to UTC', () => {
    const svg = draw(report(3, busy, { timezone: `"'/><script>alert(1)</script>&amp;\u0000\uFFFF\uD800` }))
    expect(svg).not.toContain('<script')
    expect(svg).toContain(
      'UTC (&quot;&#39;/&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\uFFFD\uFFFD\uFFFD is not',
    )
    expect(labelsOf(svg)).toEqual(['1 Nov', '2 Nov', '3 Nov'])
  })

  test('asks for nothing, and its policy allows its one style', () => {
    const svg = draw(report(3, busy))
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

describe('dates are written in the report’s own time zone', () => {
  const hours = (timezone: string) => report(6, busy, { bucket: 'hour', from: '2026-10-24T23:00:00.000Z', timezone })

  test('by hour, through the end of summer time; a flow has them at the ends', () => {
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

  test('by day, week and month, with the year where it is new', () => {
    const from = '2025-11-30T23:00:00.000Z'
    const drawn = (bucket: 'day' | 'week' | 'month') => report(3, busy, { bucket, from, timezone: 'Europe/Paris' })
    expect(labelsOf(drawThroughput(drawn('day')))).toEqual(['1 Dec', '2 Dec', '3 Dec'])
    expect(labelsOf(drawFlow(drawn('day')))).toEqual(['1 Dec', '2 Dec', '3 Dec'])
    expect(labelsOf(drawThroughput(drawn('week')))).toEqual(['1 Dec', '8 Dec', '15 Dec'])
    expect(labelsOf(drawFlow(drawn('week')))).toEqual(['7 Dec', '14 Dec', '21 Dec'])
    const months = drawThroughput(drawn('month'))
    expect(labelsOf(months)).toEqual(['Dec', 'Dec', 'Jan'])
    expect(textsOf(months).filter((text) => /^\d{4}$/.test(text ?? ''))).toEqual(['2025', '2026'])
  })

  test('as many as fit', () => {
    expect(labelsOf(drawThroughput(report(30, busy)))).toHaveLength(15)
    expect(labelsOf(drawThroughput(report(48, busy, { bucket: 'hour' })))[1]).toBe('03:00')
  })
})

describe.runIf(existsSync('/usr/bin/chromium'))('in a browser', () => {
  let browser: Browser
  let page: Page
  const errors: string[] = []

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'].concat([
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ]),
    })
    page = await browser.newPage({ viewport: { width: 960, height: 420 } })
    page.on('console', (message) => errors.push(message.text()))
  })
  afterAll(() => browser.close())

  /** Opens a chart by itself, as XML and with its policy. */
  async function open(svg: string) {
    const headers = { 'Content-Security-Policy': CHART_POLICY }
    await page.unrouteAll()
    await page.route('**/*', (route) => route.fulfill({ body: svg, contentType: 'image/svg+xml', headers }))
    await page.goto('http://charts.test/')
  }

  const reports: [string, Filled][] = [
    ['a day of hours', report(24, busy, { bucket: 'hour', timezone: 'Asia/Kolkata' })],
    ['two days of hours', report(48, busy, { bucket: 'hour' })],
    ['thirty days', report(30, busy)],
    ['a hundred days', report(100, busy)],
    ['a year of weeks', report(52, busy, { bucket: 'week', timezone: 'America/Argentina/ComodRivadavia' })],
    ['ten years of months', report(120, busy, { bucket: 'month' })],
    ...(['hour', 'day', 'week', 'month'] as const).map((bucket): [string, Filled] => [
      `a thousand buckets by ${bucket}`,
      report(1000, busy, { bucket, from: '1990-08-30T00:00:00.000Z' }),
    ]),
    ['one bucket', report(1, busy)],
    ['nothing', report(30, () => ({}))],
    ['huge counts', report(7, () => ({ created: 9e9, started: 9e9, done: 9e9, error: 9e9, deleted: 9e9, todo: 9e9 }))],
    ['a hostile time zone', report(3, busy, { timezone: '"/><script>alert(1)</script>&]]>\u0000' })],
  ]

  test.each(reports)('%s: well-formed XML, whose texts neither overlap nor leave the picture', async (_, data) => {
    for (const draw of [drawThroughput, drawFlow]) {
      await open(draw(data))
      expect(await page.locator('parsererror, script').count()).toBe(0)
      expect(await page.locator('svg > title').textContent()).toContain(` by ${data.bucket}`)
      const boxes: Box[] = await page.evaluate(
        `[...document.querySelectorAll('svg > text')].map((text) => text.getBoundingClientRect().toJSON())`,
      )
      expect(boxes.length).toBeGreaterThan(5)
      for (const [index, box] of boxes.entries()) {
        expect(box.left).toBeGreaterThan(4)
        expect(box.right).toBeLessThan(956)
        expect(box.bottom).toBeLessThan(416)
        expect(boxes.slice(index + 1).filter((other) => !isApart(box, other))).toEqual([])
      }
    }
    expect(errors).toEqual([])
  })

  test('its own style makes it dark where that is preferred', async () => {
    const background = () => page.evaluate(`getComputedStyle(document.querySelector('.background')).fill`)
    await open(drawFlow(report(3, busy)))
    expect(await background()).toBe('rgb(255, 255, 255)')
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await background()).toBe('rgb(21, 24, 29)')
    expect(errors).toEqual([])
  })
})

type Box = { left: number; right: number; top: number; bottom: number }
const isApart = (a: Box, b: Box) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
