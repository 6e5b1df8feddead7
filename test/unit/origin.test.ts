import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { baseUrl, isHttps, publicPath } from '../../src/http/origin.ts'
import type { Env } from '../../src/services.ts'

const app = new Hono<Env>().get('*', (c) =>
  c.json({ base: baseUrl(c), path: publicPath(c, '/docs/'), isHttps: isHttps(c) }),
)

type Setting = { PUBLIC_URL?: string; TRUST_PROXY?: boolean; isHttps?: boolean; url?: string }

async function read(
  headers: Record<string, string> = {},
  { url = 'http://localhost:8000/x', ...setting }: Setting = {},
) {
  const { isHttps, ...settings } = { TRUST_PROXY: true, ...setting }
  const response = await app.request(url, { headers }, { settings, isHttps })
  return (await response.json()) as { base: string; path: string; isHttps: boolean }
}

const forwarded = (proto: string, host?: string) => ({
  'X-Forwarded-Proto': proto,
  ...(host !== undefined && { 'X-Forwarded-Host': host }),
})

describe('a trusted proxy', () => {
  test.each([
    ['https', undefined, 'https://localhost:8000'],
    ['HTTPS', undefined, 'https://localhost:8000'],
    ['https, http', undefined, 'http://localhost:8000'],
    ['http,\thttps', undefined, 'https://localhost:8000'],
    ['https, ', undefined, 'https://localhost:8000'],
    ['https', 'api.example.com', 'https://api.example.com'],
    ['https', 'API.Example.com:8443', 'https://api.example.com:8443'],
    ['https', 'api.example.com:443', 'https://api.example.com'],
    ['https', 'api.example.com:', 'https://api.example.com'],
    ['http', 'api.example.com:80', 'http://api.example.com'],
    ['https', 'evil.example, api.example.com', 'https://api.example.com'],
    ['https', 'api.example.com,', 'https://api.example.com'],
    ['https', '[2001:db8::1]:8443', 'https://[2001:db8::1]:8443'],
    ['https', '192.0.2.1', 'https://192.0.2.1'],
    ['https', 'docket_api', 'https://docket_api'],
  ])('that forwards %s and %s gives %s', async (proto, host, expected) => {
    expect(await read(forwarded(proto, host))).toMatchObject({ base: expected, isHttps: expected.startsWith('https:') })
  })

  test.each(['javascript', 'ftp', 'https:', 'https://evil.example', '', 'http, data', 'ht tps'])(
    'cannot forward the scheme "%s"',
    async (proto) => {
      expect(await read(forwarded(proto))).toMatchObject({ base: 'http://localhost:8000', isHttps: false })
    },
  )

  test.each(
    ['a.example/path', 'a.example?x', 'a.example#x', 'user@a.example', 'u:p@a.example', 'a.example:99999'].concat([
      ...['a.example:0', 'a.example:x', 'a b', 'a.example\\@b', '<a>', 'a%2fb', "a'b", '"a"', '[::1', '::1', '[x]'],
      ...['256.256.256.256', '1.2.3.4.5', '[1.2.3.4]', '', 'a.example:80:80', 'javascript:x', 'a;b', 'bücher.example'],
    ]),
  )('cannot forward the host "%s"', async (host) => {
    expect((await read(forwarded('https', host))).base).toBe('https://localhost:8000')
  })
})

test('headers of an untrusted client change nothing', async () => {
  const result = await read(forwarded('https', 'evil.example'), { TRUST_PROXY: false })
  expect(result).toEqual({ base: 'http://localhost:8000', path: '/docs/', isHttps: false })
})

test('PUBLIC_URL takes precedence over all that a request says', async () => {
  const PUBLIC_URL = 'https://api.example.com/docket'
  const expected = { base: PUBLIC_URL, path: '/docket/docs/' }
  expect(await read({}, { PUBLIC_URL })).toEqual({ ...expected, isHttps: true })
  expect(await read(forwarded('http', 'evil.example'), { PUBLIC_URL })).toEqual({ ...expected, isHttps: false })
  expect(await read({}, { PUBLIC_URL: 'http://a.example' })).toMatchObject({ path: '/docs/', isHttps: false })
})

test('a runtime that sees the connection of the client knows best', async () => {
  const PUBLIC_URL = 'https://api.example.com'
  expect(await read(forwarded('https'), { PUBLIC_URL, isHttps: false })).toMatchObject({ isHttps: false })
  expect(await read(forwarded('http'), { isHttps: true })).toMatchObject({ isHttps: true })
})
