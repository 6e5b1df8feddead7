import { encodeBase64 } from '@oslojs/encoding'
import { html } from 'hono/html'
import { sha256 } from '../crypto.ts'
import { type BucketSize, isTimezone } from './buckets.ts'
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

export type Markup = ReturnType<typeof html>

/** Fills a shape. The light colour is an attribute, for viewers that ignore or forbid styles. */
export const fill = (colour: Colour): Markup => html`class="${colour}" fill="${colours[colour].light}"`

/** Fills a shape and separates it from its neighbours by a thin line. */
export const fillWithEdge = (colour: Colour): Markup =>
  html`class="${colour} edge" fill="${colours[colour].light}" stroke="${colours.background.light}" stroke-width="0.5"`

/** Returns an SVG document with its title and description, on the background. */
export const svgDocument = (id: string, title: string, description: string, content: Markup): string =>
  String(html`<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}"
role="img" aria-labelledby="${id}-title ${id}-desc" font-family="system-ui, sans-serif" font-size="${FONT_SIZE}">
<title id="${id}-title">${title}</title>
<desc id="${id}-desc">${description}</desc>
<style>${STYLE}</style>
${path(rectangle(0, 0, WIDTH, HEIGHT), fill('background'))}
${content}
</svg>
`)

export const path = (d: string, attributes: Markup): Markup => html`<path ${attributes} d="${d}"/>`

export const text = (x: number, y: number, content: string, attributes: Markup): Markup =>
  html`<text x="${round(x)}" y="${round(y)}" ${attributes}>${content}</text>`

export const rectangle = (left: number, top: number, width: number, height: number) =>
  `M${round(left)} ${round(top)}h${round(width)}v${round(height)}h${round(-width)}z`

export const round = (value: number) => Math.round(value * 100) / 100

export type Scale = (value: number) => number

/** Maps the numbers from 0 to `max` to coordinates. */
export function scale(max: number, from: number, to: number): Scale {
  return (value) => from + (value / max) * (to - from)
}

/** Returns round whole numbers from 0 to `max` or beyond, in at most five steps of 1, 2 or 5 times a power of ten. */
export function ticksTo(max: number): number[] {
  const minStep = Math.max(max / 5, 1)
  const power = 10 ** Math.floor(Math.log10(minStep))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= minStep) ?? 10)
  return Array.from({ length: Math.max(Math.ceil(max / step), 1) + 1 }, (_, index) => index * step)
}

/** The values of one colour, a value for each bucket. `tops` are the upper edges of its bars or of its area. */
export type Series = { name: string; colour: Colour; values: number[]; tops: number[] }

/** Returns a series for each colour. A stacked series stands on all that follow it and are drawn over its lower part. */
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
export function createDates({ bucket, from, to, timezone }: Report<unknown>) {
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

export type Label = { x: number; label: string; below: string }

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
