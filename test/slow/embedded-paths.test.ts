import { rename, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { entry, expectNoUserSwitch, postmasterPid, startServer, temporaryFolder } from '../support/process.ts'

const isRoot = process.getuid?.() === 0

/** Variables of libpq, postgres.js and PostgreSQL's own programs that are meant for another database. */
const FOREIGN_VARIABLES = {
  PGHOST: 'db.invalid',
  PGHOSTADDR: '192.0.2.1',
  PGPORT: '1',
  PGUSER: 'nobody',
  PGUSERNAME: 'nobody',
  PGPASSWORD: 'wrong',
  PGPASSFILE: '/dev/null',
  PGDATABASE: 'other',
  PGSERVICE: 'none',
  PGSERVICEFILE: '/none',
  PGSSL: 'require',
  PGSSLMODE: 'verify-full',
  PGSSLNEGOTIATION: 'direct',
  PGSSLROOTCERT: '/none',
  PGTARGETSESSIONATTRS: 'any',
  PGTARGET_SESSION_ATTRS: 'standby',
  PGAPPNAME: 'x',
  PGPREPARE: 'false',
  PGMAX: '0',
  PGIDLE_TIMEOUT: '1',
  PGMAX_LIFETIME: '1',
  PGCONNECT_TIMEOUT: '1',
  PGMAX_PIPELINE: '0',
  PGBACKOFF: '1',
  PGDATA: '/none',
  PGTZ: 'Asia/Tokyo',
  PGDATESTYLE: 'German',
  PGCLIENTENCODING: 'LATIN1',
  PGCTLTIMEOUT: '0',
  PGOPTIONS: '-c default_transaction_read_only=on',
  PGCHANNELBINDING: 'require',
  PGGSSENCMODE: 'require',
}

test('the embedded PostgreSQL knows its folder by every path, and stops with its terminal', async () => {
  const folder = await temporaryFolder()
  const DATA_DIR = join(folder, 'data')
  const first = startServer({ DATA_DIR, ...FOREIGN_VARIABLES })
  const url = await first.url()
  const pid = await postmasterPid(DATA_DIR)
  const link = join(folder, 'link')
  await symlink(DATA_DIR, link)
  // The cluster is in use under each name, and once more after it was moved.
  const expectInUse = async (other: string) => {
    const rival = startServer({ DATA_DIR: other })
    expect(await rival.exitCode).toBe(1)
    expect(rival.output()).toContain(`Another Docket is using ${resolve(other)}/postgres.`)
    expect(await postmasterPid(other)).toBe(pid)
  }
  await Promise.all([link, `${folder}/./link/../data//`].map(expectInUse))
  const moved = join(folder, 'moved')
  await rename(DATA_DIR, moved)
  await expectInUse(moved)
  expect(await fetch(`${url}/readyz`)).toMatchObject({ status: 200 })

  // A closed terminal sends SIGHUP more than once, and cannot be written to.
  first.child.stdout.destroy()
  first.child.stderr.destroy()
  await fetch(`${url}/healthz`)
  first.child.kill('SIGHUP')
  expect(await first.stop('SIGHUP')).toBe(0)
  await expect(postmasterPid(moved)).rejects.toThrow('ENOENT')
})

test.runIf(isRoot)('explains that root cannot become another user', async () => {
  const folder = await temporaryFolder()
  for (const [command, ...args] of [
    ['setpriv', '--bounding-set=-all', '--inh-caps=-all'],
    ['unshare', '--user', '--map-root-user'],
  ] as const) {
    await expectNoUserSwitch(folder, { command, args: [...args, process.execPath, entry] })
  }
})
