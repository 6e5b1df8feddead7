import { OpenAPIHono, z } from '@hono/zod-openapi'
import { Problem } from '../http/problem.ts'
import { type Attempt, clientOf, count, forget, requireRoom, spend } from '../http/rate-limit.ts'
import { body, protectedRoute, publicRoute } from '../http/routes.ts'
import { resetMail } from '../mail/templates.ts'
import type { Env } from '../services.ts'
import { createReset, findReset, prolongReset, resetPassword } from './password-resets.ts'
import { hashPassword, verifyPassword } from './passwords.ts'
import { loginFailures, mailRequests, mailsTo, refuseWeak, wrongCode, wrongCodes } from './rate-limits.ts'
import { code, email, message, newPassword, password } from './schemas.ts'
import { changePassword, findPassword } from './users.ts'

const tags = ['Accounts']

export const passwords = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/password-change',
      operationId: 'changePassword',
      summary: 'Change your password; every other session ends',
      description: 'A wrong old password counts as a failed login does.',
      tags,
      request: { body: body(z.strictObject({ old_password: password, new_password: newPassword })) },
      responses: { 200: message('The password is changed, and every other session is ended.') },
      problems: ['weak_password', ['invalid_credentials', 400], 'too_many_requests'],
    }),
    async (c) => {
      const { db, kdf, now } = c.env
      const { session } = c.var
      const { old_password, new_password } = c.req.valid('json')
      await refuseWeak(c.env, new_password, '/new_password', session.account)
      const attempts = loginFailures(session.account.email, clientOf(c))
      await requireRoom(c.env, ...attempts)
      const wrong = new Problem('invalid_credentials', { status: 400, detail: 'The old password is wrong.' })
      const hash = await findPassword(db, session.account.id)
      if (!hash || !(await c.var.untimed(() => verifyPassword(kdf, old_password, hash)))) {
        await spend(c.env, ...attempts)
        throw wrong
      }
      await requireRoom(c.env, ...attempts)
      if (!(await changePassword(db, session, await hashPassword(kdf, new_password), now()))) throw wrong
      return c.json({ message: 'The password is changed, and every other session is ended.' }, 200)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/password-reset',
      operationId: 'requestPasswordReset',
      summary: 'Ask for a code that sets a new password',
      description:
        'The answer is the same for every address. At most one code a minute and five an hour go to one; beyond that the last one is good for 15 minutes more.',
      tags,
      request: { body: body(z.strictObject({ email })) },
      responses: { 202: message('If the address has an account, a code is on its way to it.') },
      problems: ['too_many_requests'],
    }),
    async (c) => {
      const { db, send, defer } = c.env
      const { email } = c.req.valid('json')
      const now = c.env.now()
      await spend(c.env, [mailRequests, clientOf(c)])
      const mayMail = await count(c.env, ...mailsTo(email, 'reset'))
      // All that differs between an account's address and another is done after the answer.
      defer(async () => {
        if (!mayMail) return prolongReset(db, email, now)
        const reset = await createReset(db, email, now)
        if (reset) await send(resetMail(reset.email, reset.code, now))
      })
      return c.json({ message: 'If the address has an account, a code is on its way to it.' }, 202)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/password-reset/verify',
      operationId: 'resetPassword',
      summary: 'Set a new password with a mailed code; every session ends',
      description: 'A password that is refused as too weak does not use the code up.',
      tags,
      request: { body: body(z.strictObject({ code, new_password: newPassword })) },
      responses: { 200: message('The password is set: log in with it.') },
      problems: ['invalid_code', 'weak_password', 'too_many_requests'],
    }),
    async (c) => {
      const { db, kdf } = c.env
      const { code, new_password } = c.req.valid('json')
      const now = c.env.now()
      const attempt: Attempt = [wrongCodes, clientOf(c)]
      await requireRoom(c.env, attempt)
      const account = await findReset(db, code, now)
      if (!account) throw await wrongCode(c.env, attempt)
      await refuseWeak(c.env, new_password, '/new_password', account)
      const hash = await hashPassword(kdf, new_password)
      if (!(await resetPassword(db, code, hash, now))) throw await wrongCode(c.env, attempt)
      // Whoever guessed at the old password must not keep its owner from using the new one.
      const [fromHere, ofAccount] = loginFailures(account.email, clientOf(c))
      await forget(c.env, fromHere, ofAccount)
      return c.json({ message: 'The password is set: log in with it.' }, 200)
    },
  )
