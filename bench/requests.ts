// Measures the throughput, latency and CPU of requests: `DATABASE_URL=… npm run bench`, on Linux. It creates a database on that
// server, which must run on this machine.
// - ROWS and USERS are the numbers of assignments and users; EVENTS adds that many events over three years
// - SECONDS is the duration of each measurement; ONLY selects measurements by a pattern
// - the lines 'GET /accounts/', 'list' and 'read' are also compared with a bare server, bench/bare.ts
// - DATABASE_URL=wasm uses TimescaleDB's Community edition in WebAssembly in this process: slower, but with the same plans
import { existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import postgres from 'postgres'
import { migrate } from '../src/database/migrate.ts'
import { openCommunity } from '../test/support/community.ts'
import { startServer } from '../test/support/process.ts'
import './build.ts'
import { load } from './load.ts'

const {
  DATABASE_URL,
  ROWS = '200000',
  USERS = '1000',
  EVENTS = '0',
  SECONDS = '4',
  CONNECTIONS = '16',
  ONLY = '',
} = process.env
if (!DATABASE_URL || !existsSync('/proc/self/stat')) throw new Error('Set DATABASE_URL, and run it on Linux.')

const community = DATABASE_URL === 'wasm' ? await openCommunity() : undefined
const url = new URL(community?.url ?? DATABASE_URL)
const name = `docket_bench_${ROWS}_${EVENTS}`
const admin = postgres(url.href, { max: 1, onnotice: () => {} })
const [exists] = await admin`select from pg_database where datname = ${name}`
if (!community) {
  url.pathname = `/${name}`
  if (!exists) {
    await admin.unsafe(`create database ${name}`)
    await migrate(url.href)
  }
}
const database = postgres(url.href, { max: 1, onnotice: () => {} })
if (!exists) await seed(Number(ROWS), Number(USERS))
if (community) await age()

/** Aggregates the log and moves old chunks into columns, as the policies of TimescaleDB do. */
async function age() {
  console.log(`${await logSize()} of log before columns`)
  await migrate(url.href)
  await database`select compress_chunk(chunk) from show_chunks('assignment_events', older_than => interval '90 days') as chunk`
  await database.unsafe('vacuum analyze')
  const [activity] = await database`select pg_size_pretty(hypertable_size(format('%I.%I',
    materialization_hypertable_schema, materialization_hypertable_name)::regclass)) as size
    from timescaledb_information.continuous_aggregates`
  console.log(`${activity?.size} of aggregate`)
}

async function logSize() {
  const [log] = await database`
    select pg_size_pretty(sum(pg_total_relation_size(c.oid))) as size from pg_class c
    where relkind = 'r' and (relname = 'assignment_events' or relname ~ '^(_hyper_1_|compress_hyper_).*_chunk')`
  return log?.size as string
}

/** Returns the id of a user, which is derived from a number. */
const idOf = (number: number) => `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`

/** Returns the token of a user, whose hash is in the data. */
const tokenOf = (number: number) => `dkt_${idOf(number)}`

/** Inserts the data. The first user sees more than 120,000 rows, the others a few hundred each. */
async function seed(rows: number, users: number) {
  console.log(`Making ${rows} assignments of ${users} users in ${name} …`)
  const indexes = await database`
    select indexname, indexdef from pg_indexes where tablename in ('assignments', 'assignment_search') and indexname not like '%pkey'`
  for (const { indexname } of indexes) await database.unsafe(`drop index "${indexname}"`)
  const person = (expression: string) => `('01900000-0000-7000-8000-' || lpad((${expression})::text, 12, '0'))::uuid`
  await database.unsafe(`
    select setseed(0.42);
    insert into users (id, email, first_name, last_name, password, created_at, updated_at)
      select ${person('n')}, 'user' || n || '@example.com', 'First', 'Last', '', timestamptz '2023-11-01', now() from generate_series(1, ${users}) n;
    insert into sessions (id, user_id, token_hash, password_version, created_at, expires_at)
      select id, id, sha256(('dkt_' || id)::bytea), 1, now(), now() + interval '1 year' from users;
    create temp table words as
      select array_agg(a || b || c order by random()) as words from unnest('{ba,ce,di,fo,gu,ha,je,ki,lo}'::text[]) a,
        unnest('{mu,na,pe,ri,so,tu,va,we,zi}'::text[]) b, unnest('{ba,fo,ki,na,so,va,gu,pe}'::text[]) c;
    insert into assignments (id, name, description, status, assignee, creator, created_at, updated_at, version)
      select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
        (array['Fix', 'Review', 'Write', 'Deploy', 'Test', 'Plan'])[1 + i % 6] || ' ' ||
          (array['login page', 'billing sheet', 'search index', 'mail queue', 'backup job'])[1 + i % 5] || ' ' || i,
        concat_ws(' ', case when i % 4 = 1 then 'report' end, case when i % 100 = 3 then 'umbrella' end,
          case when i % 2000 = 7 then 'quasar' end,
          (select string_agg(words[1 + (random() * 647)::int], ' ') from words, generate_series(1, 10 + i % 12))),
        (array['todo', 'todo', 'in progress', 'done', 'done', 'error'])[1 + (i * 7 + i / 11) % 6]::assignment_status,
        ${person(`1 + (random() * ${users - 1})::int`)},
        ${person(`case when (i * 7919::bigint) % ${rows} < 120000 then 1 else 1 + (random() * ${users - 1})::int end`)},
        at, at + (1 + i % 432000) * interval '1 second', 2
      from generate_series(1, ${rows}) i, lateral (select date_trunc('milliseconds', timestamptz '2025-11-01' + i * (interval '365 days' / ${rows})) as at) one;`)
  await database.unsafe(`insert into assignment_search
    select id, array[assignee, creator], fold(name) || '"' || fold(description) from assignments order by id`)
  for (const { indexdef } of indexes) await database.unsafe(indexdef)
  const logIndexes = await database`
    select indexname, indexdef from pg_indexes where tablename = 'assignment_events' and indexname not like '%pk'`
  for (const { indexname } of logIndexes) await database.unsafe(`drop index "${indexname}"`)
  await database.unsafe(`
    insert into assignment_events
      (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at)
    select id, created_at, 'created', creator, id, name, 'To be written', status, assignee, creator, 1, '{}', created_at
    from assignments;
    insert into assignment_events
      (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at,
       old_status, old_assignee, old_description, old_updated_at)
    select gen_random_uuid(), updated_at, 'changed', creator, id, name, description, status, assignee, creator, 2,
      '{description}', created_at, status, assignee, 'To be written', created_at
    from assignments;
    -- Five events of each assignment, hours and days apart.
    insert into assignment_events
      (id, at, kind, actor, assignment, name, description, status, assignee, creator, version, changed, created_at,
       started_at, old_status, old_assignee, old_name, old_updated_at)
    select gen_random_uuid(), at, (case v when 1 then 'created' else 'changed' end)::assignment_event_kind, creator, id,
      case when v < 3 then 'Write a report ' else 'Write the report ' end || i, repeat(md5(i::text), 5), (array['todo', 'in progress', 'in progress', 'done', 'todo'])[v]::assignment_status,
      assignee, creator, v, case v when 1 then '{}' when 3 then '{name}' else '{status}' end::text[], born,
      case when v > 1 then born + (1 + i % 86399) * interval '1 second' end,
      (array[null, 'todo', 'in progress', 'in progress', 'done'])[v]::assignment_status, case when v > 1 then assignee end,
      case v when 3 then 'Write a report ' || i end, case when v > 1 then at - (1 + i % 86399) * interval '1 second' end
    from generate_series(1, ${Number(EVENTS) / 5}) i,
      lateral (select timestamptz '2023-11-01' + i * (interval '1050 days' / ${Number(EVENTS) / 5 || 1}) as born,
        ${person(`1 + (i * 7919::bigint) % ${users}`)} as creator,
        ${person(`1 + (i * 7919::bigint + (i % 2) * i) % ${users}`)} as assignee) one,
      lateral (select (lpad(to_hex((extract(epoch from born) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '9' || substr(md5(i::text), 4, 15))::uuid as id) two,
      generate_series(1, 5) v,
      lateral (select born + (v - 1) * ((1 + i % 86399)) * interval '1 second' as at) three`)
  for (const { indexdef } of logIndexes) await database.unsafe(indexdef)
  await database.unsafe('vacuum analyze')
}

const MEASUREMENTS: Record<string, (round: number) => { path: string; user?: number; method?: string; body?: object }> =
  {
    'GET /accounts/': (round) => ({ path: '/accounts/', user: 2 + (round % 900) }),
    list: (round) => ({ path: '/assignments/', user: 2 + (round % 900) }),
    'list, of 120,000': () => ({ path: '/assignments/' }),
    'status=done&ordering=-updated_at': (round) => ({
      path: '/assignments/?status=done&ordering=-updated_at',
      user: 2 + (round % 900),
    }),
    'status=done&ordering=-updated_at, of 120,000': () => ({ path: '/assignments/?status=done&ordering=-updated_at' }),
    'search, rare': (round) => ({ path: '/assignments/?search=quasar', user: 2 + (round % 900) }),
    'search, rare, of 120,000': () => ({ path: '/assignments/?search=quasar' }),
    'search, middling': (round) => ({ path: '/assignments/?search=umbrella', user: 2 + (round % 900) }),
    'search, middling, of 120,000': () => ({ path: '/assignments/?search=umbrella' }),
    'search, frequent': (round) => ({ path: '/assignments/?search=report', user: 2 + (round % 900) }),
    'search, frequent, of 120,000': () => ({ path: '/assignments/?search=report' }),
    'page 5,000': () => ({ path: page5000 }),
    read: (round) => ({ path: `/assignments/${visibleId(round)}/` }),
    'list as of yesterday': (round) => ({ path: `/assignments/?as_of=${daysAgo(1)}`, user: 2 + (round % 900) }),
    'list as of yesterday, of 120,000': () => ({ path: `/assignments/?as_of=${daysAgo(1)}` }),
    'list as of half a year ago': (round) => ({ path: `/assignments/?as_of=${daysAgo(180)}`, user: 2 + (round % 900) }),
    'list as of half a year ago, of 120,000': () => ({ path: `/assignments/?as_of=${daysAgo(180)}` }),
    'read as of yesterday': (round) => ({ path: `/assignments/${oldId(round)}/?as_of=${daysAgo(1)}` }),
    'read as of half a year ago': (round) => ({ path: `/assignments/${oldId(round)}/?as_of=${daysAgo(180)}` }),
    create: (round) => ({
      path: '/assignments/',
      method: 'POST',
      user: 2 + (round % 900),
      body: {
        name: `Bench assignment ${round}`,
        description: 'Written by the benchmark, then removed again.',
        status: 'in progress',
        assignee: idOf(2 + ((round * 7) % 900)),
      },
    }),
    patch: (round) => ({
      path: `/assignments/${visibleId(round)}/`,
      method: 'PATCH',
      body: { status: ['todo', 'in progress', 'done', 'error'][Math.floor(Math.random() * 4)] },
    }),
    'follow, from now on': (round) => ({ path: '/assignments/events/', user: 2 + (round % 900) }),
    'follow, from the start': (round) => ({
      path: '/assignments/events/?cursor=start&limit=100',
      user: 2 + (round % 900),
    }),
    'follow, from the start, of 120,000': () => ({ path: '/assignments/events/?cursor=start&limit=100' }),
    'report, throughput of a month by day': (round) => ({
      path: `/assignments/reports/throughput/?${month(round)}`,
      user: 2 + (round % 900),
    }),
    'report, flow of a month by day': (round) => ({
      path: `/assignments/reports/flow/?${month(round)}`,
      user: 2 + (round % 900),
    }),
    'count, frequent, of 120,000': () => ({ path: '/assignments/?search=report&count=true' }),
  }

/** Returns a time before the end of the log, 2026-11-01. */
const daysAgo = (days: number) => new Date(Date.UTC(2026, 10, 1 - days)).toISOString()

/** Returns the range of one of 34 months. */
const month = (round: number) => `from=${monthAt(round % 34)}&to=${monthAt((round % 34) + 1)}&timezone=Europe/Berlin`
const monthAt = (index: number) => new Date(Date.UTC(2023, 10 + index, 1)).toISOString().slice(0, 10)

const visible = (await database`select id from assignments where creator = ${idOf(1)} order by id`).map(
  ({ id }) => id as string,
)
const visibleId = (round: number) => visible[(round * 7919) % visible.length]
/** Returns the id of an assignment that existed half a year before the end. */
const oldId = (round: number) => visible[(round * 7919) % Math.floor(visible.length / 3)]

const { writeCursor } = await import('../src/assignments/cursors.ts')
const page5000 = `/assignments/?cursor=${writeCursor({ keys: [visible.at(-100_000) as string], isBackward: false, isInclusive: false }, [idOf(1), {}, [{ by: 'created_at', descending: true }]])}`

/** Returns the CPU time of processes in milliseconds. */
const cpuOf = (pids: number[]) =>
  pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return sum + (Number(fields[11]) + Number(fields[12])) * 10
  }, 0)

