import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import pino from 'pino'
import { inject } from 'vitest'
import { app } from '../../src/app.ts'
import { createBackground } from '../../src/background.ts'
import { connect } from '../../src/database/connect.ts'
import { purgeExpired } from '../../src/database/purge.ts'
import { Hub } from '../../src/events/hub.ts'
import { createMailer } from '../../src/mail/mailer.ts'
import { createNodeKdf } from '../../src/node/kdf.ts'
import type { Services } from '../../src/services.ts'
import { readSettings } from '../../src/settings.ts'

/** The API in one of its runtimes, as the tests see it. */
export type Runtime = {
  ask: (path: string, init: RequestInit, from: string) => Promise<Response>
  /** Waits until everything that was put off until after the answers is done. */
  settled: () => Promise<void>
  /** Removes what has expired. */
  clean: () => Promise<void>
  /** The lines of the log so far. */
  lines: () => string[]
  /** What each request is given, where it is within reach: on Node. */
  services?: Omit<Services, 'address'>
  close: () => Promise<void>
}

export type Start = {
  url: string
  environment: Record<string, string>
  now: () => Date
  options?: Parameters<typeof connect>[1]
}

/** The services that the server on Node gives to each request, with a log that is kept. */
export function openServices({ url, environment, now, options }: Start) {
  const settings = readSettings(environment)
  const { db, close } = connect(url, options)
  const lines: string[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  const log = pino({ level: settings.LOG_LEVEL, formatters: { level: (level) => ({ level }) } }, stream)
  const { runInBackground, drain } = createBackground(log)
  const hub = new Hub(db, { now, log, runInBackground, pollInterval: 10 })
  const services = {
    ...{ db, settings, log, runInBackground, now, hub },
    kdf: createNodeKdf(settings.PASSWORD_HASHER ?? 'pbkdf2_sha256'),
    sendMail: createMailer(settings, (text) => lines.push(text)),
    asset: async () => new Response(''),
  } satisfies Omit<Services, 'address'>
  const end = async () => {
    hub.close()
    await drain()
    await close()
  }
  return { services, lines, settled: drain, close: end }
}

/** The app on Node, called in this process. */
export async function startNode(start: Start): Promise<Runtime> {
  const { services, lines, settled, close } = openServices(start)
  return {
    services,
    ask: async (path, init, address) => app.request(path, init, { ...services, address }),
    settled,
    clean: () => purgeExpired(services.db, start.now()),
    lines: () => lines,
    close,
  }
}

/** The bundled Worker in workerd. */
export async function startWorker({ url, environment, now }: Start): Promise<Runtime> {
  const { createTestHarness, unstable_readConfig: readConfig } = await import('wrangler')
  const done = await listenForDone()
  const { compatibility_date, compatibility_flags, alias, assets } = readConfig({ config: 'wrangler.toml' })
  const server = createTestHarness({
    workers: [
      {
        config: {
          ...{ name: 'docket', main: 'test/support/worker.ts', compatibility_flags, assets },
          ...(compatibility_date && { compatibility_date }),
          alias: { ...alias, 'node:crypto': './test/support/capped-crypto.ts' },
          hyperdrive: [{ binding: 'HYPERDRIVE', id: 'x', localConnectionString: pooled(url) }],
          vars: { ...environment, DONE: done.url },
        },
      },
    ],
  })
  await server.listen()
  let asked = 0
  return {
    ask: async (path, { headers, ...init }, address) => {
      asked++
      const all = new Headers(headers as Record<string, string>)
      all.set('CF-Connecting-IP', address)
      all.set('X-Test-Time', String(now().getTime()))
      const sent = server.fetch(new URL(path.replace(/^(?=\/)/, 'http://localhost')), {
        ...(init as object),
        headers: Object.fromEntries(all),
        redirect: 'manual',
      })
      // Of one that was broken off nothing may have arrived.
      sent.catch(() => asked--)
      return sent as unknown as Promise<Response>
    },
    settled: () => done.reached(asked),
    clean: async () => {
      await server.getWorker().scheduled({ cron: '17 * * * *', scheduledTime: now() })
    },
    lines: () => server.getLogs().map(({ message }) => message),
    close: async () => {
      await server.close()
      await done.close()
    },
  }
}

/** The same database behind TEST_POOLER_URL, a pgbouncer before its server that pools by transaction, as Hyperdrive does. */
function pooled(url: string) {
  const way = new URL(url)
  const isOurs = way.host === new URL(inject('template')).host
  if (process.env.TEST_POOLER_URL && isOurs) way.host = new URL(process.env.TEST_POOLER_URL).host
  return way.href
}

/** Counts the requests of which all is done. */
async function listenForDone() {
  const news = new EventEmitter()
  let done = 0
  const server = createServer((_request, response) => {
    response.end()
    done++
    news.emit('done')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reached: async (count: number) => {
      while (done < count) await once(news, 'done')
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
