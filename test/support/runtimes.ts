import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import pino from 'pino'
import { inject } from 'vitest'
import { app } from '../../src/app.ts'
import { createBackground } from '../../src/background.ts'
import { connect } from '../../src/database/connect.ts'
import { Hub } from '../../src/events/hub.ts'
import { createMailer } from '../../src/mail/mailer.ts'
import { maintain } from '../../src/maintenance.ts'
import { createNodeKdf } from '../../src/node/kdf.ts'
import type { Services } from '../../src/services.ts'
import { readSettings } from '../../src/settings.ts'
import { type ClockKind, createClockOpener } from './clock.ts'
import { createQuickKdf, QUICK_SCRYPT } from './kdf.ts'

/** The API in one of its runtimes. */
export type Runtime = {
  request: (path: string, init: RequestInit, from: string) => Promise<Response>
  /** Waits for the background tasks of all requests. */
  drain: () => Promise<void>
  purge: () => Promise<void>
  logLines: () => string[]
  /** On Node, the services of each request. */
  services?: Omit<Services, 'address'>
  close: () => Promise<void>
}

export type RuntimeOptions = {
  url: string
  environment: Record<string, string>
  now: () => Date
  clockKind?: ClockKind
  kdf?: 'real' | 'quick'
  /** Options of the connections to the database, on Node. */
  options?: Parameters<typeof connect>[1]
}

/** Opens the services that `node.ts` gives to each request, with a log in memory. */
export function openServices({ url, environment, now, clockKind = 'test', kdf = 'quick', options }: RuntimeOptions) {
  const settings = readSettings(environment)
  const { db, close } = connect(url, options)
  const logLines: string[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      logLines.push(String(chunk))
      done()
    },
  })
  const log = pino({ level: settings.LOG_LEVEL, formatters: { level: (level) => ({ level }) } }, stream)
  const { runInBackground, drain } = createBackground(log)
  const clock = createClockOpener(clockKind, now, log)(db)
  const hub = new Hub(db, { clock, log, runInBackground, pollInterval: 10 })
  const createKdf = kdf === 'real' ? createNodeKdf : createQuickKdf
  const services: Omit<Services, 'address'> = {
    db,
    settings,
    log,
    runInBackground,
    clock,
    now: clock.now,
    hub,
    kdf: createKdf(settings.PASSWORD_HASHER ?? 'pbkdf2_sha256'),
    sendMail: createMailer(settings, (text) => logLines.push(text)),
    asset: async () => new Uint8Array(),
    encode: async ({ read }) => ({ body: new Response(await read()).body as ReadableStream }),
  }
  return {
    services,
    logLines,
    drain,
    close: async () => {
      hub.close()
      await drain()
      await close()
    },
  }
}

/** Starts the app on Node, in this process. */
export async function startNode(options: RuntimeOptions): Promise<Runtime> {
  const { services, logLines, drain, close } = openServices(options)
  return {
    services,
    request: async (path, init, address) => app.request(path, init, { ...services, address }),
    drain,
    purge: () => maintain(services.db, services.clock),
    logLines: () => logLines,
    close,
  }
}

/** Starts the bundled Worker in workerd. */
export async function startWorker({
  url,
  environment,
  now,
  clockKind = 'test',
  kdf = 'quick',
}: RuntimeOptions): Promise<Runtime> {
  const { createTestHarness, unstable_readConfig: readConfig } = await import('wrangler')
  const done = await startDoneCounter()
  const { compatibility_date, compatibility_flags, alias, assets } = readConfig({ config: 'wrangler.toml' })
  const config = {
    name: 'docket',
    main: 'test/support/worker.ts',
    compatibility_flags,
    assets,
    ...(compatibility_date && { compatibility_date }),
    alias: { ...alias, 'node:crypto': './test/support/worker-crypto.ts' },
    hyperdrive: [{ binding: 'HYPERDRIVE', id: 'x', localConnectionString: throughPooler(url) }],
    vars: {
      ...environment,
      DONE: done.url,
      CLOCK_KIND: clockKind,
      ...(kdf === 'quick' && { SCRYPT_COST: JSON.stringify(QUICK_SCRYPT) }),
    },
  }
  const server = createTestHarness({ workers: [{ config }] })
  await server.listen()
  let requestCount = 0

  async function request(path: string, { headers, ...init }: RequestInit, address: string) {
    requestCount++
    const all = new Headers(headers as Record<string, string>)
    all.set('CF-Connecting-IP', address)
    all.set('X-Test-Time', String(now().getTime()))
    if (path.startsWith('https:')) all.set('X-Test-Scheme', 'https')
    const response = server.fetch(new URL(path.replace(/^(?=\/)/, 'http://localhost')), {
      ...(init as object),
      headers: Object.fromEntries(all),
      redirect: 'manual',
    })
    // An aborted request may never have reached the Worker.
    response.catch(() => requestCount--)
    return response as unknown as Promise<Response>
  }

  return {
    request,
    drain: () => done.reached(requestCount),
    purge: async () => {
      await server.getWorker().scheduled({ cron: '17 * * * *', scheduledTime: now() })
    },
    logLines: () => server.getLogs().map(({ message }) => message),
    close: async () => {
      await server.close()
      await done.close()
    },
  }
}

/** Returns the URL of the same database through TEST_POOLER_URL, a pgbouncer that pools by transaction as Hyperdrive does. */
function throughPooler(url: string) {
  const pooled = new URL(url)
  const isTestServer = pooled.host === new URL(inject('template')).host
  if (process.env.TEST_POOLER_URL && isTestServer) pooled.host = new URL(process.env.TEST_POOLER_URL).host
  return pooled.href
}

/** Starts a server that counts the requests whose background tasks are done. */
async function startDoneCounter() {
  const events = new EventEmitter()
  let done = 0
  const server = createServer((_request, response) => {
    response.end()
    done++
    events.emit('done')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reached: async (count: number) => {
      while (done < count) await once(events, 'done')
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
