import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request as send } from 'node:http'
import { type AddressInfo, connect as dial } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { createPeople, expectWhole, startLoad } from '../support/load.ts'
import { startServer } from '../support/process.ts'

// Servers that stop or crash under load.

/** Starts a load balancer that keeps connections alive and tries the next server if one refuses to connect. */
async function startBalancer(targets: string[]) {
  const agent = new Agent({ keepAlive: true })
  let next = 0
  const server = createServer(async (request, response) => {
    const body = await buffer(request)
    for (let tries = 0; tries < 20; tries++) {
      const target = targets[next++ % targets.length] as string
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const { method, headers } = request
        const sent = send(target + request.url, { agent, method: method as string, headers }, resolve)
        sent.on('error', reject).end(body)
      }).catch((error) => error)
      if (answer.code === 'ECONNREFUSED') continue
      if (answer instanceof Error) return response.destroy()
      const { connection, 'keep-alive': _, ...headers } = answer.headers
      return answer.pipe(response.writeHead(answer.statusCode, headers))
    }
    response.destroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function openLoad() {
  const DATABASE_URL = await cloneDatabase()
  const { db, close } = connect(DATABASE_URL, { max: 1 })
  const people = await createPeople(db, 10)
  await close()
  const owner = postgres(DATABASE_URL, { max: 1 })
  onTestFinished(() => owner.end())
  const start = () => {
    const server = startServer({ DATABASE_URL, RATE_LIMITS: 'off', LOG_LEVEL: 'warn' })
    onTestFinished(async () => void (await server.stop('SIGKILL')))
    return server
  }
  return { people, owner, start }
}

test('a rolling restart of two servers loses no request', async () => {
  const { people, owner, start } = await openLoad()
  const servers = [start(), start()]
  const targets = await Promise.all(servers.map((server) => server.url()))
  const load = startLoad(await startBalancer(targets), people)
  await load.more(200)
  for (const [index, server] of servers.entries()) {
    expect(await server.stop()).toBe(0)
    await load.more(50)
    targets[index] = await start().url()
    await load.more(100)
  }
  const told = await load.stop()
  expect(load.outcomes.filter(({ status }) => !status || status >= 300)).toEqual([])
  await expectWhole(owner, told)
})

test('a stopping server closes kept connections after their next response', async () => {
  const { start } = await openLoad()
  const server = start()
  const { port } = new URL(await server.url())
  const kept = dial(Number(port), '127.0.0.1')
  const ask = () => kept.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  ask()
  await once(kept, 'data')
  const stopped = server.stop()
  const refused = async () => {
    for (;;) {
      const socket = dial(Number(port), '127.0.0.1')
      const outcome = await Promise.race([once(socket, 'connect'), once(socket, 'error')]).catch((error) => [error])
      socket.destroy()
      if (outcome[0]?.code === 'ECONNREFUSED') return
    }
  }
  await refused()
  const rest = text(kept)
  ask()
  expect(await rest).toMatch(/^HTTP\/1.1 200 OK\r\n.*connection: close\r\n/is)
  expect(await stopped).toBe(0)
})

test('a killed server leaves no change half done', async () => {
  const { people, owner, start } = await openLoad()
  for (let round = 0; round < 3; round++) {
    const server = start()
    const load = startLoad(await server.url(), people, 1)
    await load.more(100 + 37 * round)
    await server.stop('SIGKILL')
    const told = await load.stop()
    // What it had sent may still be at work.

    while (
      (await owner`select from pg_stat_activity where application_name = 'docket' and datname = current_database()`)
        .length
    );
    expect(told.length).toBeGreaterThan(0)
    await expectWhole(owner, told)
  }
})
