// Measures event streams: `node bench/streams.ts`, on Linux. It uses a new embedded PostgreSQL, or DATABASE_URL, whose data it
// deletes. It opens STREAMS streams of different users on one server and prints:
// - the memory and idle CPU of the streams
// - the delay from a commit to its readers, at CHANGES changes a second for SECONDS seconds
// - the latency of requests with and without streams
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { migrate } from '../src/database/migrate.ts'
import { openEmbeddedPostgres } from '../src/node/embedded-postgres.ts'
import { startServer } from '../test/support/process.ts'
import './build.ts'

const { DATABASE_URL, STREAMS = '1000', CHANGES = '50', SECONDS = '20' } = process.env
if (!existsSync('/proc/self/stat')) throw new Error('Run it on Linux.')

const count = Number(STREAMS)
const folder = await mkdtemp(join(tmpdir(), 'docket-streams-'))
const embedded = DATABASE_URL ? undefined : await openEmbeddedPostgres(folder)
const url = DATABASE_URL ?? (embedded?.url as string)
await migrate(url)
const database = postgres(url, { max: 1, onnotice: () => {} })
await database.unsafe(`
  truncate users, sessions, assignments, assignment_events, assignment_search cascade;
  insert into users (id, email, first_name, last_name, password, created_at, updated_at)
    select ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n || '@example.com', 'First', 'Last', '', now(), now()
    from generate_series(0, ${count - 1}) n;
  insert into sessions (id, user_id, token_hash, password_version, created_at, expires_at)
    select id, id, sha256(('dkt_' || id)::bytea), 1, now(), now() + interval '1 day' from users;
  analyze`)
const idOf = (number: number) => `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`

const server = startServer({ DATABASE_URL: url, RATE_LIMITS: 'off', LOG_LEVEL: 'fatal' })
const base = new URL(await server.url())
const pid = server.child.pid as number

/** Returns the CPU time of a process in milliseconds. */
const cpuOf = (process: number) => {
  const fields = readFileSync(`/proc/${process}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}
const backends = async () =>
  (
    await database`select pid from pg_stat_activity where datname = current_database() and application_name = 'docket'`
  ).map(({ pid }) => pid as number)
const cpuOfDatabase = async () => (await backends()).reduce((sum, pid) => sum + cpuOf(pid), 0)
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

const committed = new Map<string, number>()
const latencies: number[] = []

/** Opens a stream of a user and waits for its first bytes. */
function open(number: number): Promise<IncomingMessage> {
  const headers = { Authorization: `Bearer dkt_${idOf(number)}`, Accept: 'text/event-stream' }
  return new Promise((resolve, reject) => {
    const { hostname, port } = base
    request({ hostname, port, path: '/assignments/events/', headers, agent: false }, (response) => {
      response
        .on('error', () => {})
        .on('data', (chunk: Buffer) => {
          const time = performance.now()
          for (const [, name] of chunk.toString().matchAll(/"name":"(change \d+)"/g)) {
            const since = committed.get(name as string)
            // A reader may get the event before the response to the commit.
            if (since === undefined) committed.set(name as string, time)
            else latencies.push(Math.max(0, time - since))
          }
          resolve(response)
        })
      if (response.statusCode !== 200) reject(new Error(`a stream got the status ${response.statusCode}`))
    })
      .once('error', reject)
      .end()
  })
}

async function openAll(many: number) {
  const streams: IncomingMessage[] = []
  for (let first = 0; first < many; first += 50) {
    const batch = Array.from({ length: Math.min(50, many - first) }, (_, index) => open(first + index))
    streams.push(...(await Promise.all(batch)))
  }
  return streams
}

const percentile = (times: number[], share: number) => {
  const sorted = times.toSorted((a, b) => a - b)
  return `${(sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(1)} ms`
}

/** Measures a list that four clients request one after the other. */
async function requests(): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  const times: number[] = []
  const until = performance.now() + 5_000
  const requestList = (number: number) =>
    new Promise<void>((resolve, reject) => {
      const { hostname, port } = base
      const headers = { Authorization: `Bearer dkt_${idOf(number % count)}` }
      request({ hostname, port, path: '/assignments/', headers, agent }, (response) => {
        response.resume().once('end', resolve)
      })
        .once('error', reject)
        .end()
    })
  await Promise.all(
    Array.from({ length: 4 }, async (_, client) => {
      for (let turn = client; performance.now() < until; turn += 4) {
        const start = performance.now()
        await requestList(turn)
        times.push(performance.now() - start)
      }
    }),
  )
  agent.destroy()
  return `p50 ${percentile(times, 0.5)}, p99 ${percentile(times, 0.99)}, ${(times.length / 5).toFixed(0)}/s`
}

/** Commits changes of random people and waits until the last one is delivered. */
async function changes(label: string, people: number, expected: number) {
  latencies.length = 0
  const total = Number(CHANGES) * Number(SECONDS)
  const before = [cpuOf(pid), await cpuOfDatabase()] as const
  const begin = performance.now()
  for (let turn = 0; turn < total; turn++) {
    const due = begin + (turn * 1000) / Number(CHANGES)
    if (performance.now() < due) await delay(due - performance.now())
    const name = `change ${committed.size}`
    const id = idOf(Math.floor(Math.random() * people))
    await database`
      insert into assignment_events (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at)
      values (gen_random_uuid(), now(), 'created', ${id}, gen_random_uuid(), ${name}, ${'x'.repeat(200)}, 'todo', ${id}, ${id}, 1, '{}', now())`
    const delivered = committed.get(name)
    if (delivered === undefined) committed.set(name, performance.now())
    else latencies.push(0)
  }
  const seconds = (performance.now() - begin) / 1000
  while (latencies.length < total * expected) await delay(50)
  const app = ((cpuOf(pid) - before[0]) / seconds / 10).toFixed(1)
  const db = (((await cpuOfDatabase()) - before[1]) / seconds / 10).toFixed(1)
  console.log(
    `${label}: p50 ${percentile(latencies, 0.5)}, p99 ${percentile(latencies, 0.99)}, max ${percentile(latencies, 1 - 1e-9)}; CPU app ${app} %, database ${db} % (without its writers)`,
  )
}

console.log(`requests without streams: ${await requests()}`)
for (const stream of await openAll(Math.min(200, count))) stream.destroy()
await delay(2_000)
const [last] = await database`select max(query_start) as time from pg_stat_activity where application_name = 'docket'`
await delay(2_000)
const [later] = await database`select max(query_start) as time from pg_stat_activity where application_name = 'docket'`
console.log(`queries without streams: ${last?.time.getTime() === later?.time.getTime() ? 'none' : 'some'}`)
const before = memory()
const streams = await openAll(count)
await delay(3_000)
console.log(
  `${count} streams: ${((memory() - before) / count).toFixed(1)} KiB each, of ${Math.round(before / 1024)} MiB before`,
)
const idle = [cpuOf(pid), await cpuOfDatabase()] as const
await delay(20_000)
console.log(
  `idle CPU with streams: app ${((cpuOf(pid) - idle[0]) / 200).toFixed(2)} %, database ${(((await cpuOfDatabase()) - idle[1]) / 200).toFixed(2)} %`,
)
console.log(`requests with streams: ${await requests()}`)
await changes(`${CHANGES} changes a second, of all`, count, 1)
console.log(`${count} streams after that: ${((memory() - before) / count).toFixed(1)} KiB each`)
for (const stream of streams) stream.destroy()
await server.stop()
await database.end()
await embedded?.stop()
await rm(folder, { recursive: true, force: true })
