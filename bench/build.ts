// Bundles the server that the benchmarks start, from the present sources.
import { execFileSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { entry } from '../test/support/process.ts'

const build = fileURLToPath(new URL('../build.ts', import.meta.url))
execFileSync(process.execPath, [build, dirname(entry)], { stdio: 'inherit' })
