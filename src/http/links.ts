import type { RequestContext } from '../services.ts'

/** Returns the URL of the request, as the client knows it, with another cursor. */
export function pageUrl(c: RequestContext, cursor: string): string {
  const url = new URL(c.req.url)
  const scheme = c.env.settings.TRUST_PROXY ? c.req.header('X-Forwarded-Proto')?.split(',').at(-1)?.trim() : undefined
  if (scheme === 'https' || scheme === 'http') url.protocol = scheme
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  url.searchParams.set('cursor', cursor)
  return url.href
}

/** Sets the `Link` header (RFC 8288) to the pages that exist. */
export function setLinks(c: RequestContext, next: string | null, previous: string | null) {
  const links = [next && `<${next}>; rel="next"`, previous && `<${previous}>; rel="prev"`].filter(Boolean)
  if (links.length > 0) c.header('Link', links.join(', '))
}
