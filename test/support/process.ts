import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

const entry = new URL('../../src/node.ts', import.meta.url).pathname

/** A folder that is gone after the test. */
export async function temporaryFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The real server as a process of its own, on a free port unless told, with nothing in its environment but what is given. */
export function startServer(environment: Record<string, string>, args: string[] = [], program = [entry]) {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [...program, ...args], { env: { PATH, HOME, PORT: '0', ...environment } })
  let output = ''
  const watchers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
      for (const watch of watchers) watch()
    })
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))

  /** The first match of a pattern in what the server prints; fails when it ends without one. */
  const printed = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const watch = () => {
        const match = pattern.exec(output)
        if (match) resolve(match)
        if (match) watchers.delete(watch)
      }
      watchers.add(watch)
      watch()
      ended.then((code) => reject(new Error(`ended (${code}) without ${pattern}:\n${output}`)))
    })

  return {
    child,
    ended,
    printed,
    output: () => output,
    /** What it has in memory, in MiB, as Linux tells it. */
    memory: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
    },
    /** Where it listens, once it does. */
    url: async () => (await printed(/http:\/\/\S+(?=\/docs\/)/))[0],
    stop: (signal: NodeJS.Signals = 'SIGTERM') => {
      child.kill(signal)
      return ended
    },
  }
}
