import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { openServers } from '../support/servers.ts'
import { readStream } from '../support/stream.ts'
import { until } from '../support/wait.ts'

// test/slow/crashes.test.ts kills servers.

test('a stopping server closes kept connections after a response', async () => {
  const { start } = await openServers()
  const server = start()
  const { port } = new URL(await server.url())
  const kept = dial(Number(port), '127.0.0.1')
  onTestFinished(() => void kept.destroy())
  const sendRequest = () => kept.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  sendRequest()
  await once(kept, 'data')
  const stopped = server.stop()
  const refusesConnections = async () => {
    const socket = dial(Number(port), '127.0.0.1')
    const error = await once(socket, 'connect').then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error,
    )
    socket.destroy()
    return error?.code === 'ECONNREFUSED'
  }
  await until(refusesConnections)
  const rest = text(kept)
  sendRequest()
  expect(await rest).toMatch(/^HTTP\/1.1 200 OK\r\n.*connection: close\r\n/is)
  expect(await stopped).toBe(0)
})

test('a stopping server ends streams and tells clients when to reconnect', async () => {
  const { people, start } = await openServers()
  const server = start()
  const headers = { Authorization: `Bearer ${people[0]?.token}`, Accept: 'text/event-stream' }
  const response = await fetch(`${await server.url()}/assignments/events/`, { headers })
  expect(response.headers.get('X-Accel-Buffering')).toBe('no')
  const stream = readStream(response.body)
  await stream.next()
  const stopped = server.stop()
  expect(await stream.next()).toEqual({ retry: expect.stringMatching(/^[1-5]\d{3}$/) })
  expect(await stream.next()).toBeUndefined()
  expect(await stopped).toBe(0)
  expect(server.output()).not.toMatch(/Error/)
})
