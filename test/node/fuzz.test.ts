// Requests at random for every operation of the app's own document, each answer held to that document. In the suite some
// thousands of a fixed seed; by hand any: `SEED=7 RUNS=100000 npm run fuzz`. With TARGET=http://127.0.0.1:8000 they go to a
// running server, by HTTP. It needs that server's DATABASE_URL too, to put accounts and codes there: one to throw away,
// whose server has RATE_LIMITS=off.
import { eq, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPasswordReset } from '../../src/accounts/password-resets.ts'
import { createSession } from '../../src/accounts/sessions.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import { app } from '../../src/app.ts'
import { newId, sha256 } from '../../src/crypto.ts'
import { connect } from '../../src/database/connect.ts'
import { sessions, users } from '../../src/database/schema.ts'
import { isGood, Known, type Plan, requestsFor } from '../support/arbitraries.ts'
import { type Answered, type Asked, type Operation, readDocument } from '../support/document.ts'
import { type Json, openDocket, PASSWORD } from '../support/fixtures.ts'
import { passwordHash } from '../support/kdf.ts'

const { TARGET, DATABASE_URL = '', SEED = '20261122', RUNS } = process.env

type Person = { id: string; email: string; token: string }
type Found = { value: string; who: Person }
type Sent = Asked & { who: Person; isChunked: boolean }

const pickOf = <T>(list: T[], pick: number) => list[pick % list.length] as T

/**
 * Sends so many requests, for the operations that can answer a status, where one is given. Gives how often each answered
 * what, and each thing that was wrong with an answer.
 */