const backends = async () => (community ? [process.pid] : await serverBackends())

const serverBackends = async () =>
  (await database`select pid from pg_stat_activity where datname = ${name} and application_name = 'docket'`).map(
    ({ pid }) => pid as number,
  )

const server = startServer({ DATABASE_URL: url.href, RATE_LIMITS: 'off' })
const base = new URL(await server.url())
const agent = new Agent({ keepAlive: true, maxSockets: Number(CONNECTIONS) })

function send({ path, user = 1, method = 'GET', body }: ReturnType<(typeof MEASUREMENTS)[string]>) {
  const headers = { Authorization: `Bearer ${tokenOf(user)}`, ...(body && { 'Content-Type': 'application/json' }) }
  return new Promise<number>((resolve, reject) => {
    const outgoing = request({ host: base.hostname, port: base.port, path, method, headers, agent }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
    })
    outgoing.once('error', reject).end(body && JSON.stringify(body))
  })
}

async function measure(label: string) {
  const next = MEASUREMENTS[label] as (typeof MEASUREMENTS)[string]
  let round = 0
  const runFor = async (seconds: number) => {
    const end = performance.now() + seconds * 1000
    const times: number[] = []
    await Promise.all(
      Array.from({ length: Number(CONNECTIONS) }, async () => {
        while (performance.now() < end) {
          const start = performance.now()
          const status = await send(next(round++))
          if (status >= 300) throw new Error(`${label} got ${status}`)
          times.push(performance.now() - start)
        }
      }),
    )
    return times.sort((a, b) => a - b)
  }
  await runFor(1)
  const pids = await backends()
  const [app, db] = [cpuOf([server.child.pid as number]), cpuOf(pids)]
  const times = await runFor(Number(SECONDS))
  const perRequest = (ms: number) => (ms / times.length).toFixed(2).padStart(7)
  const percentile = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(1).padStart(7)
  console.log(
    `${label.padEnd(46)} app ${perRequest(cpuOf([server.child.pid as number]) - app)}  database ${perRequest(cpuOf(pids) - db)}  p50 ${percentile(0.5)}  p99 ${percentile(0.99)}  ${(times.length / Number(SECONDS)).toFixed(0).padStart(6)}/s`,
  )
}

