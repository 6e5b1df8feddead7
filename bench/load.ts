import { connect } from 'node:net'

type Request = { path: string; token: string }

/**
 * Sends GET requests for some milliseconds, one at a time on each connection, and returns the number of responses. It
 * understands no more of HTTP than Docket's JSON needs, because it shares the cores with the servers that it measures.
 */
export async function load(host: string, port: number, connections: number, ms: number, next: () => Request) {
  const end = performance.now() + ms
  const counts = Array.from({ length: connections }, () => loadConnection(host, port, end, next))
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

function loadConnection(host: string, port: number, end: number, next: () => Request) {
  return new Promise<number>((resolve, reject) => {
    let count = 0
    let received = ''
    const send = () => {
      const { path, token } = next()
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    }
    const socket = connect(port, host, send).setNoDelay().setEncoding('latin1')
    socket.on('data', (chunk) => {
      received += chunk
      if (!isComplete(received)) return
      if (!received.startsWith('HTTP/1.1 200 ')) return void socket.destroy(new Error(received))
      received = ''
      count++
      if (performance.now() < end) send()
      else socket.end(() => resolve(count))
    })
    socket.once('error', reject)
  })
}

function isComplete(response: string) {
  const bodyStart = response.indexOf('\r\n\r\n') + 4
  const length = /\r\ncontent-length: (\d+)/i.exec(response)?.[1]
  return bodyStart >= 4 && length !== undefined && response.length >= bodyStart + Number(length)
}
