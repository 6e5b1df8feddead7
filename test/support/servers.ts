import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import postgres from 'postgres'
import { onTestFinished } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { cloneDatabase } from './fixtures.ts'
import { createPeople } from './load.ts'
import { startServer } from './process.ts'

/** Opens a database with ten people, over which a test can start servers. They are killed after the test. */
export async function openServers() {
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

/** Starts a load balancer that keeps connections alive, and tries the next server if one refuses to connect. */
export async function startBalancer(targets: string[]) {
  const agent = new Agent({ keepAlive: true })
  let next = 0
  const forward = (url: string, { method, headers }: IncomingMessage, body: Buffer) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const forwarded = send(url, { agent, method: method as string, headers }, resolve)
      forwarded.on('error', reject).end(body)
    })

  const server = createServer(async (request, response) => {
    const body = await buffer(request)
    for (let attempt = 0; attempt < 20; attempt++) {
      const target = targets[next++ % targets.length] as string
      const result = await forward(target + request.url, request, body).catch((error) => error)
      if (result.code === 'ECONNREFUSED') continue
      if (result instanceof Error) return response.destroy()
      const { connection, 'keep-alive': _, ...headers } = result.headers
      return result.pipe(response.writeHead(result.statusCode, headers))
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

/** Starts a proxy that removes a path prefix. Other paths are 404. */
export async function startPrefixProxy(prefix: string, target: string) {
  const server = createServer(({ url = '', method, headers }, response) => {
    if (!url.startsWith(`${prefix}/`)) return response.writeHead(404).end()
    const forwarded = send(target + url.slice(prefix.length), { method: method as string, headers }, (result) =>
      result.pipe(response.writeHead(result.statusCode as number, result.headers)),
    )
    return forwarded.end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
