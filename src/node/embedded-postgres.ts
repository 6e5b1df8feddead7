import { existsSync } from 'node:fs'
import { access, constants, readFile, realpath, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { describeError } from '../logger.ts'
import { StartupError } from '../settings.ts'
import { createCluster, notWritable } from './create-cluster.ts'
import { findRunning, isAlive, removeForeignPidFile } from './pid-file.ts'
import { findPostgresTools, type PostgresTools, reasonOf } from './postgres-tools.ts'

/** The advisory lock of the one server that uses a cluster. PostgreSQL releases it however that server ends. */
const CLUSTER_LOCK = 0x646f636b

/** Milliseconds to wait until a server that was just killed, or its connection, is gone. */
const MAX_WAIT_MS = 3_000

/** Milliseconds to wait for a PostgreSQL that `pg_ctl` cannot stop. */
const MAX_STOP_MS = 10_000

/**
 * Starts the PostgreSQL cluster in a folder, or creates it first. A cluster that a killed server left running is taken over.
 * `stop` stops it. Throws a StartupError if another server uses the cluster, or if PostgreSQL cannot run here.
 */
export async function openEmbeddedPostgres(dataDir: string): Promise<{ url: string; stop: () => Promise<void> }> {
  ignorePostgresVariables()
  const name = join(resolve(dataDir), 'postgres')
  const tools = await findPostgresTools(name)
  if (!existsSync(name)) await createCluster(tools, resolve(dataDir), name)
  // A symbolic link may change while the server runs.
  const home = await realpath(name)
  const password = await readPassword(home, name)
  await removeForeignPidFile(join(home, 'cluster'))

  const deadline = performance.now() + MAX_WAIT_MS
  let hasStarted = false
  for (;;) {
    const attempt = await tryOpen(tools, home, password)
    if ('lock' in attempt) return useCluster(tools, home, password, attempt)
    hasStarted ||= attempt.hasStarted
    if (performance.now() > deadline) {
      if (hasStarted && attempt.failure.kind === 'no connection') await stopCluster(tools, home).catch(() => {})
      throw await explainFailure(tools, name, attempt.failure)
    }
    await delay(200)
  }
}

/** Returns the URL of the PostgreSQL in a folder if it is running already, for a server; undefined if it is not. */
export async function findEmbeddedPostgres(dataDir: string): Promise<string | undefined> {
  const home = join(resolve(dataDir), 'postgres')
  const running = await findRunning(join(home, 'cluster'))
  return running && urlOf(running.port, await readPassword(home, home), 'docket')
}

/**
 * Removes the variables that configure libpq and postgres.js (PGSSLMODE, PGOPTIONS, PGDATA and so on) from the environment of
 * this process: they are meant for another PostgreSQL.
 */
function ignorePostgresVariables() {
  for (const variable of Object.keys(process.env)) if (/^PG/i.test(variable)) delete process.env[variable]
}

async function readPassword(home: string, name: string) {
  return readFile(join(home, 'password'), 'utf8').catch(({ code }) => {
    throw new StartupError(
      `Docket cannot read ${join(name, 'password')} (${code}). Start it as the user that created ${name}, or set DATA_DIR to another folder.`,
    )
  })
}

type Opened = { pid: number; port: number; lock: postgres.Sql }

/** Why a cluster could not be opened. `log` is what PostgreSQL logged meanwhile. */
type Failure =
  | { kind: 'in use' }
  | { kind: 'no connection'; error: unknown }
  | { kind: 'not started'; error: unknown; log: string }

type Attempt = Opened | { failure: Failure; hasStarted: boolean }

async function tryOpen(tools: PostgresTools, home: string, password: string): Promise<Attempt> {
  const cluster = join(home, 'cluster')
  const wasRunning = (await findRunning(cluster)) !== undefined
  const failure = wasRunning ? undefined : await start(tools, home)
  const hasStarted = !wasRunning && failure === undefined
  const running = await findRunning(cluster)
  if (!running) return { failure: failure ?? { kind: 'in use' }, hasStarted }
  const result = await takeLock(urlOf(running.port, password, 'postgres'))
  return 'lock' in result ? { ...running, ...result } : { ...result, hasStarted }
}

/** Starts the cluster. Fails, for example, if another start was faster. */
async function start({ run }: PostgresTools, home: string): Promise<Failure | undefined> {
  const logFile = join(home, 'log')
  const { size } = await stat(logFile).catch(() => ({ size: 0 }))
  const options = `-p ${await freePort()} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c log_min_error_statement=panic -c log_error_verbosity=terse`
  try {
    // The paths are relative, because pg_ctl passes them to a shell, which would interpret a $ or a quote in them. With
    // POSIXLY_CORRECT the action must come last.
    await run('pg_ctl', ['-D', 'cluster', '-l', 'log', '-w', '-o', options, 'start'], home)
    return undefined
  } catch (error) {
    const log = await readFile(logFile).catch(() => Buffer.of())
    return { kind: 'not started', error, log: log.subarray(size).toString() }
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

/** Returns a connection that holds the cluster's lock. */
async function takeLock(url: string): Promise<{ lock: postgres.Sql } | { failure: Failure }> {
  const connection = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 5,
    connection: { application_name: `docket ${process.pid}` },
  })
  let failure: Failure = { kind: 'in use' }
  try {
    const [row] = await connection`select pg_try_advisory_lock(${CLUSTER_LOCK}) as is_taken`
    if (row?.is_taken) return { lock: connection }
  } catch (error) {
    // For example, PostgreSQL is starting up or shutting down.
    failure = { kind: 'no connection', error }
  }
  await connection.end({ timeout: 1 })
  return { failure }
}

/** Creates the database of a cluster that was just opened. */
async function useCluster(tools: PostgresTools, home: string, password: string, { pid, port, lock }: Opened) {
  const stop = async () => {
    await lock.end({ timeout: 1 })
    await stopCluster(tools, home).catch(() => stopProcess(pid))
  }
  try {
    const existing = await lock`select from pg_database where datname = 'docket'`
    if (existing.length === 0) await lock`create database docket`
  } catch (error) {
    await stop()
    throw new StartupError(`PostgreSQL could not create a database in ${home}: ${reasonOf(error)}`)
  }
  return { url: urlOf(port, password, 'docket'), stop }
}

const stopCluster = ({ run }: PostgresTools, home: string) =>
  run('pg_ctl', ['-D', join(home, 'cluster'), '-m', 'fast', '-w', 'stop'])

/** Stops PostgreSQL where its folder was moved or removed, so that `pg_ctl` does not find it. */
async function stopProcess(pid: number) {
  const deadline = performance.now() + MAX_STOP_MS
  if (isAlive(pid)) process.kill(pid, 'SIGINT')
  while (isAlive(pid) && performance.now() < deadline) await delay(50)
}

async function explainFailure(tools: PostgresTools, name: string, failure: Failure): Promise<StartupError> {
  if (failure.kind === 'in use') {
    return new StartupError(`Another Docket is using ${name}. Stop it, or set DATA_DIR to another folder.`)
  }
  if (failure.kind === 'no connection') {
    const { code, type } = describeError(failure.error)
    return new StartupError(
      `The PostgreSQL in ${name} does not accept the connection (${code ?? type}). Check that this process can reach 127.0.0.1, and stop a PostgreSQL that still runs there, or set DATA_DIR to another folder.`,
    )
  }
  await tools.assertRunnable()
  const error = await access(join(name, 'cluster'), constants.W_OK).catch((error) => error)
  if (error) return notWritable(name, error)
  const end = failure.log.trimEnd().split('\n').slice(-5).join('\n')
  return new StartupError(
    `The PostgreSQL in ${name} does not start. ${end ? `The end of its log:\n${end}` : reasonOf(failure.error)}`,
  )
}
