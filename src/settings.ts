import { z } from 'zod'
import type { Log } from './log.ts'

const digits = (from: number, to: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .refine((value) => value >= from && value <= to)

const url = (...protocols: string[]) =>
  z.string().refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), { abort: true })

/** Whether what a URL says of a user, a password and a name can be decoded. */
const isDecodable = (value: string) => {
  const { username, password, hostname, pathname } = new URL(value)
  try {
    return [username, password, hostname, pathname].every((part) => decodeURIComponent(part) !== undefined)
  } catch {
    return false
  }
}

const isOrigin = (value: string) => URL.canParse(value) && new URL(value).origin === value

/** Each variable's reading, and, in its description, what a right value looks like. */
const schema = z.object({
  HOST: z.string().default('127.0.0.1').describe('an address to listen on, as 127.0.0.1 or 0.0.0.0'),
  PORT: digits(0, 65535).default(8000).describe('a port number from 0 to 65535'),
  DATABASE_URL: url('postgres:', 'postgresql:')
    .refine(isDecodable)
    .optional()
    .describe('a URL as postgres://user:password@host:5432/name, with %25 for each % in a password'),
  DATA_DIR: z.string().default('.data').describe('a folder for the embedded PostgreSQL'),
  RESEND_API_KEY: z.string().optional().describe('an API key of Resend'),
  RESEND_BASE_URL: url('http:', 'https:').optional().describe('a URL as https://api.resend.com'),
  MAIL_FROM: z
    .string()
    .regex(/^([^<>\r\n"]+ <[^<>\s@]+@[^<>\s@]+>|[^<>\s@]+@[^<>\s@]+)$/)
    .optional()
    .describe('a sender as Docket <no-reply@example.com>'),
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform((list) => list.split(',').map((origin) => origin.trim()))
    .transform((origins) => origins.filter(Boolean))
    .refine((origins) => origins.every(isOrigin))
    .describe('origins with commas between them, as https://app.example.com,http://localhost:5173'),
  TRUST_PROXY: z
    .enum(['true', 'false'])
    .default('false')
    .transform((value) => value === 'true')
    .describe('true or false'),
  PASSWORD_HASHER: z.enum(['pbkdf2_sha256', 'scrypt']).optional().describe('pbkdf2_sha256 or scrypt'),
  SESSION_DAYS: digits(1, 3650).default(30).describe('a number of days from 1 to 3650'),
  HISTORY_DAYS: digits(30, 36_500).optional().describe('a number of days from 30 to 36500'),
  RATE_LIMITS: z.enum(['on', 'off']).default('on').describe('on or off'),
  METRICS_PORT: digits(1, 65535).optional().describe('a port number from 1 to 65535'),
  NODE_ENV: z.string().optional().describe('production where it is'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('trace, debug, info, warn, error, fatal or silent'),
})

export type Settings = z.output<typeof schema>

/** A setting that cannot be used. The message names it and a right value, and never repeats what may be a secret. */
export class SettingsError extends Error {}

/** Reads the settings from an environment, where an empty value counts as none. Throws one SettingsError for all faults. */
export function readSettings(environment: Record<string, unknown>): Settings {
  const given = Object.entries(environment).filter(([name, value]) => name in schema.shape && value !== '')
  const read = schema.safeParse(Object.fromEntries(given))
  const faults = read.success ? conflicts(read.data) : read.error.issues.map((issue) => fault(String(issue.path[0])))
  if (faults.length > 0) throw new SettingsError(faults.join('\n'))
  return read.data as Settings
}

/** Says aloud what must not be forgotten. */
export function warnAboutRateLimits({ RATE_LIMITS }: Settings, log: Log) {
  if (RATE_LIMITS === 'off') log.warn({}, 'RATE_LIMITS is off: anyone may guess passwords and codes without end')
}

const fault = (name: string) => `${name} is not usable: it should be ${shapeOf(name)}.`

const shapeOf = (name: string) => schema.shape[name as keyof Settings].description

function conflicts({ RESEND_API_KEY, MAIL_FROM, RATE_LIMITS, NODE_ENV }: Settings): string[] {
  const isProduction = NODE_ENV === 'production'
  return [
    ...(RESEND_API_KEY && !MAIL_FROM
      ? [`MAIL_FROM is missing: with RESEND_API_KEY it should be ${shapeOf('MAIL_FROM')}.`]
      : []),
    ...(isProduction && !RESEND_API_KEY
      ? ['RESEND_API_KEY is missing: in production (NODE_ENV) mail may not be printed, codes and all.']
      : []),
    ...(isProduction && RATE_LIMITS === 'off'
      ? ['RATE_LIMITS is off: in production (NODE_ENV) it should be on, or anyone may guess passwords and codes.']
      : []),
  ]
}
