import { z } from '@hono/zod-openapi'
import { id, instant, name, wellFormed } from '../http/schemas.ts'
import { toAsciiAddress } from '../mail/addresses.ts'

// In ASCII and full width, without U.
const CODE_CHARACTERS = '0-9A-TV-Za-tv-z\\uFF10-\\uFF19\\uFF21-\\uFF34\\uFF36-\\uFF3A\\uFF41-\\uFF54\\uFF56-\\uFF5A'

/** An e-mail address as a person may type or paste it, without white space and invisible characters around it. */
const trimmed = wellFormed.transform(trimAddress)

/** The address of a new account. Its domain may be internationalized. */
export const email = trimmed
  .refine(isEmail, 'Invalid email address')
  .openapi({ type: 'string', format: 'email', maxLength: 254, example: 'ada@example.com' })

/** The address of an account that may exist: any text, since imported accounts may have addresses that nobody else accepts. */
export const address = trimmed
  .refine((value) => !/\p{Cc}/u.test(value), 'Must not contain control characters')
  .refine((value) => value !== '', 'Must have a visible character')
  .openapi({
    type: 'string',
    minLength: 1,
    pattern:
      '^[^\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F][^\\u0000-\\u001F\\u007F-\\u009F]*$',
    example: 'ada@example.com',
  })

export const firstName = name(150).openapi({ example: 'Ada' })

export const lastName = name(150).openapi({ example: 'Lovelace' })

export const password = wellFormed.openapi({ format: 'password', example: 'four words of yours' })

// The schema does not check the length: `weak_password` covers every weakness.
export const newPassword = password.openapi({ minLength: 8, maxLength: 256 })

export const code = z.string().openapi({
  description: 'From the mail. Case, spaces, dashes, quotes and full-width forms do not matter.',
  example: '7KQ2-M9XD-4HRT-V8CW',
  // Sixteen letters and digits, with anything but those around them.
  pattern: `^[^${CODE_CHARACTERS}]*([${CODE_CHARACTERS}][^${CODE_CHARACTERS}]*){16}$`,
})

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

export const LoginResultSchema = z
  .strictObject({
    token: z.string().openapi({ example: 'dkt_3q2-7wAAq1ZVd0w0X2l0Yk9uZUV4YW1wbGVUb2tlbjEyMw' }),
    expires_at: instant,
    user: AccountSchema,
  })
  .openapi('LoginResult')

export const SessionSchema = z
  .strictObject({
    id,
    created_at: instant,
    expires_at: instant,
    user_agent: z.string().nullable().openapi({ example: 'curl/8.14.1' }),
    current: z.boolean().openapi({ description: 'Whether it is the session of this request.' }),
  })
  .openapi('Session')

export const SessionListSchema = z.strictObject({ results: z.array(SessionSchema).max(100) }).openapi('SessionList')

const MessageSchema = z
  .strictObject({ message: z.string().openapi({ description: 'A sentence for the user.' }) })
  .openapi('Message')

/** A response with a sentence for the user. */
export const messageResponse = (message: string) => {
  const content = { 'application/json': { schema: MessageSchema, example: { message } } }
  return { description: message, content }
}

// The bodies of requests.

export const SignUpSchema = z
  .strictObject({ first_name: firstName, last_name: lastName, email, password: newPassword })
  .openapi('SignUp')

export const ActivationSchema = z.strictObject({ code }).openapi('Activation')

export const LoginSchema = z.strictObject({ email: address, password }).openapi('Login')

export const AccountPatchSchema = z
  .strictObject({ first_name: firstName, last_name: lastName })
  .partial()
  .refine((names) => Object.keys(names).length > 0, 'Must have at least one field')
  .openapi('AccountPatch', { minProperties: 1 })

export const PasswordChangeSchema = z
  .strictObject({ old_password: password, new_password: newPassword })
  .openapi('PasswordChange', {
    example: { old_password: 'four words of yours', new_password: 'five other words of yours' },
  })

export const EmailChangeSchema = z
  .strictObject({ email, password })
  .openapi('EmailChange', { example: { email: 'ada@example.org', password: 'four words of yours' } })

export const EmailChangeCodeSchema = z.strictObject({ code }).openapi('EmailChangeCode')

export const DeletionSchema = z.strictObject({ password }).openapi('Deletion')

export const PasswordResetRequestSchema = z.strictObject({ email: address }).openapi('PasswordResetRequest')

export const PasswordResetSchema = z.strictObject({ code, new_password: newPassword }).openapi('PasswordReset')

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
