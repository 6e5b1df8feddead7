import { existsSync } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Returns the lines of a cluster's pid file, whose format PostgreSQL defines in pidfile.h; undefined if there is none. */
const readPidFile = (cluster: string) =>
  readFile(join(cluster, 'postmaster.pid'), 'utf8').then(
    (text) => text.split('\n'),
    () => undefined,
  )

/** Returns the process id and the port of the running cluster; undefined if it does not run or is not ready yet. */
export async function findRunning(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = (await readPidFile(cluster)) ?? []
  const pid = Number(lines[0])
  return lines[7]?.trim() === 'ready' && isAlive(pid) ? { pid, port: Number(lines[3]) } : undefined
}

/**
 * Removes the cluster's pid file if its process id belongs to another program now, as after a crash of the whole machine.
 * PostgreSQL would not start with it. A PostgreSQL whose pid file is removed shuts down within a minute.
 */
export async function removeForeignPidFile(cluster: string) {
  const pid = Number((await readPidFile(cluster))?.[0])
  if (!pid || !isAlive(pid) || (await mayServe(pid, cluster))) return
  // Read again, because another start may have replaced it in between.
  if (Number((await readPidFile(cluster))?.[0]) === pid) await rm(join(cluster, 'postmaster.pid'), { force: true })
}

/** Tells whether a process may be the PostgreSQL of a cluster. It may if the system does not say what it is. */
async function mayServe(pid: number, cluster: string): Promise<boolean> {
  // Only Linux has /proc.
  if (!existsSync('/proc/self/exe')) return true
  const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'postgres')
  if (!/^(postgres|postmaster)$/.test(program.trim())) return false
  // PostgreSQL works in its cluster. Paths would differ by symbolic links, mounts, and a folder that was moved meanwhile.
  const [workingFolder, folder] = await Promise.all(
    [`/proc/${pid}/cwd`, cluster].map((path) => stat(path).catch(() => undefined)),
  )
  return !workingFolder || !folder || (workingFolder.dev === folder.dev && workingFolder.ino === folder.ino)
}

/** Tells whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
