import { OpenAPIHono } from '@hono/zod-openapi'
import { beginDeletion, finishDeletion } from '../assignments/account-deletion.ts'
import { asCaller } from '../http/auth.ts'
import { protectedRoute } from '../http/declare-route.ts'
import { clientOf } from '../http/forwarded.ts'
import { notify } from '../http/notify.ts'
import { invalidRequest } from '../http/problem.ts'
import { type Attempt, assertAllowed, consume, tryConsume } from '../http/rate-limit.ts'
import { jsonBody, jsonResponse } from '../http/schemas.ts'
import {
  accountDeletedNotice,
  accountExistsMail,
  emailChangedNotice,
  emailChangeMail,
  emailChangeNotice,
} from '../mail/templates.ts'
import type { Env, Services } from '../services.ts'
import { createEmailChange, EMAIL_CHANGE_MINUTES, extendEmailChange, verifyEmailChange } from './email-changes.ts'
import { mailRequests, mailsTo, wrongCodes } from './limits.ts'
import { assertPassword, invalidCode, wrongPassword } from './problems.ts'
import { AccountSchema, DeletionSchema, EmailChangeCodeSchema, EmailChangeSchema, messageResponse } from './schemas.ts'
import { findSession, type Session } from './sessions.ts'
import { findUser } from './users.ts'

const EMAIL_CHANGE_REQUESTED = 'If the address can be used, a code has been sent to it.'

/** Milliseconds for which a request waits until everything of a deleted account is gone. The rest is done after the response. */
const DELETION_WAIT_MS = 2_500

const tags = ['Accounts']

export const lifecycleRoutes = new OpenAPIHono<Env>()
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/email-change',
      operationId: 'requestEmailChange',
      summary: 'Request a code that changes your e-mail address',
      description: `The code goes to the new address, and a notice to the old one. The address changes when you send the code with a token of this account.

- The response is the same whether or not the address has an account.
- An address gets at most one code a minute and five an hour. A further request extends the last code by 15 minutes.
- A wrong password counts as a failed login.`,
      tags,
      request: { body: jsonBody(EmailChangeSchema) },
      responses: { 202: messageResponse(EMAIL_CHANGE_REQUESTED) },
      problems: ['wrong_password', 'too_many_requests'],
    }),
    async (c) => {
      const session = await asCaller(c, (bearer) => findSession(c.env.db, bearer))
      const { email, password } = c.req.valid('json')
      if (email === session.account.email) {
        throw invalidRequest([{ in: 'body', pointer: '/email', message: 'Is your address already' }])
      }
      await assertPassword(c, session, password)
      await consume(c.env, [mailRequests, clientOf(c)])
      const mayMail = await tryConsume(c.env, ...mailsTo(email, 'email-change'))
      const now = c.env.now()
      // After the response, whose time must not tell whether the address has an account.
      c.env.runInBackground(() =>
        mayMail
          ? mailEmailChange(c.env, session, email, now)
          : extendEmailChange(c.env.db, session.account.id, email, now),
      )
      return c.json({ message: EMAIL_CHANGE_REQUESTED }, 202)
    },
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/email-change/verify',
      operationId: 'changeEmail',
      summary: 'Change your e-mail address with a mailed code',
      description:
        'Works only with a token of the account that requested the code. Ends all other sessions, and makes a reset code invalid.',
      tags,
      request: { body: jsonBody(EmailChangeCodeSchema) },
      responses: { 200: jsonResponse(AccountSchema, 'Your account with its new address.') },
      problems: ['invalid_code', 'too_many_requests'],
    }),
    async (c) => {
      const attempt: Attempt = [wrongCodes, clientOf(c)]
      await assertAllowed(c.env, attempt)
      const { code } = c.req.valid('json')
      const changed = await asCaller(c, (bearer) => verifyEmailChange(c.env.db, bearer, code))
      if ('outcome' in changed) {
        await consume(c.env, attempt)
        throw invalidCode()
      }
      const { account, oldEmail } = changed
      notify(c.env, emailChangedNotice, oldEmail)
      return c.json(account, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/delete',
      operationId: 'deleteAccount',
      summary: 'Delete your account',
      description: `Ends all sessions and event streams at once, and cannot be undone. The address can sign up again, as a new person.

- Assignments that you created are deleted, each with a \`deleted\` event.
- Assignments that others assigned to you go back to their creator, each with a \`changed\` event.
- The event log keeps ids, times and statuses. Texts that only you could see are erased.
- With more than 200 assignments, others may see the last of them for some seconds. Nobody can assign anything to you meanwhile.
- A wrong password counts as a failed login.`,
      tags,
      request: { body: jsonBody(DeletionSchema) },
      responses: { 204: { description: 'The account is deleted.' } },
      problems: ['wrong_password', 'too_many_requests'],
    }),
    async (c) => {
      const session = await asCaller(c, (bearer) => findSession(c.env.db, bearer))
      await assertPassword(c, session, c.req.valid('json').password)
      const { outcome } = await asCaller(c, (bearer) => beginDeletion(c.env.db, bearer, session))
      if (outcome === 'wrong_password') throw wrongPassword()
      const { id, email } = session.account
      notify(c.env, accountDeletedNotice, email)
      await finishInTime(c.env, id)
      return c.body(null, 204)
    },
  )

/** Mails the code of an e-mail change and a notice to the old address or, if another account has the address, tells its owner. */
async function mailEmailChange({ db, sendMail, settings }: Services, session: Session, email: string, now: Date) {
  const change = await createEmailChange(db, session, email, now)
  if (!change) return
  const occasion = { at: now, service: settings.SERVICE_NAME }
  if (change.is_taken) {
    const owner = await findUser(db, email)
    if (owner) await sendMail(accountExistsMail(owner.email, occasion))
    return
  }
  const mails = [
    emailChangeMail(email, { code: change.code, minutes: EMAIL_CHANGE_MINUTES, ...occasion }),
    emailChangeNotice(session.account.email, occasion),
  ]
  await Promise.all(mails.map(sendMail))
}

/** Removes what is left of a deleted account, in the background if it takes long. */
async function finishInTime({ db, now, runInBackground }: Services, id: string) {
  const finished = finishDeletion(db, id, now)
  runInBackground(() => finished)
  let timer: ReturnType<typeof setTimeout> | undefined
  const waited = new Promise((resolve) => {
    timer = setTimeout(resolve, DELETION_WAIT_MS)
  })
  await Promise.race([finished.catch(() => {}), waited])
  clearTimeout(timer)
}
