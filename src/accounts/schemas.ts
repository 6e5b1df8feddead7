import { z } from '@hono/zod-openapi'
import { id, instant, jsonResponse, text, wellFormed } from '../http/schemas.ts'

export const email = z.email({ pattern: z.regexes.html5Email }).max(254).openapi({ example: 'ada@example.com' })

export const firstName = z.string().trim().pipe(text(1, 150)).openapi({ minLength: 1, maxLength: 150, example: 'Ada' })

export const lastName = firstName.openapi({ example: 'Lovelace' })

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
