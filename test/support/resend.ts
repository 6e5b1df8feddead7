import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A mail that Resend's API accepted. */
export type SentMail = { from: string; to: string; subject: string; text: string; html: string; key: string }

/** Starts a server with Resend's API. `failures` are the statuses of the next responses. */
export async function startResend() {
  const sent: SentMail[] = []
  const failures: number[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    const body = await text(request)
    const status = failures.shift() ?? 200
    if (status === 200) sent.push({ ...JSON.parse(body), key: request.headers['idempotency-key'] })
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(
      JSON.stringify(status === 200 ? { id: 'x' } : { statusCode: status, name: 'application_error', message: body }),
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, sent, failures, close: () => new Promise((resolve) => server.close(resolve)) }
}
