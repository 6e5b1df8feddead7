import type { Context } from 'hono'
import type { Kdf } from './accounts/passwords.ts'
import type { Bearer } from './accounts/sessions.ts'
import type { Background } from './background.ts'
import type { Clock } from './database/clock.ts'
import type { Database } from './database/connect.ts'
import type { Hub } from './events/hub.ts'
import type { InputError } from './http/problem.ts'
import type { Logger } from './logger.ts'
import type { Mail } from './mail/templates.ts'
import type { Settings } from './settings.ts'

/** The bindings of Hono that an entry point gives to every request. Everything that differs between the runtimes is here. */
export type Services = {
  db: Database
  settings: Settings
  kdf: Kdf
  log: Logger
  clock: Clock
  /** Returns the time that is stored and compared, which is the database's: the `now` of `clock`. */
  now: Clock['now']
  /** Sends one mail. Rejects when the provider does not take it. */
  sendMail: (mail: Mail) => Promise<void>
  /** The peer's IP address, as the runtime sees it. */
  address: string
  /** Whether the client's connection is HTTPS, where the runtime sees it. Node sees only the proxy's connection. */
  isHttps?: boolean
  /** Sets a header of the response where the runtime can do so cheaply. `setHeader` of `http/headers.ts` uses it. */
  setHeader?: (name: string, value: string) => void
  /** Passes new events on to the open streams. */
  hub: Hub
  /** Returns a file of Swagger UI. */
  asset: (file: 'swagger-ui.css' | 'swagger-ui-bundle.js') => Promise<Content>
  /** Returns the content of a file in an encoding that the client accepts, unless the platform compresses responses. */
  encode: (file: StaticFile, acceptEncoding: string) => Promise<{ body: ReadableStream; encoding?: string | undefined }>
  /** Records a finished request, where metrics are collected. */
  observe?: ((request: { method: string; route: string; status: number; ms: number }) => void) | undefined
  runInBackground: Background['runInBackground']
}

/** The bytes of a file, or a stream of them where the platform has no bytes. */
type Content = Uint8Array<ArrayBuffer> | ReadableStream

/** A file of the docs page. A file with the same version has the same content. */
export type StaticFile = { type: string; version: string; read: () => Promise<Content> }

export type Env = {
  Bindings: Services
  Variables: {
    requestId: string
    /** Runs a task while the request's timeout stands still: reading the body, or a slow key derivation. */
    pauseTimeout: <T>(task: () => Promise<T>) => Promise<T>
    /** Set once the request was answered with 503 because it took too long. */
    hasTimedOut?: boolean
    /** Returns the errors of the body, which are listed with those of the query. */
    bodyErrors?: () => InputError[]
    /** The token of a protected route, and whether a statement has checked it. */
    token?: { bearer: Bearer; isChecked: boolean }
  }
}

/** The part of Hono's context that is the same in every handler. */
export type RequestContext = Pick<Context<Env>, 'req' | 'env' | 'get' | 'header' | 'body'>
