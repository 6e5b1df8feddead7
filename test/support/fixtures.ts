import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import postgres from 'postgres'
import { afterAll, expect, inject } from 'vitest'
import type { z } from 'zod'
import { createSession } from '../../src/accounts/sessions.ts'
import { app } from '../../src/app.ts'
import { newId } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { users } from '../../src/database/schema.ts'
import type { Services } from '../../src/services.ts'
import { startNode, startWorker } from './runtimes.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the tests of a project call the API. */
    runtime: 'node' | 'workers'
  }
}

const start = inject('runtime') === 'workers' ? startWorker : startNode

// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever its test says that it is.
export type Json = Record<string, any>

type Call = {
  token?: string
  body?: unknown
  headers?: Record<string, string>
  /** The peer's address; each call has one of its own unless told. */
  from?: string
  signal?: AbortSignal
}

let addresses = 0
const nextAddress = () => `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses++ & 255}`

let clones = 0

/** A database of one's own: a clone of the migrated template. */
export async function cloneDatabase(): Promise<string> {
  const url = new URL(inject('template'))
  const template = url.pathname.slice(1)
  const name = `${template}_${process.env.VITEST_POOL_ID}_${process.pid}_${clones++}`
  url.pathname = '/postgres'
  const admin = postgres(url.href, { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${name} template ${template}`)
  await admin.end()
  url.pathname = `/${name}`
  return url.href
}

/** A mail as Resend's API took it. */
export type Sent = { from: string; to: string; subject: string; text: string; html: string; key: string }

/** A server that speaks Resend's API. `failures` are the statuses of the next answers. */
export async function startResend() {
  const sent: Sent[] = []
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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, sent, failures, close: () => new Promise((resolve) => server.close(resolve)) }
}

/**
 * The API over a database of its own, or the one that is given, with a clock and a mailbox that the test steers, in the
 * runtime that the test's project is for. Ends with the test file.
 */
export async function openDocket(
  environment: Record<string, string> = {},
  { database, ...options }: Parameters<typeof connect>[1] & { database?: string } = {},
) {
  const url = database ?? (await cloneDatabase())
  const resend = await startResend()
  const clock = { now: Date.parse('2026-11-22T10:00:00.000Z') }
  const now = () => new Date(clock.now)
  const full = {
    RESEND_API_KEY: 're_test',
    RESEND_BASE_URL: resend.url,
    MAIL_FROM: 'Docket <no-reply@example.com>',
    ...environment,
  }
  const runtime = await start({ url, environment: full, now, options })
  const { ask, settled, clean, lines } = runtime
  const services = runtime.services as Omit<Services, 'address'>
  // The test's own way to the database.
  const { db, close } = connect(url, { max: 4 })

  /** Calls the app, and holds every answer to what its route declares. */
  async function call(
    method: string,
    path: string,
    { token, body, headers = {}, from = nextAddress(), signal }: Call = {},
  ) {
    const response = await ask(
      path,
      {
        method,
        headers: {
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...(token && { Authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(body !== undefined && {
          body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
        }),
        ...(signal && { signal }),
        ...(body instanceof ReadableStream && { body, duplex: 'half' }),
      } as RequestInit,
      from,
    )
    const answer = await response.text()
    const type = response.headers.get('Content-Type') ?? ''
    const parsed: Json = /json/.test(type) && answer !== '' ? JSON.parse(answer) : {}
    expectDeclared(method, path, response.status, type, /json/.test(type) ? parsed : answer)
    return { status: response.status, headers: response.headers, body: parsed, text: answer }
  }

  let people = 0
  /** An account with a live session, put there directly: hashing is for the tests that are about it. */
  async function createUser(given: Partial<typeof users.$inferInsert> = {}) {
    const at = now().toISOString()
    const [user] = await db
      .insert(users)
      .values({
        ...{ id: newId(now()), email: `person${people++}@example.com`, first_name: 'Per', last_name: 'Son' },
        ...{ password: PASSWORD_HASH, created_at: at, updated_at: at },
        ...given,
      })
      .returning()
    if (!user) throw new Error('no user was made')
    const { token } = await createSession(
      db,
      { user_id: user.id, password_version: 1, user_agent: null, days: 30 },
      now(),
    )
    return { ...user, token }
  }

  /** Logs in and gives the whole answer. */
  const logIn = (email: string, password: string, call_: Call = {}) =>
    call('POST', '/accounts/login/', { body: { email, password }, ...call_ })

  afterAll(async () => {
    await settled()
    await runtime.close()
    await close()
    await resend.close()
  })

  return {
    ...{ ask, call, settled, clean, createUser, logIn, clock, now, db, url, resend, lines, services },
    /** The code in the newest mail. */
    newestCode: async () => {
      await settled()
      return /[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/.exec(resend.sent.at(-1)?.text ?? '')?.[0] ?? ''
    },
    pass: (seconds: number) => {
      clock.now += seconds * 1000
    },
  }
}

/** The hash that new passwords get in the runtime, and what one looks like. */
export const PREFERRED =
  inject('runtime') === 'workers'
    ? { kind: 'scrypt', pattern: /^scrypt\$16384\$\w{22}\$8\$5\$.{88}$/ }
    : { kind: 'pbkdf2_sha256', pattern: /^pbkdf2_sha256\$1000000\$\w{22}\$.{44}$/ }

/** What PASSWORD_HASH is the hash of, by Python's hashlib. */
export const PASSWORD = 'purple horse battery'
export const PASSWORD_HASH =
  PREFERRED.kind === 'scrypt'
    ? 'scrypt$16384$Zm9yVGVzdHNPbmx5MTIzNA$8$5$RVALUMlT37bX/ebw6kCkUYS3LadqnqTI9sWtqabH/CB4OT/lc35ng623C/1cb+cb/fdB4gsNsfgAzraEYbIZqQ=='
    : 'pbkdf2_sha256$1000000$Zm9yVGVzdHNPbmx5MTIzNA$Pf8GFNwurYtnDkCTbztSA+kIgiDi2xBc6QQ6O8FnwUU='

/** Fewer repetitions where each takes longer: a request to workerd opens a connection to the database of its own. */
export const few = (many: number) => (inject('runtime') === 'workers' ? Math.ceil(many / 5) : many)

export const createSignupBody = (email: string) => ({
  first_name: 'Ada',
  last_name: 'Lovelace',
  email,
  password: PASSWORD,
})

/** An answer as its receiver can compare it with others. */
export const seen = ({
  status,
  headers,
  body,
  text,
}: {
  status: number
  headers: Headers
  body: Json
  text: string
}) => ({
  status,
  headers: [...headers].filter(([name]) => name !== 'x-request-id'),
  text: body.request_id ? text.replace(body.request_id, '') : text,
})

/** Posts JSON to a server that runs as a process of its own. */
export const post = (url: string, body: object, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

const routes = app.openAPIRegistry.definitions
  .filter((definition) => definition.type === 'route')
  .map(({ route }) => ({ ...route, pattern: new RegExp(`^${route.path.replace(/\{\w+\}/g, '[^/]+')}/?$`) }))

/** Fails when an answer is of a status that its route does not declare, or holds more or less than its schema says. */
function expectDeclared(method: string, path: string, status: number, type: string, body: unknown) {
  const asked = method === 'HEAD' ? 'get' : method.toLowerCase()
  const here = routes.filter(({ pattern }) => pattern.test(path.split('?')[0] ?? ''))
  // A path without a template goes first (OpenAPI 3.1, 4.8.8.2).
  const literal = here.filter((one) => !one.path.includes('{'))
  const route = (literal.length > 0 ? literal : here).find((one) => one.method === asked)
  if (!route) return
  const declared = route.responses[status] as { content?: Record<string, { schema: z.ZodType }> } | undefined
  if (!declared) throw new Error(`${method} ${path} answered ${status}, which it does not declare`)
  if (method === 'HEAD' || !declared.content) return
  const schema = declared.content[type.split(';')[0] ?? '']?.schema
  if (!schema) throw new Error(`${method} ${path} answered ${status} as ${type}, which it does not declare`)
  expect(schema.safeParse(body).error?.issues ?? []).toEqual([])
}
