import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../src/node/embedded-postgres.ts'
import { cloneDatabase } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'
import { until } from '../support/wait.ts'

const nginx = '/usr/sbin/nginx'
const isMissing = !existsSync(nginx) && !process.env.CI
if (isMissing) console.log(`Without ${nginx}, the test of oversized bodies behind it is skipped.`)

test.skipIf(isMissing)('an oversized body behind nginx gets a 413', async () => {
  const server = startServer({ DATABASE_URL: await cloneDatabase(), LOG_LEVEL: 'error' })
  // nginx sends the body as HTTP/1.0 with `Connection: close` by default, and as it comes or after it is complete.
  const proxies = await Promise.all([
    startNginx(await server.url(), 'proxy_request_buffering off;'),
    startNginx(await server.url(), 'proxy_request_buffering on;'),
    startNginx(
      await server.url(),
      'proxy_request_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";',
    ),
  ])
  const body = new Uint8Array(20_000_000).fill(120)
  const headers = { 'Content-Type': 'application/json' }
  for (const url of proxies) {
    const send = async (init: object) =>
      (await fetch(`${url}/accounts/login/`, { method: 'POST', headers, ...init } as RequestInit)).status
    for (let times = 0; times < 5; times++) {
      expect(await send({ body })).toBe(413)
      expect(await send({ body: new Blob([body]).stream(), duplex: 'half' })).toBe(413)
    }
  }
  expect(await server.stop()).toBe(0)
})

/** Starts nginx in front of a server, and returns its URL. */
async function startNginx(target: string, options: string) {
  const [folder, port] = [await temporaryFolder(), await freePort()]
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const config = `
    daemon off;
    pid ${folder}/pid;
    error_log stderr;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    events {}
    http {
      access_log off;
      client_max_body_size 0;
      ${paths.join(' ')}
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass ${target}; ${options} }
      }
    }`
  await mkdir(join(folder, 'logs'))
  await writeFile(join(folder, 'nginx.conf'), config)
  const child = spawn(nginx, ['-p', folder, '-c', 'nginx.conf'], { stdio: 'ignore' })
  onTestFinished(() => void child.kill())
  const url = `http://127.0.0.1:${port}`
  await until(() =>
    fetch(`${url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return url
}