/** The measurements that are repeated with the bare server. */
const COMPARED = ['GET /accounts/', 'list', 'read']

/** The number of times that each server is measured in turn, so that other work on the machine slows both. */
const ROUNDS = 8

/** V8 compiles for the first ten thousand requests, which would count against the larger program. */
const WARM_UP_MS = 5_000

/** Compares Docket with the bare server: the share is Docket's rate of requests. */
async function compare(labels: string[]) {
  const bare = startServer({ DATABASE_URL: url.href }, [], { args: [new URL('bare.ts', import.meta.url).pathname] })
  const bareUrl = new URL(await bare.url())
  for (const label of labels) {
    const next = MEASUREMENTS[label] as (typeof MEASUREMENTS)[string]
    await assertSameJson(next(0), bareUrl)
    const [docketSide, bareSide] = [createSide(base, server.child.pid, next), createSide(bareUrl, bare.child.pid, next)]
    await docketSide.run(WARM_UP_MS)
    await bareSide.run(WARM_UP_MS)
    for (const side of [docketSide, bareSide]) side.reset()
    for (let round = 0; round < ROUNDS; round++) {
      await docketSide.run((Number(SECONDS) * 1000) / ROUNDS)
      await bareSide.run((Number(SECONDS) * 1000) / ROUNDS)
    }
    const share = docketSide.rate() / bareSide.rate()
    console.log(`${`${label}, with logs`.padEnd(46)} ${docketSide.summary()}`)
    console.log(`${`${label}, bare server`.padEnd(46)} ${bareSide.summary()}  share ${share.toFixed(2)}`)
  }
  await bare.stop()
}

