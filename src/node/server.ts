import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Problem } from '../http/problem.ts'
import { problemResponse } from '../http/security.ts'
import { keepConnections } from './connections.ts'

/** The statuses of what Node's parser refuses; 400 for all else. */
const refusals: Record<string, 408 | 417 | 431> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  EXPECTATION: 417,
}

/** What a client may take of the server: times in milliseconds, sizes in bytes. */
const limits = {
  // A load balancer's idle time is usually 60 s: this end must not be the first to hang up.
  keepAliveTimeout: 65_000,
  // From the first byte: what a slow network needs for a few KiB, and a slow attacker may hold.
  headersTimeout: 10_000,
  // Body included: 256 KiB at 70 kbit/s.
  requestTimeout: 30_000,
  // How long one may overstay either of the two.
  connectionsCheckingInterval: 5_000,
  // For a client that reads nothing. A stream says something every 15 s.
  timeout: 45_000,
  // All headers of a request: a cursor of 4 KiB, a token and a proxy's own fit.
  maxHeaderSize: 16 * 1024,
  // No limit but that: beyond one, Node 20 drops headers without a word, If-Match among them.
  maxHeadersCount: 0,
  // Kept by a load balancer, one brings requests for days.
  maxRequestsPerSocket: 0,
  // An idle one holds some 15 KiB.
  maxConnections: 10_000,
}

/** How long a client may take to read a refusal and hang up. */
const LINGER_MS = 2_000

/** Whether a request names its host as RFC 9112 (3.2) requires. Node's own answer to one that does not is no problem document. */
function hasHost({ rawHeaders, httpVersion }: IncomingMessage) {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length
  return hosts === 1 || (hosts === 0 && httpVersion === '1.0')
}

/** An HTTP server over a handler, which is told the peer's address. What is no HTTP never reaches the handler. */
export function createHttpServer(
  handle: (request: Request, address: string) => Response | Promise<Response>,
  hostname: string,
  own: Partial<typeof limits> = {},
): Server {
  const { timeout, maxHeadersCount, maxRequestsPerSocket, maxConnections, ...options } = { ...limits, ...own }
  const listener = getRequestListener(
    (request, env) => handle(request, (env as HttpBindings).incoming.socket.remoteAddress ?? ''),
    { errorHandler: () => rejected(400), overrideGlobalObjects: false, hostname },
  )
  const server = createServer({ ...options, requireHostHeader: false }, (request, response) => {
    if (!hasHost(request)) return refuse({}, request.socket)
    return connections.begin(request.socket, response, () => {
      // A client that keeps its connection learns so that the next request is not for here.
      if (!server.listening) response.setHeader('Connection', 'close')
      listener(request, response)
    })
  })
  Object.assign(server, { timeout, maxHeadersCount, maxRequestsPerSocket })
  const connections = keepConnections(server, maxConnections)
  server.on('clientError', refuse)
  // Read on: where something of it was unread at the end, the answer would be thrown away.
  server.on('connect', (_request, socket: Socket) => refuse({}, socket.resume()))
  server.on('checkExpectation', ({ socket }) => refuse({ code: 'EXPECTATION' }, socket))
  return server

  async function refuse({ code }: { code?: string }, socket: Socket) {
    await connections.refuse(socket)
    if (!socket.writable || code === 'ECONNRESET') return socket.destroy()
    const status = refusals[code ?? ''] ?? 400
    const answer = rejected(status)
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const body = await answer.text()
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
}

/** How long a connection that is kept may still bring a request, after the order to stop. */
const DRAIN_MS = 500

/**
 * Ends a server: nothing new is let in, what was let in is answered. A request that is on its way on a connection that is kept
 * would be cut by closing that at once; for a while it is served, and told not to come back.
 */
export async function stopServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => NetServer.prototype.close.call(server, resolve))
  await delay(DRAIN_MS)
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  await closed
  clearInterval(idle)
}

function rejected(status: 400 | 408 | 417 | 431) {
  const detail = `The request is refused: ${STATUS_CODES[status]}.`
  const answer = problemResponse(new Problem('malformed_request', { status, detail }))
  answer.headers.set('Connection', 'close')
  return answer
}
