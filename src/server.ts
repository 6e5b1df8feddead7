import { createServer, type Server, STATUS_CODES } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { bareAnswer, Problem } from './problem.ts'

/** The statuses of what Node's parser refuses; 400 for all else. */
const refusals: Record<string, 408 | 417 | 431> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  EXPECTATION: 417,
}

/** An HTTP server over a handler, which is told the peer's address. What is no HTTP never reaches the handler. */
export function createHttpServer(
  handle: (request: Request, address: string) => Response | Promise<Response>,
  hostname: string,
): Server {
  const listener = getRequestListener(
    (request, env) => handle(request, (env as HttpBindings).incoming.socket.remoteAddress ?? ''),
    { errorHandler: () => rejected(400), overrideGlobalObjects: false, hostname },
  )
  const server = createServer(
    {
      // A load balancer's idle time is usually 60 s: this end must not be the first to hang up.
      keepAliveTimeout: 65_000,
      // From the first byte: what a slow network needs for a few KiB, and a slow attacker may hold.
      headersTimeout: 10_000,
      // Body included: 256 KiB at 70 kbit/s.
      requestTimeout: 30_000,
      // How long one may overstay either of the two.
      connectionsCheckingInterval: 5_000,
      // All headers of a request, in bytes: a cursor of 4 KiB, a token and a proxy's own fit.
      maxHeaderSize: 16 * 1024,
      requireHostHeader: false,
    },
    (request, response) => {
      // A client that keeps its connection learns so that the next request is not for here.
      if (!server.listening) response.setHeader('Connection', 'close')
      // Required by RFC 9112, and checked here since Node's own answer would be no problem document.
      if (request.headers.host === undefined && request.httpVersion === '1.1') refuse({}, request.socket)
      else listener(request, response)
    },
  )
  // A stream that nobody reads makes no progress, and says something every 15 s.
  server.timeout = 45_000
  server.on('clientError', refuse)
  server.on('connect', (_request, socket: Socket) => refuse({}, socket))
  server.on('checkExpectation', (_request, response) => refuse({ code: 'EXPECTATION' }, response.socket as Socket))
  return server
}

/** How long a connection that is kept may still bring a request, after the order to stop. */
const DRAIN_MS = 500

/**
 * Ends a server: nothing new is let in, what was let in is answered. A request that is on its way on a connection that is kept
 * would be cut by closing that at once; for a while it is served, and told not to come back.
 */
export async function stop(server: Server): Promise<void> {
  const closed = new Promise((resolve) => NetServer.prototype.close.call(server, resolve))
  await setTimeout(DRAIN_MS)
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  await closed
  clearInterval(idle)
}

function rejected(status: 400 | 408 | 417 | 431) {
  const detail = `The request is refused: ${STATUS_CODES[status]}.`
  const answer = bareAnswer(new Problem('malformed_request', { status, detail }))
  answer.headers.set('Connection', 'close')
  return answer
}

async function refuse({ code }: { code?: string }, socket: Socket) {
  if (!socket.writable || code === 'ECONNRESET') return socket.destroy()
  const status = refusals[code ?? ''] ?? 400
  const answer = rejected(status)
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const body = await answer.text()
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
