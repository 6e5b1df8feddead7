import { OpenAPIHono, z } from '@hono/zod-openapi'
import { asCaller } from '../http/auth.ts'
import { protectedRoute, publicRoute } from '../http/declare-route.ts'
import { clientOf } from '../http/forwarded.ts'
import { Problem, retryLater } from '../http/problem.ts'
import { type Attempt, assertAllowed, assertNoWait, consume, longestWait, tryConsume } from '../http/rate-limit.ts'
import { id, jsonBody, jsonResponse } from '../http/schemas.ts'
import { userAgentOf } from '../http/user-agent.ts'
import { describeError } from '../logger.ts'
import { accountExistsMail, activationMail } from '../mail/templates.ts'
import type { Env, Services } from '../services.ts'
import { loginFailures, mailRequests, mailsTo, wrongCodes } from './limits.ts'
import { hashPassword, isOutdated, verifyLogin } from './passwords.ts'
import { assertStrongPassword, invalidCode } from './problems.ts'
import {
  AccountPatchSchema,
  AccountSchema,
  ActivationSchema,
  LoginResultSchema,
  LoginSchema,
  messageResponse,
  SessionListSchema,
  SignUpSchema,
} from './schemas.ts'
import { createSessionIfAllowed, endSession, findCaller, listSessions, renameCaller } from './sessions.ts'
import { ACTIVATION_HOURS, activate, createSignup } from './signups.ts'
import { findLogin, findUser, upgradeHash } from './users.ts'

const SIGNED_UP = 'If the address can be signed up, a code has been sent to it.'
const WRONG_CREDENTIALS = 'The e-mail address or the password is wrong, or the account is not activated yet.'
const ACTIVATED = 'The account is active. You can log in.'

const tags = ['Accounts']

