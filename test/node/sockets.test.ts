import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { eq } from 'drizzle-orm'
import { describe, expect, onTestFinished, test } from 'vitest'
import { app } from '../../src/app.ts'
import { sessions } from '../../src/database/schema.ts'
import { encode } from '../../src/node/assets.ts'
import { createHttpServer } from '../../src/node/http-server.ts'
import { cloneDatabase, openDocket, PASSWORD } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'
import { openRaw, statusesOf } from '../support/raw.ts'
import { until } from '../support/wait.ts'

// Clients that send too much, too slowly or nothing at all.

const docket = await openDocket()

/** Starts a server in this process that counts the requests it handles at the same time. */
async function listen(limits: Parameters<typeof createHttpServer>[2] = {}) {
  const asset = async () => new Uint8Array(8_000_000)
  const handled = { active: 0, maxActive: 0, done: 0 }
  const server = createHttpServer(
    async (request, address) => {
      handled.active++
      handled.maxActive = Math.max(handled.maxActive, handled.active)
      try {
        return await app.fetch(request, { ...docket.services, asset, encode, address })
      } finally {
        handled.active--
        handled.done++
      }
    },
    '127.0.0.1',
    limits,
  )
  /** The server's end of each connection, by the client's port. */
  const serverSockets = new Map<number, Socket>()
  server.on('connection', (socket) => serverSockets.set(socket.remotePort as number, socket))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { handled, serverSockets, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const request = (path: string, headers: Record<string, string> = {}) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`

test('a user agent in UTF-8 arrives as it was sent', async () => {
  const { url } = await listen()
  const { email } = await docket.createUser()
  const body = JSON.stringify({ email, password: PASSWORD })
  const head = `POST /accounts/login/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n`
  await openRaw(url, `${head}User-Agent: Zoë 🦊\r\nContent-Length: ${body.length}\r\n\r\n${body}`).readAll()
  expect(await docket.db.select().from(sessions).where(eq(sessions.user_agent, 'Zoë 🦊'))).toHaveLength(1)
})

test('pipelined requests run one by one and do not delay other clients', async () => {
  const { url, handled } = await listen()
  const { token } = await docket.createUser()
  const Authorization = `Bearer ${token}`
  const count = 300
  const pipelined = Array.from({ length: count }, (_, number) =>
    request('/assignments/', { Authorization, 'X-Request-Id': String(number) }),
  )
  const { readAll } = openRaw(url, pipelined.join('') + request('/healthz', { Connection: 'close' }))
  const responses = readAll()
  expect(await fetch(`${url}/accounts/`, { headers: { Authorization } })).toMatchObject({ status: 200 })
  expect(handled.done).toBeLessThan(count)
  const text = await responses
  expect(statusesOf(text)).toEqual(Array(count + 1).fill(200))
  const ids = [...text.matchAll(/^x-request-id: (\d+)\r$/gim)].map(([, id]) => Number(id))
  expect(ids).toEqual(Array.from({ length: count }, (_, number) => number))
  expect(handled.maxActive).toBeLessThanOrEqual(2)
})

test('the error for an invalid request comes after the earlier responses', async () => {
  const { url } = await listen()
  const { token } = await docket.createUser()
  const good = request('/accounts/', { Authorization: `Bearer ${token}` })
  for (const [bad, status] of [
    ['nonsense\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n', 417],
    [request('/', { Long: 'x'.repeat(20_000) }), 431],
    ['POST /assignments/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n', 400],
  ] as const) {
    expect(statusesOf(await openRaw(url, good + good + bad).readAll())).toEqual([200, 200, status])
  }
})

test('a request after an invalid one is not handled', async () => {
  const { url } = await listen()
  const { token } = await docket.createUser()
  const create = `POST /assignments/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"x"}`
  for (const bad of ['GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n']) {
    expect(statusesOf(await openRaw(url, create + bad + create).readAll())).toHaveLength(2)
  }
  expect((await docket.call('GET', '/assignments/?count=true', { token })).body.count).toBe(2)
})

test('a rejected connection that its client leaves open is closed', async () => {
  const { url, serverSockets } = await listen()
  const { socket } = openRaw(url, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'readable')
  const serverSocket = serverSockets.get(socket.localPort as number) as Socket
  await until(() => serverSocket.closed)
  expect(serverSocket.destroyed).toBe(true)
})

describe('a response before the end of its request', () => {
  const chunk = (size: number) => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
  const json = 'Content-Type: application/json'
  const login = ['POST /accounts/login/ HTTP/1.1', 'Host: x', json]
  const chunked = 'Transfer-Encoding: chunked'
  const MANY = 20_000_000
  const requests: [title: string, lines: string[], status: number, close?: string][] = [
    ['an oversized chunked body', [...login, chunked], 413],
    ['a last oversized chunked body', [...login, chunked, 'Connection: close'], 413],
    ['a body with an oversized length', [...login, `Content-Length: ${MANY}`], 413],
    ['a last oversized body', [...login, `Content-Length: ${MANY}`, 'Connection: close'], 413],
    ['a wrong type', ['POST /accounts/login/ HTTP/1.1', 'Host: x', `Content-Length: ${MANY}`], 413],
    ['no token', ['POST /assignments/ HTTP/1.1', 'Host: x', json, chunked], 401],
    ['an unknown path', ['PUT /unknown HTTP/1.1', 'Host: x', json, chunked], 404],
    ['a wrong method', ['DELETE /accounts/login/ HTTP/1.1', 'Host: x', chunked], 405],
    ['a GET with a body', ['GET /healthz HTTP/1.1', 'Host: x', `Content-Length: ${MANY}`], 200],
    ['no host', ['POST / HTTP/1.1', `Content-Length: ${MANY}`, 'Connection: close'], 400],
    ['an unknown expectation', ['POST / HTTP/1.1', 'Host: x', 'Expect: x', chunked, 'Connection: close'], 417],
    ['an invalid chunk', [...login, chunked, 'Connection: close', '', 'ZZ'], 400],
    ['large headers', [...login, 'Connection: close', `X: ${'x'.repeat(20_000)}`], 431],
  ]

  test.each(requests)('reaches a client that sends on: %s', async (_, lines, status) => {
    const { url } = await listen()
    const { socket, closed } = openRaw(url, `${lines.join('\r\n')}\r\n\r\n`, { allowHalfOpen: true })
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    const isChunked = lines.includes(chunked)
    const first = isChunked ? chunk(300_000) : 'x'.repeat(300_000)
    socket.write(first)
    await until(() => statusesOf(text).length > 0)
    socket.write(isChunked ? chunk(MANY) : 'x'.repeat(MANY - 300_000))
    const end = isChunked ? '0\r\n\r\n' : ''
    const isLast = lines.includes('Connection: close')
    socket.end(isLast ? end : end + request('/healthz', { Connection: 'close' }))
    await closed
    expect(socket.errored).toBe(null)
    expect(statusesOf(text)).toEqual(isLast ? [status] : [status, 200])
  })

  test('is the only one if the rest is malformed', async () => {
    const { url } = await listen()
    const { socket, closed } = openRaw(url, `${[...login, chunked].join('\r\n')}\r\n\r\n${chunk(300_000)}`)
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    await until(() => statusesOf(text).length > 0)
    socket.write('ZZ\r\n')
    await closed
    expect(statusesOf(text)).toEqual([413])
  })

  test('does not keep a connection that sends nothing more or has no end', async () => {
    const { url } = await listen()
    const open = () => openRaw(url, `${[...login, chunked].join('\r\n')}\r\n\r\n${chunk(300_000)}`)
    const [silent, endless] = [open(), open()]
    silent.socket.resume()
    endless.socket.resume()
    const piece = chunk(1_000_000)
    const send = () => void endless.socket.write(piece, (error) => error || send())
    send()
    await Promise.all([silent.closed, endless.closed])
    expect(await fetch(`${url}/healthz`)).toMatchObject({ status: 200 })
  })
})

test('idle and slow clients are disconnected while others are served', async () => {
  const { url, handled, serverSockets } = await listen({
    headersTimeout: 1_000,
    requestTimeout: 2_000,
    connectionsCheckingInterval: 100,
    timeout: 3_000,
  })
  const login = 'POST /accounts/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
  const senders = ['', 'GET / HT', 'GET / HTTP/1.1\r\nHost: x\r\nX: ', `${login}Content-Length: 100\r\n\r\n{"em`]
    .concat(`${login}Transfer-Encoding: chunked\r\n\r\n4\r\n{"em`)
    .flatMap((bytes) => Array.from({ length: 40 }, () => openRaw(url, bytes)))
  const readers = Array.from({ length: 40 }, () => openRaw(url, request('/docs/swagger-ui-bundle.js').repeat(5)))
  await Promise.all(readers.map(({ socket }) => once(socket, 'readable')))
  // A client that does not read does not notice that its connection was closed.
  const readerSockets = readers.map(({ socket }) => serverSockets.get(socket.localPort as number) as Socket)
  const responses = Promise.all(senders.map(({ readAll }) => readAll()))
  let haveResponded = false
  responses.finally(() => {
    haveResponded = true
  })
  await until(async () => {
    expect(await fetch(`${url}/healthz`)).toMatchObject({ status: 200 })
    return haveResponded && readerSockets.every(({ closed }) => closed)
  })
  for (const text of await responses) {
    expect(statusesOf(text)).toEqual([408])
    expect(text).toContain('"code":"malformed_request"')
  }
  expect(handled.active).toBe(0)
})

