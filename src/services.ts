import type { Context } from 'hono'
import type { Kdf } from './accounts/passwords.ts'
import type { Bearer, Session } from './accounts/sessions.ts'
import type { Database } from './database/connect.ts'
import type { Feed } from './events/hub.ts'
import type { InputError } from './http/problem.ts'
import type { Mail } from './mail/templates.ts'
import type { Settings } from './settings.ts'

/** What an entry point gives to every request; the app takes nothing else from its runtime. */
export type Services = {
  db: Database
  settings: Settings
  kdf: Kdf
  log: Log
  now: () => Date
  /** Sends one mail; rejects when it cannot be handed over. */
  send: (mail: Mail) => Promise<void>
  /** The peer's IP address, as the runtime saw it. */
  address: string
  /** What passes changes on to those who follow them. */
  feed: Feed
  /** Swagger UI's own files. */
  asset: (file: 'swagger-ui.css' | 'swagger-ui-bundle.js') => Promise<Response>
  /** Is told of each answer, where somebody measures. */
  observe?: ((answer: { method: string; route: string; status: number; ms: number }) => void) | undefined
  /** Runs work after the answer and keeps the process, or the isolate, alive for it. A failure is logged. */
  defer: (work: () => Promise<void>) => void
}

export type Log = Record<'info' | 'warn' | 'error', (fields: object, message?: string) => void>

export type Env = {
  Bindings: Services
  Variables: {
    requestId: string
    /** Waits for what the client sets the pace of, or its password's hash, with the time for the answer standing still. */
    untimed: <T>(work: () => Promise<T>) => Promise<T>
    /** Set where the client has been told already that it takes too long. */
    isAnswered?: boolean
    /** What is wrong with the body, to be told together with what is wrong with the query. */
    bodyErrors?: () => InputError[]
    /** A token that is still to be judged. */
    bearer?: Bearer
  }
}

/** What a protected route's handler finds beside that. */
export type SignedIn = Env & { Variables: { session: Session } }

/** And one's whose statement judges the token. */
export type Bearing = Env & { Variables: { bearer: Bearer } }

/** What helpers of any route's handler may see of its request. */
export type Asked = Pick<Context<Env>, 'req' | 'env' | 'var' | 'header' | 'body'>
