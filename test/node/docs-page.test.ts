import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { afterAll, expect, test } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'
import { startPrefixProxy } from '../support/servers.ts'
import { authorize, codeIn, tryOut } from '../support/swagger.ts'
import { until } from '../support/wait.ts'

const server = startServer({ DATABASE_URL: await cloneDatabase() })
const url = await server.url()
const browser = await launchChromium()

afterAll(async () => {
  await browser.close()
  await server.stop()
})

test('Swagger UI leads from sign-up to a chart, using this server only', async () => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } })
  const errors: string[] = []
  const hosts = new Set<string>()
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && errors.push(message.text()))
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('response', (response) => response.status() >= 400 && errors.push(response.url()))
  page.on('request', (request) => !request.url().startsWith('data:') && hosts.add(new URL(request.url()).origin))

  await page.goto(url)
  expect(page.url()).toBe(`${url}/docs/`)
  await page.locator('.opblock').first().waitFor()
  expect(await page.title()).toBe('Docket API')

  // The steps of the introduction, with the examples as they are.
  expect(await tryOut(page, 'signUp')).toMatchObject({ status: 202 })
  const code = await codeIn(server, 'Activate your account')
  expect(await tryOut(page, 'activateAccount', { body: { code } })).toMatchObject({ status: 200 })
  const login = await tryOut(page, 'logIn')
  expect(login.status).toBe(200)
  await authorize(page, /dkt_[\w-]+/.exec(login.text)?.[0] as string)
  expect(await tryOut(page, 'createAssignment', { tag: 'Assignments' })).toMatchObject({ status: 201 })
  const list = await tryOut(page, 'listAssignments', { tag: 'Assignments' })
  expect(list).toMatchObject({ status: 200, text: expect.stringContaining('Write the report') })

  const flow = page.locator('#operations-Reports-reportFlow')
  await flow.locator('.opblock-summary-control').click()
  await flow.locator('.content-type-wrapper select').first().selectOption('image/svg+xml')
  await flow.getByRole('button', { name: 'Execute' }).click()
  const picture = flow.locator('.live-responses-table img')
  await picture.waitFor()
  expect(
    await picture.evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth),
  ).toBeGreaterThan(900)

  expect([...hosts]).toEqual([url])
  expect(errors).toEqual([])
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true })
})

test.each(['/docket/', '/docket/docs', '/docket/docs/'])('Swagger UI works at %s, below a prefix', async (path) => {
  const prefix = await startPrefixProxy('/docket', url)
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()))
  page.on('response', (response) => response.status() >= 400 && complaints.push(response.url()))
  await page.goto(prefix + path)
  await page.locator('.opblock').first().waitFor()
  const { status, requestUrl } = await tryOut(page, 'isAlive', { tag: 'Health' })
  expect(status).toBe(200)
  expect(requestUrl).toContain(`${prefix}/docket/healthz`)
  expect(complaints).toEqual([])
  await page.close()
})

test('Swagger UI has a strict content security policy and no other files', async () => {
  const { headers } = await fetch(`${url}/docs/`)
  const policy = headers.get('Content-Security-Policy')
  expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
  expect(policy).not.toContain('unsafe')
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js', 'init.js']) {
    const response = await fetch(`${url}/docs/${file}`)
    expect(response.status).toBe(200)
    expect(response.headers.get('Content-Type')).toMatch(/^text\/(css|javascript); charset=utf-8$/)
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff')
  }
  expect(await fetch(`${url}/docs/package.json`)).toMatchObject({ status: 404 })
  expect(await fetch(`${url}/docs/..%2f..%2fpackage.json`)).toMatchObject({ status: 404 })
})

test('Swagger UI follows the colour scheme, and fits into a narrow window', async () => {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' })
  await page.goto(`${url}/docs/`)
  await page.locator('.opblock').first().waitFor()
  const isDark = "getComputedStyle(document.body).backgroundColor === 'rgb(28, 32, 34)'"
  await until(() => page.evaluate(isDark))
  await page.emulateMedia({ colorScheme: 'light' })
  await until(async () => !(await page.evaluate(isDark)))
  await page.locator('#operations-Assignments-listAssignments .opblock-summary-control').click()
  await page.locator('.responses-inner').waitFor()
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390)
  await page.close()
})

const visited = [
  'docs/',
  'docs/init.js',
  'docs/docs.css',
  'docs/swagger-ui.css',
  'docs/swagger-ui-bundle.js',
  'openapi.json',
]

/** Requests a path without decoding its body, and returns its headers and the bytes on the wire. */
async function fetchRaw(path: string, headers: Record<string, string>) {
  const [response] = (await once(get(`${url}/${path}`, { headers }), 'response')) as [IncomingMessage]
  let bytes = 0
  for await (const chunk of response) bytes += chunk.length
  return { status: response.statusCode, headers: response.headers, bytes }
}

test.each(['br', 'gzip'])('a first visit transfers less than 550 KB with %s', async (encoding) => {
  let total = 0
  for (const path of visited) {
    const { headers, bytes } = await fetchRaw(path, { 'Accept-Encoding': `${encoding}, deflate` })
    expect(headers).toMatchObject({ 'content-encoding': encoding, vary: 'Accept-Encoding' })
    total += bytes
    const response = await fetch(`${url}/${path}`, { headers: { 'Accept-Encoding': encoding } })
    const plain = await fetch(`${url}/${path}`, { headers: { 'Accept-Encoding': 'identity' } })
    expect(plain.headers.get('Content-Encoding')).toBeNull()
    expect(await response.text()).toBe(await plain.text())
  }
  expect(total).toBeLessThan(550_000)
})

test('the files of the page are revalidated, and cached forever where their URL has a version', async () => {
  for (const path of visited) {
    const { headers } = await fetchRaw(path, {})
    expect(headers['cache-control']).toBe('no-cache')
    const tag = headers.etag as string
    for (const known of [tag, tag.replace('W/', ''), `"x", ${tag}`, '*']) {
      expect(await fetchRaw(path, { 'If-None-Match': known })).toMatchObject({
        status: 304,
        bytes: 0,
        headers: { etag: tag },
      })
    }
    expect(await fetchRaw(path, { 'If-None-Match': '"x"' })).toMatchObject({ status: 200 })
  }
  const page = await (await fetch(`${url}/docs/`)).text()
  const versioned = [...page.matchAll(/(?:src|href)="([^"]+\?v=[^"]+)"/g)].map(([, path]) => `docs/${path}`)
  expect(versioned).toHaveLength(4)
  for (const path of versioned) {
    expect((await fetchRaw(path, {})).headers['cache-control']).toBe('public, max-age=31536000, immutable')
    expect((await fetchRaw(path.replace(/v=.*/, 'v=0'), {})).headers['cache-control']).toBe('no-cache')
  }
})

test.each([
  ['gzip;q=0.5, br;q=0.4', 'gzip'],
  ['GZIP', 'gzip'],
  ['*', 'br'],
  ['br;q=0, *', 'gzip'],
  ['identity', undefined],
  ['identity;q=1, gzip;q=0.5', undefined],
  ['identity;q=0.5, gzip;q=0.5', 'gzip'],
  ['gzip;q=0', undefined],
  ['', undefined],
])('Accept-Encoding "%s" gives %s', async (accepted, encoding) => {
  expect((await fetchRaw('openapi.json', { 'Accept-Encoding': accepted })).headers['content-encoding']).toBe(encoding)
})
