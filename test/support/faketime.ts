import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './process.ts'

const [library] = readdirSync('/usr/lib', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSafely(`/usr/lib/${name}/faketime`))
  .filter((file) => file.endsWith('/libfaketime.so.1'))

/** Whether Debian's package `faketime` is installed. On CI it must be; elsewhere the tests that need it are skipped. */
export const hasFaketime = library !== undefined || Boolean(process.env.CI)
if (!hasFaketime) console.log('Without libfaketime, the tests of servers with a wrong clock are skipped.')

/**
 * Returns the environment of a process with a wrong clock, and a function that sets the clock while it runs. A difference is
 * one of libfaketime, such as `+31d`. By default both clocks of the process are wrong, also the monotonic one.
 */
export async function fakeTime(difference: string, { isMonotonicRight = false } = {}) {
  const file = join(await temporaryFolder(), 'difference')
  const set = (value: string) => writeFileSync(file, `${value}\n`)
  set(difference)
  const environment = {
    LD_PRELOAD: library as string,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    ...(isMonotonicRight && { FAKETIME_DONT_FAKE_MONOTONIC: '1' }),
  }
  return { environment, set }
}

function readdirSafely(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => `${folder}/${name}`)
  } catch {
    return []
  }
}
