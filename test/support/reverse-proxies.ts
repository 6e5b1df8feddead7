import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, request as send } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'
import { temporaryFolder } from './process.ts'
import { until } from './wait.ts'

type Site = { folder: string; port: number; certificate: string; key: string; prefix: string }

/** How the examples in docs/deploy-node.md become configurations. Only what surrounds an example is added. */
const proxies = {
  nginx: {
    program: '/usr/sbin/nginx',
    toConfig: (example: string, { folder, port, certificate, key, prefix }: Site) => `
daemon off; pid ${folder}/pid; error_log ${folder}/log; ${forRoot('user root;')}
events {}
http {
  access_log off; include /etc/nginx/mime.types;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key};
    ${prefix ? example.replace('location /', `location ${prefix}/`).replace(/(proxy_pass .*);/, '$1/;') : example}
  }
}`,
    toArguments: (file: string, folder: string) => ['-p', folder, '-e', join(folder, 'log'), '-c', file],
  },
  apache: {
    program: '/usr/sbin/apache2',
    toConfig: (example: string, { folder, port, certificate, key, prefix }: Site) => `
${['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'headers', 'filter', 'deflate', 'ssl']
  .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  .join('\n')}
ServerName localhost
PidFile ${folder}/pid
ErrorLog ${folder}/log
DefaultRuntimeDir ${folder}
${forRoot('User www-data')}
Listen 127.0.0.1:${port}
<VirtualHost *:${port}>
SSLEngine on
SSLCertificateFile ${certificate}
SSLCertificateKeyFile ${key}
${prefix ? example.replace('"/"', `"${prefix}/"`) : example}
</VirtualHost>`,
    toArguments: (file: string, folder: string) => ['-d', folder, '-f', file, '-DFOREGROUND'],
  },
  caddy: {
    program: '/usr/bin/caddy',
    toConfig: (example: string, { port, certificate, key, prefix }: Site) => `
{
  admin off
  grace_period 1s
  auto_https disable_redirects
}
${(prefix ? example.replace(/reverse_proxy .*/, (line) => `handle_path ${prefix}/* {\n${line}\n}`) : example).replace(
  'docket.example.com {',
  `https://localhost:${port} {\ntls ${certificate} ${key}`,
)}`,
    toArguments: (file: string) => ['run', '--adapter', 'caddyfile', '--config', file],
  },
}

export type ProxyName = keyof typeof proxies

/** Tells whether a proxy is installed. In CI it must be. */
export function isInstalled(name: ProxyName) {
  const { program } = proxies[name]
  const isFound = existsSync(program)
  if (!isFound) console.log(`Without ${program}, the tests behind ${name} are skipped.`)
  return isFound || Boolean(process.env.CI)
}

/** Reserves a free port on which a proxy will serve HTTPS for `localhost`. */
export async function prepareSite({ prefix = '' } = {}) {
  const folder = await temporaryFolder()
  const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key]
  await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...newKey, '-out', certificate, ...subject])
  setDefaultCACertificates([...getCACertificates('default'), await readFile(certificate, 'utf8')])
  const port = await freePort()
  return { folder, certificate, key, port, prefix, origin: `https://localhost:${port}` }
}

/** Runs a proxy with its example of docs/deploy-node.md in front of a server, until the end of the test. `edit` changes the example. */
export async function startReverseProxy(
  name: ProxyName,
  target: string,
  site: Site,
  edit = (example: string) => example,
) {
  const { program, toConfig, toArguments } = proxies[name]
  const docs = await readFile(new URL('../../docs/deploy-node.md', import.meta.url), 'utf8')
  const example = new RegExp(`^\`\`\`${name}\n(.*?)^\`\`\`$`, 'ms').exec(docs)?.[1]
  if (!example?.includes('127.0.0.1:8000')) throw new Error(`docs/deploy-node.md has no example for ${name}`)
  const file = join(site.folder, 'config')
  await writeFile(file, toConfig(edit(example), site).replaceAll('127.0.0.1:8000', new URL(target).host))

  const child = spawn(program, toArguments(file, site.folder), { env: { HOME: site.folder, PATH: process.env.PATH } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const exited = once(child, 'close')
  onTestFinished(async () => {
    child.kill()
    await exited
  })
  await until(async () => {
    if (child.exitCode !== null)
      throw new Error(`${name} exited:\n${output}${await readFile(join(site.folder, 'log'), 'utf8')}`)
    return canConnect(site.port)
  })
}

/** Starts a proxy that compresses everything with npm's `compression`, as dev servers do. Returns its URL. */
export async function startCompressingProxy(target: string) {
  const compress = createRequire(import.meta.url)('compression')({ threshold: 0 })
  const server = createServer((request, response) =>
    compress(request, response, () => {
      const { method = '', headers, url } = request
      const forwarded = send(target + url, { method, headers }, (result) =>
        result.pipe(response.writeHead(result.statusCode as number, result.headers)),
      )
      request.pipe(forwarded)
      response.on('close', () => forwarded.destroy())
    }),
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Returns a line that only root needs: without it, worker processes could not read the folder. */
const forRoot = (line: string) => (process.getuid?.() === 0 ? line : '')

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const canConnect = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => resolve(false)).on('connect', () => resolve(socket.end() !== undefined))
  })
