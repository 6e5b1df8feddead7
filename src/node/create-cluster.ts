import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { randomString } from '../crypto.ts'
import { StartupError } from '../settings.ts'
import type { PostgresTools } from './postgres-tools.ts'

/**
 * Creates a PostgreSQL cluster in `home`, a folder of `dataDir`. It is created under a temporary name and then renamed, so
 * that a start that is killed halfway leaves no incomplete cluster. Does nothing if another start creates it first.
 */
export async function createCluster({ run, owner }: PostgresTools, dataDir: string, home: string) {
  const draft = await createFolder(dataDir)
    .then(() => mkdtemp(join(dataDir, 'new-')))
    .catch(({ code }) => {
      throw new StartupError(
        `DATA_DIR must be a folder that Docket can write to or create, for example .data. It cannot write to ${dataDir} (${code}).`,
      )
    })
  const passwordFile = join(draft, 'password')
  await writeFile(passwordFile, randomString('abcdefghijklmnopqrstuvwxyz0123456789', 32), { mode: 0o600 })
  if (owner) for (const path of [draft, passwordFile]) await chown(path, owner.uid, owner.gid)
  const login = ['-U', 'docket', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
  const locale = ['-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  try {
    await run('initdb', ['-D', join(draft, 'cluster'), ...login, ...locale])
    await rename(draft, home)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    if (existsSync(home)) return
    const { stderr, message } = error as { stderr?: string; message: string }
    throw new StartupError(`PostgreSQL could not create a cluster in ${dataDir}: ${stderr?.trim() || message}`)
  }
}

/** Creates a folder and its parents. Node's recursive mkdir never returns where none can be created, as in /proc. */
async function createFolder(folder: string) {
  if (existsSync(folder)) return
  await createFolder(dirname(folder))
  await mkdir(folder).catch((error) => existsSync(folder) || Promise.reject(error))
}
