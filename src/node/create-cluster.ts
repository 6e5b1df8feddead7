import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { randomString } from '../crypto.ts'
import { StartupError } from '../settings.ts'
import { CannotSwitchUser, type PostgresTools, reasonOf } from './postgres-tools.ts'

/**
 * Creates a PostgreSQL cluster in `home`, a folder of `dataDir`. It is created under a temporary name and then renamed, so
 * that a start that is killed halfway leaves no incomplete cluster. Does nothing if another start creates it first. Throws a
 * StartupError if it cannot be created, and leaves nothing behind then.
 */
export async function createCluster(tools: PostgresTools, dataDir: string, home: string) {
  // First, because files that belong to another user could not be removed again without the right to become that user.
  await tools.assertRunnable()
  const created: string[] = []
  let draft: string | undefined
  try {
    await createFolder(dataDir, created)
    draft = await mkdtemp(join(dataDir, 'new-'))
    await fillFolder(tools, draft)
    await rename(draft, home)
  } catch (error) {
    if (draft) await rm(draft, { recursive: true, force: true }).catch(() => {})
    if (existsSync(home)) return
    // Only empty ones: another start may be creating its cluster there.
    for (const folder of created.reverse()) await rmdir(folder).catch(() => {})
    throw explain(error, dataDir, draft !== undefined)
  }
}

/** Creates a cluster and the file with its password in an empty folder. */
async function fillFolder({ run, owner }: PostgresTools, folder: string) {
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, randomString('abcdefghijklmnopqrstuvwxyz0123456789', 32), { mode: 0o600 })
  for (const path of owner ? [passwordFile, folder] : []) {
    await chown(path, owner?.uid as number, owner?.gid as number).catch((error) => {
      throw new CannotSwitchUser(error.message)
    })
  }
  const login = ['-U', 'docket', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
  const locale = ['-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  await run('initdb', ['-D', join(folder, 'cluster'), ...login, ...locale])
}

function explain(error: unknown, dataDir: string, isWritable: boolean): StartupError {
  if (error instanceof StartupError) return error
  return isWritable
    ? new StartupError(
        `PostgreSQL could not create a cluster in ${dataDir}: ${reasonOf(error)}\nSet DATA_DIR to another folder, start Docket as another user, or set DATABASE_URL to a PostgreSQL that runs elsewhere.`,
      )
    : notWritable(dataDir, error)
}

/** Returns the error for a folder that cannot be written. */
export const notWritable = (folder: string, error: unknown) =>
  new StartupError(
    `DATA_DIR must be a folder that Docket can write to or create, for example .data. It cannot write to ${folder} (${(error as NodeJS.ErrnoException).code}).`,
  )

/**
 * Creates a folder and its parents, and adds those that did not exist to `created`. Node's recursive mkdir never returns
 * where none can be created, as in /proc.
 */
async function createFolder(folder: string, created: string[]) {
  if (existsSync(folder)) return
  await createFolder(dirname(folder), created)
  await mkdir(folder).then(
    () => created.push(folder),
    (error) => existsSync(folder) || Promise.reject(error),
  )
}