async function fuzz(runs: number, seed: number, environment: Record<string, string>, status?: number) {
  const docket = TARGET ? undefined : await openDocket(environment)
  const { db, close } = docket ? { db: docket.db, close: async () => {} } : connect(DATABASE_URL)
  const password = docket?.passwordHash ?? passwordHash('pbkdf2_sha256')
  const now = () => (docket ? new Date(docket.clock.now) : new Date())
  let addresses = 0
  /** Undefined where the platform's own client refuses to send it. */
  async function send({ method, url, headers, body, isChunked }: Sent): Promise<Answered | undefined> {
    const chunks = body && ReadableStream.from([body.slice(0, 7), body.slice(7)])
    const init = { method, headers, body: isChunked ? chunks : body, duplex: 'half', redirect: 'manual' } as RequestInit
    let request: Request
    try {
      request = new Request((TARGET ?? 'http://localhost') + url, init)
    } catch {
      return undefined
    }
    const address = environment.RATE_LIMITS ? `10.0.0.${addresses++ % 250}` : '10.0.0.1'
    const answer = docket
      ? await app.fetch(request, { ...docket.services, address })
      : await fetch(request).catch((error) => {
          // A length that is not the body's, say; but not a server that hangs up.
          if (/^UND_ERR_(REQ|INVALID|NOT_SUPPORTED)/.test(error.cause?.code)) return undefined
          throw error
        })
    if (!answer) return undefined
    const { status, headers: given } = answer
    const isStream = /event-stream/.test(given.get('Content-Type') ?? '')
    if (isStream) await answer.body?.cancel()
    return { status, headers: given, text: isStream ? '' : await answer.text() }
  }
  const anyone = { headers: [], body: undefined, isChunked: false, who: { id: '', email: '', token: '' } }
  const document = await send({ ...anyone, method: 'GET', url: '/openapi.json' })
  const { operations, operationOf, faults } = readDocument(JSON.parse(document?.text ?? ''))

  const people: Person[] = []
  async function join() {
    const [id, at] = [newId(now()), now().toISOString()]
    const email = `p${id.slice(-12)}@example.com`
    await db
      .insert(users)
      .values({ id, email, first_name: 'Per', last_name: 'Son', password, created_at: at, updated_at: at })
    const person = { id, email, token: '' }
    people.push(person)
    await logIn(person)
  }

  /** Gives somebody a session and the old password again, whatever became of either, and a session more, to be ended. */
  async function logIn(person: Person) {
    const [user] = await db.update(users).set({ password }).where(eq(users.id, person.id)).returning()
    const session = { user_id: person.id, password_version: user?.password_version ?? 1, user_agent: null, days: 30 }
    await createSession(db, session, now())
    person.token = (await createSession(db, session, now())).token
  }

  async function isLoggedIn({ token }: Person) {
    const live = await db.execute(sql`
      select from ${sessions} join ${users} on ${users.id} = user_id and ${users.password_version} = ${sessions.password_version}
      where token_hash = ${sha256(token)} and expires_at > ${now().toISOString()}`)
    return live.length > 0
  }

  const ids = new Map<string, Found[]>()
  const links = new Map<string, Found[]>()
  const etags = ['"1"']
  const keep = (pools: Map<string, Found[]>, name: string, found: Found) =>
    pools.set(name, [...(pools.get(name) ?? []), found].slice(-30))
  const collectionOf = ({ path }: Operation) => path.split('{')[0] as string

  /** Keeps what an answer gave, for the requests to come. */
  function remember(sent: Sent, { status, headers, text }: Answered) {
    const operation = operationOf(sent)
    if (!operation) return
    const collection = collectionOf(operation)
    const isOfItem = operation.path === `${collection}{id}/`
    if (isOfItem && (status === 404 || status === 204)) {
      ids.set(
        collection,
        (ids.get(collection) ?? []).filter(({ value }) => !sent.url.includes(value)),
      )
    }
    if (status >= 300 || !/json/.test(headers.get('Content-Type') ?? '') || text === '') return
    etags.splice(0, etags.length, ...etags.slice(-30), headers.get('ETag') ?? '"1"')
    const answer: Json = JSON.parse(text)
    for (const { id } of isOfItem || operation.path === collection ? [answer, ...(answer.results ?? [])] : []) {
      if (id) keep(ids, collection, { value: id, who: sent.who })
    }
    for (const value of Object.values(answer)) {
      if (typeof value !== 'string' || !/^http\S+\?/.test(value)) continue
      const { pathname, search } = new URL(value)
      keep(links, operation.id, { value: pathname + search, who: sent.who })
    }
  }

  /** What a name means now. */
  async function lookUp(given: unknown, operation: Operation): Promise<unknown> {
    if (Array.isArray(given)) return Promise.all(given.map((one) => lookUp(one, operation)))
    if (!(given instanceof Known)) return given
    const { name, pick } = given
    const person = pickOf(people, pick)
    if (name === 'email') return pick % 3 ? person.email : person.email.toUpperCase()
    if (name.endsWith('password')) return PASSWORD
    if (name.startsWith('if-')) return pick % 3 ? etags.at(-1) : pickOf(etags, pick)
    if (name === 'code') {
      const signup = { email: `new${newId(now())}@example.com`, first_name: 'A', last_name: 'B', password }
      return /reset/.test(operation.path) === pick % 5 > 0
        ? (await createPasswordReset(db, person.email, now()))?.code
        : createSignup(db, signup, now())
    }
    if (name === 'assignee' || name === 'creator') {
      if (operation.method === 'GET') return pick % 3 ? 'me' : person.id
      return pick % 2 ? person.id : person.email
    }
    return person.id
  }

  async function write(plan: Plan): Promise<Sent> {
    const { operation, method } = plan
    let who = pickOf(people, plan.person)
    const texts = (pairs: [string, unknown][]) =>
      Promise.all(
        pairs.map(async ([name, given]) => [name, [await lookUp(given, operation)].flat()] as [string, unknown[]]),
      )

    let path = operation.path
    for (const [name, given] of plan.params) {
      const found = given instanceof Known ? pickOf(ids.get(collectionOf(operation)) ?? [], given.pick) : undefined
      if (found && plan.person % 5) who = found.who
      path = path.replace(`{${name}}`, escaped(found?.value ?? (await lookUp(given, operation))))
    }
    path = path.replace(new RegExp(plan.path[0]), plan.path[1])
    const query = (await texts(plan.query)).flatMap(([name, values]) =>
      values.map((one) => `${escaped(name)}=${escaped(one)}`),
    )
    let url = [path, [...query, plan.rawQuery].filter(Boolean).join('&')].filter(Boolean).join('?')
    const followed = plan.link === undefined ? undefined : pickOf(links.get(operation.id) ?? [], plan.link)
    if (followed) {
      who = plan.person % 5 ? followed.who : who
      url = plan.person % 3 ? followed.value : [followed.value, ...query].join('&')
    }

    const headers = (await texts(plan.headers)).map(([name, [value]]): [string, string] => [name, carried(value)])
    const { authorization } = plan
    if (authorization !== undefined) headers.push(['Authorization', carried(authorization.replaceAll('{}', who.token))])
    const sent = { method, url, headers, who, isChunked: plan.isChunked }
    if (!plan.body || /^(GET|HEAD)$/.test(method)) return { ...sent, body: undefined, isChunked: false }
    const fields = (await texts(Object.entries(plan.body))).map(([name, [value]]) => [name, value])
    headers.push(['Content-Type', plan.type])
    return { ...sent, body: plan.encode(plan.edit(JSON.stringify(Object.fromEntries(fields)))) }
  }

  for (let index = 0; index < 4; index++) await join()
  for (let index = 0; index < 24; index++) {
    const who = pickOf(people, index)
    const body = new TextEncoder().encode(
      JSON.stringify({ name: `Report ${index}`, assignee: pickOf(people, index >> 2).id }),
    )
    const headers: [string, string][] = [
      ['Content-Type', 'application/json'],
      ['Authorization', `Bearer ${who.token}`],
    ]
    const sent = { ...anyone, method: 'POST', url: '/assignments/', headers, body, who }
    remember(sent, (await send(sent)) as Answered)
  }

  const chosen = operations.filter(({ declared }) => !status || declared.responses[status])
  const counts = new Map(operations.map(({ id }) => [id, new Map<number, number>()]))
  const complaints = new Map<string, { times: number; shown: string }>()
  let requests = 0
  // Over HTTP a real key is derived, which takes a third of a second.
  const weightOf = ({ body }: Operation) => (TARGET && /password"/.test(JSON.stringify(body ?? '')) ? 1 : 12)
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(...chosen.map((one) => ({ weight: weightOf(one), arbitrary: requestsFor(one) }))),
      async (plan) => {
        if (docket) docket.clock.now += 7
        const sent = await write(plan)
        const answer = await send(sent)
        if (!answer) return
        requests++
        const isAuthorized = isGood(plan.authorization)
        const wrong = faults(sent, isAuthorized, answer)
        const operation = operationOf(sent)
        const seen = counts.get(operation?.id ?? '')
        seen?.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
        const isIn = await isLoggedIn(sent.who)
        if (answer.status === 401 && isAuthorized && operation?.isSecured && isIn) wrong.push('401 with a good token')
        if (!isIn) await logIn(sent.who)
        remember(sent, answer)
        for (const what of wrong) {
          const key = `${sent.method} ${operation?.path ?? 'no operation'}: ${what}`.slice(0, 300)
          const [before, shown] = [complaints.get(key), show(sent, answer)]
          const isShorter = !before || shown.length < before.shown.length
          complaints.set(key, { times: (before?.times ?? 0) + 1, shown: isShorter ? shown : before.shown })
        }
        if (requests % 500 === 0) {
          await join()
          await docket?.drain()
        }
        if (people.length > 8) people.shift()
      },
    ),
    { seed, numRuns: runs, endOnFailure: true },
  )
  await docket?.drain()
  await close()

  const wrong = [...complaints].map(([what, { times, shown }]) => `${times} times ${what}\n${shown}`)
  if (RUNS) {
    const lines = [...counts].map(
      ([id, seen]) =>
        `${id.padEnd(22)} ${[...seen]
          .sort()
          .map((pair) => pair.join(': '))
          .join('  ')}`,
    )
    console.log([`${requests} requests, seed ${seed}`, ...lines, '', ...wrong].join('\n'))
  }
  return { counts, wrong, lines: docket?.logLines() ?? [] }
}

