import { chmod, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createSignupBody, PASSWORD, post } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'

const postmasterOf = async (folder: string) =>
  Number((await readFile(join(folder, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n')[0])

describe('with the embedded PostgreSQL', () => {
  test('a project that stands where nobody but its user may enter is served', async () => {
    const [root, folder] = [new URL('../..', import.meta.url).pathname, await temporaryFolder()]
    await chmod(folder, 0o700)
    for (const part of ['package.json', 'src', 'drizzle'])
      await cp(join(root, part), join(folder, part), { recursive: true })
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    const program = ['--preserve-symlinks', '--preserve-symlinks-main', join(folder, 'src/node.ts')]
    const server = startServer({ DATA_DIR: join(folder, '.data') }, [], program)
    expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await server.stop()).toBe(0)
  })

  test('a stranger signs up, reads the code on the terminal, and is still known after a restart', async () => {
    const DATA_DIR = await temporaryFolder()
    const first = startServer({ DATA_DIR })
    const url = await first.url()
    expect(first.output()).toContain(`embedded PostgreSQL in ${DATA_DIR}`)
    expect(await post(`${url}/accounts/signup/`, createSignupBody('ada@example.com'))).toMatchObject({ status: 202 })
    const [code] = await first.printed(/(?<=│ )[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/m)
    expect(await post(`${url}/accounts/activate-account/`, { code })).toMatchObject({ status: 200 })
    expect(await first.stop('SIGINT')).toBe(0)
    await expect(postmasterOf(DATA_DIR)).rejects.toThrow('ENOENT')

    const second = startServer({ DATA_DIR })
    const again = await second.url()
    const login = await post(`${again}/accounts/login/`, { email: 'ada@example.com', password: PASSWORD })
    expect(login.status).toBe(200)
    const { token } = (await login.json()) as { token: string }

    // Another start in the same folder says so and ends, and harms nothing.
    const rival = startServer({ DATA_DIR })
    expect(await rival.ended).toBe(1)
    expect(rival.output()).toContain(`Another Docket is using ${join(DATA_DIR, 'postgres')}`)
    const headers = { Authorization: `Bearer ${token}` }
    expect(await fetch(`${again}/accounts/`, { headers })).toMatchObject({ status: 200 })

    // Killed, it leaves its PostgreSQL behind, which the next start takes over with all that was written.
    expect(await second.stop('SIGKILL')).toBe(null)
    const orphan = await postmasterOf(DATA_DIR)
    const third = startServer({ DATA_DIR })
    expect(await fetch(`${await third.url()}/accounts/`, { headers })).toMatchObject({ status: 200 })
    expect(await postmasterOf(DATA_DIR)).toBe(orphan)

    // Killed together with its PostgreSQL, it starts again all the same.
    process.kill(orphan, 'SIGKILL')
    await third.stop('SIGKILL')
    const fourth = startServer({ DATA_DIR })
    expect(await fetch(`${await fourth.url()}/accounts/`, { headers })).toMatchObject({ status: 200 })
    expect(await fourth.stop()).toBe(0)
  })

  test('a pid file of a process that is something else by now stops nothing', async () => {
    const DATA_DIR = await temporaryFolder()
    const first = startServer({ DATA_DIR })
    await first.url()
    const file = join(DATA_DIR, 'postgres/cluster/postmaster.pid')
    const pids = await readFile(file, 'utf8')
    expect(await first.stop()).toBe(0)
    await writeFile(file, pids.replace(/^\d+/, String(process.pid)))
    const second = startServer({ DATA_DIR })
    await second.url()
    expect(await second.stop()).toBe(0)
  })

  test('two first starts at the same time: one serves, one says so', async () => {
    const DATA_DIR = await temporaryFolder()
    const servers = [startServer({ DATA_DIR }), startServer({ DATA_DIR })] as const
    const outcomes = await Promise.all(
      servers.map((server) => Promise.race([server.url().catch(() => 'ended'), server.ended.then(() => 'ended')])),
    )
    expect(outcomes.filter((outcome) => outcome === 'ended')).toHaveLength(1)
    const [winner, loser] = outcomes[0] === 'ended' ? [servers[1], servers[0]] : servers
    expect(loser.output()).toContain('Another Docket is using')
    expect(await winner.stop()).toBe(0)
  })

  test('a folder that cannot be used is named, in a sentence', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, '')
    for (const DATA_DIR of ['/proc/docket', '/dev/null', file, join(file, 'below')]) {
      const server = startServer({ DATA_DIR })
      expect(await server.ended).toBe(1)
      expect(server.output()).toMatch(
        /^Docket did not start\.\nDATA_DIR must be a folder .* It cannot write to .* \(E[A-Z]+\)\./,
      )
    }
  })

  test('a folder may have any name', async () => {
    const DATA_DIR = join(await temporaryFolder(), `a $HOME "b" \`id\` 'c' é`)
    const server = startServer({ DATA_DIR })
    await server.url()
    expect(await server.stop()).toBe(0)
  })

  test('a taken port is named, with how to choose another, and PostgreSQL is stopped again', async () => {
    const DATA_DIR = await temporaryFolder()
    const taken = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void taken.close())
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const server = startServer({ DATA_DIR, PORT: String(port) })
    expect(await server.ended).toBe(1)
    expect(server.output()).toContain(`Port ${port} on 127.0.0.1 is already in use. Choose another port: PORT=`)
    await expect(postmasterOf(DATA_DIR)).rejects.toThrow('ENOENT')
  })

  test.runIf(process.getuid?.() === 0)('root can run it in a folder that nobody else may enter', async () => {
    const folder = await temporaryFolder()
    const home = join(folder, 'private')
    await mkdir(home)
    await chmod(home, 0o700)
    const DATA_DIR = join(home, '.data')
    const server = startServer({ DATA_DIR })
    expect(await fetch(`${await server.url()}/readyz`)).toMatchObject({ status: 200 })
    expect(await server.stop()).toBe(0)
  })
})
