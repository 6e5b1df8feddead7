import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'

/** The program of the server, as `npm run build` bundles it. */
export const entry = new URL('../../node_modules/.cache/docket-test/dist/node.js', import.meta.url).pathname

/** Creates a folder that is removed after the test. */
export async function temporaryFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Returns the process id of the embedded PostgreSQL in a DATA_DIR. */
export const postmasterPid = async (folder: string) =>
  Number((await readFile(join(folder, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n')[0])

type Program = { command?: string; args: string[]; cwd?: string }

/** Starts the real server as a process of its own, by default on a free port, with only this environment. */
export function startServer(
  environment: Record<string, string>,
  args: string[] = [],
  { command = process.execPath, args: first, cwd }: Program = { args: [entry] },
) {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, PORT: '0', ...environment }
  const child = spawn(command, [...first, ...args], { env, ...(cwd && { cwd }) })
  const exitCode = new Promise<number | null>((resolve) => child.once('close', resolve))
  let output = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
      for (const listener of listeners) listener()
    })
  }

  /** Returns the first match of a pattern in the output. Fails if the server exits without one. */
  const waitForOutput = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const check = () => {
        const match = pattern.exec(output)
        if (!match) return
        listeners.delete(check)
        resolve(match)
      }
      listeners.add(check)
      check()
      exitCode.then((code) => reject(new Error(`exited (${code}) without ${pattern}:\n${output}`)))
    })

  return {
    child,
    exitCode,
    waitForOutput,
    output: () => output,
    /** Returns the resident memory in MiB, on Linux. */
    memory: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
    },
    /** Returns the server's URL once it listens. */
    url: async () => (await waitForOutput(/http:\/\/\S+(?=\/docs\/)/))[0],
    stop: (signal: NodeJS.Signals = 'SIGTERM') => {
      child.kill(signal)
      return exitCode
    },
  }
}

/** Expects a server that a program starts as root without its rights to explain that, and to leave an empty folder behind. */
export async function expectNoUserSwitch(folder: string, program: Program) {
  const server = startServer({ DATA_DIR: join(folder, 'a/b') }, [], program)
  expect(await server.exitCode).toBe(1)
  expect(server.output()).toMatch(
    /^Docket did not start\.\nPostgreSQL does not run as root, .* Start Docket as a user other than root, or set DATABASE_URL [^\n]+\n$/,
  )
  expect(await readdir(folder)).toEqual([])
}