const escaped = (value: unknown) => encodeURIComponent(String(value).toWellFormed())

/** A text as a header can carry it. */
const carried = (value: unknown) => String(value).replace(/[^\t\x20-\x7e\x80-\xff]/g, '?')

const show = ({ method, url, headers, body }: Sent, { status, text }: Answered) =>
  [
    `${method} ${url}`.slice(0, 600),
    ...headers.map((pair) => pair.join(': ').slice(0, 200)),
    body ? JSON.stringify(Buffer.from(body).toString('latin1').slice(0, 600)) : '',
    `→ ${status} ${text.slice(0, 600)}`,
  ].join('\n')

const endless = { timeout: 86_400_000 }

test('random requests are answered as the document says, and no operation is only ever refused', endless, async () => {
  const { wrong, counts, lines } = await fuzz(Number(RUNS ?? 2000), Number(SEED), {
    RATE_LIMITS: 'off',
    TRUST_PROXY: 'true',
  })
  expect(wrong).toEqual([])
  for (const [id, seen] of counts) {
    expect(Math.min(...seen.keys()), `${id} has never succeeded`).toBeLessThan(300)
  }
  // The log is one object a line, whatever was in the requests, and has no bug to tell of.
  const strange = lines.filter((line) => /\p{Cc}./u.test(line) || JSON.parse(line).level === 'error')
  expect(strange).toEqual([])
})

test.skipIf(TARGET)('random requests that limits turn away are answered as the document says', endless, async () => {
  const { wrong, counts } = await fuzz(Math.min(Number(RUNS ?? 600), 20_000), Number(SEED) + 1, {}, 429)
  expect(wrong).toEqual([])
  for (const id of ['activateAccount', 'resetPassword']) expect(counts.get(id)?.has(429), id).toBe(true)
})
