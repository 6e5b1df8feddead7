import type { EventCounts, Report, StatusCounts } from './reports.ts'
import { drawChart, fill, fillWithEdge, path, plot, rectangle, round, scale, seriesOf } from './svg.ts'

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
