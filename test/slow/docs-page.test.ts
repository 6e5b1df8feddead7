import { expect, onTestFinished, test } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { cloneDatabase, type Json, PASSWORD } from '../support/fixtures.ts'
import { startServer } from '../support/process.ts'
import { type Attempt, authorize, codeIn, tryOut, unauthorize } from '../support/swagger.ts'

test('every example of the docs page works as it is, except for codes and ids', { timeout: 300_000 }, async () => {
  const server = startServer({ DATABASE_URL: await cloneDatabase() })
  const url = await server.url()
  const browser = await launchChromium()
  onTestFinished(async () => {
    await browser.close()
    await server.stop()
  })
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } })
  await page.goto(`${url}/docs/`)
  await page.locator('.opblock').first().waitFor()

  const tried = new Set<string>()
  const succeed = async (status: number, operation: string, attempt?: Attempt) => {
    const response = await tryOut(page, operation, attempt)
    expect([operation, response.status, response.text]).toEqual([operation, status, response.text])
    tried.add(operation)
    return response.text
  }
  const logIn = async (attempt?: Attempt) => /dkt_[\w-]+/.exec(await succeed(200, 'logIn', attempt))?.[0] as string

  await succeed(202, 'signUp')
  await succeed(200, 'activateAccount', { body: { code: await codeIn(server, 'Activate your account') } })
  await logIn()
  await authorize(page, await logIn())
  expect(await succeed(200, 'getAccount')).toContain('"email": "ada@example.com"')
  await succeed(200, 'changeAccount')

  const tag = 'Assignments'
  const [, id = ''] = /"id": "([\w-]+)"/.exec(await succeed(201, 'createAssignment', { tag })) ?? []
  const fields = { id }
  expect(await succeed(200, 'listAssignments', { tag })).toContain(id)
  await succeed(200, 'getAssignment', { tag, fields })
  await succeed(200, 'replaceAssignment', { tag, fields })
  expect(await succeed(200, 'changeAssignment', { tag, fields })).toContain('"status": "done"')
  await succeed(200, 'listHistory', { tag, fields })
  await succeed(200, 'followAssignments', { tag })
  expect(await succeed(200, 'reportThroughput', { tag: 'Reports' })).toMatch(/"done": 1/)
  await succeed(200, 'reportFlow', { tag: 'Reports' })
  expect(await succeed(200, 'listPeople')).toContain('Lovelace')
  await succeed(200, 'exportAccount')
  await succeed(204, 'deleteAssignment', { tag, fields })
  for (const operation of ['isAlive', 'isReady']) await succeed(200, operation, { tag: 'Health' })

  const sessions = await succeed(200, 'listSessions')
  const [, other = ''] = /"id": "([\w-]+)",[^}]*"current": false/.exec(sessions) ?? []
  await succeed(204, 'endSession', { fields: { id: other } })
  await succeed(200, 'changePassword')
  await succeed(202, 'requestPasswordReset')
  const reset = { code: await codeIn(server, 'Reset your password'), new_password: PASSWORD }
  await succeed(200, 'resetPassword', { body: reset })
  await unauthorize(page)
  await authorize(page, await logIn({ body: { email: 'ada@example.com', password: PASSWORD } }))
  const email = 'ada@example.org'
  await succeed(202, 'requestEmailChange', { body: { email, password: PASSWORD } })
  const change = { code: await codeIn(server, 'Confirm your new e-mail address') }
  expect(await succeed(200, 'changeEmail', { body: change })).toContain(email)
  await succeed(204, 'logOut')
  await unauthorize(page)
  await authorize(page, await logIn({ body: { email, password: PASSWORD } }))
  await succeed(204, 'deleteAccount', { body: { password: PASSWORD } })

  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as Json
  const operations = Object.values<Json>(paths).flatMap((item) => Object.values<Json>(item))
  expect([...tried].sort()).toEqual(operations.map(({ operationId }) => operationId).sort())
})
