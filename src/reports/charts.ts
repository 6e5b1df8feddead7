import { encodeBase64 } from '@oslojs/encoding'
import { sha256 } from '../crypto.ts'

type Bucket = 'hour' | 'day' | 'week' | 'month'
/** Consecutive buckets, at least one. Instants are RFC 3339, the time zone is IANA's. */
export type Report<Result> = { bucket: Bucket; from: string; to: string; timezone: string; results: Result[] }
export type Throughput = { start: string } & Record<keyof typeof EVENTS, number>
export type Flow = { start: string } & Record<keyof typeof STATUSES, number>

// After Okabe and Ito, but all 3:1 or more on their background, and any two apart to every kind of colour-blindness.
const COLOURS = {
  blue: { light: '#1264ab', dark: '#3b93d9' },
  orange: { light: '#c28800', dark: '#f5b921' },
  green: { light: '#12a07a', dark: '#7fdcbd' },
  vermilion: { light: '#c2410c', dark: '#e8541a' },
  grey: { light: '#3d444d', dark: '#9fa6ad' },
  background: { light: '#ffffff', dark: '#15181d' },
  text: { light: '#1f2328', dark: '#e6e8eb' },
  muted: { light: '#59636e', dark: '#9da5ae' },
}
type Colour = keyof typeof COLOURS

const EVENTS = { created: 'blue', started: 'orange', done: 'green', error: 'vermilion', deleted: 'grey' } as const

// From the top down, as work goes: readers take the upper edge for arrivals, that of the lowest band for departures, and what
// is between for the work that is left. An error is left too, but begun and stopped: below what is in progress.
const STATUSES = { todo: 'blue', 'in progress': 'orange', error: 'vermilion', done: 'green' } as const

const [WIDTH, HEIGHT, FONT_SIZE] = [960, 420, 12]
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 928, 108, 364]
// Of a wide font: nothing here can measure the one that a viewer has.
const CHARACTER_WIDTH = 7.6
// Thinner bars cannot be told apart, and wider ones look like something else.
const [THINNEST_BAR, WIDEST_BAR] = [2.2, 32]

const fills = Object.entries(COLOURS).map(([name, { dark }]) => `.${name}{fill:${dark}}`)
const STYLE = `@media (prefers-color-scheme:dark){${fills.join('')}.edge{stroke:${COLOURS.background.dark}}}`
const hash = encodeBase64(sha256(STYLE))

/** The Content-Security-Policy of a chart that is opened by itself: it may use its own style, and nothing else. */
export const CHART_POLICY = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'`

/** Draws what happened in each bucket as an SVG document: bars side by side, or stacked where they would be too thin. */
export function drawThroughput(report: Report<Throughput>): string {
  const { bucket, results } = report
  const slot = (RIGHT - LEFT) / results.length
  const thickness = (slot * 0.8) / Object.keys(EVENTS).length
  const isStacked = thickness < THINNEST_BAR
  const series = seriesOf(EVENTS, results, isStacked)
  const width = isStacked ? slot - (slot > 3 ? 1 : 0) : Math.min(thickness, WIDEST_BAR)
  const x = (index: number) => LEFT + slot * (index + 0.5)
  return draw(report, {
    ...{ name: 'throughput', title: `Throughput by ${bucket}`, series, x, span: 'In all' },
    subject: `Assignments per ${bucket}${isStacked ? ', stacked' : ''}`,
    figure: (values) => values.reduce((sum, value) => sum + value, 0),
    instants: results.map(({ start }) => Date.parse(start)),
    mark: ({ colour, tops }, place, y) => {
      const shift = width * (isStacked ? -0.5 : place - series.length / 2)
      const bars = tops.map((top, index) => rectangle(x(index) + shift, y(top), width, BOTTOM - y(top)))
      return path(bars.join(''), paint(colour))
    },
  })
}

