import { once } from 'node:events'
import { type AddressInfo, createServer, connect as openSocket, type Socket } from 'node:net'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSourcePolyfill } from 'event-source-polyfill'
import { EventSource } from 'eventsource'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { cloneDatabase, post } from '../support/fixtures.ts'
import { createPeople } from '../support/load.ts'
import { startServer } from '../support/process.ts'
import { until } from '../support/wait.ts'

// The clients that people use, against a real server.

type Person = { token: string }

const DATABASE_URL = await cloneDatabase()
const { db, close } = connect(DATABASE_URL, { max: 1 })
const [ada, bob, cy] = (await createPeople(db, 3)) as unknown as [Person, Person, Person]
const server = startServer({ DATABASE_URL, RATE_LIMITS: 'off', LOG_LEVEL: 'warn' })
const origin = await server.url()

beforeAll(() => {
  // @microsoft/fetch-event-source expects these of a browser.
  vi.stubGlobal('window', globalThis)
  vi.stubGlobal('document', { hidden: false, addEventListener: () => {}, removeEventListener: () => {} })
})
afterAll(async () => {
  vi.unstubAllGlobals()
  await close()
  await server.stop('SIGKILL')
})

const authorization = ({ token }: Person) => ({ Authorization: `Bearer ${token}` })
const create = (person: Person, name: string) => post(`${origin}/assignments/`, { name }, authorization(person))
const nameOf = (data: string): string => JSON.parse(data).name

/** Starts a network before the server whose connections can be cut. It keeps the requests and the bytes of the responses. */
async function startNetwork() {
  const sockets = new Set<Socket>()
  const requests: string[] = []
  let received = ''
  const network = createServer((client) => {
    const upstream = openSocket(Number(new URL(origin).port), '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {}).on('close', () => to.destroy())
      from.pipe(to)
    }
    client.on('data', (chunk) => requests.push(String(chunk)))
    upstream.on('data', (chunk) => {
      received += chunk
    })
  })
  await once(network.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void network.close())
  const cut = () => {
    received = ''
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  onTestFinished(cut)
  const url = `http://127.0.0.1:${(network.address() as AddressInfo).port}/assignments/events/`
  return { url, cut, requests, hasReceived: (text: string) => received.includes(text) }
}

test('fetch-event-source gets no empty message, and resumes before its first event', async () => {
  const { url, cut, requests, hasReceived } = await startNetwork()
  const controller = new AbortController()
  const messages: { event: string; data: string }[] = []
  let failures = 0
  const following = fetchEventSource(url, {
    headers: authorization(ada),
    signal: controller.signal,
    openWhenHidden: true,
    onmessage: (message) => void messages.push(message),
    onerror: () => {
      failures++
      return 10
    },
  })
  await until(() => hasReceived('\nid: '))
  cut()
  await until(() => failures > 0)
  await create(ada, 'one')
  await until(() => messages.length > 0)
  await create(ada, 'two')
  await until(() => messages.length > 1)
  expect(messages.map(({ event, data }) => [event, data && nameOf(data)])).toEqual([
    ['created', 'one'],
    ['created', 'two'],
  ])
  expect(requests.at(-1)).toMatch(/\r\nlast-event-id: [\w-]{20,}\r\n/i)
  controller.abort()
  await following
})

/** Creates assignments before and after the connection breaks. The client must receive the name of each once. */
async function expectAllThroughCut(creator: typeof bob, names: string[], cut: () => void) {
  await create(creator, 'one')
  await until(() => names.length === 1)
  cut()
  await create(creator, 'two')
  await until(() => names.length === 2)
  await create(creator, 'three')
  await until(() => names.length === 3)
  expect(names).toEqual(['one', 'two', 'three'])
}

test('eventsource resumes with the header when its connection breaks', async () => {
  const { url, cut, requests } = await startNetwork()
  const names: string[] = []
  const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...authorization(bob) } }),
  })
  source.addEventListener('created', ({ data }) => void names.push(nameOf(data)))
  source.addEventListener('message', () => void names.push('without a kind'))
  await until(() => source.readyState === source.OPEN)
  await expectAllThroughCut(bob, names, cut)
  expect(requests.at(-1)).toMatch(/\r\nlast-event-id: [\w-]{20,}\r\n/i)
  source.close()
})

test('event-source-polyfill resumes with the parameter when its connection breaks', async () => {
  const { url, cut, requests } = await startNetwork()
  // It prints each broken connection.
  onTestFinished(vi.spyOn(console, 'error').mockReturnValue().mockRestore)
  const names: string[] = []
  const source = new EventSourcePolyfill(`${url}?cursor=start`, { headers: authorization(cy) })
  source.addEventListener('created', ({ data }: { data: string }) => void names.push(nameOf(data)))
  source.addEventListener('message', () => void names.push('without a kind'))
  await expectAllThroughCut(cy, names, cut)
  expect(requests.at(-1)).toMatch(/^GET [^ ]+\?cursor=start&lastEventId=[\w-]{20,} /)
  source.close()
})
