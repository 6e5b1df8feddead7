import { OpenAPIHono, z } from '@hono/zod-openapi'
import { describe, Problem } from '../http/problem.ts'
import { type Attempt, clientOf, count, requireRoom, spend } from '../http/rate-limit.ts'
import { body, id, instant, json, protectedRoute, publicRoute, text } from '../http/routes.ts'
import { accountExistsMail, activationMail } from '../mail/templates.ts'
import type { Env, Services } from '../services.ts'
import { hashPassword, isOutdated, unmatchable, verifyPassword } from './passwords.ts'
import { loginFailures, mailRequests, mailsTo, refuseWeak, wrongCode, wrongCodes } from './rate-limits.ts'
import { Account, code, email, message, newPassword, password } from './schemas.ts'
import { createSession, endSession, listSessions } from './sessions.ts'
import { activate, createSignup } from './signups.ts'
import { findLogin, findUser, rehash, renameUser } from './users.ts'

const name = z.string().trim().pipe(text(1, 150)).openapi({ minLength: 1, maxLength: 150, example: 'Ada' })

const surname = name.openapi({ example: 'Lovelace' })

const Login = z.strictObject({
  token: z.string().openapi({ example: 'dkt_3q2-7wAAq1ZVd0w0X2l0Yk9uZUV4YW1wbGVUb2tlbjEyMw' }),
  expires_at: instant,
  user: Account,
})

const Session = z.strictObject({
  id,
  created_at: instant,
  expires_at: instant,
  user_agent: z.string().nullable().openapi({ example: 'curl/8.14.1' }),
  current: z.boolean(),
})

const tags = ['Accounts']

