import type { RequestContext } from '../services.ts'
import { lastHop } from './forwarded.ts'

type Request = Pick<RequestContext, 'env' | 'req'>

/**
 * Returns the URL under which the client reaches the API, without a slash at its end: PUBLIC_URL, or else the origin of the
 * request. With TRUST_PROXY the origin is what the proxy has forwarded.
 */
export function baseUrl(c: Request): string {
  if (c.env.settings.PUBLIC_URL) return c.env.settings.PUBLIC_URL
  const { protocol, host } = new URL(c.req.url)
  const scheme = forwardedScheme(c) ?? protocol.slice(0, -1)
  return new URL(`${scheme}://${forwardedHost(c) ?? host}`).origin
}

/** Returns a path of the API with the prefix of PUBLIC_URL, which a proxy removes from requests. */
export const publicPath = ({ env: { settings } }: Request, path: string): string =>
  settings.PUBLIC_URL ? new URL(settings.PUBLIC_URL + path).pathname : path

/** Tells whether the client's own connection is HTTPS. Without any information it is not. */
export function isHttps(c: Request): boolean {
  const scheme = forwardedScheme(c) ?? c.env.settings.PUBLIC_URL?.split(':')[0]
  return c.env.isHttps ?? scheme === 'https'
}

function forwardedScheme(c: Request) {
  const scheme = lastHop(c, 'X-Forwarded-Proto')?.toLowerCase()
  return scheme === 'https' || scheme === 'http' ? scheme : undefined
}

/** Returns the host, with its port if it has one. Anything else than a host is ignored, since it becomes part of URLs. */
function forwardedHost(c: Request) {
  const host = lastHop(c, 'X-Forwarded-Host') ?? ''
  const isHost = /^([\w.-]+|\[[\da-f:.]+\])(:([1-9]\d{0,4})?)?$/i.test(host) && URL.canParse(`http://${host}`)
  return isHost ? host : undefined
}
