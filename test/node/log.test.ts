import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const log = new URL('../../src/node/log.ts', import.meta.url).href

/** Runs a program that has a `log`, and returns the messages that it wrote. */
function messagesOf(program: string) {
  const script = `import { createLog } from '${log}'\nconst log = createLog('info')\n${program}`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], { encoding: 'utf8' })
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).msg)
}

test.each([
  ['at its end', ''],
  ['when it exits', 'process.exit(3)'],
  ['when an error ends it', 'throw new Error()'],
])('a process writes its last log lines %s', (_, end) => {
  expect(messagesOf(`log.info({}, 'one')\nlog.error({}, 'two')\n${end}`)).toEqual(['one', 'two'])
})

test('a process writes log lines in order while it runs', () => {
  const program = `for (let n = 0; n < 500; n++) {
    log.info({}, String(n))
    if (n % 7 === 0) await new Promise((resolve) => setTimeout(resolve, n % 3))
  }`
  expect(messagesOf(program)).toEqual(Array.from({ length: 500 }, (_, n) => String(n)))
})
