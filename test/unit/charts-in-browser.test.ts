import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawFlow, drawThroughput } from '../../src/reports/charts.ts'
import { CHART_POLICY } from '../../src/reports/svg.ts'
import { busyCounts, type FilledReport, report } from '../support/charts.ts'
import { CHROMIUM, launchChromium } from '../support/chromium.ts'

describe.runIf(existsSync(CHROMIUM))('a chart in a browser', () => {
  let browser: Browser
  let page: Page
  const errors: string[] = []

  beforeAll(async () => {
    browser = await launchChromium()
    page = await browser.newPage({ viewport: { width: 960, height: 420 } })
    page.on('console', (message) => errors.push(message.text()))
  })
  afterAll(() => browser.close())

  /** Opens a chart as a page of its own, with its policy. */
  async function open(svg: string) {
    const headers = { 'Content-Security-Policy': CHART_POLICY }
    await page.unrouteAll()
    await page.route('**/*', (route) => route.fulfill({ body: svg, contentType: 'image/svg+xml', headers }))
    await page.goto('http://charts.test/')
  }

  const reports: [string, FilledReport][] = [
    ['a day of hours', report(24, busyCounts, { bucket: 'hour', timezone: 'Asia/Kolkata' })],
    ['two days of hours', report(48, busyCounts, { bucket: 'hour' })],
    ['thirty days', report(30, busyCounts)],
    ['a hundred days', report(100, busyCounts)],
    ['a year of weeks', report(52, busyCounts, { bucket: 'week', timezone: 'America/Argentina/ComodRivadavia' })],
    ['ten years of months', report(120, busyCounts, { bucket: 'month' })],
    ...(['hour', 'day', 'week', 'month'] as const).map((bucket): [string, FilledReport] => [
      `a thousand buckets by ${bucket}`,
      report(1000, busyCounts, { bucket, from: '1990-08-30T00:00:00.000Z' }),
    ]),
    ['one bucket', report(1, busyCounts)],
    ['nothing', report(30, () => ({}))],
    ['huge counts', report(7, () => ({ created: 9e9, started: 9e9, done: 9e9, error: 9e9, deleted: 9e9, todo: 9e9 }))],
    ['a hostile time zone', report(3, busyCounts, { timezone: '"/><script>alert(1)</script>&]]>\u0000' })],
  ]

  test.each(reports)('of %s is valid XML, and its texts do not overlap', async (_, data) => {
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

  test('is dark if the reader prefers that', async () => {
    const background = () => page.evaluate(`getComputedStyle(document.querySelector('.background')).fill`)
    await open(drawFlow(report(3, busyCounts)))
    expect(await background()).toBe('rgb(255, 255, 255)')
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await background()).toBe('rgb(21, 24, 29)')
    expect(errors).toEqual([])
  })
})

type Box = { left: number; right: number; top: number; bottom: number }
const isApart = (a: Box, b: Box) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
