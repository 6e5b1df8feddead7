import { encodeBase64 } from '@oslojs/encoding'
import { html } from 'hono/html'
import { sha256 } from '../crypto.ts'
import type { BucketSize } from './buckets.ts'
import { isTimezone } from './local-time.ts'
import type { Report } from './reports.ts'

const [WIDTH, HEIGHT, FONT_SIZE] = [960, 420, 12]
/** The sides of the plot in the picture. */
export const plot = { left: 64, right: 928, top: 108, bottom: 364 }
// The width in a wide font, since the font of the viewer is unknown.
const CHARACTER_WIDTH = 7.6

// After Okabe and Ito. Each has a contrast of at least 3:1 with its background, and any two can be told apart with every kind
// of colour blindness.
const colours = {
  blue: { light: '#1264ab', dark: '#3b93d9' },
  orange: { light: '#c28800', dark: '#f5b921' },
  green: { light: '#12a07a', dark: '#7fdcbd' },
  vermilion: { light: '#c2410c', dark: '#e8541a' },
  grey: { light: '#3d444d', dark: '#9fa6ad' },
  background: { light: '#ffffff', dark: '#15181d' },
  text: { light: '#1f2328', dark: '#e6e8eb' },
  muted: { light: '#59636e', dark: '#9da5ae' },
}
type Colour = keyof typeof colours

const darkFills = Object.entries(colours).map(([name, { dark }]) => `.${name}{fill:${dark}}`)
// The hash of the policy is that of the unescaped text, so no character here may need escaping.
const STYLE = `@media (prefers-color-scheme:dark){${darkFills.join('')}.edge{stroke:${colours.background.dark}}}`

/** The Content-Security-Policy of a chart that is opened by itself. It allows the chart's style sheet and nothing else. */
export const CHART_POLICY = `default-src 'none'; style-src 'sha256-${encodeBase64(sha256(STYLE))}'; base-uri 'none'; frame-ancestors 'none'`

type Markup = ReturnType<typeof html>

/** The values of one colour, a value for each bucket. `tops` are the upper edges of its bars or of its area. */
type Series = { name: string; colour: Colour; values: number[]; tops: number[] }

type Scale = (value: number) => number

type Chart = {
  id: string
  title: string
  subject: string
  series: Series[]
  /** The number that stands for a series in the legend. */
  total: { label: string; of: (values: number[]) => number }
  /** The time that labels each bucket, and the position of each bucket. */
  instants: number[]
  x: Scale
  draw: (series: Series, index: number, y: Scale) => Markup
}

/** Draws a chart as an SVG document: title, legend, series and axes, and a description for those who cannot see it. */
export function drawChart(report: Report<unknown>, chart: Chart): string {
  const { id, title, subject, series, instants, x } = chart
  const dates = createDates(report)
  const max = series.flatMap(({ tops }) => tops).reduce((a, b) => Math.max(a, b), 0)
  const ticks = ticksTo(max)
  const y = scale(ticks.at(-1) as number, plot.bottom, plot.top)
  const caption = [subject, dates.range, dates.zone]
  return String(html`<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}"
role="img" aria-labelledby="${id}-title ${id}-desc" font-family="system-ui, sans-serif" font-size="${FONT_SIZE}">
<title id="${id}-title">${title}</title>
<desc id="${id}-desc">${caption.join(', ')}. ${describe(chart, dates.full)}</desc>
<style>${STYLE}</style>
${path(rectangle(0, 0, WIDTH, HEIGHT), fill('background'))}
${text(plot.left, 36, title, html`${fill('text')} font-size="18" font-weight="600"`)}
${text(plot.left, 58, caption.join(' · '), fill('muted'))}
${drawLegend(chart)}
${series.map((one, index) => chart.draw(one, index, y))}
${drawAxes(ticks, y, dates.labels(instants, x))}
${max === 0 && text((plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2, 'Nothing to show', centred())}
</svg>
`)
}

/** The chart in words: the total of each series and its extremes with their dates. */
function describe(chart: Chart, dateOf: (instant: number) => string): string {
  const parts = chart.series.map((series) => {
    const { values } = series
    const withDate = (value: number) => `${grouped(value)} (${dateOf(chart.instants[values.indexOf(value)] as number)})`
    return `${nameWithTotal(chart, series)}, least ${withDate(Math.min(...values))}, most ${withDate(Math.max(...values))}`
  })
  return `${chart.total.label}: ${parts.join('; ')}.`
}

const nameWithTotal = ({ total }: Chart, { name, values }: Series) => `${name} ${grouped(total.of(values))}`

function drawLegend(chart: Chart): Markup {
  const entries = chart.series.map(
    (one) => html`\u2003<tspan ${fill(one.colour)} font-size="16">■</tspan>\u2002${nameWithTotal(chart, one)}`,
  )
  return html`<text x="${plot.left}" y="86" ${fill('text')}><tspan ${fill('muted')}>${chart.total.label}</tspan>${entries}</text>`
}

function drawAxes(ticks: number[], y: Scale, labels: Label[]): Markup {
  const grid = ticks.slice(1).map((tick) => rectangle(plot.left, Math.round(y(tick)), plot.right - plot.left, 1))
  const marks = labels.map(({ x }) => rectangle(x - 0.5, plot.bottom, 1, 5))
  return html`${path(grid.join(''), html`${fill('muted')} fill-opacity="0.2"`)}
${path(rectangle(plot.left, plot.bottom, plot.right - plot.left, 1) + marks.join(''), fill('muted'))}
${ticks.map((tick) => text(plot.left - 8, y(tick) + 4, compact(tick), html`${fill('muted')} text-anchor="end"`))}
${labels.map(({ x, label }) => text(x, plot.bottom + 20, label, centred()))}
${labels.map(({ x, below }) => below && text(x, plot.bottom + 36, below, centred()))}`
}

