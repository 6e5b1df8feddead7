import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Problem } from '../http/problem.ts'
import { problemResponse } from '../http/security.ts'
import { Connections } from './connections.ts'
import { isLingering, limitDiscarding, lingerAfter } from './linger.ts'

/** The limits of each connection: times in milliseconds, sizes in bytes. */
const defaultLimits = {
  // Longer than the idle timeout of load balancers, usually 60 s: the server must not be the first to close.
  keepAliveTimeout: 65_000,
  // From the first byte. Enough for a few KiB on a slow network; an attacker can hold a connection no longer.
  headersTimeout: 10_000,
  // Includes the body: 256 KiB at 70 kbit/s.
  requestTimeout: 30_000,
  // How much later than the two timeouts above a connection may be closed.
  connectionsCheckingInterval: 5_000,
  // For clients that do not read their response. A stream sends something every 15 s.
  timeout: 45_000,
  // All headers of a request: a cursor of 4 KiB, a token and the headers of proxies fit.
  maxHeaderSize: 16 * 1024,
  // Unlimited: above a limit, Node silently drops headers, including If-Match.
  maxHeadersCount: 0,
  // Unlimited: a load balancer reuses a connection for days.
  maxRequestsPerSocket: 0,
  // 10,000 event streams, and room for requests. An idle connection takes about 15 KiB.
  maxConnections: 12_000,
}

/** Milliseconds for which `stopServer` still serves requests on open connections. */
const DRAIN_MS = 500

type SetHeader = (name: string, value: string) => unknown

type Handler = (request: Request, address: string, setHeader: SetHeader) => Response | Promise<Response>

/**
 * Creates an HTTP server that calls a handler with each request, its peer's IP address and a function that sets a header of the
 * response unless the handler's response has it. The server rejects invalid HTTP itself.
 */
export function createHttpServer(
  handler: Handler,
  hostname: string,
  limits: Partial<typeof defaultLimits> = {},
): Server {
  const { timeout, maxHeadersCount, maxRequestsPerSocket, maxConnections, ...options } = { ...defaultLimits, ...limits }
  const connections = new Connections(maxConnections)
  const listener = getRequestListener(
    (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      // A handler that was too slow may still set headers after its request was answered.
      const setHeader: SetHeader = (name, value) => outgoing.headersSent || outgoing.setHeader(name, value)
      return handler(request, incoming.socket.remoteAddress ?? '', setHeader)
    },
    // The adapter's own clean-up closes the connection after half a second.
    { errorHandler: () => rejection(400), hostname, autoCleanupIncoming: false },
  )
  // Node's own response to a missing Host header is not a problem document.
  const server = createServer({ ...options, requireHostHeader: false }, (request, response) => {
    if (!hasValidHost(request)) return reject(connections, request.resume().socket, 400)
    return connections.startInOrder(request.socket, response, () => {
      // While the server stops, the client must not reuse the connection.
      if (!server.listening) response.setHeader('Connection', 'close')
      lingerAfter(request, response)
      listener(request, response)
    })
  })
  Object.assign(server, { timeout, maxHeadersCount, maxRequestsPerSocket })
  server.on('connection', (socket: Socket) => connections.add(socket))
  server.on('clientError', ({ code }: NodeJS.ErrnoException, socket: Socket) =>
    reject(connections, socket, statusOfParserError(code)),
  )
  server.on('connect', (_request, socket: Socket) => reject(connections, socket, 400))
  server.on('checkExpectation', (request) => reject(connections, request.resume().socket, 417))
  return server
}

/**
 * Stops a server gracefully. It accepts no new connections and finishes open requests. Requests that are already on their
 * way on open connections are still served, and the response tells the client to close.
 */
export async function stopServer(server: Server): Promise<void> {
  // Not server.close(), which closes idle connections at once.
  const closed = new Promise((resolve) => NetServer.prototype.close.call(server, resolve))
  await delay(DRAIN_MS)
  const closingIdle = setInterval(() => server.closeIdleConnections(), 50)
  await closed
  clearInterval(closingIdle)
}

/** Tells whether a request names its host as RFC 9112 (3.2) requires, and URLs can have that host: not `1.2.3.256`. */
function hasValidHost({ rawHeaders, headers, httpVersion }: IncomingMessage) {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length
  return (hosts === 1 && URL.canParse(`http://${headers.host}`)) || (hosts === 0 && httpVersion === '1.0')
}

type RejectionStatus = 400 | 408 | 417 | 431

function statusOfParserError(code: string | undefined): RejectionStatus {
  if (code === 'HPE_HEADER_OVERFLOW') return 431
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
}

/** Sends a problem document after the responses to earlier requests of the connection, and closes it. */
async function reject(connections: Connections, socket: Socket, status: RejectionStatus) {
  // The parser repeats its error for all data that follows.
  if (connections.isRejected(socket)) return
  await connections.stopRequests(socket)
  // A request has one response, even if it breaks off after that. The limits of lingering still apply.
  if (isLingering(socket)) return void socket.end()
  if (!socket.writable) return void socket.destroy()
  const response = rejection(status)
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const body = await response.text()
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  socket.resume()
  limitDiscarding(socket)
}

function rejection(status: RejectionStatus) {
  const detail = `The server rejected the request: ${STATUS_CODES[status]}.`
  const response = problemResponse(new Problem('malformed_request', { status, detail }), { isHttps: false })
  response.headers.set('Connection', 'close')
  return response
}
