import { describe, expect, inject, test } from 'vitest'
import { openDocket } from '../support/fixtures.ts'

// The URLs that clients see, and the address of a client, behind a reverse proxy. `test/slow/proxies.test.ts` runs real ones.

const PUBLIC_URL = 'https://api.example.com/docket'
const direct = await openDocket()
const proxied = await openDocket({ TRUST_PROXY: 'true' }, { database: direct.url })
const published = await openDocket({ PUBLIC_URL: `${PUBLIC_URL}/`, TRUST_PROXY: 'true' }, { database: direct.url })
const { token } = await direct.createUser()
for (let index = 0; index < 3; index++) await direct.call('POST', '/assignments/', { token, body: { name: 'x' } })

type Instance = typeof direct

/** Returns the start of the three kinds of absolute URLs, which must be the same. */
async function baseOf({ call }: Instance, headers: Record<string, string> = {}) {
  const { body, headers: answer } = await call('GET', '/assignments/?limit=1', { token, headers })
  const { body: document } = await call('GET', '/openapi.json', { headers })
  expect(document.servers).toHaveLength(1)
  const url = document.servers[0].url
  expect(body.next).toMatch(/\/assignments\/\?limit=1&cursor=[\w-]+$/)
  expect(body.next.slice(0, url.length + 13)).toBe(`${url}/assignments/`)
  // wrangler's proxy replaces the origin in headers.
  if (inject('runtime') === 'node') expect(answer.get('Link')).toBe(`<${body.next}>; rel="next"`)
  return url
}

const forwarded = (proto: string, host?: string) => ({
  'X-Forwarded-Proto': proto,
  ...(host !== undefined && { 'X-Forwarded-Host': host }),
})

test('by default URLs have the origin of the request', async () => {
  expect(await baseOf(direct)).toBe('http://localhost')
  expect(await baseOf(direct, forwarded('https', 'evil.example'))).toBe('http://localhost')
})

test('with TRUST_PROXY URLs have the origin that the proxy forwards', async () => {
  expect(await baseOf(proxied, forwarded('http, HTTPS', 'evil.example, api.example.com:8443'))).toBe(
    'https://api.example.com:8443',
  )
  expect(await baseOf(proxied, forwarded('javascript', 'user@evil.example/path'))).toBe('http://localhost')
})

describe('with PUBLIC_URL', () => {
  test('all URLs begin with it, whatever the request says', async () => {
    expect(await baseOf(published)).toBe(PUBLIC_URL)
    expect(await baseOf(published, forwarded('http', 'evil.example'))).toBe(PUBLIC_URL)
  })

  test('Location and the redirect to the docs keep its path', async () => {
    const made = await published.call('POST', '/assignments/', { token, body: { name: 'x' } })
    expect(made.headers.get('Location')).toBe(`/docket/assignments/${made.body.id}/`)
    expect((await published.call('GET', '/')).headers.get('Location')).toBe('/docket/docs/')
  })
})

test('a page without the trailing slash links to pages with it', async () => {
  const { body } = await direct.call('GET', '/assignments?limit=1', { token })
  expect(body.next).toMatch(/^http:\/\/localhost\/assignments\/\?limit=1&cursor=/)
})

test('Location and the redirect to the docs fit any host', async () => {
  const { headers, body } = await proxied.call('POST', '/assignments/', { token, body: { name: 'x' } })
  expect(headers.get('Location')).toBe(`/assignments/${body.id}/`)
  expect((await proxied.call('GET', '/')).headers.get('Location')).toBe('docs/')
})

test('the docs page has relative URLs with and without the trailing slash', async () => {
  for (const path of ['/docs', '/docs/']) {
    const { text } = await direct.call('GET', path)
    const urls = [...text.matchAll(/(?:src|href)="((?!data:)[^"]*)"/g)].map(([, url]) => url as string)
    expect(urls.map((url) => new URL(url, `http://localhost/docket${path}`).pathname)).toEqual([
      '/docket/docs/swagger-ui.css',
      '/docket/docs/docs.css',
      '/docket/docs/swagger-ui-bundle.js',
      '/docket/docs/init.js',
    ])
  }
})

describe('Strict-Transport-Security', () => {
  const hsts = async ({ call }: Instance, headers: Record<string, string> = {}, path = '/healthz') =>
    (await call('GET', path, { headers })).headers.get('Strict-Transport-Security')
  const oneYear = 'max-age=31536000; includeSubDomains'

  test('is not sent over HTTP', async () => {
    for (const path of ['/healthz', '/nope', '/docs/', '/accounts/']) expect(await hsts(direct, {}, path)).toBeNull()
    expect(await hsts(direct, forwarded('https'))).toBeNull()
    expect(await hsts(proxied)).toBeNull()
    for (const proto of ['http', 'https, http', 'x']) expect(await hsts(proxied, forwarded(proto))).toBeNull()
    expect(await hsts(published, forwarded('http'))).toBeNull()
  })

  const onNode = async () => {
    for (const proto of ['https', 'HTTPS', 'http, https']) expect(await hsts(proxied, forwarded(proto))).toBe(oneYear)
    expect(await hsts(published)).toBe(oneYear)
    for (const path of ['/nope', '/docs/', '/accounts/']) expect(await hsts(published, {}, path)).toBe(oneYear)
  }

  const onWorkers = async () => {
    for (const path of ['/healthz', '/nope', '/docs/', '/docs/swagger-ui.css']) {
      expect(await hsts(direct, {}, `https://localhost${path}`)).toBe(oneYear)
    }
    expect(await hsts(published)).toBeNull()
    expect(await hsts(proxied, forwarded('https'))).toBeNull()
  }

  test(
    'follows the proxy or PUBLIC_URL on Node, and the URL of the request on Workers',
    inject('runtime') === 'node' ? onNode : onWorkers,
  )
})

test('a stream of events forbids proxies to compress it', async () => {
  const headers = { Accept: 'text/event-stream' }
  const stream = await direct.call('HEAD', '/assignments/events/', { token, headers })
  expect(stream.headers.get('Content-Type')).toBe('text/event-stream')
  expect(stream.headers.get('Cache-Control')).toBe('no-store, no-transform')
  // workerd leaves it out. Cloudflare obeys no-transform.
  if (inject('runtime') === 'node') expect(stream.headers.get('Content-Encoding')).toBe('identity')
})
