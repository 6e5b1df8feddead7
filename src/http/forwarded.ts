import {
  convertIPv4BinaryToString,
  convertIPv4MappedIPv6ToIPv4,
  convertIPv6ToBinary,
  distinctRemoteAddr,
  isIPv4MappedIPv6,
} from 'hono/utils/ipaddr'
import type { RequestContext } from '../services.ts'

type Request = Pick<RequestContext, 'env' | 'req'>

/**
 * Returns the last hop of a header that proxies append to, the only one that the client cannot write. Without TRUST_PROXY
 * there is none. Empty elements of the list do not count (RFC 9110, 5.6.1).
 */
export function lastHop({ env, req }: Request, name: string): string | undefined {
  if (!env.settings.TRUST_PROXY) return undefined
  const hops = req
    .header(name)
    ?.split(',')
    .map((hop) => hop.trim())
  return hops?.findLast(Boolean)
}

/**
 * Returns the client that a request counts for: its IPv4 address or its IPv6 /64, since one home or server has a whole /64.
 * `X-Forwarded-For` counts only with TRUST_PROXY.
 */
export const clientOf = (c: Request): string =>
  networkOf(lastHop(c, 'X-Forwarded-For') ?? '') ?? networkOf(c.env.address) ?? 'unknown'

/** Returns the network of an address as proxies write it: also in quotes or brackets, with a port, with a zone. */
function networkOf(text: string): string | undefined {
  const address = text.replace(/^"(.*)"$/, '$1')
  const [, bracketed] = /^\[([^\]]*)\](?::\w*)?$/.exec(address) ?? []
  if (bracketed !== undefined) return parseNetwork(bracketed)
  // An IPv6 address without brackets may have a port only if it is too long without.
  return parseNetwork(address) ?? parseNetwork(address.replace(/:\w*$/, ''))
}

function parseNetwork(address: string): string | undefined {
  if (distinctRemoteAddr(address) === 'IPv4') return address
  try {
    const bits = convertIPv6ToBinary(address.replace(/%.*$/, ''))
    return isIPv4MappedIPv6(bits)
      ? convertIPv4BinaryToString(convertIPv4MappedIPv6ToIPv4(bits))
      : `${(bits >> 64n).toString(16)}/64`
  } catch {
    return undefined
  }
}
