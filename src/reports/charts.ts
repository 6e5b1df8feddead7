import { html } from 'hono/html'
import type { EventCounts, Report, StatusCounts } from './reports.ts'
import {
  createDates,
  fill,
  fillWithEdge,
  type Label,
  type Markup,
  path,
  plot,
  rectangle,
  round,
  type Scale,
  type Series,
  scale,
  seriesOf,
  svgDocument,
  text,
  ticksTo,
} from './svg.ts'

const eventColours = { created: 'blue', started: 'orange', done: 'green', error: 'vermilion', deleted: 'grey' } as const

// From top to bottom. In a cumulative flow diagram the upper edge shows arrivals, the lowest band departures, and the bands
// between them the work that is left. Work in error is left too. It was started, so it is below the work in progress.
const statusColours = { todo: 'blue', 'in progress': 'orange', error: 'vermilion', done: 'green' } as const

// Thinner bars cannot be told apart, and wider ones do not look like bars.
const [MIN_BAR, MAX_BAR] = [2.2, 32]

/** Draws the events of each bucket as an SVG document: bars side by side, or stacked if they would be too thin. */
export function drawThroughput(report: Report<{ start: string } & EventCounts>): string {
  const { bucket, results } = report
  const slot = (plot.right - plot.left) / results.length
  const thickness = (slot * 0.8) / Object.keys(eventColours).length
  const isStacked = thickness < MIN_BAR
  const series = seriesOf(eventColours, results, isStacked)
  const width = isStacked ? slot - (slot > 3 ? 1 : 0) : Math.min(thickness, MAX_BAR)
  const x = (index: number) => plot.left + slot * (index + 0.5)
  return drawChart(report, {
    id: 'throughput',
    title: `Throughput by ${bucket}`,
    subject: `Assignments per ${bucket}${isStacked ? ', stacked' : ''}`,
    series,
    total: { label: 'In all', of: (values) => values.reduce((sum, value) => sum + value, 0) },
    instants: results.map(({ start }) => Date.parse(start)),
    x,
    draw: ({ colour, tops }, index, y) => {
      const shift = width * (isStacked ? -0.5 : index - series.length / 2)
      const bars = tops.map((top, bucket) => rectangle(x(bucket) + shift, y(top), width, plot.bottom - y(top)))
      return path(bars.join(''), fill(colour))
    },
  })
}

/** Draws the counts of each status at the end of each bucket as an SVG document: a cumulative flow diagram. */
export function drawFlow(report: Report<{ start: string } & StatusCounts>): string {
  const { bucket, results } = report
  const ends = [...results.slice(1).map(({ start }) => start), report.to].map((end) => Date.parse(end))
  const x = results.length > 1 ? scale(results.length - 1, plot.left, plot.right) : () => (plot.left + plot.right) / 2
  return drawChart(report, {
    id: 'flow',
    title: `Cumulative flow by ${bucket}`,
    subject: `Assignments in each status at the end of each ${bucket}`,
    series: seriesOf(statusColours, results, true),
    total: { label: 'At the end', of: (values) => values.at(-1) ?? 0 },
    // The end of a week is written as its last day, not as the first day of the next week.
    instants: bucket === 'hour' ? ends : ends.map((end) => end - 1),
    x,
    draw: ({ colour, tops }, _, y) => {
      const edge = tops.map((top, bucket) => `${round(x(bucket))} ${round(y(top))}`)
      // The horizontal lines at the sides give a single bucket an area too.
      const area = `M${plot.left} ${plot.bottom}V${round(y(tops[0] ?? 0))}L${edge.join(' ')}H${plot.right}V${plot.bottom}z`
      return path(area, fillWithEdge(colour))
    },
  })
}

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

function drawChart(report: Report<unknown>, chart: Chart): string {
  const { id, title, subject, series, instants, x } = chart
  const dates = createDates(report)
  const max = series.flatMap(({ tops }) => tops).reduce((a, b) => Math.max(a, b), 0)
  const ticks = ticksTo(max)
  const y = scale(ticks.at(-1) as number, plot.bottom, plot.top)
  const caption = [subject, dates.range, dates.zone]
  const content = html`${text(plot.left, 36, title, html`${fill('text')} font-size="18" font-weight="600"`)}
${text(plot.left, 58, caption.join(' · '), fill('muted'))}
${drawLegend(chart)}
${series.map((one, index) => chart.draw(one, index, y))}
${drawAxes(ticks, y, dates.labels(instants, x))}
${max === 0 && text((plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2, 'Nothing to show', centred())}`
  return svgDocument(id, title, `${caption.join(', ')}. ${describe(chart, dates.full)}`, content)
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
