import postgres from 'postgres'
import { afterAll, inject } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { newId } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { users } from '../../src/database/schema.ts'
import type { Services } from '../../src/services.ts'
import type { ClockKind } from './clock.ts'
import { expectDeclared } from './contract.ts'
import { PASSWORD, passwordHash } from './kdf.ts'
import { startResend } from './resend.ts'
import { startNode, startWorker } from './runtimes.ts'

export { PASSWORD } from './kdf.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the tests of a project call the API. */
    runtime: 'node' | 'workers'
  }
}

const isWorkers = inject('runtime') === 'workers'

// biome-ignore lint/suspicious/noExplicitAny: a body has the shape that its test expects.
export type Json = Record<string, any>

type DocketOptions = Parameters<typeof connect>[1] & {
  /** The URL of the database; by default a new one. */
  database?: string
  /** Whether passwords are hashed at the real cost. By default at nearly none. */
  kdf?: 'real' | 'quick'
  /** Where the API gets its time, by default from the test. With `database`, the clock of the test is the instance's. */
  clockKind?: ClockKind
}

type CallOptions = {
  token?: string
  body?: unknown
  headers?: Record<string, string>
  /** The client's address. By default each call has a new one. */
  from?: string
  signal?: AbortSignal
}

export type Docket = Awaited<ReturnType<typeof openDocket>>

/**
 * Opens the API over a database of its own, in the runtime of the test's project, with a clock and a mailbox that the test
 * controls. Closes it after the test file.
 */
export async function openDocket(
  environment: Record<string, string> = {},
  { database, kdf = 'quick', clockKind = 'test', ...options }: DocketOptions = {},
) {
  const url = database ?? (await cloneDatabase())
  const resend = await startResend()
  const clock = clockKind === 'test' ? { now: Date.parse('2026-11-22T10:00:00.000Z') } : createRunningClock()
  const now = () => new Date(clock.now)
  const settings = {
    RESEND_API_KEY: 're_test',
    RESEND_BASE_URL: resend.url,
    MAIL_FROM: 'Docket <no-reply@example.com>',
    ...environment,
  }
  const start = isWorkers ? startWorker : startNode
  const runtime = await start({ url, environment: settings, now, clockKind, kdf, options })
  // The test's own connections.
  const { db, close } = connect(url, { max: 4 })
  const defaultHash = passwordHash(PREFERRED.kind, kdf)

  /** Calls the app and checks the response against the contract. */
  async function call(method: string, path: string, options: CallOptions = {}) {
    const response = await runtime.request(path, requestInit(method, options), options.from ?? nextAddress())
    const text = await response.text()
    const type = response.headers.get('Content-Type')?.split(';')[0] ?? ''
    const isJson = type.endsWith('json')
    const body: Json = isJson && text !== '' ? JSON.parse(text) : {}
    expectDeclared(method, path, { status: response.status, type, body: isJson ? body : text })
    return { status: response.status, headers: response.headers, body, text }
  }

  let userCount = 0
  /** Inserts an account with a session, without hashing a password. */
  async function createUser(values: Partial<typeof users.$inferInsert> = {}) {
    const at = now().toISOString()
    const [user] = await db
      .insert(users)
      .values({
        id: newId(now()),
        email: `person${userCount++}@example.com`,
        first_name: 'Per',
        last_name: 'Son',
        password: defaultHash,
        created_at: at,
        updated_at: at,
        ...values,
      })
      .returning()
    if (!user) throw new Error('The account was not inserted.')
    const session = { user_id: user.id, password_version: 1, user_agent: null, days: 30 }
    const { token } = await createSession(db, session, now())
    return { ...user, token }
  }

  const logIn = (email: string, password: string, options: CallOptions = {}) =>
    call('POST', '/accounts/login/', { body: { email, password }, ...options })

  /** Returns the code in the newest mail. */
  async function newestCode() {
    await runtime.drain()
    return /[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/.exec(resend.sent.at(-1)?.text ?? '')?.[0] ?? ''
  }

  afterAll(async () => {
    await runtime.drain()
    await runtime.close()
    await close()
    await resend.close()
  })

  return {
    request: runtime.request,
    call,
    drain: runtime.drain,
    purge: runtime.purge,
    createUser,
    logIn,
    newestCode,
    clock,
    now,
    /** Moves the clock forward. */
    advance: (seconds: number) => {
      clock.now += seconds * 1000
    },
    db,
    url,
    resend,
    logLines: runtime.logLines,
    services: runtime.services as Omit<Services, 'address'>,
    /** A hash of PASSWORD that this API accepts. */
    passwordHash: defaultHash,
  }
}

/** Returns a clock that runs, at first with the right time. */
function createRunningClock() {
  let ahead = 0
  return {
    get now() {
      return Date.now() + ahead
    },
    set now(milliseconds) {
      ahead = milliseconds - Date.now()
    },
  }
}

function requestInit(method: string, { token, body, headers, signal }: CallOptions): RequestInit {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array || body instanceof ReadableStream
  return {
    method,
    headers: {
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...(token && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body !== undefined && { body: isRaw ? body : JSON.stringify(body) }),
    ...(body instanceof ReadableStream && { duplex: 'half' }),
    ...(signal && { signal }),
  } as RequestInit
}

let addressCount = 0
const nextAddress = () => {
  const number = addressCount++
  return `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`
}

let cloneCount = 0

/** Creates a database as a clone of the migrated template and returns its URL. */
export async function cloneDatabase(): Promise<string> {
  const url = new URL(inject('template'))
  const template = url.pathname.slice(1)
  const name = `${template}_${process.env.VITEST_POOL_ID}_${process.pid}_${cloneCount++}`
  url.pathname = '/postgres'
  const admin = postgres(url.href, { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${name} template ${template}`)
  await admin.end()
  url.pathname = `/${name}`
  return url.href
}

/** The algorithm of new hashes in this runtime, and their format. */
export const PREFERRED = isWorkers
  ? { kind: 'scrypt' as const, pattern: /^scrypt\$16384\$\w{22}\$8\$5\$.{88}$/ }
  : { kind: 'pbkdf2_sha256' as const, pattern: /^pbkdf2_sha256\$1000000\$\w{22}\$.{44}$/ }

/**
 * Returns the number of repetitions for this runtime: a fifth on Workers, where each request opens a database connection.
 */
export const fewerOnWorkers = (count: number) => (isWorkers ? Math.ceil(count / 5) : count)

export const createSignupBody = (email: string) => ({
  first_name: 'Ada',
  last_name: 'Lovelace',
  email,
  password: PASSWORD,
})

/** Returns everything of a response that a client could compare with another response. */
export const comparable = ({ status, headers, body, text }: Awaited<ReturnType<Docket['call']>>) => ({
  status,
  headers: [...headers].filter(([name]) => name !== 'x-request-id'),
  text: body.request_id ? text.replace(body.request_id, '') : text,
})

/** Posts JSON to a server in another process. */
export const post = (url: string, body: object, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
