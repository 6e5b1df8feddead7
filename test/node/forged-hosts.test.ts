import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { app } from '../../src/app.ts'
import { createHttpServer } from '../../src/node/http-server.ts'
import { openDocket } from '../support/fixtures.ts'
import { openRaw } from '../support/raw.ts'

const docket = await openDocket()
const server = createHttpServer((request, address) => app.fetch(request, { ...docket.services, address }), '127.0.0.1')
await once(server.listen(0, '127.0.0.1'), 'listening')
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/** Returns what the document names as its server, or the status of an error. */
async function serverUrl(host: string, target = '/openapi.json') {
  const { readAll } = openRaw(url, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  const text = await readAll()
  expect(text).not.toMatch(/^strict-transport-security:/im)
  return /"servers":\[\{"url":"([^"]*)"\}\]/.exec(text)?.[1] ?? Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1])
}

test.each([
  ['docket.example.com', 'http://docket.example.com'],
  ['Docket.Example.com:8080', 'http://docket.example.com:8080'],
  ['docket.example.com:80', 'http://docket.example.com'],
  ['[::1]:8000', 'http://[::1]:8000'],
])('the host %s gives %s', async (host, expected) => {
  expect(await serverUrl(host)).toBe(expected)
})

test.each(
  ['user@evil.example', 'evil.example/path', 'evil.example?', 'evil.example#', 'a.example:99999', 'a.example:x'].concat(
    ...[['1.2.3.256', '1.2.3.4.5', '0x7f.1.1.1.1', '999999999999', 'a.09', 'foo.123:8300', 'example.1']],
    [...['a b', '<script>', '"><', 'evil.example\\@x', '[::1', 'x%2fy', 'a\tb', 'http://a.example']],
  ),
)('the host %s gives a 400', async (host) => {
  expect(await serverUrl(host)).toBe(400)
})

test('an absolute request target gives its origin and nothing else', async () => {
  expect(await serverUrl('a.example', 'http://user:secret@b.example:81/openapi.json?x#y')).toBe('http://b.example:81')
  expect(await serverUrl('a.example', 'https://b.example/openapi.json')).toBe('https://b.example')
})