/** Draws how many stood in each status at each bucket's end as an SVG document: a cumulative flow diagram. */
export function drawFlow(report: Report<Flow>): string {
  const { bucket, results } = report
  const series = seriesOf(STATUSES, results, true)
  const ends = [...results.slice(1).map(({ start }) => start), report.to].map((end) => Date.parse(end))
  const x = results.length > 1 ? scale(results.length - 1, LEFT, RIGHT) : () => (LEFT + RIGHT) / 2
  return draw(report, {
    ...{ name: 'flow', title: `Cumulative flow by ${bucket}`, series, x, span: 'At the end' },
    subject: `Assignments in each status at the end of each ${bucket}`,
    figure: (values) => values.at(-1) ?? 0,
    // The end of a week is written as its last day, not as the first of the next.
    instants: bucket === 'hour' ? ends : ends.map((end) => end - 1),
    mark: ({ colour, tops }, _, y) => {
      const edge = tops.map((top, index) => `${round(x(index))} ${round(y(top))}`)
      // Level to the sides, for a single bucket to be an area too.
      const area = `M${LEFT} ${BOTTOM}V${round(y(tops[0] ?? 0))}L${edge.join(' ')}H${RIGHT}V${BOTTOM}z`
      return path(area, `${paint(colour, 'edge')} stroke="${COLOURS.background.light}" stroke-width="0.5"`)
    },
  })
}

type Series = { name: string; colour: Colour; values: number[]; tops: number[] }

/** The series of a picture. Stacked, each stands on all that follow it, which are then drawn over its lower part. */
function seriesOf<Name extends string>(
  colours: Record<Name, Colour>,
  results: Record<NoInfer<Name>, number>[],
  isStacked: boolean,
): Series[] {
  const names = Object.keys(colours) as Name[]
  return names.map((name, place) => {
    const within = isStacked ? names.slice(place) : [name]
    const tops = results.map((result) => within.reduce((sum, each) => sum + result[each], 0))
    return { name, colour: colours[name], values: results.map((result) => result[name]), tops }
  })
}

type Scale = (value: number) => number

function scale(domain: number, from: number, to: number): Scale {
  return (value) => from + (value / domain) * (to - from)
}

/** Round whole numbers from 0 to the maximum or beyond, in at most five steps of 1, 2 or 5 times a power of ten. */
function ticksTo(max: number): number[] {
  const least = Math.max(max / 5, 1)
  const power = 10 ** Math.floor(Math.log10(least))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10)
  return Array.from({ length: Math.max(Math.ceil(max / step), 1) + 1 }, (_, index) => index * step)
}

const round = (value: number) => Math.round(value * 100) / 100

const rectangle = (left: number, top: number, width: number, height: number) =>
  `M${round(left)} ${round(top)}h${round(width)}v${round(height)}h${round(-width)}z`

// The light colour is an attribute, so that there is a picture even where no style is known or allowed.
const paint = (colour: Colour, also = '') => `class="${`${colour} ${also}`.trim()}" fill="${COLOURS[colour].light}"`

const path = (d: string, look: string) => `<path ${look} d="${d}"/>`

const text = (x: number, y: number, content: string, look: string) =>
  `<text x="${round(x)}" y="${round(y)}" ${look}>${escapeXml(content)}</text>`

// A control character may not be in XML, not even escaped.
const escapeXml = (content: string) =>
  content.replace(/\p{C}/gu, '\uFFFD').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

type Format = Intl.DateTimeFormatOptions
type Dates = { label: Format; below: Format; full: Format; steps: number[] }
const days: Omit<Dates, 'steps'> = {
  ...{ label: { day: 'numeric', month: 'short' }, below: { year: 'numeric' }, full: { dateStyle: 'medium' } },
}
/** How a label, the line below it and a full date are written, and to how many buckets there may be one label. */
const DATES: Record<Bucket, Dates> = {
  hour: {
    label: { hour: '2-digit', minute: '2-digit' },
    ...{ below: { day: 'numeric', month: 'short' }, full: { dateStyle: 'medium', timeStyle: 'short' } },
    steps: [1, 2, 3, 6, 12, 24, 48, 96],
  },
  day: { ...days, steps: [1, 2, 7, 14, 28, 56, 91] },
  week: { ...days, steps: [1, 2, 4, 13, 26, 52, 104] },
  month: {
    ...{ label: { month: 'short' }, below: { year: 'numeric' }, full: { month: 'long', year: 'numeric' } },
    steps: [1, 2, 3, 6, 12, 24, 60, 120],
  },
}

/** The zone that dates can be written in: UTC, and it says so, where the runtime does not know the report's. */
function zoneOf(timezone: string) {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: timezone })
    return { timeZone: timezone, zone: timezone }
  } catch {
    return { timeZone: 'UTC', zone: `UTC (${timezone} is not known here)` }
  }
}

type Label = { x: number; label: string; below: string }

