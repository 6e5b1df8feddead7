import { createServer } from 'node:http'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { Services } from '../services.ts'

/**
 * Serves what Prometheus asks for, on a port of its own that the loopback interface alone has: how long requests took, by
 * method, route and status, and what the process uses. Rejects when the port cannot be listened on.
 */
export async function serveMetrics(port: number): Promise<{ observe: Services['observe']; close: () => void }> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Seconds from a request to its answer; of a stream to its beginning.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  })
  const server = createServer(async (_request, response) => {
    response.setHeader('Content-Type', registry.contentType).end(await registry.metrics())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return {
    observe: ({ method, route, status, ms }) => requests.observe({ method: known(method), route, status }, ms / 1000),
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Whatever a client may call a method must not become a series of its own. */
const known = (method: string) => (/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(method) ? method : 'other')
