import { execFile, spawn } from 'node:child_process'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { entry, expectNoUserSwitch, postmasterPid, startServer, temporaryFolder } from '../support/process.ts'
import { until } from '../support/wait.ts'

const isRoot = process.getuid?.() === 0

// Creating a cluster takes seconds, so it is done once where a test is not about it.
const created = await mkdtemp(join(tmpdir(), 'docket-test-'))
afterAll(() => rm(created, { recursive: true }))
await expectReady(startServer({ DATA_DIR: join(created, 'data') }))

const copyFolder = (from: string, to: string) => promisify(execFile)('cp', ['-a', from, to])

/** Copies the folder of a server that was started and stopped. */
const copyCreated = (to: string) => copyFolder(join(created, 'data'), to)

/** Expects a server to become ready and to stop without an error. */
async function expectReady(server: ReturnType<typeof startServer>) {
  expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
  expect(await server.stop()).toBe(0)
}

describe('a server with the embedded PostgreSQL', () => {
  test('starts from a project folder that only its user may enter', async () => {
    const root = new URL('../..', import.meta.url).pathname
    const folder = await temporaryFolder()
    await chmod(folder, 0o700)
    for (const part of ['package.json', 'src', 'drizzle']) {
      await cp(join(root, part), join(folder, part), { recursive: true })
    }
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    const program = { args: ['--preserve-symlinks', '--preserve-symlinks-main', join(folder, 'src/node.ts')] }
    await expectReady(startServer({ DATA_DIR: join(folder, '.data') }, [], program))
  })

  test('starts although its pid file names a foreign process', async () => {
    const DATA_DIR = join(await temporaryFolder(), 'data')
    await copyCreated(DATA_DIR)
    const first = startServer({ DATA_DIR })
    await first.url()
    const file = join(DATA_DIR, 'postgres/cluster/postmaster.pid')
    const content = await readFile(file, 'utf8')
    expect(await first.stop()).toBe(0)
    await writeFile(file, content.replace(/^\d+/, String(process.pid)))
    await expectReady(startServer({ DATA_DIR }))
  })

  test('starts once if two processes start in a new folder together', async () => {
    const DATA_DIR = await temporaryFolder()
    const servers = [startServer({ DATA_DIR }), startServer({ DATA_DIR })] as const
    const results = await Promise.all(servers.map((server) => server.url().catch(() => 'exited')))
    expect(results.filter((result) => result === 'exited')).toHaveLength(1)
    const [winner, loser] = results[0] === 'exited' ? [servers[1], servers[0]] : servers
    expect(loser.output()).toContain('Another Docket is using')
    expect(await winner.stop()).toBe(0)
  })

  test('explains that DATA_DIR is a file', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, '')
    for (const DATA_DIR of ['/dev/null', file]) {
      const server = startServer({ DATA_DIR })
      expect(await server.exitCode).toBe(1)
      expect(server.output()).toMatch(
        /^Docket did not start\.\nDATA_DIR must be a folder .* It cannot write to .* \(E[A-Z]+\)\./,
      )
    }
  })

  test('accepts shell characters in DATA_DIR', async () => {
    await expectReady(startServer({ DATA_DIR: join(await temporaryFolder(), `a $HOME "b" \`id\` 'c' é`) }))
  })

  test.runIf(isRoot)('runs as root in a folder that only root may enter', async () => {
    const home = join(await temporaryFolder(), 'private')
    await mkdir(home)
    await chmod(home, 0o700)
    await expectReady(startServer({ DATA_DIR: join(home, '.data') }))
  })

  test.runIf(isRoot)('explains that root lacks a right to become another user', async () => {
    const folder = await temporaryFolder()
    for (const right of ['dac_override', 'setuid', 'setgid', 'chown', 'setpcap']) {
      const args = [`--bounding-set=-${right}`, process.execPath, entry]
      await expectNoUserSwitch(folder, { command: 'setpriv', args })
    }
  })

  test.runIf(isRoot)('runs as root with the cluster of another user', async () => {
    const folder = await temporaryFolder()
    // Debian's daemon and bin.
    await chown(folder, 1, 1)
    await chmod(folder, 0o755)
    const DATA_DIR = join(folder, 'data')
    const asUser = ['--reuid=1', '--regid=1', '--clear-groups', process.execPath, entry]
    await expectReady(startServer({ DATA_DIR }, [], { command: 'setpriv', args: asUser }))
    await expectReady(startServer({ DATA_DIR }))
    await expectReady(startServer({ DATA_DIR }, [], { command: 'setpriv', args: asUser }))
    // Another user cannot read the password.
    const asOther = asUser.map((arg) => arg.replace('id=1', 'id=2'))
    const other = startServer({ DATA_DIR }, [], { command: 'setpriv', args: asOther })
    expect(await other.exitCode).toBe(1)
    expect(other.output()).toMatch(/^Docket did not start\.\nDocket cannot read .* \(EACCES\)\. Start it as the user/)
  })

  test.runIf(isRoot)('explains a full and a read-only disk', async () => {
    const folder = await temporaryFolder()
    const explanation = async (DATA_DIR: string, mount: string) => {
      const script = `mount ${mount} && exec "$0" "$1"`
      const args = ['--mount', 'sh', '-c', script, process.execPath, entry]
      const server = startServer({ DATA_DIR }, [], { command: 'unshare', args })
      expect(await server.exitCode).toBe(1)
      expect(server.output()).not.toMatch(/ at .*:\d+:\d+/)
      return server.output()
    }
    const full = await explanation(join(folder, 'a/b'), `-t tmpfs -o size=1m tmpfs ${folder}`)
    expect(full).toMatch(/^Docket did not start\.\nPostgreSQL could not create a cluster in .* No space left on device/)
    const readOnly = /^Docket did not start\.\nDATA_DIR must be a folder .* It cannot write to .* \(EROFS\)\./
    expect(await explanation(join(folder, 'a/b'), `-t tmpfs -o ro tmpfs ${folder}`)).toMatch(readOnly)
    expect(await readdir(folder)).toEqual([])
    await copyCreated(join(folder, 'data'))
    const remount = `--bind ${folder} ${folder} && mount -o remount,bind,ro ${folder}`
    expect(await explanation(join(folder, 'data'), remount)).toMatch(readOnly)
  })

  test.runIf(isRoot)('leaves no PostgreSQL behind if it cannot connect to it', async () => {
    const DATA_DIR = join(await temporaryFolder(), 'data')
    await copyCreated(DATA_DIR)
    // In a network of its own, 127.0.0.1 is down.
    const server = startServer({ DATA_DIR }, [], { command: 'unshare', args: ['--net', process.execPath, entry] })
    expect(await server.exitCode).toBe(1)
    expect(server.output()).toMatch(/^Docket did not start\.\nThe PostgreSQL in .* does not accept the connection \(E/)
    await expect(postmasterPid(DATA_DIR)).rejects.toThrow('ENOENT')
    await expectReady(startServer({ DATA_DIR }))
  })

  test.runIf(isRoot)('knows its folder through a bind mount', async () => {
    const folder = await temporaryFolder()
    const [DATA_DIR, mounted] = [join(folder, 'data'), join(folder, 'mounted')]
    await mkdir(mounted)
    await copyCreated(DATA_DIR)
    const first = startServer({ DATA_DIR })
    await first.url()
    const pid = await postmasterPid(DATA_DIR)
    const args = [
      '--mount',
      'sh',
      '-c',
      `mount --bind ${DATA_DIR} ${mounted} && exec "$0" "$1"`,
      process.execPath,
      entry,
    ]
    const rival = startServer({ DATA_DIR: mounted }, [], { command: 'unshare', args })
    expect(await rival.exitCode).toBe(1)
    expect(rival.output()).toContain(`Another Docket is using ${mounted}/postgres`)
    expect(await postmasterPid(DATA_DIR)).toBe(pid)
    expect(await first.stop()).toBe(0)
  })

  test('starts although its pid file names the PostgreSQL of another folder', async () => {
    const folder = await temporaryFolder()
    const [DATA_DIR, copy] = [join(folder, 'data'), join(folder, 'copy')]
    await copyCreated(DATA_DIR)
    const first = startServer({ DATA_DIR })
    await first.url()
    const pid = await readFile(join(DATA_DIR, 'postgres/cluster/postmaster.pid'))
    expect(await first.stop()).toBe(0)
    await copyFolder(DATA_DIR, copy)
    const second = startServer({ DATA_DIR })
    await second.url()
    const running = await postmasterPid(DATA_DIR)
    await writeFile(join(copy, 'postgres/cluster/postmaster.pid'), String(pid).replace(/^\d+/, String(running)))
    await expectReady(startServer({ DATA_DIR: copy }))
    expect(await postmasterPid(DATA_DIR)).toBe(running)
    expect(await second.stop()).toBe(0)
  })

  test('stops with a real terminal', async () => {
    const DATA_DIR = join(await temporaryFolder(), 'data')
    await copyCreated(DATA_DIR)
    const { execPath } = process
    const terminal = spawn('script', ['-qec', `'${execPath}' '${entry}'`, '/dev/null'], {
      env: { ...process.env, DATA_DIR, PORT: '0' },
    })
    let output = ''
    for await (const chunk of terminal.stdout) {
      output += chunk
      if (output.includes('Press Ctrl-C')) break
    }
    terminal.kill('SIGKILL')
    await until(() =>
      postmasterPid(DATA_DIR).then(
        () => false,
        () => true,
      ),
    )
  })
})
