import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { statuses } from '../../src/database/schema.ts'
import { freePort, openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'
import { createPeople, type Person } from '../support/load.ts'
import { postmasterPid, startServer, temporaryFolder } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { cursorIn, readStream } from '../support/stream.ts'

// More: WRITERS=100 FOLLOWERS=10 SECONDS=60 npm run test:slow -- test/slow/followers.test.ts
const { WRITERS = '5', FOLLOWERS = '4', SECONDS = '8' } = process.env

test('followers receive each of their events once through crashes', { timeout: 600_000 }, async () => {
  const folder = await temporaryFolder()
  let database = await openEmbeddedPostgres(folder)
  onTestFinished(() => database.stop())
  const proxy = await startProxy(database.url)
  onTestFinished(() => proxy.close())
  await migrate(proxy.url)
  const { db, close } = connect(proxy.url, { max: 1 })
  const people = await createPeople(db, Number(FOLLOWERS) + 2)
  await close()

  const PORT = String(await freePort())
  const environment = { DATABASE_URL: proxy.url, PORT, RATE_LIMITS: 'off', LOG_LEVEL: 'silent' }
  let server = startServer(environment)
  onTestFinished(async () => void (await server.stop('SIGKILL')))
  const url = await server.url()

  const controller = new AbortController()
  const goals = people.map((): Goal => ({}))
  const recordings = people
    .slice(0, Number(FOLLOWERS))
    .map((person, index) => record(url, person, goals[index] as Goal, index % 4 < 3 ? 'stream' : 'poll'))
  const writers = Array.from({ length: Number(WRITERS) }, (_, index) =>
    write(url, people[index % people.length] as Person, people, controller.signal),
  )

  const end = Date.now() + Number(SECONDS) * 1000
  for (let crash = 0; crash < 3 || Date.now() < end; crash++) {
    await delay(700 + Math.random() * 800)
    if (crash % 3 === 2) {
      process.kill(await postmasterPid(folder), 'SIGKILL')
      database = await openEmbeddedPostgres(folder)
      proxy.redirect(database.url)
    } else {
      await server.stop(crash % 3 === 0 ? 'SIGTERM' : 'SIGKILL')
      server = startServer(environment)
      await server.url()
    }
  }
  await delay(500)
  controller.abort()
  await Promise.all(writers)

  const owner = postgres(proxy.url, { max: 1 })
  const log = await owner`select id, creator, assignee, old_assignee from assignment_events order by position, at, id`
  await owner.end()
  // On a busy machine the restarts take most of the time.
  expect(log.length).toBeGreaterThan(30)
  const visible = people.map((person) =>
    log.filter((event) => [event.creator, event.assignee, event.old_assignee].includes(person.id)).map(({ id }) => id),
  )
  for (const [index, ids] of visible.entries())
    Object.assign(goals[index] as Goal, { isKnown: true, lastId: ids.at(-1) })
  expect(await Promise.all(recordings)).toEqual(visible.slice(0, Number(FOLLOWERS)))
})

const pick = <T>(list: readonly T[]) => list[Math.floor(Math.random() * list.length)] as T

/** Sends a request to a server that may be down; undefined if it does not respond. */
const request = (url: string, { token }: Person, init: RequestInit = {}) =>
  fetch(url, { ...init, headers: { Authorization: `Bearer ${token}`, ...init.headers } }).catch(() => undefined)

/** Creates, changes, reassigns and deletes assignments until it is stopped. Failed requests may have had an effect. */
async function write(url: string, person: Person, people: Person[], signal: AbortSignal) {
  const own: string[] = []
  while (!signal.aborted) {
    const id = pick(own)
    const [method, path, body] = nextChange(own, id, people)
    const response = await request(`${url}/assignments/${path}`, person, {
      method,
      headers: body ? { 'Content-Type': 'application/json' } : {},
      ...(body && { body: JSON.stringify(body) }),
    })
    if (response?.status === 201) own.push(((await response.json()) as { id: string }).id)
    else await response?.arrayBuffer().catch(() => undefined)
    if (response?.status === 204 || response?.status === 404) own.splice(own.indexOf(id), 1)
    if (!response || response.status >= 500) await delay(20)
  }
}

function nextChange(own: string[], id: string, people: Person[]): [method: string, path: string, body?: object] {
  if (own.length < 3) return ['POST', '', { name: 'x', assignee: pick(people).id }]
  if (Math.random() < 0.1) return ['DELETE', `${id}/`]
  return ['PATCH', `${id}/`, Math.random() < 0.4 ? { assignee: pick(people).id } : { status: pick(statuses) }]
}

/** The last event that a follower will receive, once it is known. Undefined if there is none. */
type Goal = { isKnown?: boolean; lastId?: string | undefined }

/** Returns the ids of all events that a person receives, by streams that break at random or by polls. */
async function record(url: string, person: Person, goal: Goal, mode: 'stream' | 'poll') {
  const ids: string[] = []
  let cursor = 'start'
  const isDone = () => goal.isKnown && (goal.lastId === undefined || ids.at(-1) === goal.lastId)
  while (!isDone()) {
    const next = mode === 'poll' ? await readPage(url, person, cursor) : await readForAWhile(url, person, cursor)
    ids.push(...next.ids)
    cursor = next.cursor
    await delay(mode === 'poll' ? Math.random() * 60 : 20)
  }
  return ids
}

type Received = { ids: string[]; cursor: string }

async function readPage(url: string, person: Person, cursor: string): Promise<Received> {
  const response = await request(`${url}/assignments/events/?limit=50&cursor=${cursor}`, person)
  await throwIfRejected(response)
  if (!response?.ok) return { ids: [], cursor }
  const page = (await response.json().catch(() => undefined)) as { next: string; results: Person[] } | undefined
  return page ? { ids: page.results.map(({ id }) => id), cursor: cursorIn(page.next) } : { ids: [], cursor }
}

async function readForAWhile(url: string, person: Person, cursor: string): Promise<Received> {
  const headers = { Accept: 'text/event-stream', 'Last-Event-ID': cursor }
  const response = await request(`${url}/assignments/events/`, person, { headers })
  await throwIfRejected(response)
  if (!response?.ok || !response.body) return { ids: [], cursor }
  const stream = readStream(response.body)
  const timer = setTimeout(() => stream.cancel(), Math.random() * 1500)
  const ids: string[] = []
  for (let block = await stream.next(); block; block = await stream.next()) {
    if (block.data) ids.push(JSON.parse(block.data).id)
    cursor = block.id ?? cursor
  }
  clearTimeout(timer)
  return { ids, cursor }
}

async function throwIfRejected(response: Response | undefined) {
  if (response?.status === 400) throw new Error(await response.text())
}
