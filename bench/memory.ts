// Measures the start and the memory of the server: `DATABASE_URL=… node bench/memory.ts`, on Linux. The database must be one that
// bench/requests.ts has filled. It prints the time until the server is ready, its memory when idle, and its memory under
// CONNECTIONS busy connections and STREAMS event streams. NODE_OPTIONS are passed to the server.
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { startServer } from '../test/support/process.ts'
import './build.ts'
import { load } from './load.ts'

const { DATABASE_URL, CONNECTIONS = '300', STREAMS = '100', SECONDS = '20', NODE_OPTIONS = '' } = process.env
if (!DATABASE_URL) throw new Error('Set DATABASE_URL to a database that bench/requests.ts has filled.')

const tokenOf = (number: number) => `dkt_01900000-0000-7000-8000-${String(number).padStart(12, '0')}`

const started = performance.now()
const server = startServer({ DATABASE_URL, RATE_LIMITS: 'off', NODE_OPTIONS })
const base = new URL(await server.url())
console.log(`ready after ${Math.round(performance.now() - started)} ms, with ${cpuTime()} ms of CPU`)
await delay(5_000)
console.log(`${await mebibytes()} when idle`)

await Promise.all(Array.from({ length: Number(STREAMS) }, (_, index) => openStream(2 + index)))
console.log(`${await mebibytes()} with ${STREAMS} streams`)
let highest = 0
const watching = setInterval(async () => (highest = Math.max(highest, await server.memory())), 200)
let round = 0
const next = () => ({ path: '/assignments/', token: tokenOf(2 + (round++ % 900)) })
const count = await load(base.hostname, Number(base.port), Number(CONNECTIONS), Number(SECONDS) * 1000, next)
clearInterval(watching)
console.log(`${Math.round(highest)} MiB at most, with ${CONNECTIONS} connections that made ${count} requests`)
await delay(10_000)
console.log(`${await mebibytes()} ten seconds later`)
await server.stop()
process.exit()

/** Returns the CPU time of the server in milliseconds. */
function cpuTime() {
  const fields = readFileSync(`/proc/${server.child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

async function mebibytes() {
  return `${Math.round(await server.memory())} MiB`
}

function openStream(number: number) {
  const headers = { Authorization: `Bearer ${tokenOf(number)}`, Accept: 'text/event-stream' }
  return new Promise<void>((resolve, reject) => {
    get(new URL('/assignments/events/', base), { headers, agent: false }, (response) => {
      response.on('error', () => {}).on('data', () => resolve())
    }).once('error', reject)
  })
}
