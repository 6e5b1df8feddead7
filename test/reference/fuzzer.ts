import { eq, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { createPasswordReset } from '../../src/accounts/password-resets.ts'
import { createSession } from '../../src/accounts/sessions.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import { app } from '../../src/app.ts'
import { newId, sha256 } from '../../src/crypto.ts'
import { connect, type Database } from '../../src/database/connect.ts'
import { sessions, users } from '../../src/database/schema.ts'
import { type Docket, type Json, openDocket, PASSWORD } from '../support/fixtures.ts'
import { passwordHash } from '../support/kdf.ts'
import { type Operation, type ReceivedResponse, readContract, type SentRequest } from './openapi.ts'
import { isValidAuthorization, Placeholder, type RequestPlan, requestPlans } from './request-plans.ts'

/** A running server to fuzz instead of the app in this process. Its DATABASE_URL is needed too. */
const { TARGET, DATABASE_URL = '' } = process.env

type Person = { id: string; email: string; token: string }
type PersonalRequest = SentRequest & { person: Person; isChunked: boolean }
/** An id or a link from a response, with the person who received it. */
type Remembered = { value: string; person: Person }

export type FuzzResult = {
  /** How often each operation responded with each status. */
  counts: Map<string, Map<number, number>>
  /** Each kind of violation, with the shortest example. */
  violations: string[]
  logLines: string[]
}

type FuzzOptions = {
  runs: number
  seed: number
  environment?: Record<string, string>
  /** Uses only operations that document this status. */
  status?: number
  /** Prints statistics. */
  isVerbose?: boolean
}

/** Sends random requests to every operation of the app's OpenAPI document, and checks each response against it. */
export async function fuzz({ runs, seed, environment = {}, status, isVerbose }: FuzzOptions): Promise<FuzzResult> {
  const target = TARGET ? remoteTarget(TARGET) : await localTarget(environment)
  const document = await target.send({ ...anonymous, method: 'GET', url: '/openapi.json' })
  const contract = readContract(JSON.parse(document?.text ?? ''))
  const state = new FuzzState(target, contract.operationOf)
  await state.fill()

  const counts = new Map(contract.operations.map(({ id }) => [id, new Map<number, number>()]))
  const report = new ViolationReport()
  let requests = 0
  const chosen = contract.operations.filter(({ declared }) => !status || declared.responses[status])
  const weighted = chosen.map((operation) => ({ weight: weightOf(operation), arbitrary: requestPlans(operation) }))
  const property = fc.asyncProperty(fc.oneof(...weighted), async (plan) => {
    target.advance(7)
    const request = await state.prepare(plan)
    const response = await target.send(request)
    if (!response) return
    requests++
    const operation = contract.operationOf(request)
    const seen = counts.get(operation?.id ?? '')
    seen?.set(response.status, (seen.get(response.status) ?? 0) + 1)

    const isAuthorized = isValidAuthorization(plan.authorization)
    const violations = contract.violations(request, isAuthorized, response)
    const hasSession = await state.hasSession(request.person)
    if (response.status === 401 && isAuthorized && operation?.isSecured && hasSession)
      violations.push('401 with a valid token')
    for (const violation of violations) report.add(violation, operation, request, response)
    if (!hasSession) await state.logIn(request.person)
    state.remember(request, response)
    if (requests % 500 === 0) await state.replacePeople()
  })
  await fc.assert(property, { seed, numRuns: runs, endOnFailure: true })
  await target.close()
  if (isVerbose) printStatistics(requests, seed, counts, report.lines())
  return { counts, violations: report.lines(), logLines: target.logLines() }
}

/** Over HTTP, a request with a password takes a real key derivation. */
const weightOf = ({ body }: Operation) => (TARGET && /password"/.test(JSON.stringify(body ?? '')) ? 1 : 12)

const anonymous = { headers: [], body: undefined, isChunked: false, person: { id: '', email: '', token: '' } }

/** Where requests go. */
type Target = {
  db: Database
  passwordHash: string
  now: () => Date
  advance: (seconds: number) => void
  /** Returns undefined if the platform's client refuses to send the request. */
  send: (request: PersonalRequest) => Promise<ReceivedResponse | undefined>
  drain: () => Promise<void>
  logLines: () => string[]
  close: () => Promise<void>
}

async function localTarget(environment: Record<string, string>): Promise<Target> {
  const docket: Docket = await openDocket(environment)
  let addressCount = 0
  const nextAddress = () => (environment.RATE_LIMITS ? `10.0.0.${addressCount++ % 250}` : '10.0.0.1')
  return {
    db: docket.db,
    passwordHash: docket.passwordHash,
    now: docket.now,
    advance: (seconds) => {
      docket.clock.now += seconds
    },
    send: async (request) => {
      const sent = toRequest('http://localhost', request)
      return sent && receive(await app.fetch(sent, { ...docket.services, address: nextAddress() }))
    },
    drain: docket.drain,
    logLines: docket.logLines,
    close: docket.drain,
  }
}

function remoteTarget(origin: string): Target {
  const { db, close } = connect(DATABASE_URL)
  return {
    db,
    passwordHash: passwordHash('pbkdf2_sha256'),
    now: () => new Date(),
    advance: () => {},
    send: async (request) => {
      const sent = toRequest(origin, request)
      const response = await (sent && fetch(sent))?.catch((error) => {
        // The client refuses a wrong Content-Length, for example. A server that hangs up is an error.
        if (/^UND_ERR_(REQ|INVALID|NOT_SUPPORTED)/.test(error.cause?.code)) return undefined
        throw error
      })
      return response && receive(response)
    },
    drain: async () => {},
    logLines: () => [],
    close,
  }
}

function toRequest(origin: string, { method, url, headers, body, isChunked }: PersonalRequest): Request | undefined {
  const chunks = body && ReadableStream.from([body.slice(0, 7), body.slice(7)])
  const init = { method, headers, body: isChunked ? chunks : body, duplex: 'half', redirect: 'manual' } as RequestInit
  try {
    return new Request(origin + url, init)
  } catch {
    return undefined
  }
}

async function receive(response: Response): Promise<ReceivedResponse> {
  const { status, headers } = response
  const isStream = headers.get('Content-Type')?.includes('event-stream')
  if (isStream) await response.body?.cancel()
  return { status, headers, text: isStream ? '' : await response.text() }
}

/** The people, ids and links that requests use. */
class FuzzState {
  readonly #target: Target
  readonly #operationOf: (request: SentRequest) => Operation | undefined
  readonly #people: Person[] = []
  readonly #ids = new Map<string, Remembered[]>()
  readonly #links = new Map<string, Remembered[]>()
  readonly #etags = ['"1"']

  constructor(target: Target, operationOf: (request: SentRequest) => Operation | undefined) {
    this.#target = target
    this.#operationOf = operationOf
  }

  /** Creates people and assignments. */
  async fill() {
    for (let index = 0; index < 4; index++) await this.#addPerson()
    for (let index = 0; index < 24; index++) {
      const person = pick(this.#people, index)
      const fields = { name: `Report ${index}`, assignee: pick(this.#people, index >> 2).id }
      const body = new TextEncoder().encode(JSON.stringify(fields))
      const headers: [string, string][] = [
        ['Content-Type', 'application/json'],
        ['Authorization', `Bearer ${person.token}`],
      ]
      const request = { ...anonymous, method: 'POST', url: '/assignments/', headers, body, person }
      this.remember(request, (await this.#target.send(request)) as ReceivedResponse)
    }
  }

  async replacePeople() {
    await this.#addPerson()
    await this.#target.drain()
    if (this.#people.length > 8) this.#people.shift()
  }

  async #addPerson() {
    const { db, now, passwordHash: password } = this.#target
    const [id, at] = [newId(now()), now().toISOString()]
    const email = `p${id.slice(-12)}@example.com`
    await db
      .insert(users)
      .values({ id, email, first_name: 'Per', last_name: 'Son', password, created_at: at, updated_at: at })
    const person = { id, email, token: '' }
    this.#people.push(person)
    await this.logIn(person)
  }

  /** Resets the password of a person and creates two sessions, of which requests may end one. */
  async logIn(person: Person) {
    const { db, now, passwordHash: password } = this.#target
    const [user] = await db.update(users).set({ password }).where(eq(users.id, person.id)).returning()
    const session = { user_id: person.id, password_version: user?.password_version ?? 1, user_agent: null, days: 30 }
    await createSession(db, session, now())
    person.token = (await createSession(db, session, now())).token
  }

  async hasSession({ token }: Person) {
    const { db, now } = this.#target
    const live = await db.execute(sql`
      select from ${sessions} join ${users} on ${users.id} = user_id and ${users.password_version} = ${sessions.password_version}
      where token_hash = ${sha256(token)} and expires_at > ${now().toISOString()}`)
    return live.length > 0
  }

  /** Keeps the ids, links and entity tags of a response for later requests. */
  remember(request: PersonalRequest, { status, headers, text }: ReceivedResponse) {
    const operation = this.#operationOf(request)
    if (!operation) return
    const collection = collectionOf(operation)
    const isItem = operation.path === `${collection}{id}/`
    if (isItem && (status === 404 || status === 204)) {
      const left = (this.#ids.get(collection) ?? []).filter(({ value }) => !request.url.includes(value))
      this.#ids.set(collection, left)
    }
    if (status >= 300 || !/json/.test(headers.get('Content-Type') ?? '') || text === '') return
    this.#etags.splice(0, this.#etags.length, ...this.#etags.slice(-30), headers.get('ETag') ?? '"1"')
    const body: Json = JSON.parse(text)
    const items = isItem || operation.path === collection ? [body, ...(body.results ?? [])] : []
    for (const { id } of items) if (id) keep(this.#ids, collection, { value: id, person: request.person })
    for (const value of Object.values(body)) {
      if (typeof value !== 'string' || !/^http\S+\?/.test(value)) continue
      const { pathname, search } = new URL(value)
      keep(this.#links, operation.id, { value: pathname + search, person: request.person })
    }
  }

  /** Replaces the placeholders of a plan. */
  async prepare(plan: RequestPlan): Promise<PersonalRequest> {
    const { operation, method } = plan
    let person = pick(this.#people, plan.person)
    let path = operation.path
    for (const [name, value] of plan.pathParameters) {
      const known =
        value instanceof Placeholder ? pick(this.#ids.get(collectionOf(operation)) ?? [], value.pick) : undefined
      if (known && plan.person % 5) person = known.person
      path = path.replace(`{${name}}`, escapeText(known?.value ?? (await this.#lookUp(value, operation))))
    }
    path = path.replace(new RegExp(plan.pathEdit[0]), plan.pathEdit[1])
    const query = (await this.#lookUpAll(plan.query, operation)).flatMap(([name, values]) =>
      values.map((value) => `${escapeText(name)}=${escapeText(value)}`),
    )
    let url = [path, [...query, plan.rawQuery].filter(Boolean).join('&')].filter(Boolean).join('?')
    const link = plan.link === undefined ? undefined : pick(this.#links.get(operation.id) ?? [], plan.link)
    if (link) {
      person = plan.person % 5 ? link.person : person
      url = plan.person % 3 ? link.value : [link.value, ...query].join('&')
    }

    const headers = (await this.#lookUpAll(plan.headers, operation)).map(([name, [value]]): [string, string] => [
      name,
      headerText(value),
    ])
    const { authorization } = plan
    if (authorization !== undefined) {
      headers.push(['Authorization', headerText(authorization.replaceAll('{}', person.token))])
    }
    const request = { method, url, headers, person, isChunked: plan.isChunked }
    if (!plan.body || /^(GET|HEAD)$/.test(method)) return { ...request, body: undefined, isChunked: false }
    const fields = (await this.#lookUpAll(Object.entries(plan.body), operation)).map(([name, [value]]) => [name, value])
    headers.push(['Content-Type', plan.type])
    return { ...request, body: plan.encodeBody(plan.editBody(JSON.stringify(Object.fromEntries(fields)))) }
  }

  #lookUpAll(pairs: [string, unknown][], operation: Operation): Promise<[string, unknown[]][]> {
    return Promise.all(
      pairs.map(
        async ([name, value]): Promise<[string, unknown[]]> => [name, [await this.#lookUp(value, operation)].flat()],
      ),
    )
  }

  /** Returns the value that a placeholder stands for at the moment. */
  async #lookUp(value: unknown, operation: Operation): Promise<unknown> {
    if (Array.isArray(value)) return Promise.all(value.map((part) => this.#lookUp(part, operation)))
    if (!(value instanceof Placeholder)) return value
    const { name, pick: number } = value
    const person = pick(this.#people, number)
    if (name === 'email') return number % 3 ? person.email : person.email.toUpperCase()
    if (name.endsWith('password')) return PASSWORD
    if (name.startsWith('if-')) return number % 3 ? this.#etags.at(-1) : pick(this.#etags, number)
    if (name === 'code') return this.#createCode(person, /reset/.test(operation.path) === number % 5 > 0)
    if (name === 'assignee' || name === 'creator') {
      if (operation.method === 'GET') return number % 3 ? 'me' : person.id
      return number % 2 ? person.id : person.email
    }
    return person.id
  }

  async #createCode({ email }: Person, isReset: boolean) {
    const { db, now, passwordHash: password } = this.#target
    if (isReset) return (await createPasswordReset(db, email, now()))?.code
    const signup = { email: `new${newId(now())}@example.com`, first_name: 'A', last_name: 'B', password }
    return createSignup(db, signup, now())
  }
}

const pick = <T>(list: T[], number: number) => list[number % list.length] as T

const keep = (pools: Map<string, Remembered[]>, name: string, item: Remembered) =>
  pools.set(name, [...(pools.get(name) ?? []), item].slice(-30))

const collectionOf = ({ path }: Operation) => path.split('{')[0] as string

const escapeText = (value: unknown) => encodeURIComponent(String(value).toWellFormed())

/** Replaces characters that a header cannot hold. */
const headerText = (value: unknown) => String(value).replace(/[^\t\x20-\x7e\x80-\xff]/g, '?')

class ViolationReport {
  readonly #examples = new Map<string, { count: number; example: string }>()

  add(violation: string, operation: Operation | undefined, request: SentRequest, response: ReceivedResponse) {
    const key = `${request.method} ${operation?.path ?? 'no operation'}: ${violation}`.slice(0, 300)
    const previous = this.#examples.get(key)
    const example = describeExchange(request, response)
    const isShorter = !previous || example.length < previous.example.length
    this.#examples.set(key, {
      count: (previous?.count ?? 0) + 1,
      example: isShorter ? example : previous.example,
    })
  }

  lines = () => [...this.#examples].map(([key, { count, example }]) => `${count} times ${key}\n${example}`)
}

const describeExchange = ({ method, url, headers, body }: SentRequest, { status, text }: ReceivedResponse) =>
  [
    `${method} ${url}`.slice(0, 600),
    ...headers.map((pair) => pair.join(': ').slice(0, 200)),
    body ? JSON.stringify(Buffer.from(body).toString('latin1').slice(0, 600)) : '',
    `→ ${status} ${text.slice(0, 600)}`,
  ].join('\n')

function printStatistics(requests: number, seed: number, counts: FuzzResult['counts'], violations: string[]) {
  const statuses = (seen: Map<number, number>) => [...seen].sort().map((pair) => pair.join(': '))
  const lines = [...counts].map(([id, seen]) => `${id.padEnd(22)} ${statuses(seen).join('  ')}`)
  console.log([`${requests} requests, seed ${seed}`, ...lines, '', ...violations].join('\n'))
}
