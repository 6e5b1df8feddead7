import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Stage } from '../clients/stage.ts'
import { cloneDatabase } from './fixtures.ts'
import { startServer } from './process.ts'
import { until } from './wait.ts'

const root = new URL('../..', import.meta.url).pathname
const folder = join(root, 'test/clients')
const bin = join(folder, 'node_modules/.bin')

/** Tells whether the generators of TypeScript clients are installed. In CI they must be. */
export const hasGenerators = existsSync(bin) || Boolean(process.env.CI)

/** Generates the TypeScript clients from openapi.json. */
export async function generateClients() {
  const document = join(root, 'openapi.json')
  const types = 'generated/openapi-typescript.ts'
  await runTool('openapi-typescript', document, '-o', types, '--default-non-nullable=false')
  await runTool('openapi-ts', '-i', document, '-o', 'generated/hey-api')
}

/** Type-checks the stories of the generated clients, with the TypeScript that their users have. */
export const checkTypes = () => runTool('tsc')

const runTool = (program: string, ...args: string[]) =>
  promisify(execFile)(process.execPath, [join(bin, program), ...args], { cwd: folder })

/** Starts Docket as a real server in a runtime, with the mail on its output. */
export async function startRuntime(runtime: 'Node' | 'Workers') {
  const settings = { DATABASE_URL: await cloneDatabase(), RATE_LIMITS: 'off', LOG_LEVEL: 'warn' }
  if (runtime === 'Node') {
    const server = startServer(settings)
    return { server, baseUrl: await server.url() }
  }
  const PATH = [join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  const server = startServer({ ...settings, PATH }, ['worker'])
  const [, baseUrl = ''] = await server.waitForOutput(/Ready on (http:\/\/\S+)/)
  // A request to a workerd that is just being replaced may never be answered.
  const isReady = () => fetch(`${baseUrl}/readyz`, { signal: AbortSignal.timeout(5000) }).then(({ ok }) => ok)
  await until(() => isReady().catch(() => false))
  return { server, baseUrl }
}

/** Returns what a client with this name needs for its story. */
export function openStage({ server, baseUrl }: Awaited<ReturnType<typeof startRuntime>>, client: string): Stage {
  const email = `${client}@example.com`
  const mail = new RegExp(`Mail to ${email}[^]*?([0-9A-Z]{4}(-[0-9A-Z]{4}){3})`)
  return { baseUrl, email, readCode: async () => (await server.waitForOutput(mail))[1] as string }
}

/** Tells the story of the Python client in the folder that `.ci/python-client` prints, and returns what it printed last. */
export async function tellPythonStory(client: string, { baseUrl, email, readCode }: Stage): Promise<unknown> {
  const story = spawn(join(client, 'bin/python'), [join(folder, 'story.py'), baseUrl, email], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONPATH: join(client, 'client') },
  })
  let output = ''
  story.stdout.on('data', (chunk) => {
    output += chunk
  })
  const exit = new Promise((resolve) => story.once('close', resolve))
  story.stdin.end(`${await readCode()}\n`)
  await exit
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '')
}
