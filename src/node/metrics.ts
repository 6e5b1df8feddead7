import { createServer } from 'node:http'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { Services } from '../services.ts'
import { StartupError } from '../settings.ts'

/**
 * Serves Prometheus metrics on a port of 127.0.0.1: the duration of requests by method, route and status, and the resources
 * of the process. Throws a StartupError if the port cannot be used.
 */
export async function serveMetrics(port: number): Promise<{ observe: Services['observe']; close: () => void }> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Seconds from a request to its response; for a stream, to the start of the response.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  })
  const server = createServer(async (_request, response) => {
    response.setHeader('Content-Type', registry.contentType).end(await registry.metrics())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve)
  }).catch(({ code }) => {
    throw new StartupError(
      `METRICS_PORT ${port} on 127.0.0.1 cannot be used (${code}). Choose another port, for example 9090.`,
    )
  })
  return {
    observe: ({ method, route, status, ms }) => {
      requests.observe({ method: methodLabel(method), route, status }, ms / 1000)
    },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Returns `other` for an unknown method, so that clients cannot create any number of time series. */
const methodLabel = (method: string) => (/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(method) ? method : 'other')
