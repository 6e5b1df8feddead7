import type { RequestContext } from '../services.ts'
import { baseUrl } from './origin.ts'

/** Returns the URL of the request, as the client knows it, with another cursor. */
export function pageUrl(c: RequestContext, cursor: string): string {
  const { pathname, searchParams } = new URL(c.req.url)
  searchParams.set('cursor', cursor)
  return `${baseUrl(c)}${pathname.replace(/\/?$/, '/')}?${searchParams}`
}

/** Sets the `Link` header (RFC 8288) to the pages that exist. */
export function setLinks(c: RequestContext, next: string | null, previous: string | null) {
  const links = [next && `<${next}>; rel="next"`, previous && `<${previous}>; rel="prev"`].filter(Boolean)
  if (links.length > 0) c.header('Link', links.join(', '))
}