export const accountRoutes = new OpenAPIHono<Env>()
  .openapi(
    publicRoute({
      method: 'post',
      path: '/signup',
      operationId: 'signUp',
      summary: 'Sign up and get an activation code by mail',
      description:
        'The response is the same whether or not the address has an account. To get another code, sign up again: at most once a minute and five times an hour.',
      tags,
      request: { body: jsonBody(SignUpSchema) },
      responses: { 202: messageResponse(SIGNED_UP) },
      problems: ['weak_password', 'too_many_requests'],
    }),
    async (c) => {
      const signup = c.req.valid('json')
      await assertStrongPassword(c.env.db, signup.password, '/password', signup)
      await consume(c.env, [mailRequests, clientOf(c)])
      // The password is hashed in any case, so that the time does not tell whether the address has an account.
      const hash = await hashPassword(c.env.kdf, signup.password)
      if (await tryConsume(c.env, ...mailsTo(signup.email, 'activation'))) {
        const now = c.env.now()
        const code = await createSignup(c.env.db, { ...signup, password: hash }, now)
        c.env.runInBackground(() => mailSignup(c.env, signup.email, code, now))
      }
      return c.json({ message: SIGNED_UP }, 202)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/activate-account',
      operationId: 'activateAccount',
      summary: 'Activate an account with its mailed code',
      description:
        'Creates the account with the names and the password of the sign-up that the code was sent for. Then log in.',
      tags,
      request: { body: jsonBody(ActivationSchema) },
      responses: { 200: messageResponse(ACTIVATED) },
      problems: ['invalid_code', 'too_many_requests'],
    }),
    async (c) => {
      const attempt: Attempt = [wrongCodes, clientOf(c)]
      // Not limitGuesses, which checks the limits again: by then the code would be used up.
      await assertAllowed(c.env, attempt)
      if (!(await activate(c.env.db, c.req.valid('json').code, c.env.now()))) {
        await consume(c.env, attempt)
        throw invalidCode()
      }
      return c.json({ message: ACTIVATED }, 200)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/login',
      operationId: 'logIn',
      summary: 'Log in and get a token',
      description:
        'Send the token with other requests, as `Authorization: Bearer <token>`. An account has at most 100 sessions; the next login ends the oldest.',
      tags,
      request: { body: jsonBody(LoginSchema) },
      responses: { 200: jsonResponse(LoginResultSchema, 'The new session. Its token is shown only here.') },
      problems: ['invalid_credentials', 'too_many_requests'],
    }),
    async (c) => {
      const { email, password } = c.req.valid('json')
      const attempts = loginFailures(email, clientOf(c))
      const { wait, login } = await findLogin(c.env.db, email, longestWait(c.env, attempts))
      assertNoWait(wait)
      if (!(await c.get('pauseTimeout')(() => verifyLogin(c.env.kdf, password, login?.hash))) || !login) {
        await consume(c.env, ...attempts)
        throw wrongCredentials()
      }
      const { account, password_version, hash } = login
      const owner = {
        user_id: account.id,
        password_version,
        user_agent: userAgentOf(c),
        days: c.env.settings.SESSION_DAYS,
      }
      // The limits again: parallel guesses must learn no more than sequential ones.
      const session = await createSessionIfAllowed(c.env.db, owner, c.env.now(), longestWait(c.env, attempts))
      if (session.outcome === 'too_many_requests') throw retryLater('too_many_requests', session.wait)
      // The account was deleted, or its password changed, while this one was checked.
      if (session.outcome === 'wrong_password') throw wrongCredentials()
      if (isOutdated(c.env.kdf, hash)) await replaceHash(c.env, account.id, hash, password)
      return c.json({ token: session.token, expires_at: session.expires_at, user: account }, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/logout',
      operationId: 'logOut',
      summary: 'End this session',
      description: 'The token stops working at once, on all instances.',
      tags,
      responses: { 204: { description: 'The session has ended.' } },
    }),
    async (c) => {
      await asCaller(c, (bearer) => endSession(c.env.db, bearer))
      return c.body(null, 204)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'getAccount',
      summary: 'Read your account',
      description: 'Returns the account of the token.',
      tags,
      responses: { 200: jsonResponse(AccountSchema, 'Your account.') },
    }),
    async (c) => c.json(await asCaller(c, (bearer) => findCaller(c.env.db, bearer)), 200),
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/change',
      operationId: 'changeAccount',
      summary: 'Change your name',
      description: 'Omitted names keep their values.',
      tags,
      request: { body: jsonBody(AccountPatchSchema) },
      responses: { 200: jsonResponse(AccountSchema, 'Your account after the change.') },
    }),
    async (c) => {
      const names = c.req.valid('json')
      return c.json(await asCaller(c, (bearer) => renameCaller(c.env.db, bearer, names)), 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/sessions',
      operationId: 'listSessions',
      summary: 'List your sessions, newest first',
      description: 'Each login creates a session. `current` marks the session of the request.',
      tags,
      responses: { 200: jsonResponse(SessionListSchema, 'Your live sessions.') },
    }),
    async (c) => c.json({ results: await asCaller(c, (bearer) => listSessions(c.env.db, bearer)) }, 200),
  )
  .openapi(
    protectedRoute({
      method: 'delete',
      path: '/sessions/{id}',
      operationId: 'endSession',
      summary: 'End one of your sessions',
      description: 'Its token stops working at once, on all instances.',
      tags,
      request: { params: z.strictObject({ id }) },
      responses: { 204: { description: 'The session has ended.' } },
    }),
    async (c) => {
      const { id } = c.req.valid('param')
      const { outcome } = await asCaller(c, (bearer) => endSession(c.env.db, bearer, id))
      if (outcome === 'not_found') throw new Problem('not_found')
      return c.body(null, 204)
    },
  )

const wrongCredentials = () => new Problem('invalid_credentials', { detail: WRONG_CREDENTIALS })

/** Mails the code of a sign-up or, if there is none, tells the owner of the address about the attempt. */
async function mailSignup({ db, sendMail, settings }: Services, email: string, code: string | undefined, now: Date) {
  const occasion = { at: now, service: settings.SERVICE_NAME }
  if (code) return sendMail(activationMail(email, { code, hours: ACTIVATION_HOURS, ...occasion }))
  const owner = await findUser(db, email)
  if (owner) await sendMail(accountExistsMail(owner.email, occasion))
}

/** Hashes the password with the preferred algorithm. A failure does not fail the login: the next one tries again. */
async function replaceHash({ db, kdf, log }: Services, id: string, old: string, password: string) {
  try {
    await upgradeHash(db, id, old, await hashPassword(kdf, password))
  } catch (error) {
    log.warn({ error: describeError(error) }, 'the password hash could not be upgraded')
  }
}
