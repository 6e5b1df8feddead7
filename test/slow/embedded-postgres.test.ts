import { chmod, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startServer, temporaryFolder } from '../support/process.ts'

const isRoot = process.getuid?.() === 0

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
    const program = ['--preserve-symlinks', '--preserve-symlinks-main', join(folder, 'src/node.ts')]
    await expectReady(startServer({ DATA_DIR: join(folder, '.data') }, [], program))
  })

  test('starts although its pid file names a foreign process', async () => {
    const DATA_DIR = await temporaryFolder()
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
})
