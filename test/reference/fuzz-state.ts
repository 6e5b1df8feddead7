import { eq, sql } from 'drizzle-orm'
import { createEmailChange } from '../../src/accounts/email-changes.ts'
import { createPasswordReset } from '../../src/accounts/password-resets.ts'
import { createSession } from '../../src/accounts/sessions.ts'
import { createSignup } from '../../src/accounts/signups.ts'
import { newId, sha256 } from '../../src/crypto.ts'
import { sessions, users } from '../../src/database/schema.ts'
import { type Json, PASSWORD } from '../support/fixtures.ts'
import { anonymous, type Person, type PersonalRequest, type Target } from './fuzz-target.ts'
import type { Operation, ReceivedResponse, SentRequest } from './openapi.ts'
import { Placeholder, type RequestPlan } from './request-plans.ts'

/** An id or a link from a response, with the person who received it. */
type Remembered = { value: string; person: Person }

/** The people, ids and links that requests use. */
export class FuzzState {
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

  async #addPerson(): Promise<void> {
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

  /**
   * Resets the password of a person and creates two sessions, of which requests may end one. A person whose account was deleted
   * is replaced by another.
   */
  async logIn(person: Person): Promise<void> {
    const { db, now, passwordHash: password } = this.#target
    const [user] = await db.update(users).set({ password }).where(eq(users.id, person.id)).returning()
    if (!user) {
      this.#people.splice(this.#people.indexOf(person), 1)
      return this.#addPerson()
    }
    person.email = user.email
    const session = { user_id: person.id, password_version: user.password_version, user_agent: null, days: 30 }
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
    if (name === 'code') return this.#createCode(person, codeKinds[number % 5] ?? kindOf(operation))
    if (name === 'assignee' || name === 'creator') {
      if (operation.method === 'GET') return number % 3 ? 'me' : person.id
      return number % 2 ? person.id : person.email
    }
    return person.id
  }

  async #createCode({ id, email }: Person, kind: (typeof codeKinds)[number]) {
    const { db, now, passwordHash: password } = this.#target
    if (kind === 'reset') return (await createPasswordReset(db, email, now()))?.code
    const address = `new${newId(now())}@example.com`
    if (kind === 'activate') {
      return createSignup(db, { email: address, first_name: 'A', last_name: 'B', password }, now())
    }
    const [user] = await db.select().from(users).where(eq(users.id, id))
    const session = user && { account: user, password_version: user.password_version }
    return session && (await createEmailChange(db, session, address, now()))?.code
  }
}

const codeKinds = ['activate', 'reset', 'email'] as const

/** Returns the kind of code that an operation takes. */
const kindOf = ({ path }: Operation) => codeKinds.find((kind) => path.includes(kind)) ?? 'activate'

const pick = <T>(list: T[], number: number) => list[number % list.length] as T

const keep = (pools: Map<string, Remembered[]>, name: string, item: Remembered) =>
  pools.set(name, [...(pools.get(name) ?? []), item].slice(-30))

const collectionOf = ({ path }: Operation) => path.split('{')[0] as string

const escapeText = (value: unknown) => encodeURIComponent(String(value).toWellFormed())

/** Replaces characters that a header cannot hold. */
const headerText = (value: unknown) => String(value).replace(/[^\t\x20-\x7e\x80-\xff]/g, '?')
