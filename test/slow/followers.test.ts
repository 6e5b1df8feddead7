import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { statuses } from '../../src/database/schema.ts'
import { openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { createPeople, type Person } from '../support/load.ts'
import { startServer, temporaryFolder } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { readStream } from '../support/stream.ts'

// Followers of a server that runs as a process of its own. More of it: WRITERS=100 FOLLOWERS=10 SECONDS=60 npx vitest run
// test/follow.test.ts

const { WRITERS = '5', FOLLOWERS = '4', SECONDS = '4' } = process.env

const pick = <T>(list: readonly T[]) => list[Math.floor(Math.random() * list.length)] as T

/** Asks a server that may be gone; undefined where it does not answer. */
const ask = (url: string, { token }: Person, init: RequestInit = {}) =>
  fetch(url, { ...init, headers: { Authorization: `Bearer ${token}`, ...init.headers } }).catch(() => undefined)

/** Makes, changes, hands over and deletes assignments, until told to stop. What fails may have been done all the same. */
async function write(url: string, me: Person, people: Person[], signal: AbortSignal) {
  const mine: string[] = []
  while (!signal.aborted) {
    const id = pick(mine)
    const [method, path, body] =
      mine.length < 3
        ? ['POST', '', { name: 'x', assignee: pick(people).id }]
        : Math.random() < 0.1
          ? ['DELETE', `${id}/`, undefined]
          : ['PATCH', `${id}/`, Math.random() < 0.4 ? { assignee: pick(people).id } : { status: pick(statuses) }]
    const headers = body ? { 'Content-Type': 'application/json' } : {}
    const answer = await ask(`${url}/assignments/${path}`, me, {
      method: method as string,
      headers,
      body: JSON.stringify(body),
    })
    if (answer?.status === 201) mine.push(((await answer.json()) as { id: string }).id)
    else await answer?.arrayBuffer().catch(() => undefined)
    if (answer?.status === 204 || answer?.status === 404) mine.splice(mine.indexOf(id), 1)
    if (!answer || answer.status >= 500) await delay(20)
  }
}

/** Records what a person is told, by streams that break at random, or by polls, until an event that it waits for. */
async function record(url: string, me: Person, isStreaming: boolean, last: { id?: string | undefined }) {
  const ids: string[] = []
  let cursor = 'start'
  const isDone = () => 'id' in last && (last.id === undefined || ids.at(-1) === last.id)
  while (!isDone()) {
    if (!isStreaming) {
      const answer = await ask(`${url}/assignments/events/?limit=50&cursor=${cursor}`, me)
      if (answer?.status === 400) throw new Error(`${await answer.text()}`)
      const page = answer?.ok
        ? ((await answer.json().catch(() => undefined)) as { next: string; results: Person[] })
        : undefined
      ids.push(...(page?.results.map(({ id }) => id) ?? []))
      cursor = page?.next ?? cursor
      await delay(Math.random() * 60)
      continue
    }
    const headers = { Accept: 'text/event-stream', 'Last-Event-ID': cursor }
    const answer = await ask(`${url}/assignments/events/`, me, { headers })
    if (answer?.status === 400) throw new Error(`${await answer.text()}`)
    if (!answer?.ok || !answer.body) {
      await delay(20)
      continue
    }
    const stream = readStream(answer.body)
    const life = setTimeout(() => stream.cancel(), Math.random() * 1500)
    for (let block = await stream.next(); block; block = await stream.next()) {
      if (block.data) ids.push(JSON.parse(block.data).id)
      cursor = block.id ?? cursor
      if (isDone()) await stream.cancel()
    }
    clearTimeout(life)
  }
  return ids
}

test('each follower records its part of the log, whatever breaks meanwhile', { timeout: 600_000 }, async () => {
  const folder = await temporaryFolder()
  let embedded = await openEmbeddedPostgres(folder)
  onTestFinished(() => embedded.stop())
  const proxy = await startProxy(embedded.url)
  onTestFinished(() => proxy.close())
  await migrate(proxy.url)
  const { db, close } = connect(proxy.url, { max: 1 })
  const people = await createPeople(db, Number(FOLLOWERS) + 2)
  await close()

  const PORT = String(20_000 + Math.floor(Math.random() * 10_000))
  const environment = { DATABASE_URL: proxy.url, PORT, RATE_LIMITS: 'off', LOG_LEVEL: 'silent' }
  let server = startServer(environment)
  onTestFinished(async () => void (await server.stop('SIGKILL')))
  const url = await server.url()

  const stop = new AbortController()
  const last = people.map((): { id?: string | undefined } => ({}))
  const recorded = people
    .slice(0, Number(FOLLOWERS))
    .map((person, index) => record(url, person, index % 4 < 3, last[index] as object))
  const written = Array.from({ length: Number(WRITERS) }, (_, index) =>
    write(url, people[index % people.length] as Person, people, stop.signal),
  )
  const until = Date.now() + Number(SECONDS) * 1000
  for (let turn = 0; turn < 3 || Date.now() < until; turn++) {
    await delay(700 + Math.random() * 800)
    if (turn % 3 === 2) {
      const pid = Number((await readFile(join(folder, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n')[0])
      process.kill(pid, 'SIGKILL')
      embedded = await openEmbeddedPostgres(folder)
      proxy.redirect(embedded.url)
    } else {
      await server.stop(turn % 3 === 0 ? 'SIGTERM' : 'SIGKILL')
      server = startServer(environment)
      await server.url()
    }
  }
  await delay(500)
  stop.abort()
  await Promise.all(written)

  const owner = postgres(proxy.url, { max: 1 })
  const log = await owner`select id, creator, assignee, old_assignee from assignment_events order by position, at, id`
  await owner.end()
  expect(log.length).toBeGreaterThan(100)
  const parts = people.map((person) =>
    log.filter((event) => [event.creator, event.assignee, event.old_assignee].includes(person.id)).map(({ id }) => id),
  )
  for (const [index, part] of parts.entries()) Object.assign(last[index] as object, { id: part.at(-1) })
  console.log(`${log.length} events, of followers: ${parts.slice(0, Number(FOLLOWERS)).map((part) => part.length)}`)
  expect(await Promise.all(recorded)).toEqual(parts.slice(0, Number(FOLLOWERS)))
})

test('a server that stops ends its streams at once, and tells when to come back', async () => {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL, { max: 1 })
  const [ada] = (await createPeople(db, 1)) as [Person]
  await close()
  const server = startServer({ DATABASE_URL, RATE_LIMITS: 'off' })
  const url = await server.url()
  const answer = await ask(`${url}/assignments/events/`, ada, { headers: { Accept: 'text/event-stream' } })
  expect(answer?.headers.get('X-Accel-Buffering')).toBe('no')
  const stream = readStream(answer?.body ?? null)
  await stream.next()
  const stopped = server.stop()
  expect(await stream.next()).toEqual({ retry: expect.stringMatching(/^[1-5]\d{3}$/) })
  expect(await stream.next()).toBeUndefined()
  expect(await stopped).toBe(0)
  expect(server.output()).not.toMatch(/Error/)
})
