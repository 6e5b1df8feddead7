import type { Page } from 'playwright-core'
import { afterAll, expect, test } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { cloneDatabase, createSignupBody, PASSWORD } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'
import { startPrefixProxy } from '../support/servers.ts'

const server = startServer({ DATABASE_URL: await cloneDatabase() })
const url = await server.url()
const browser = await launchChromium()

afterAll(async () => {
  await browser.close()
  await server.stop()
})

/** Opens an operation, sends a request and returns the response that the page shows. */
async function tryOut(page: Page, operation: string, body?: object, tag = 'Accounts') {
  const block = page.locator(`#operations-${tag}-${operation}`)
  await block.locator('.opblock-summary-control').click()
  if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body))
  await block.getByRole('button', { name: 'Execute' }).click()
  const response = block.locator('.live-responses-table')
  await response.waitFor()
  return {
    status: Number(await response.locator('.response-col_status').last().textContent()),
    text: (await response.textContent()) ?? '',
  }
}

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

  expect(await tryOut(page, 'signUp', createSignupBody('ada@example.com'))).toMatchObject({ status: 202 })
  const [code] = await server.waitForOutput(/(?<=│ )[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/m)
  expect(await tryOut(page, 'activateAccount', { code })).toMatchObject({ status: 200 })
  const login = await tryOut(page, 'logIn', { email: 'ada@example.com', password: PASSWORD })
  expect(login.status).toBe(200)
  const [token] = /dkt_[\w-]+/.exec(login.text) ?? []

  await page.getByRole('button', { name: 'Authorize' }).first().click()
  await page.locator('.auth-container input').fill(token as string)
  await page.locator('.auth-btn-wrapper .authorize').click()
  await page.locator('.btn-done').click()
  const account = await tryOut(page, 'getAccount')
  expect(account).toMatchObject({ status: 200, text: expect.stringContaining('"email": "ada@example.com"') })

  const made = await tryOut(page, 'createAssignment', { name: 'Seen on the page' }, 'Assignments')
  expect(made).toMatchObject({ status: 201, text: expect.stringContaining('Seen on the page') })
  const list = await tryOut(page, 'listAssignments', undefined, 'Assignments')
  expect(list).toMatchObject({ status: 200, text: expect.stringContaining('Seen on the page') })
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
  expect(await tryOut(page, 'isAlive', undefined, 'Health')).toMatchObject({ status: 200 })
  expect(await page.locator('.request-url').first().textContent()).toContain(`${prefix}/docket/healthz`)
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
