import { app } from '../../src/app.ts'
import { connect, type Database } from '../../src/database/connect.ts'
import { openDocket } from '../support/fixtures.ts'
import { passwordHash } from '../support/kdf.ts'
import type { ReceivedResponse, SentRequest } from './openapi.ts'

/** A running server to fuzz instead of the app in this process. Its DATABASE_URL is needed too. */
export const { TARGET, DATABASE_URL = '' } = process.env

export type Person = { id: string; email: string; token: string }
export type PersonalRequest = SentRequest & { person: Person; isChunked: boolean }

export const anonymous = {
  headers: [],
  body: undefined,
  isChunked: false,
  person: { id: '', email: '', token: '' },
}

/** Where requests go. */
export type Target = {
  db: Database
  passwordHash: string
  now: () => Date
  advance: (seconds: number) => void
  /** Returns undefined if the platform's client refuses to send the request. */
  send: (request: PersonalRequest) => Promise<ReceivedResponse | undefined>
  drain: () => Promise<void>
  logLines: () => string[]
  close: () => Promise<void>
}

export async function localTarget(environment: Record<string, string>): Promise<Target> {
  const docket = await openDocket(environment)
  let addressCount = 0
  const nextAddress = () => (environment.RATE_LIMITS ? `10.0.0.${addressCount++ % 250}` : '10.0.0.1')
  return {
    db: docket.db,
    passwordHash: docket.passwordHash,
    now: docket.now,
    advance: (seconds) => {
      docket.clock.now += seconds
    },
    send: async (request) => {
      const sent = toRequest('http://localhost', request)
      return sent && receive(await app.fetch(sent, { ...docket.services, address: nextAddress() }))
    },
    drain: docket.drain,
    logLines: docket.logLines,
    close: docket.drain,
  }
}

export function remoteTarget(origin: string): Target {
  const { db, close } = connect(DATABASE_URL)
  return {
    db,
    passwordHash: passwordHash('pbkdf2_sha256'),
    now: () => new Date(),
    advance: () => {},
    send: async (request) => {
      const sent = toRequest(origin, request)
      const response = await (sent && fetch(sent))?.catch((error) => {
        // The client refuses a wrong Content-Length, for example. A server that hangs up is an error.
        if (/^UND_ERR_(REQ|INVALID|NOT_SUPPORTED)/.test(error.cause?.code)) return undefined
        throw error
      })
      return response && receive(response)
    },
    drain: async () => {},
    logLines: () => [],
    close,
  }
}

function toRequest(origin: string, { method, url, headers, body, isChunked }: PersonalRequest): Request | undefined {
  const chunks = body && ReadableStream.from([body.slice(0, 7), body.slice(7)])
  const init = { method, headers, body: isChunked ? chunks : body, duplex: 'half', redirect: 'manual' } as RequestInit
  try {
    return new Request(origin + url, init)
  } catch {
    return undefined
  }
}

async function receive(response: Response): Promise<ReceivedResponse> {
  const { status, headers } = response
  const isStream = headers.get('Content-Type')?.includes('event-stream')
  if (isStream) await response.body?.cancel()
  return { status, headers, text: isStream ? '' : await response.text() }
}