/** Adds up what some runs against one server took. */
function createSide({ hostname, port }: URL, pid: number | undefined, next: (typeof MEASUREMENTS)[string]) {
  let totals = { requests: 0, seconds: 0, app: 0, database: 0 }
  let round = 0
  const nextRequest = () => {
    const { path, user = 1 } = next(round++)
    return { path, token: tokenOf(user) }
  }
  return {
    async run(ms: number) {
      const pids = await backends()
      const before = { app: cpuOf([pid as number]), database: cpuOf(pids), at: performance.now() }
      totals.requests += await load(hostname, Number(port), Number(CONNECTIONS), ms, nextRequest)
      totals.seconds += (performance.now() - before.at) / 1000
      totals.app += cpuOf([pid as number]) - before.app
      totals.database += cpuOf(pids) - before.database
    },
    reset() {
      totals = { requests: 0, seconds: 0, app: 0, database: 0 }
    },
    rate: () => totals.requests / totals.seconds,
    summary() {
      const perRequest = (ms: number) => (ms / totals.requests).toFixed(3).padStart(7)
      const rate = (totals.requests / totals.seconds).toFixed(0).padStart(6)
      return `app ${perRequest(totals.app)}  database ${perRequest(totals.database)}  ${rate}/s`
    },
  }
}

/** Makes sure that both servers do the same work. */
async function assertSameJson({ path, user = 1 }: ReturnType<(typeof MEASUREMENTS)[string]>, bareUrl: URL) {
  const headers = { Authorization: `Bearer ${tokenOf(user)}` }
  const texts = [base, bareUrl].map(async ({ origin }) =>
    (await (await fetch(origin + path, { headers })).text()).replaceAll(origin, ''),
  )
  const [docketText, bareText] = await Promise.all(texts)
  if (docketText !== bareText) throw new Error(`${path}: Docket sent ${docketText}, the bare server ${bareText}`)
}

console.log(
  `${ROWS} assignments of ${USERS} users, ${await logSize()} of log; CPU and latency in ms a request, ${CONNECTIONS} connections`,
)
for (const label of Object.keys(MEASUREMENTS)) if (new RegExp(ONLY).test(label)) await measure(label)
await compare(COMPARED.filter((label) => new RegExp(ONLY).test(label)))
await database`delete from assignments where name like 'Bench assignment %'`
agent.destroy()
await server.stop()
await database.end()
await admin.end()
await community?.close()
