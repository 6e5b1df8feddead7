import { describe, expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { cloneDatabase, type Json } from '../support/fixtures.ts'
import { createPeople } from '../support/load.ts'
import { startServer } from '../support/process.ts'
import {
  isInstalled,
  type ProxyName,
  prepareSite,
  startCompressingProxy,
  startReverseProxy,
} from '../support/reverse-proxies.ts'
import { readStream } from '../support/stream.ts'

// Docket behind real proxies, with the configurations of docs/deploy-node.md.

const HSTS = 'max-age=31536000; includeSubDomains'

/** Starts a server with one user, who has a page of assignments. */
async function openServer(environment: Record<string, string> = {}) {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL, { max: 1 })
  const [person] = await createPeople(db, 1)
  await close()
  const server = startServer({ DATABASE_URL, LOG_LEVEL: 'warn', ...environment })
  onTestFinished(async () => void (await server.stop('SIGKILL')))
  return { target: await server.url(), token: person?.token as string }
}

/** Returns how a client with a token calls an API. */
function client(base: string, token: string) {
  const call = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
    fetch(path.startsWith('http') ? path : base + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
      redirect: 'manual',
    })
  const create = async (name: string): Promise<Json> =>
    (
      await call('POST', '/assignments/', {}, { name, description: 'Two pages, with figures. '.repeat(60) })
    ).json() as Json
  return { call, create }
}

/** Checks what every proxy must leave intact. */
async function expectIntact(base: string, token: string, tag: RegExp) {
  const { call, create } = client(base, token)

  // Events arrive one by one while the stream is open, whether or not it begins with many at once.
  for (const query of ['', '?cursor=start']) {
    const response = await call('GET', `/assignments/events/${query}`, { Accept: 'text/event-stream' })
    expect(response.headers.get('Content-Type')).toBe('text/event-stream')
    const stream = readStream(response.body)
    if (query) expect(await stream.take(3)).toHaveLength(3)
    for (const name of ['first', 'second', 'third']) {
      const { id } = await create(name)
      const event = await stream.nextEvent()
      expect(JSON.parse(event?.data ?? '{}')).toMatchObject({ kind: 'created', assignment: id, name })
    }
    await stream.cancel()
  }

  // A client that repeats the ETag that it got can change and revalidate.
  const made = await create('changed')
  const path = `/assignments/${made.id}/`
  for (const status of ['in progress', 'done', 'error']) {
    const read = await call('GET', path)
    const etag = read.headers.get('ETag') as string
    expect(read.headers.get('Content-Encoding')).toBe('gzip')
    expect(etag).toMatch(tag)
    expect(await read.json()).toMatchObject({ id: made.id })
    expect((await call('GET', path, { 'If-None-Match': etag })).status).toBe(304)
    expect((await call('PATCH', path, { 'If-Match': etag }, { status })).status).toBe(200)
    expect((await call('PATCH', path, { 'If-Match': etag }, { status: 'todo' })).status).toBe(412)
  }
  const etag = (await call('GET', path)).headers.get('ETag') as string
  expect((await call('DELETE', path, { 'If-Match': etag })).status).toBe(204)

  // Errors are problems, compressed or not.
  const missing = await call('GET', path)
  expect(missing.headers.get('Content-Type')).toBe('application/problem+json')
  expect(await missing.json()).toMatchObject({ code: 'not_found' })
}

const proxies: [name: ProxyName, tag: RegExp, compressEverything: (example: string) => string][] = [
  ['nginx', /^W\/"\d"$/, (example) => example.replace(/gzip_types .*;/, 'gzip_types *;')],
  ['apache', /^"\d-gzip"$/, (example) => example.replace(/AddOutputFilterByType .*/, 'SetOutputFilter DEFLATE')],
  ['caddy', /^"\d(-gzip)?"$/, (example) => example.replace('gzip', '{\ngzip\nmatch header Content-Type *\n}')],
]

