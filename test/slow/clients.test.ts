import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { outcome } from '../clients/stage.ts'
import {
  checkTypes,
  generateClients,
  hasGenerators,
  openStage,
  startRuntime,
  tellPythonStory,
} from '../support/clients.ts'

// The clients of docs/clients.md, generated from openapi.json, against real servers.

const { PYTHON_CLIENT } = process.env
if (!hasGenerators) console.log('Without `npm ci --prefix test/clients`, the tests of generated clients are skipped.')
else await generateClients()

beforeAll(() => {
  // The stories print the problem that they expect.
  const log = vi.spyOn(console, 'log').mockReturnValue()
  return () => log.mockRestore()
})

test.runIf(hasGenerators)('clients generated from openapi.json compile under strict', async () => {
  await checkTypes()
})

describe.each(['Node', 'Workers'] as const)('on %s', async (runtime) => {
  const docket = await startRuntime(runtime)
  afterAll(() => docket.server.stop('SIGHUP'))

  test('hc follows an assignment from sign-up to its event', async () => {
    const { tellStory } = await import('../clients/hc.ts')
    expect(await tellStory(openStage(docket, 'hc'))).toEqual(outcome)
  })

  test.runIf(hasGenerators).each(['openapi-fetch', 'hey-api'])(
    '%s follows an assignment from sign-up to its event',
    async (client) => {
      const { tellStory } = await import(`../clients/${client}.ts`)
      expect(await tellStory(openStage(docket, client))).toEqual(outcome)
    },
  )

  test.runIf(PYTHON_CLIENT)('openapi-python-client follows an assignment from sign-up to its event', async () => {
    expect(await tellPythonStory(PYTHON_CLIENT ?? '', openStage(docket, 'python'))).toEqual(outcome)
  })
})
