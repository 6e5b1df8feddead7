import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const script = new URL('./compare-days.ts', import.meta.url).pathname

/** Compares the days of zones with the reference, in a process of each zone. Returns the results by the process's zone. */
export async function compareDaysIn(processZones: string[], years: [number, number], zones: string[]) {
  const results = processZones.map(async (TZ) => {
    const { stdout } = await promisify(execFile)(process.execPath, [script, ...years.map(String), ...zones], {
      env: { ...process.env, TZ },
      maxBuffer: 2 ** 26,
    })
    return [TZ, JSON.parse(stdout) as { differences: string[]; digest: string }] as const
  })
  return Object.fromEntries(await Promise.all(results))
}
