import { z } from '@hono/zod-openapi'
import { id, instant, json, wellFormed } from '../http/routes.ts'

export const email = z.email({ pattern: z.regexes.html5Email }).max(254).openapi({ example: 'ada@example.com' })

// Its length is not the schema's to judge: a bad one is `weak_password`, with the other ways to be weak.
export const password = wellFormed.openapi({ format: 'password', example: 'four words of yours' })
export const newPassword = password.openapi({ minLength: 8, maxLength: 256 })

export const code = z.string().openapi({ example: '7KQ2-M9XD-4HRT-V8CW' })

export const Account = z
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

export const message = (example: string) => json(z.strictObject({ message: z.string().openapi({ example }) }), example)
