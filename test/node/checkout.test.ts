import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/process.ts'

const root = new URL('../..', import.meta.url).pathname
const git = (...args: string[]) => promisify(execFile)('git', args).then(({ stdout }) => stdout)

// A copy of the sources without their repository has nothing to check out.
test.runIf(existsSync(`${root}/.git`))('a checkout with autocrlf has line feeds only', async () => {
  const folder = await temporaryFolder()
  await git('clone', '--quiet', '--no-hardlinks', '-c', 'core.autocrlf=true', root, folder)
  const files = (await git('-C', folder, 'ls-files', '--eol')).trimEnd().split('\n')
  expect(files.length).toBeGreaterThan(100)
  expect(files.filter((line) => /\b(crlf|mixed)\b/.test(line.split('\t')[0] as string))).toEqual([])
})
