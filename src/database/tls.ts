import { readFile } from 'node:fs/promises'
import { isIP, type Socket } from 'node:net'
import * as tls from 'node:tls'
import { connectTo, guard, type OpenSocket, settle, withCode } from './socket.ts'
import { type Host, InvalidDatabaseUrl, type Tls } from './url.ts'

/** PostgreSQL's request for TLS (manual, 54.7): its length and its code. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * Opens a socket with or without TLS, as the URL says. For an IP address, postgres.js would verify the certificate
 * as one of "localhost", and it would ignore root certificates. Unix sockets never have TLS, as in libpq.
 */
export const openTlsSocket: OpenSocket = async (host, settings, timeout) => {
  if (host.isSocket || settings.mode === 'disable') return guard(await connectTo(host, timeout))
  const options = await optionsOf(host, settings)
  const socket = await connectTo(host, timeout)
  if (!settings.isDirect && !(await offersTls(socket, timeout))) {
    if (settings.mode === 'prefer') return guard(socket.resume())
    socket.destroy()
    throw withCode('The server does not offer TLS.', 'TLS_REFUSED')
  }
  const secured = tls.connect({ socket, ...options })
  return guard(await settle(secured, timeout, (resolve) => secured.once('secureConnect', resolve)))
}

async function offersTls(socket: Socket, timeout: number): Promise<boolean> {
  let answer = ''
  socket.write(SSL_REQUEST)
  await settle(socket, timeout, (resolve) => {
    socket.once('data', (data: Buffer) => {
      // Nothing may be read that came before TLS: an attacker could have sent it.
      socket.pause()
      answer = data.toString('latin1')
      resolve()
    })
  })
  if (answer === 'S' || answer === 'N') return answer === 'S'
  socket.destroy()
  throw withCode('The server does not speak the protocol of PostgreSQL.', 'TLS_REFUSED')
}

async function optionsOf({ name }: Host, { mode, isDirect, sendsName, passphrase, ...settings }: Tls) {
  const { files, minVersion, maxVersion } = settings
  const isVerified = mode === 'verify-ca' || mode === 'verify-full'
  const [ca, cert, key, crl] = await Promise.all([
    files.rootCertificates === 'system' ? systemCertificates() : read('sslrootcert', files.rootCertificates),
    read('sslcert', files.certificate),
    read('sslkey', files.key),
    read('sslcrl', files.revocations),
  ])
  const host = name.replace(/\.$/, '')
  return {
    // The certificate must have this name or address.
    host,
    // RFC 6066 (3) forbids addresses.
    ...(!isIP(host) && sendsName && { servername: host }),
    rejectUnauthorized: isVerified,
    ...(mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    ...(isDirect && { ALPNProtocols: ['postgresql'] }),
    ...(isVerified && ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(crl && { crl }),
    ...(passphrase && { passphrase }),
    ...(minVersion && { minVersion: minVersion as tls.SecureVersion }),
    ...(maxVersion && { maxVersion: maxVersion as tls.SecureVersion }),
  }
}

/** Returns Node's own root certificates, and those of the operating system where Node can read them. */
function systemCertificates(): string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: 'system') => string[] }
  return [...tls.rootCertificates, ...(getCACertificates?.('system') ?? [])]
}

async function read(parameter: string, file: string | undefined) {
  if (!file) return undefined
  return readFile(file).catch(({ code }) => {
    throw new InvalidDatabaseUrl(`The file of its ${parameter} cannot be read (${code}).`)
  })
}

/** The options of connections on Node: TLS, and a probe, since connections live long there. */
export const onNode = { openSocket: openTlsSocket, probe: true }