/** As many labels as fit, evenly apart, and so that a new day or year gets one; what is below is said once. */
function thin(labels: Label[], steps: number[]): Label[] {
  const longest = Math.max(...labels.flatMap(({ label, below }) => [label.length, below.length]))
  const [first, second = { x: WIDTH }] = labels as [Label, Label?]
  const fits = (step: number) => step * (second.x - first.x) >= longest * CHARACTER_WIDTH + FONT_SIZE
  const step = steps.find(fits) ?? labels.length
  const turn = Math.max(
    labels.findIndex(({ below }) => below !== first.below),
    0,
  )
  return labels
    .filter((_, index) => (index - turn) % step === 0)
    .map((label, index, shown) => ({ ...label, below: label.below === shown[index - 1]?.below ? '' : label.below }))
}

type Chart = {
  name: string
  title: string
  subject: string
  series: Series[]
  /** The one number that stands for a series, and what it is of. */
  figure: (values: number[]) => number
  span: string
  instants: number[]
  x: Scale
  mark: (series: Series, place: number, y: Scale) => string
}

function draw({ bucket, from, to, timezone }: Report<unknown>, chart: Chart): string {
  const { name, title, subject, series, figure, span, instants, x, mark } = chart
  const { timeZone, zone } = zoneOf(timezone)
  const { steps, ...formats } = DATES[bucket]
  const dates = (format: Format) => new Intl.DateTimeFormat('en-GB', { ...format, timeZone })
  // Here and not above, where the first of them was a tenth of a Worker's start.
  const grouped = new Intl.NumberFormat('en')
  const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
  const [label, below, full] = [dates(formats.label), dates(formats.below), dates(formats.full)]
  // `to` is not in the range, and may be the first instant of the day after it.
  const spaced = full.formatRange(Date.parse(from), Date.parse(to) - (bucket === 'hour' ? 0 : 1))
  const range = spaced.replaceAll('\u2009', ' ') // Which Node has about its dash, and Workers have not.

  const max = series.flatMap(({ tops }) => tops).reduce((a, b) => Math.max(a, b), 0)
  const ticks = ticksTo(max)
  const y = scale(ticks.at(-1) ?? 1, BOTTOM, TOP)
  const labels = thin(
    instants.map((instant, index) => ({ x: x(index), label: label.format(instant), below: below.format(instant) })),
    steps,
  )
  const figures = series.map(({ name, values }) => `${name} ${grouped.format(figure(values))}`)
  const parts = series.map(({ values }, place) => {
    const at = (value: number) => `${grouped.format(value)} (${full.format(instants[values.indexOf(value)])})`
    return `${figures[place]}, least ${at(Math.min(...values))}, most ${at(Math.max(...values))}`
  })
  const legend = series.map(
    ({ colour }, place) => `<tspan ${paint(colour)} font-size="16">■</tspan>\u2002${figures[place]}`,
  )
  const lines = ticks.slice(1).map((tick) => rectangle(LEFT, Math.round(y(tick)), RIGHT - LEFT, 1))
  const feet = [rectangle(LEFT, BOTTOM, RIGHT - LEFT, 1), ...labels.map(({ x }) => rectangle(x - 0.5, BOTTOM, 1, 5))]
  const muted = paint('muted')
  const centred = `${muted} text-anchor="middle"`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}"`,
    `role="img" aria-labelledby="${name}-title ${name}-desc" font-family="system-ui, sans-serif" font-size="${FONT_SIZE}">`,
    `<title id="${name}-title">${title}</title>`,
    `<desc id="${name}-desc">${escapeXml(`${subject}, ${range}, ${zone}. ${span}: ${parts.join('; ')}.`)}</desc>`,
    `<style>${STYLE}</style>`,
    path(rectangle(0, 0, WIDTH, HEIGHT), paint('background')),
    text(LEFT, 36, title, `${paint('text')} font-size="18" font-weight="600"`),
    text(LEFT, 58, `${subject} · ${range} · ${zone}`, muted),
    `<text x="${LEFT}" y="86" ${paint('text')}><tspan ${muted}>${span}</tspan>\u2003${legend.join('\u2003')}</text>`,
    ...series.map((one, place) => mark(one, place, y)),
    path(lines.join(''), `${muted} fill-opacity="0.2"`),
    path(feet.join(''), muted),
    ...ticks.map((tick) => text(LEFT - 8, y(tick) + 4, compact.format(tick), `${muted} text-anchor="end"`)),
    ...labels.map(({ x, label }) => text(x, BOTTOM + 20, label, centred)),
    ...labels.flatMap(({ x, below }) => (below ? text(x, BOTTOM + 36, below, centred) : [])),
    ...(max === 0 ? [text((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, 'Nothing to show', centred)] : []),
    '</svg>\n',
  ].join('\n')
}
