import { OpenAPIHono } from '@hono/zod-openapi'
import { asCaller } from '../http/auth.ts'
import { protectedRoute, publicRoute } from '../http/declare-route.ts'
import { clientOf } from '../http/forwarded.ts'
import { notify } from '../http/notify.ts'
import { type Attempt, assertAllowed, clearAttempts, consume, tryConsume } from '../http/rate-limit.ts'
import { jsonBody } from '../http/schemas.ts'
import { passwordChangedNotice, passwordResetNotice, resetMail } from '../mail/templates.ts'
import type { Env, Services } from '../services.ts'
import { loginFailures, mailRequests, mailsTo, wrongCodes } from './limits.ts'
import {
  createPasswordReset,
  extendPasswordReset,
  findPasswordReset,
  RESET_MINUTES,
  resetPassword,
} from './password-resets.ts'
import { hashPassword } from './passwords.ts'
import { assertPassword, assertStrongPassword, invalidCode, wrongPassword } from './problems.ts'
import { messageResponse, PasswordChangeSchema, PasswordResetRequestSchema, PasswordResetSchema } from './schemas.ts'
import { findSession } from './sessions.ts'
import { changePassword } from './users.ts'

const CHANGED = 'The password has been changed, and all other sessions have ended.'
const RESET_REQUESTED = 'If the address has an account, a code has been sent to it.'
const RESET = 'The password has been set. You can log in with it.'

const tags = ['Accounts']

export const passwordRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/password-change',
      operationId: 'changePassword',
      summary: 'Change your password',
      description: 'Ends all other sessions. A wrong old password counts as a failed login.',
      tags,
      request: { body: jsonBody(PasswordChangeSchema) },
      responses: { 200: messageResponse(CHANGED) },
      problems: ['weak_password', 'wrong_password', 'too_many_requests'],
    }),
    async (c) => {
      const session = await asCaller(c, (bearer) => findSession(c.env.db, bearer))
      const { old_password, new_password } = c.req.valid('json')
      await assertStrongPassword(c.env.db, new_password, '/new_password', session.account)
      await assertPassword(c, session, old_password)
      const hash = await hashPassword(c.env.kdf, new_password)
      if (!(await changePassword(c.env.db, session, hash, c.env.now()))) throw wrongPassword()
      notify(c.env, passwordChangedNotice, session.account.email)
      return c.json({ message: CHANGED }, 200)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/password-reset',
      operationId: 'requestPasswordReset',
      summary: 'Request a code that sets a new password',
      description:
        'The response is the same for every address. An address gets at most one code a minute and five an hour. A further request extends the last code by 15 minutes.',
      tags,
      request: { body: jsonBody(PasswordResetRequestSchema) },
      responses: { 202: messageResponse(RESET_REQUESTED) },
      problems: ['too_many_requests'],
    }),
    async (c) => {
      const { email } = c.req.valid('json')
      const now = c.env.now()
      await consume(c.env, [mailRequests, clientOf(c)])
      const mayMail = await tryConsume(c.env, ...mailsTo(email, 'reset'))
      // After the response, whose time must not tell whether the address has an account.
      c.env.runInBackground(() => (mayMail ? mailReset(c.env, email, now) : extendPasswordReset(c.env.db, email, now)))
      return c.json({ message: RESET_REQUESTED }, 202)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/password-reset/verify',
      operationId: 'resetPassword',
      summary: 'Set a new password with a mailed code',
      description: 'Ends all sessions. A weak password does not use up the code.',
      tags,
      request: { body: jsonBody(PasswordResetSchema) },
      responses: { 200: messageResponse(RESET) },
      problems: ['invalid_code', 'weak_password', 'too_many_requests'],
    }),
    async (c) => {
      const { code, new_password } = c.req.valid('json')
      const now = c.env.now()
      const attempt: Attempt = [wrongCodes, clientOf(c)]
      await assertAllowed(c.env, attempt)
      const account = await findPasswordReset(c.env.db, code, now)
      if (account) await assertStrongPassword(c.env.db, new_password, '/new_password', account)
      if (!account || !(await resetPassword(c.env.db, code, await hashPassword(c.env.kdf, new_password), now))) {
        await consume(c.env, attempt)
        throw invalidCode()
      }
      // Failed guesses at the old password must not keep the owner from using the new one.
      const [fromClient, ofAccount] = loginFailures(account.email, clientOf(c))
      await clearAttempts(c.env, fromClient, ofAccount)
      notify(c.env, passwordResetNotice, account.email)
      return c.json({ message: RESET }, 200)
    },
  )

/** Mails a reset code if the address has an account. */
async function mailReset({ db, sendMail, settings }: Services, email: string, now: Date) {
  const reset = await createPasswordReset(db, email, now)
  if (!reset) return
  const { email: to, code } = reset
  await sendMail(resetMail(to, { code, minutes: RESET_MINUTES, at: now, service: settings.SERVICE_NAME }))
}
