import { z } from 'zod'
import { InvalidDatabaseUrl, parseDatabaseUrl } from './database/url.ts'
import type { Logger } from './logger.ts'

/** A reason why Docket does not start, as a message for the operator: what is wrong, and what to do about it. */
export class StartupError extends Error {}

/** The environment variables. A description completes the sentence "NAME must be …". */
const schema = z.object({
  HOST: z.string().default('127.0.0.1').describe('an address, for example 127.0.0.1'),
  PORT: integer(0, 65535).default(8000).describe('a port number from 0 to 65535, for example 8000'),
  DATABASE_URL: z
    .string()
    .superRefine((value, context) => {
      const problem = problemOfDatabaseUrl(value)
      if (problem) context.addIssue({ code: 'custom', params: { problem } })
    })
    .optional()
    .describe('a URL, for example postgres://user:password@host:5432/name, with %25 for each % in the password'),
  POOL_SIZE: integer(1, 1000).default(10).describe('a number of connections from 1 to 1000, for example 10'),
  DATA_DIR: z.string().default('.data').describe('a folder, for example .data'),
  RESEND_API_KEY: z.string().optional().describe('an API key of Resend, for example re_123'),
  SMTP_URL: z
    .string()
    .refine(isSmtpUrl)
    .optional()
    .describe('a URL, for example smtps://user:password@mail.example.com or smtp://user:password@mail.example.com:587'),
  RESEND_BASE_URL: url('http:', 'https:').optional().describe('a URL, for example https://api.resend.com'),
  MAIL_FROM: z
    .string()
    .regex(/^([^<>\r\n"]+ <[^<>\s@]+@[^<>\s@]+>|[^<>\s@]+@[^<>\s@]+)$/)
    .optional()
    .describe('a sender, for example Docket <no-reply@example.com>'),
  SERVICE_NAME: z
    .string()
    .regex(/^[^\p{C}<>]{1,60}$/u)
    .default('Docket')
    .describe('a name of at most 60 characters, for example Docket'),
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform((list) => list.split(',').map((origin) => origin.trim()))
    .transform((origins) => origins.filter(Boolean).map(normalizeOrigin))
    .refine((origins): origins is string[] => !origins.includes(undefined))
    .describe(
      'origins separated by commas, without wildcards, for example https://app.example.com,capacitor://localhost',
    ),
  PUBLIC_URL: url('http:', 'https:')
    .refine(isBaseUrl)
    .transform((value) => new URL(value).href.replace(/\/+$/, ''))
    .optional()
    .describe('a URL without user, query and fragment, for example https://example.com/docket'),
  TRUST_PROXY: z
    .enum(['true', 'false'])
    .default('false')
    .transform((value) => value === 'true')
    .describe('true or false'),
  PASSWORD_HASHER: z.enum(['pbkdf2_sha256', 'scrypt']).optional().describe('pbkdf2_sha256 or scrypt'),
  SESSION_DAYS: integer(1, 3650).default(30).describe('a number of days from 1 to 3650, for example 30'),
  HISTORY_DAYS: integer(30, 36_500).optional().describe('a number of days from 30 to 36500, for example 365'),
  RATE_LIMITS: z.enum(['on', 'off']).default('on').describe('on or off'),
  METRICS_PORT: integer(1, 65535).optional().describe('a port number from 1 to 65535, for example 9090'),
  NODE_ENV: z.string().optional().describe('production or empty'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('trace, debug, info, warn, error, fatal or silent'),
})

export type Settings = z.output<typeof schema>

/**
 * Reads the settings from environment variables; an empty value counts as not set. Throws one StartupError that lists every
 * invalid setting. It never repeats a value, which may be a secret.
 */
export function readSettings(environment: Record<string, unknown>): Settings {
  const values = Object.entries(environment).filter(([name, value]) => name in schema.shape && value !== '')
  const result = schema.safeParse(Object.fromEntries(values))
  const errors = result.success
    ? findConflicts(result.data)
    : result.error.issues.map((issue) => {
        const problem = issue.code === 'custom' ? issue.params?.problem : undefined
        return [requirement(issue.path[0] as keyof Settings), problem].filter(Boolean).join(' ')
      })
  if (errors.length > 0) throw new StartupError(errors.join('\n'))
  return result.data as Settings
}

/** Logs a warning if rate limits are off. */
export function warnAboutRateLimits({ RATE_LIMITS }: Settings, log: Logger) {
  if (RATE_LIMITS === 'off') log.warn({}, 'RATE_LIMITS is off: passwords and codes can be guessed without limit')
}

const requirement = (name: keyof Settings) => `${name} must be ${schema.shape[name].description}.`

function findConflicts({ RESEND_API_KEY, SMTP_URL, MAIL_FROM, RATE_LIMITS, NODE_ENV }: Settings): string[] {
  const errors: string[] = []
  const isProduction = NODE_ENV === 'production'
  if (RESEND_API_KEY && SMTP_URL) {
    errors.push('RESEND_API_KEY and SMTP_URL are both set. Remove the one by which mail should not be sent.')
  }
  if ((RESEND_API_KEY || SMTP_URL) && !MAIL_FROM) {
    errors.push(
      `MAIL_FROM is required with ${RESEND_API_KEY ? 'RESEND_API_KEY' : 'SMTP_URL'}. ${requirement('MAIL_FROM')}`,
    )
  }
  if (isProduction && !RESEND_API_KEY && !SMTP_URL) {
    errors.push(
      `RESEND_API_KEY or SMTP_URL is required with NODE_ENV=production, because printed mail shows its codes. ${requirement('RESEND_API_KEY')}`,
    )
  }
  if (isProduction && RATE_LIMITS === 'off') {
    errors.push('RATE_LIMITS must be on with NODE_ENV=production, or passwords and codes can be guessed without limit.')
  }
  return errors
}

function integer(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max)
}

function url(...protocols: string[]) {
  return z
    .string()
    .refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), { abort: true })
}

/** Tells whether a text is the URL of an SMTP server, with no other parameter than `insecure`. */
function isSmtpUrl(value: string) {
  if (!URL.canParse(value)) return false
  const { protocol, hostname, pathname, hash, searchParams, username, password } = new URL(value)
  if (/%(?![0-9a-f]{2})/i.test(username + password)) return false
  const isInsecureOnly = [...searchParams].every((pair) => /^insecure,(true|false)$/.test(pair.join()))
  return /^smtps?:$/.test(protocol) && hostname !== '' && /^\/?$/.test(pathname) && hash === '' && isInsecureOnly
}

/** Tells whether paths can be appended to a URL, and whether it can be published. */
function isBaseUrl(value: string) {
  const { username, password } = new URL(value)
  return username === '' && password === '' && !/[?#]/.test(value)
}

function problemOfDatabaseUrl(value: string): string | undefined {
  try {
    parseDatabaseUrl(value)
    return undefined
  } catch (error) {
    if (error instanceof InvalidDatabaseUrl) return error.message
    throw error
  }
}

/**
 * Returns an origin of any scheme as it is compared: in lower case, without a trailing slash and the default port. Returns
 * undefined for any other text. URL knows no origin of a scheme such as `capacitor:`.
 */
export function normalizeOrigin(value: string): string | undefined {
  const [, scheme, host] =
    /^([a-z][a-z0-9+.-]*):\/\/((?:[^\s/?#\\@:*[\]]+|\[[0-9a-f:.]+\])(?::\d{1,5})?)\/?$/i.exec(value) ?? []
  if (!scheme || !host || !URL.canParse(value) || /^(file|blob|data)$/i.test(scheme)) return undefined
  const { origin } = new URL(value)
  return origin === 'null' ? `${scheme}://${host}`.toLowerCase() : origin
}
