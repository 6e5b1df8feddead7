import { expect } from 'vitest'
import type { EventCounts, Report, StatusCounts } from '../../src/reports/reports.ts'

/** The colours of the events. */
export const EVENTS = {
  created: 'blue',
  started: 'orange',
  done: 'green',
  error: 'vermilion',
  deleted: 'grey',
} as const
/** The edges of the plot area. */
export const [BOTTOM, TOP, LEFT, RIGHT] = [364, 108, 64, 928]
const MINUTES = { hour: 60, day: 1440, week: 10_080, month: 43_830 }

type Options = { bucket?: Report<unknown>['bucket']; from?: string; timezone?: string }
type Counts = EventCounts & StatusCounts
export type FilledReport = Report<{ start: string } & Counts>

/** Returns a report with the counts that `fill` returns for each bucket. */
export function report(size: number, fill: (index: number) => Partial<Counts>, options: Options = {}): FilledReport {
  const { bucket = 'day', from = '2026-11-01T00:00:00.000Z', timezone = 'UTC' } = options
  const at = (index: number) => new Date(Date.parse(from) + index * MINUTES[bucket] * 60_000).toISOString()
  const none = { created: 0, started: 0, done: 0, error: 0, deleted: 0, todo: 0, 'in progress': 0 }
  const results = Array.from({ length: size }, (_, index) => ({ start: at(index), ...none, ...fill(index) }))
  return { bucket, from, to: at(size), timezone, results }
}

/** Returns different counts for each bucket. */
export const busyCounts = (index: number) => ({
  created: (index * 7) % 19,
  started: (index * 5) % 17,
  deleted: index % 2,
  todo: 20 + (index % 7),
  done: 3 * index,
  error: index % 3,
  'in progress': 5 + (index % 4),
})

/** Returns the path of a colour. */
export const pathOf = (svg: string, colour: string) =>
  new RegExp(`<path class="${colour}[^>]* d="([^"]*)"`).exec(svg)?.[1] ?? ''

/** Returns the bars of a colour. */
export const barsOf = (svg: string, colour: string) =>
  [...pathOf(svg, colour).matchAll(/M(\S+) (\S+)h(\S+)v(\S+)h\S+z/g)].map(([, left, top, width, height]) => {
    expect(Number(top) + Number(height)).toBeCloseTo(BOTTOM, 1)
    return { left: Number(left), width: Number(width), height: Number(height) }
  })

/** Returns the heights of the upper edge of an area. */
export const heightsOf = (svg: string, colour: string) =>
  (/L([^H]*)H/.exec(pathOf(svg, colour))?.[1]?.split(' ') ?? [])
    .filter((_, index) => index % 2)
    .map((y) => BOTTOM - Number(y))

export const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text)
export const descriptionOf = (svg: string) => /<desc[^>]*>([^<]*)<\/desc>/.exec(svg)?.[1]
export const labelsOf = (svg: string) =>
  [...svg.matchAll(/<text x="[^"]*" y="384"[^>]*>([^<]*)</g)].map(([, label]) => label)