export const accounts = new OpenAPIHono<Env>()
  .openapi(
    publicRoute({
      method: 'post',
      path: '/signup',
      operationId: 'signUp',
      summary: 'Sign up, and get an activation code by mail',
      description:
        'The answer is the same whether or not the address has an account. Sign up again to get another code, at most one a minute and five an hour.',
      tags,
      request: { body: body(z.strictObject({ first_name: name, last_name: surname, email, password: newPassword })) },
      responses: { 202: message('If the address can be signed up, a code is on its way to it.') },
      problems: ['weak_password', 'too_many_requests'],
    }),
    async (c) => {
      const { db, kdf, send, defer } = c.env
      const signup = c.req.valid('json')
      const now = c.env.now()
      await refuseWeak(c.env, signup.password, '/password', signup)
      await spend(c.env, [mailRequests, clientOf(c)])
      // Hashed also when nothing will come of it, so that the time tells no more than the answer.
      const hash = await hashPassword(kdf, signup.password)
      if (await count(c.env, ...mailsTo(signup.email, 'activation'))) {
        const code = await createSignup(db, { ...signup, password: hash }, now)
        defer(async () => {
          if (code) return send(activationMail(signup.email, code, now))
          const owner = await findUser(db, signup.email)
          if (owner) return send(accountExistsMail(owner.email, now))
        })
      }
      return c.json({ message: 'If the address can be signed up, a code is on its way to it.' }, 202)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/activate-account',
      operationId: 'activateAccount',
      summary: 'Activate the account that a mailed code is for',
      tags,
      request: { body: body(z.strictObject({ code })) },
      responses: { 200: message('The account is active: log in.') },
      problems: ['invalid_code', 'too_many_requests'],
    }),
    async (c) => {
      const attempt: Attempt = [wrongCodes, clientOf(c)]
      await requireRoom(c.env, attempt)
      const activated = await activate(c.env.db, c.req.valid('json').code, c.env.now())
      if (!activated) throw await wrongCode(c.env, attempt)
      return c.json({ message: 'The account is active: log in.' }, 200)
    },
  )
  .openapi(
    publicRoute({
      method: 'post',
      path: '/login',
      operationId: 'logIn',
      summary: 'Log in, and get a token',
      tags,
      request: { body: body(z.strictObject({ email, password })) },
      responses: { 200: json(Login, 'A new session and its token, which is shown this once.') },
      problems: ['invalid_credentials', 'not_activated', 'too_many_requests'],
    }),
    async (c) => {
      const { db, kdf, settings } = c.env
      const { email, password } = c.req.valid('json')
      const now = c.env.now()
      const attempts = loginFailures(email, clientOf(c))
      await requireRoom(c.env, ...attempts)
      const { account, password_version, stored } = await findLogin(db, email, now)
      const hash = stored ?? unmatchable(kdf)
      // A hash of Django's takes a Worker seconds.
      if (!(await c.var.untimed(() => verifyPassword(kdf, password, hash)))) {
        await spend(c.env, ...attempts)
        throw new Problem('invalid_credentials')
      }
      // Again, so that guesses sent all at once learn no more than guesses sent one by one.
      await requireRoom(c.env, ...attempts)
      if (!account)
        throw new Problem('not_activated', { detail: 'Activate the account with the code that was mailed.' })
      if (isOutdated(kdf, hash)) await improveHash(c.env, account.id, hash, password)
      const session = await createSession(
        db,
        {
          ...{ user_id: account.id, password_version },
          user_agent: c.req.header('User-Agent')?.slice(0, 256) ?? null,
          days: settings.SESSION_DAYS,
        },
        now,
      )
      return c.json({ ...session, user: account }, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/logout',
      operationId: 'logOut',
      summary: 'End this session: its token is dead at once',
      tags,
      responses: { 204: { description: 'The session is ended.' } },
    }),
    async (c) => {
      const { account, id } = c.var.session
      await endSession(c.env.db, account.id, id, c.env.now())
      return c.body(null, 204)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/',
      operationId: 'getAccount',
      summary: 'Read your account',
      tags,
      responses: { 200: json(Account, 'Your account.') },
    }),
    (c) => c.json(c.var.session.account, 200),
  )
  .openapi(
    protectedRoute({
      method: 'post',
      path: '/change',
      operationId: 'changeAccount',
      summary: 'Change your name',
      tags,
      request: {
        body: body(
          z
            .strictObject({ first_name: name.optional(), last_name: surname.optional() })
            .refine((names) => Object.keys(names).length > 0, 'Must name at least one field')
            .openapi({ minProperties: 1 }),
        ),
      },
      responses: { 200: json(Account, 'Your account as it is now.') },
    }),
    async (c) => {
      const { db, now } = c.env
      const renamed = await renameUser(db, c.var.session.account.id, c.req.valid('json'), now())
      if (!renamed) throw new Problem('unauthenticated')
      return c.json(renamed, 200)
    },
  )
  .openapi(
    protectedRoute({
      method: 'get',
      path: '/sessions',
      operationId: 'listSessions',
      summary: 'List your live sessions, newest first',
      tags,
      responses: { 200: json(z.strictObject({ results: z.array(Session) }), 'Your sessions.') },
    }),
    async (c) => c.json({ results: await listSessions(c.env.db, c.var.session, c.env.now()) }, 200),
  )
  .openapi(
    protectedRoute({
      method: 'delete',
      path: '/sessions/{id}',
      operationId: 'endSession',
      summary: 'End one of your sessions',
      tags,
      request: { params: z.strictObject({ id }) },
      responses: { 204: { description: 'The session is ended.' } },
    }),
    async (c) => {
      const ended = await endSession(c.env.db, c.var.session.account.id, c.req.valid('param').id, c.env.now())
      if (!ended) throw new Problem('not_found')
      return c.body(null, 204)
    },
  )

/** A login does not fail for want of a better hash: the next one makes it. */
async function improveHash({ db, kdf, log }: Services, id: string, old: string, password: string) {
  try {
    await rehash(db, id, old, await hashPassword(kdf, password))
  } catch (error) {
    log.warn({ error: describe(error) }, 'a password hash was not replaced')
  }
}
