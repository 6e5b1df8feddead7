import { z } from '@hono/zod-openapi'
import { id, instant, jsonResponse, name, wellFormed } from '../http/schemas.ts'
import { toAsciiAddress } from '../mail/addresses.ts'

/** An e-mail address as a person may type or paste it, without white space and invisible characters around it. */
const trimmed = wellFormed.transform(trimAddress)

/** The address of a new account. Its domain may be internationalized. */
export const email = trimmed
  .refine(isEmail, 'Invalid email address')
  .openapi({ type: 'string', format: 'email', maxLength: 254, example: 'ada@example.com' })

/** The address of an account that may exist: any text, since imported accounts may have addresses that nobody else accepts. */
export const address = trimmed
  .refine((value) => /^\P{Cc}+$/u.test(value), 'Must not be empty or contain control characters')
  .openapi({ type: 'string', minLength: 1, example: 'ada@example.com' })

export const firstName = name(150).openapi({ example: 'Ada' })

export const lastName = name(150).openapi({ example: 'Lovelace' })

export const password = wellFormed.openapi({ format: 'password', example: 'four words of yours' })

// The schema does not check the length: `weak_password` covers every weakness.
export const newPassword = password.openapi({ minLength: 8, maxLength: 256 })

export const code = z.string().openapi({ example: '7KQ2-M9XD-4HRT-V8CW' })

export const AccountSchema = z
  .strictObject({
    id,
    email: z.string(),
    first_name: z.string(),
    last_name: z.string(),
    created_at: instant,
    updated_at: instant,
  })
  .openapi('Account', {
    example: {
      id: '01986f5e-7c00-7000-8000-0123456789ab',
      email: 'ada@example.com',
      first_name: 'Ada',
      last_name: 'Lovelace',
      created_at: '2026-11-22T10:00:00.000Z',
      updated_at: '2026-11-22T10:00:00.000Z',
    },
  })

export const LoginSchema = z.strictObject({
  token: z.string().openapi({ example: 'dkt_3q2-7wAAq1ZVd0w0X2l0Yk9uZUV4YW1wbGVUb2tlbjEyMw' }),
  expires_at: instant,
  user: AccountSchema,
})

export const SessionSchema = z.strictObject({
  id,
  created_at: instant,
  expires_at: instant,
  user_agent: z.string().nullable().openapi({ example: 'curl/8.14.1' }),
  current: z.boolean(),
})

/** A response with a sentence for the user. */
export const messageResponse = (message: string) =>
  jsonResponse(z.strictObject({ message: z.string().openapi({ example: message }) }), message)

// A pattern that ends in `+$` would take quadratic time for a long text of spaces.
function trimAddress(value: string): string {
  const isOuter = (character = '') => /[\s\x85\p{Cf}]/u.test(character)
  let [start, end] = [0, value.length]
  while (start < end && isOuter(value[start])) start++
  while (start < end && isOuter(value[end - 1])) end--
  return value.slice(start, end)
}

function isEmail(value: string): boolean {
  const ascii = toAsciiAddress(value)
  return ascii !== undefined && z.regexes.html5Email.test(ascii) && Math.max(value.length, ascii.length) <= 254
}
