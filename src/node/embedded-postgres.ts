import { existsSync } from 'node:fs'
import { readFile, readlink, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { StartupError } from '../settings.ts'
import { createCluster } from './create-cluster.ts'
import { findPostgresTools, type PostgresTools } from './postgres-tools.ts'

/** The advisory lock of the one server that uses a cluster. PostgreSQL releases it however that server ends. */
const CLUSTER_LOCK = 0x646f636b

/** Milliseconds to wait until a server that was just killed, or its connection, is gone. */
const MAX_WAIT_MS = 3_000

/**
 * Starts the PostgreSQL cluster in a folder, or creates it first. A cluster that a killed server left running is taken over.
 * `stop` stops it. Throws a StartupError if another server uses the cluster, or if PostgreSQL cannot run here.
 */
export async function openEmbeddedPostgres(dataDir: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const home = join(resolve(dataDir), 'postgres')
  const cluster = join(home, 'cluster')
  const tools = await findPostgresTools()
  if (!existsSync(home)) await createCluster(tools, resolve(dataDir), home)
  const password = await readFile(join(home, 'password'), 'utf8')
  await removeForeignPidFile(cluster)

  const deadline = Date.now() + MAX_WAIT_MS
  for (;;) {
    const port = (await runningPort(cluster)) ?? (await start(tools, home))
    const lock = port && (await takeLock(urlOf(port, password, 'postgres')))
    if (lock) {
      await createDatabase(lock)
      const stop = async () => {
        await lock.end({ timeout: 1 })
        await tools.run('pg_ctl', ['stop', '-D', cluster, '-m', 'fast', '-w'])
      }
      return { url: urlOf(port, password, 'docket'), stop }
    }
    if (Date.now() > deadline) throw new StartupError(await explainFailure(home, port !== undefined))
    await delay(200)
  }
}

/**
 * Removes the cluster's pid file if its process id belongs to another program now, as after a crash of the whole machine.
 * PostgreSQL would not start with it.
 */
async function removeForeignPidFile(cluster: string) {
  const pid = Number((await readPidFile(cluster))?.[0])
  if (!pid || !isAlive(pid) || !existsSync('/proc/self/exe')) return
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => cluster)
  if (folder !== cluster) await rm(join(cluster, 'postmaster.pid'))
}

/** Returns the port of the running cluster; undefined if it does not run or is not ready yet. */
async function runningPort(cluster: string): Promise<number | undefined> {
  const lines = (await readPidFile(cluster)) ?? []
  return lines[7]?.trim() === 'ready' && isAlive(Number(lines[0])) ? Number(lines[3]) : undefined
}

/** Returns the lines of the pid file, whose format PostgreSQL defines in pidfile.h; undefined if there is none. */
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

/** Starts the cluster and returns its port; undefined if it does not start, for example because another start was faster. */
async function start({ run }: PostgresTools, home: string): Promise<number | undefined> {
  const port = await freePort()
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c log_min_error_statement=panic -c log_error_verbosity=terse`
  try {
    // The paths are relative, because pg_ctl passes them to a shell, which would interpret a $ or a quote in them.
    await run('pg_ctl', ['start', '-D', 'cluster', '-l', 'log', '-w', '-o', options], home)
    return port
  } catch {
    return undefined
  }
}

/** Returns a port that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

const urlOf = (port: number, password: string, database: string) =>
  `postgres://docket:${password}@127.0.0.1:${port}/${database}`

/** Returns a connection that holds the cluster's lock; undefined if another server holds it or PostgreSQL is not ready. */
async function takeLock(url: string) {
  const connection = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 5,
    connection: { application_name: `docket ${process.pid}` },
  })
  try {
    const [row] = await connection`select pg_try_advisory_lock(${CLUSTER_LOCK}) as is_taken`
    if (row?.is_taken) return connection
  } catch {
    // PostgreSQL is starting up or shutting down.
  }
  await connection.end({ timeout: 1 })
  return undefined
}

async function createDatabase(connection: postgres.Sql) {
  const existing = await connection`select from pg_database where datname = 'docket'`
  if (existing.length === 0) await connection`create database docket`
}

async function explainFailure(home: string, isRunning: boolean): Promise<string> {
  if (isRunning) return `Another Docket is using ${home}. Stop it, or set DATA_DIR to another folder.`
  const log = await readFile(join(home, 'log'), 'utf8').catch(() => '')
  const end = log.trimEnd().split('\n').slice(-5).join('\n')
  return `The PostgreSQL in ${home} does not start. The end of its log:\n${end}`
}
