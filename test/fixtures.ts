import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import postgres from 'postgres'
import { afterAll, expect, inject } from 'vitest'
import type { z } from 'zod'
import { nodeKdf } from '../src/accounts/kdf.ts'
import { createSession } from '../src/accounts/sessions.ts'
import { app } from '../src/app.ts'
import { openFeed, type Pace } from '../src/assignments/feed.ts'
import { newId } from '../src/crypto.ts'
import { connect } from '../src/database/connect.ts'
import { users } from '../src/database/schema.ts'
import { createMailer } from '../src/mail/mailer.ts'
import { describe } from '../src/problem.ts'
import type { Services } from '../src/services.ts'
import { readSettings } from '../src/settings.ts'

// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever its test says that it is.
export type Json = Record<string, any>

type Call = {
  token?: string
  body?: unknown
  headers?: Record<string, string>
  /** The peer's address; each call has one of its own unless told. */
  from?: string
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

/** The app over a database of its own, with a clock and a mailbox that the test steers. Ends with the test file. */
export async function openDocket(
  environment: Record<string, string> = {},
  options: Parameters<typeof connect>[1] = {},
  pace: Pace = {},
) {
  const url = await cloneDatabase()
  const { db, close } = connect(url, options)
  const resend = await startResend()
  const settings = readSettings({
    RESEND_API_KEY: 're_test',
    RESEND_BASE_URL: resend.url,
    MAIL_FROM: 'Docket <no-reply@example.com>',
    ...environment,
  })
  const lines: string[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  const log = pino({ level: settings.LOG_LEVEL }, stream)
  const deferred = new Set<Promise<unknown>>()
  const clock = { now: Date.parse('2026-11-22T10:00:00.000Z') }
  const now = () => new Date(clock.now)
  const feed = openFeed(db, { now, log, tick: 10, ...pace })
  const services: Omit<Services, 'address'> = {
    ...{ db, settings, log, now, feed },
    kdf: nodeKdf(settings.PASSWORD_HASHER ?? 'pbkdf2_sha256'),
    send: createMailer(settings, (text) => lines.push(text)),
    asset: async () => new Response(''),
    defer: (work) => {
      const running = work()
        .catch((error) => log.error({ error: describe(error) }, 'work after an answer failed'))
        .finally(() => deferred.delete(running))
      deferred.add(running)
    },
  }

  /** Calls the app, and holds every answer to what its route declares. */
  async function call(method: string, path: string, { token, body, headers = {}, from = nextAddress() }: Call = {}) {
    const response = await app.request(
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
        ...(body instanceof ReadableStream && { body, duplex: 'half' }),
      } as RequestInit,
      { ...services, address: from },
    )
    const answer = await response.text()
    const type = response.headers.get('Content-Type') ?? ''
    const parsed: Json = /json/.test(type) && answer !== '' ? JSON.parse(answer) : {}
    expectDeclared(method, path, response.status, type, /json/.test(type) ? parsed : answer)
    return { status: response.status, headers: response.headers, body: parsed, text: answer }
  }

  /** Waits until everything that was put off until after the answers is done. */
  const settled = async () => {
    while (deferred.size > 0) await Promise.allSettled(deferred)
  }

  let people = 0
  /** An account with a live session, put there directly: hashing is for the tests that are about it. */
  async function createUser(given: Partial<typeof users.$inferInsert> = {}) {
    const now = new Date(clock.now)
    const at = now.toISOString()
    const [user] = await db
      .insert(users)
      .values({
        ...{ id: newId(now), email: `person${people++}@example.com`, first_name: 'Per', last_name: 'Son' },
        ...{ password: PASSWORD_HASH, created_at: at, updated_at: at },
        ...given,
      })
      .returning()
    if (!user) throw new Error('no user was made')
    const { token } = await createSession(
      db,
      { user_id: user.id, password_version: 1, user_agent: null, days: 30 },
      now,
    )
    return { ...user, token }
  }

  /** Logs in and gives the whole answer. */
  const logIn = (email: string, password: string, call_: Call = {}) =>
    call('POST', '/accounts/login/', { body: { email, password }, ...call_ })

  afterAll(async () => {
    feed.close()
    await settled()
    await close()
    await resend.close()
  })

  return {
    ...{ call, settled, createUser, logIn, clock, db, url, services, resend, lines },
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

/** What PASSWORD_HASH is the hash of: `hashlib.pbkdf2_hmac('sha256', …, 1000000)`, so of the preferred kind. */
export const PASSWORD = 'purple horse battery'
export const PASSWORD_HASH = 'pbkdf2_sha256$1000000$Zm9yVGVzdHNPbmx5MTIzNA$Pf8GFNwurYtnDkCTbztSA+kIgiDi2xBc6QQ6O8FnwUU='

export const createSignupBody = (email: string) => ({
  first_name: 'Ada',
  last_name: 'Lovelace',
  email,
  password: PASSWORD,
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
  const route = routes.find((one) => one.method === asked && one.pattern.test(path.split('?')[0] ?? ''))
  if (!route) return
  const declared = route.responses[status] as { content?: Record<string, { schema: z.ZodType }> } | undefined
  if (!declared) throw new Error(`${method} ${path} answered ${status}, which it does not declare`)
  if (method === 'HEAD' || !declared.content) return
  const schema = declared.content[type.split(';')[0] ?? '']?.schema
  if (!schema) throw new Error(`${method} ${path} answered ${status} as ${type}, which it does not declare`)
  expect(schema.safeParse(body).error?.issues ?? []).toEqual([])
}