describe.each(proxies)('behind %s', (name, tag, compressEverything) => {
  test.runIf(isInstalled(name))('streams, ETags and links are right, and JSON is compressed', async () => {
    const { target, token } = await openServer({ TRUST_PROXY: 'true' })
    const site = await prepareSite()
    await startReverseProxy(name, target, site)
    await expectIntact(site.origin, token, tag)

    const { call, create } = client(site.origin, token)
    for (const name of ['a', 'b']) await create(name)
    const forged = { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'http', 'X-Forwarded-For': '192.0.2.1' }
    for (const headers of [{}, forged]) {
      const page = await call('GET', '/assignments/?limit=1', headers)
      expect(page.headers.get('Strict-Transport-Security')).toBe(HSTS)
      const { next } = (await page.json()) as Json
      expect(next).toMatch(new RegExp(`^${site.origin}/assignments/\\?limit=1&cursor=`))
      expect((await call('GET', next)).status).toBe(200)
      const document = await call('GET', '/openapi.json', headers)
      // The server compresses this file itself.
      expect(document.headers.get('Content-Encoding')).toMatch(/^(br|gzip)$/)
      expect(((await document.json()) as Json).servers).toEqual([{ url: site.origin }])
    }
    const home = await call('GET', '/')
    expect(new URL(home.headers.get('Location') as string, `${site.origin}/`).href).toBe(`${site.origin}/docs/`)
  })

  test.runIf(isInstalled(name))('streams and ETags are right, even if it compresses everything', async () => {
    const { target, token } = await openServer({ TRUST_PROXY: 'true' })
    const site = await prepareSite()
    await startReverseProxy(name, target, site, compressEverything)
    await expectIntact(site.origin, token, tag)
  })

  test.runIf(isInstalled(name))('clients have limits of their own, and cannot choose their address', async () => {
    const { target, token } = await openServer({ TRUST_PROXY: 'true' })
    const site = await prepareSite()
    await startReverseProxy(name, target, site)
    const { call } = client(site.origin, token)
    const guess = async (forwarded: string) =>
      (await call('POST', '/accounts/activate-account/', { 'X-Forwarded-For': forwarded }, { code: 'x' })).status
    for (let number = 0; number < 30; number++) expect(await guess(`198.51.100.${number}`)).toBe(400)
    expect(await guess('198.51.100.99')).toBe(429)
    // Another client, that reaches the server through another proxy.
    const direct = await fetch(`${target}/accounts/activate-account/`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': '127.0.0.1, [2001:db8::9]:443' },
      body: '{"code":"x"}',
    })
    expect(direct.status).toBe(400)
  })

  test.runIf(isInstalled(name))('URLs keep the path prefix of PUBLIC_URL', async () => {
    const site = await prepareSite({ prefix: '/docket' })
    const base = `${site.origin}/docket`
    const { target, token } = await openServer({ TRUST_PROXY: 'true', PUBLIC_URL: `${base}/` })
    await startReverseProxy(name, target, site)
    const { call, create } = client(base, token)
    await create('x')
    const made = await call('POST', '/assignments/', {}, { name: 'y' })
    const location = new URL(made.headers.get('Location') as string, `${base}/assignments/`).href
    expect(location).toBe(`${base}/assignments/${((await made.json()) as Json).id}/`)
    expect((await call('GET', location)).status).toBe(200)
    const { next } = (await (await call('GET', '/assignments/?limit=1')).json()) as Json
    expect(next.slice(0, base.length + 13)).toBe(`${base}/assignments/`)
    expect((await call('GET', next)).status).toBe(200)
    expect(((await (await call('GET', '/openapi.json')).json()) as Json).servers).toEqual([{ url: base }])
    const home = await call('GET', '/')
    expect(new URL(home.headers.get('Location') as string, `${base}/`).href).toBe(`${base}/docs/`)
    for (const path of ['/docs', '/docs/']) {
      const page = await call('GET', path)
      const urls = [...(await page.text()).matchAll(/(?:src|href)="((?!data:)[^"]*)"/g)].map(([, url]) => url as string)
      expect(urls).toHaveLength(4)
      for (const url of urls) expect((await call('GET', new URL(url, base + path).href)).status).toBe(200)
    }
  })
})

test('behind the compression of dev servers, streams and ETags are intact', async () => {
  const { target, token } = await openServer()
  await expectIntact(await startCompressingProxy(target), token, /^"\d"$/)
})
