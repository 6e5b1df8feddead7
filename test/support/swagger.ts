import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import type { startServer } from './process.ts'

// What people do on the docs page.

export type Attempt = { tag?: string; body?: object | undefined; fields?: Record<string, string> }

/**
 * Opens an operation, sends its example or another body, and returns the response that the page shows. `fields` are values
 * of parameters.
 */
export async function tryOut(page: Page, operation: string, { tag = 'Accounts', body, fields = {} }: Attempt = {}) {
  const block = page.locator(`#operations-${tag}-${operation}`)
  await block.locator('.opblock-summary-control').click()
  // The response to an earlier request.
  const clear = block.getByRole('button', { name: 'Clear' })
  if (await clear.isVisible()) await clear.click()
  if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body))
  for (const [name, value] of Object.entries(fields)) await block.locator(`[data-param-name=${name}] input`).fill(value)
  await block.getByRole('button', { name: 'Execute' }).click()
  const response = block.locator('.live-responses-table')
  await response.waitFor()
  const status = Number(await response.locator('.response-col_status').last().textContent())
  const text = (await response.textContent()) ?? ''
  const requestUrl = await block.locator('.request-url').first().textContent()
  await block.locator('.opblock-summary-control').click()
  return { status, text, requestUrl }
}

/** Pastes a token into the dialog as it says. */
export async function authorize(page: Page, token: string) {
  await page.getByRole('button', { name: 'Authorize' }).first().click()
  expect(await page.locator('.auth-container').first().textContent()).toContain('Paste the token of the login response')
  await page.locator('.auth-container input').fill(token)
  await page.locator('.auth-btn-wrapper .authorize').click()
  await page.locator('.btn-done').click()
}

/** Forgets the token that was pasted. */
export async function unauthorize(page: Page) {
  await page.getByRole('button', { name: 'Authorize' }).first().click()
  await page.locator('.auth-btn-wrapper').locator('button', { hasText: 'Logout' }).click()
  await page.locator('.btn-done').click()
}

/** Returns the code in the printed mail with a subject. */
export const codeIn = async (server: ReturnType<typeof startServer>, subject: string) =>
  (await server.waitForOutput(new RegExp(`│ ${subject}[^]*?│ ([0-9A-Z]{4}(-[0-9A-Z]{4}){3})$`, 'm')))[1] as string
