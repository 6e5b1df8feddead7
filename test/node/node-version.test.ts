import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = new URL('../..', import.meta.url).pathname
const { scripts } = JSON.parse(await readFile(`${root}/package.json`, 'utf8')) as { scripts: Record<string, string> }

// Without its TypeScript, this Node is like an older one. CI also has Node 20.
const oldNodes: [string, string[]][] = [[process.execPath, ['--no-strip-types']]]
const isOld = await promisify(execFile)('/usr/bin/node', ['--version']).then(
  ({ stdout }) => Number.parseInt(stdout.slice(1), 10) < 22,
  () => false,
)
if (isOld) oldNodes.push(['/usr/bin/node', []])

test.each(oldNodes)('an old Node says which one is needed: %s %o', async (node, options) => {
  for (const [name, script] of Object.entries(scripts)) {
    const [program, ...args] = script.split(' ')
    if (program !== 'node') continue
    const file = args.filter((arg) => arg !== '--watch')
    const run = promisify(execFile)(node, [...options, ...file], { cwd: root, env: {} })
    const { code, stdout, stderr } = await run.catch((error) => error)
    expect([name, code, stdout]).toEqual([name, 1, ''])
    expect(stderr).toMatch(/^Docket did not start\.\nIt needs Node 22\.18 or newer, and this is Node \d+\.\d+\.\d+/)
    expect(stderr).toContain('npm rebuild node')
    expect(stderr).not.toMatch(/ at .*:\d+:\d+|ERR_/)
  }
})