const centred = () => html`${fill('muted')} text-anchor="middle"`

// No formatter is created on import: the first one would take a tenth of a Worker's start-up time.
const grouped = (value: number) => value.toLocaleString('en')
const compact = (value: number) => value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 1 })

type Format = Intl.DateTimeFormatOptions

const time: Format = { hour: '2-digit', minute: '2-digit' }
const dateTime: Format = { dateStyle: 'medium', timeStyle: 'short' }
const day: Format = { day: 'numeric', month: 'short' }
const date: Format = { dateStyle: 'medium' }
const month: Format = { month: 'short' }
const monthAndYear: Format = { month: 'long', year: 'numeric' }
const year: Format = { year: 'numeric' }

/** The formats of a label, of the line below it and of a full date, and after how many buckets the next label may come. */
const dateFormats: Record<BucketSize, { label: Format; below: Format; full: Format; steps: number[] }> = {
  hour: { label: time, below: day, full: dateTime, steps: [1, 2, 3, 6, 12, 24, 48, 96] },
  day: { label: day, below: year, full: date, steps: [1, 2, 7, 14, 28, 56, 91] },
  week: { label: day, below: year, full: date, steps: [1, 2, 4, 13, 26, 52, 104] },
  month: { label: month, below: year, full: monthAndYear, steps: [1, 2, 3, 6, 12, 24, 60, 120] },
}

/** Writes the dates of a report in its time zone, or in UTC if this runtime does not know that zone. */
function createDates({ bucket, from, to, timezone }: Report<unknown>) {
  const isKnown = isTimezone(timezone)
  const { steps, ...formats } = dateFormats[bucket]
  const create = (format: Format) =>
    new Intl.DateTimeFormat('en-GB', { ...format, timeZone: isKnown ? timezone : 'UTC' })
  const [label, below, full] = [create(formats.label), create(formats.below), create(formats.full)]
  return {
    full: (instant: number) => full.format(instant),
    // `to` is exclusive and can be the first instant of the next day. Only Node writes thin spaces around the dash.
    range: full.formatRange(Date.parse(from), Date.parse(to) - (bucket === 'hour' ? 0 : 1)).replaceAll('\u2009', ' '),
    // XML has no control characters, not even escaped ones.
    zone: isKnown ? timezone : `UTC (${timezone.replace(/\p{C}/gu, '\uFFFD')} is not known)`,
    labels: (instants: number[], x: Scale) =>
      pickLabels(
        instants.map((instant, index) => ({ x: x(index), label: label.format(instant), below: below.format(instant) })),
        steps,
      ),
  }
}

type Label = { x: number; label: string; below: string }

/** Picks as many labels as fit, evenly spaced, so that a new day or year has one. The line below appears where it is new. */
function pickLabels(labels: Label[], steps: number[]): Label[] {
  const longest = Math.max(...labels.flatMap(({ label, below }) => [label.length, below.length]))
  const [first, second = { x: WIDTH }] = labels as [Label, Label?]
  const fits = (step: number) => step * (second.x - first.x) >= longest * CHARACTER_WIDTH + FONT_SIZE
  const step = steps.find(fits) ?? labels.length
  const firstNew = labels.findIndex(({ below }) => below !== first.below)
  return labels
    .filter((_, index) => (index - Math.max(firstNew, 0)) % step === 0)
    .map((label, index, picked) => ({ ...label, below: label.below === picked[index - 1]?.below ? '' : label.below }))
}

/** Returns a series for each colour. Stacked series stand on those that follow them, which are drawn over their lower parts. */
export function seriesOf<Name extends string>(
  colours: Record<Name, Colour>,
  results: Record<NoInfer<Name>, number>[],
  isStacked: boolean,
): Series[] {
  const names = Object.keys(colours) as Name[]
  return names.map((name, index) => {
    const stack = isStacked ? names.slice(index) : [name]
    const tops = results.map((result) => stack.reduce((sum, each) => sum + result[each], 0))
    return { name, colour: colours[name], values: results.map((result) => result[name]), tops }
  })
}

export const path = (d: string, attributes: Markup): Markup => html`<path ${attributes} d="${d}"/>`

const text = (x: number, y: number, content: string, attributes: Markup): Markup =>
  html`<text x="${round(x)}" y="${round(y)}" ${attributes}>${content}</text>`

export const rectangle = (left: number, top: number, width: number, height: number) =>
  `M${round(left)} ${round(top)}h${round(width)}v${round(height)}h${round(-width)}z`

export const round = (value: number) => Math.round(value * 100) / 100

/** Maps the numbers from 0 to `max` to coordinates. */
export function scale(max: number, from: number, to: number): Scale {
  return (value) => from + (value / max) * (to - from)
}

/** Returns round whole numbers from 0 to `max` or beyond, in at most five steps of 1, 2 or 5 times a power of ten. */
function ticksTo(max: number): number[] {
  const minStep = Math.max(max / 5, 1)
  const power = 10 ** Math.floor(Math.log10(minStep))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= minStep) ?? 10)
  return Array.from({ length: Math.max(Math.ceil(max / step), 1) + 1 }, (_, index) => index * step)
}

/** Fills a shape. The light colour is an attribute, for viewers that ignore or forbid styles. */
export const fill = (colour: Colour): Markup => html`class="${colour}" fill="${colours[colour].light}"`

/** Fills a shape and separates it from its neighbours by a thin line. */
export const fillWithEdge = (colour: Colour): Markup =>
  html`class="${colour} edge" fill="${colours[colour].light}" stroke="${colours.background.light}" stroke-width="0.5"`
