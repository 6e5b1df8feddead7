import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A mail that Resend's API accepted. */
export type SentMail = { from: string; to: string; subject: string; text: string; html: string; key: string }

/** A response that does not accept a mail. `null` closes the connection without one. */
export type Failure = number | { status: number; name: string; headers?: Record<string, string> } | null

/**
 * Starts a server with Resend's API. `failures` are the next responses. `limits.minInterval` is the time between two accepted
 * mails, in milliseconds: a mail that comes earlier gets a 429 with `retry-after`.
 */
export async function startResend() {
  const sent: SentMail[] = []
  const failures: Failure[] = []
  const limits = { minInterval: 0 }
  let requests = 0
  let acceptedAt = 0
  const server = createServer(async (request: IncomingMessage, response) => {
    requests++
    const body = await text(request)
    const failure = failures.length > 0 ? (failures.shift() as Failure) : rateLimit()
    if (failure === null) return request.socket.destroy()
    const { status, name, headers } =
      typeof failure === 'number' ? { status: failure, name: 'application_error', headers: {} } : failure
    if (status === 200) {
      acceptedAt = Date.now()
      sent.push({ ...JSON.parse(body), key: request.headers['idempotency-key'] })
    }
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(JSON.stringify(status === 200 ? { id: 'x' } : { statusCode: status, name, message: body }))
  })
  const rateLimit = (): Failure =>
    Date.now() - acceptedAt < limits.minInterval
      ? { status: 429, name: 'rate_limit_exceeded', headers: { 'retry-after': String(limits.minInterval / 1000) } }
      : 200
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = () => new Promise((resolve) => server.close(resolve))
  return { url, sent, failures, limits, requests: () => requests, close }
}
