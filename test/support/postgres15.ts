import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { appendFile, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { freePort } from '../../src/node/embedded-postgres.ts'
import { until } from './wait.ts'

const run = promisify(execFile)
const BIN = '/usr/lib/postgresql/15/bin'
const PGBOUNCER = '/usr/sbin/pgbouncer'

/** Tells whether programs of Debian are installed. On CI they must be; elsewhere the tests that need them are skipped. */
function isInstalled(...programs: string[]) {
  const missing = programs.filter((program) => !existsSync(program))
  if (missing.length > 0) console.log(`Without ${missing.join(' and ')}, some slow tests are skipped.`)
  return missing.length === 0 || Boolean(process.env.CI)
}

export const hasPostgres15 = isInstalled(`${BIN}/postgres`)
export const hasPgbouncer = isInstalled(PGBOUNCER)

/** PostgreSQL refuses to run as root, so root runs it as the user of Debian's package. */
async function owner() {
  if (userInfo().uid !== 0) return undefined
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

/** Starts Debian's PostgreSQL 15 on 127.0.0.1, ::1 and a Unix socket, with more lines for its configuration. */
export async function startPostgres15(
  options: { settings?: string; access?: string; files?: Record<string, string> } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  const user = await owner()
  if (user) await chown(folder, user.uid, user.gid)
  const cluster = join(folder, 'cluster')
  const port = await freePort()
  await run(`${BIN}/initdb`, ['-D', cluster, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8'], {
    ...user,
    cwd: '/',
  })
  for (const [name, content] of Object.entries(options.files ?? {})) {
    await writeFile(join(cluster, name), content, { mode: 0o600 })
    if (user) await chown(join(cluster, name), user.uid, user.gid)
  }
  if (options.access) await writeFile(join(cluster, 'pg_hba.conf'), options.access)
  const settings = `port = ${port}\nlisten_addresses = '127.0.0.1, ::1'\nunix_socket_directories = '${folder}'\nfsync = off\n`
  await appendFile(join(cluster, 'postgresql.conf'), settings + (options.settings ?? ''))
  const server = spawn(`${BIN}/postgres`, ['-D', cluster], { ...user, cwd: '/', stdio: 'ignore' })
  const exited = once(server, 'exit')
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const socketUrl = `postgres://postgres@/postgres?host=${folder}&port=${port}`
  const admin = postgres({ host: folder, port, user: 'postgres', database: 'postgres', max: 1, onnotice: () => {} })
  await until(() =>
    admin`select`.then(
      () => true,
      () => false,
    ),
  )
  return {
    url,
    port,
    folder,
    socketUrl,
    admin,
    stop: async () => {
      await admin.end({ timeout: 1 })
      server.kill('SIGINT')
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts a pgbouncer in transaction mode before a PostgreSQL on a port of 127.0.0.1. */
export async function startPgbouncer(target: number, settings = '') {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  const user = await owner()
  if (user) await chown(folder, user.uid, user.gid)
  const port = await freePort()
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(
    file,
    `[databases]
* = host=127.0.0.1 port=${target} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
${settings}
`,
  )
  const server = spawn(PGBOUNCER, ['-q', file], { ...user, cwd: '/', stdio: 'ignore' })
  const exited = once(server, 'exit')
  await until(async () => {
    const socket = connect(port, '127.0.0.1')
    const isListening = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    return isListening
  })
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop: async () => {
      server.kill('SIGINT')
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}
