import { describe, expect, test } from 'vitest'
import { openDocket } from '../support/fixtures.ts'

const CORS_ORIGINS =
  'https://App.Example.com:443/, http://localhost:5173,capacitor://localhost,Tauri://Localhost/,chrome-extension://abcdefghijklmnop,https://exämple.com,safari-web-extension://E1B2C3D4-0000-4000-8000-000000000000,http://[::1]:3000'
const { call, createUser } = await openDocket({ CORS_ORIGINS })

const preflight = (Origin: string, headers: Record<string, string> = {}) =>
  call('OPTIONS', '/accounts/', { headers: { Origin, 'Access-Control-Request-Method': 'GET', ...headers } })

const varyOf = (headers: Headers) => (headers.get('Vary') ?? '').split(/, */).sort()

describe('CORS', () => {
  test.each([
    'https://app.example.com',
    'http://localhost:5173',
    'capacitor://localhost',
    'tauri://localhost',
    'chrome-extension://abcdefghijklmnop',
    'https://xn--exmple-cua.com',
    'safari-web-extension://E1B2C3D4-0000-4000-8000-000000000000',
    'safari-web-extension://e1b2c3d4-0000-4000-8000-000000000000',
    'http://[::1]:3000',
  ])('allows the origin %s, as it was sent', async (origin) => {
    const { status, headers } = await preflight(origin)
    expect([status, headers.get('Access-Control-Allow-Origin')]).toEqual([204, origin])
    const read = await call('GET', '/accounts/', { headers: { Origin: origin } })
    expect([read.status, read.headers.get('Access-Control-Allow-Origin')]).toEqual([401, origin])
  })

  test.each([
    'https://evil.example.com',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.example',
    'http://localhost',
    'capacitor://localhost:1',
    'ionic://localhost',
    'null',
    '',
    '*',
  ])('does not allow the origin "%s"', async (origin) => {
    const { status, headers } = await preflight(origin, { 'Access-Control-Request-Headers': 'authorization' })
    expect(status).toBe(204)
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    const read = await call('GET', '/accounts/', { headers: { Origin: origin } })
    expect([...read.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    expect(varyOf(read.headers)).toEqual(['Origin'])
  })

  test('allows every header that a preflight asks for', async () => {
    const asked = 'authorization,baggage,content-type,if-match,sentry-trace,traceparent,tracestate,x-datadog-trace-id'
    const { headers } = await preflight('https://app.example.com', { 'Access-Control-Request-Headers': asked })
    expect(headers.get('Access-Control-Allow-Headers')).toBe(asked)
    expect(headers.get('Access-Control-Allow-Methods')).toBe('GET,HEAD,POST,PUT,PATCH,DELETE')
    expect(headers.get('Access-Control-Max-Age')).toBe('600')
    expect(varyOf(headers)).toEqual(['Access-Control-Request-Headers', 'Origin'])
    const plain = await preflight('https://app.example.com')
    expect(plain.headers.get('Access-Control-Allow-Headers')).toBe('Authorization,Content-Type')
  })

  test('exposes headers, without credentials, and says what the response depends on', async () => {
    const { token } = await createUser()
    const options = { token, headers: { Origin: 'https://app.example.com' } }
    for (const path of ['/accounts/', '/assignments/reports/flow/', '/nope']) {
      const { headers } = await call('GET', path, options)
      expect(headers.get('Access-Control-Expose-Headers')).toBe(
        'Content-Disposition,ETag,Link,Location,Retry-After,X-Request-Id',
      )
      expect(headers.get('Access-Control-Allow-Credentials')).toBeNull()
      expect(varyOf(headers)).toEqual(path.includes('reports') ? ['Accept', 'Origin'] : ['Origin'])
    }
    expect(varyOf((await call('GET', '/accounts/', { token })).headers)).toEqual(['Origin'])
  })

  test('leaves OPTIONS that is no preflight to the path', async () => {
    const answer = await call('OPTIONS', '/accounts/', { headers: { Origin: 'https://app.example.com' } })
    expect([answer.status, answer.headers.get('Allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('is off without CORS_ORIGINS', async () => {
    const { call } = await openDocket()
    const answer = await call('OPTIONS', '/accounts/', { headers: { Origin: 'https://app.example.com' } })
    expect(answer.status).toBe(405)
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})
