import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createSignupBody, PASSWORD, post } from '../support/fixtures.ts'
import { postmasterPid, startServer, temporaryFolder } from '../support/process.ts'

// test/slow/embedded-postgres.test.ts has the cases that need a new cluster each.

describe('a server with the embedded PostgreSQL', () => {
  test('keeps accounts across restarts and crashes', { timeout: 120_000 }, async () => {
    const DATA_DIR = await temporaryFolder()
    const first = startServer({ DATA_DIR })
    const url = await first.url()
    expect(first.output()).toContain(`embedded PostgreSQL in ${DATA_DIR}`)
    expect(await post(`${url}/accounts/signup/`, createSignupBody('ada@example.com'))).toMatchObject({ status: 202 })
    const [code] = await first.waitForOutput(/(?<=│ )[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/m)
    expect(await post(`${url}/accounts/activate-account/`, { code })).toMatchObject({ status: 200 })
    expect(await first.stop('SIGINT')).toBe(0)
    await expect(postmasterPid(DATA_DIR)).rejects.toThrow('ENOENT')

    const second = startServer({ DATA_DIR })
    const restartedUrl = await second.url()
    const login = await post(`${restartedUrl}/accounts/login/`, { email: 'ada@example.com', password: PASSWORD })
    expect(login.status).toBe(200)
    const { token } = (await login.json()) as { token: string }

    // A second server in the same folder explains the conflict and exits.
    const rival = startServer({ DATA_DIR })
    expect(await rival.exitCode).toBe(1)
    expect(rival.output()).toContain(`Another Docket is using ${join(DATA_DIR, 'postgres')}`)
    const headers = { Authorization: `Bearer ${token}` }
    expect(await fetch(`${restartedUrl}/accounts/`, { headers })).toMatchObject({ status: 200 })

    // A killed server leaves its PostgreSQL running, and the next one takes it over.
    expect(await second.stop('SIGKILL')).toBe(null)
    const orphan = await postmasterPid(DATA_DIR)
    const third = startServer({ DATA_DIR })
    expect(await fetch(`${await third.url()}/accounts/`, { headers })).toMatchObject({ status: 200 })
    expect(await postmasterPid(DATA_DIR)).toBe(orphan)

    // It also starts again after both were killed.
    process.kill(orphan, 'SIGKILL')
    await third.stop('SIGKILL')
    const fourth = startServer({ DATA_DIR })
    expect(await fetch(`${await fourth.url()}/accounts/`, { headers })).toMatchObject({ status: 200 })
    expect(await fourth.stop()).toBe(0)
  })

  test('explains that DATA_DIR cannot be written', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, '')
    const servers = ['/proc/docket', join(file, 'below')].map((DATA_DIR) => startServer({ DATA_DIR }))
    for (const server of servers) {
      expect(await server.exitCode).toBe(1)
      expect(server.output()).toMatch(
        /^Docket did not start\.\nDATA_DIR must be a folder .* It cannot write to .* \(E[A-Z]+\)\./,
      )
    }
  })

  test('explains a taken port and stops PostgreSQL again', async () => {
    const DATA_DIR = await temporaryFolder()
    const taken = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void taken.close())
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const server = startServer({ DATA_DIR, PORT: String(port) })
    expect(await server.exitCode).toBe(1)
    expect(server.output()).toContain(`Port ${port} on 127.0.0.1 is already in use. Choose another port: PORT=`)
    await expect(postmasterPid(DATA_DIR)).rejects.toThrow('ENOENT')
  })
})