test('closes the longest-idle connection above maxConnections', async () => {
  const { url } = await listen({ maxConnections: 20 })
  const { token } = await docket.createUser()
  const headers = { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' }
  const stream = await fetch(`${url}/assignments/events/`, { headers })
  const idle = Array.from({ length: 30 }, () => openRaw(url, ''))
  await Promise.all(idle.slice(0, 11).map(({ closed }) => closed))
  expect(await fetch(`${url}/healthz`)).toMatchObject({ status: 200 })
  expect(idle.filter(({ socket }) => !socket.closed).length).toBeGreaterThan(15)
  expect(await stream.body?.getReader().read()).toMatchObject({ done: false })
})

test('reads a header that comes after 2,500 others', async () => {
  const { url } = await listen()
  const { token } = await docket.createUser()
  const body = JSON.stringify({ name: 'x' })
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const created = await fetch(`${url}/assignments/`, { method: 'POST', headers, body })
  const lines = [`PATCH ${created.headers.get('Location')} HTTP/1.1`, 'Host: x', 'Content-Type: application/json']
    .concat(`Authorization: Bearer ${token}`, `Content-Length: ${body.length}`, 'Connection: close')
    .concat(Array(2_500).fill('a:'), 'If-Match: "7"')
  expect(statusesOf(await openRaw(url, `${lines.join('\r\n')}\r\n\r\n${body}`).readAll())).toEqual([412])
})

test('a header that a slow handler sets after its request was answered is ignored', async () => {
  let setLate = () => {}
  const server = createHttpServer((_request, _address, setHeader) => {
    setHeader('X-Early', '1')
    setLate = () => setHeader('X-Late', '1')
    return new Response('answered')
  }, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { headers } = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  expect(setLate).not.toThrow()
  expect(headers.get('X-Early')).toBe('1')
})

test('a client that requests much and reads nothing takes little memory', async () => {
  const server = startServer({ DATABASE_URL: await cloneDatabase(), LOG_LEVEL: 'warn' })
  const url = await server.url()
  const before = await server.memory()
  const readers = Array.from({ length: 200 }, () => openRaw(url, request('/docs/swagger-ui-bundle.js').repeat(50)))
  await Promise.all(readers.map(({ socket }) => once(socket, 'readable')))
  for (const { socket } of readers) expect(String(socket.read(12))).toBe('HTTP/1.1 200')
  expect(await fetch(`${url}/readyz`)).toMatchObject({ status: 200 })
  // The file has 1.4 MiB and was requested 10,000 times.
  expect((await server.memory()) - before).toBeLessThan(200)
  for (const { socket } of readers) socket.destroy()
  expect(await server.stop()).toBe(0)
})
