import type { RequestContext } from '../services.ts'
import { setHeader } from './headers.ts'
import { baseUrl } from './origin.ts'

/** Returns the URL of the request, as the client knows it, with another cursor and without the given parameters. */
export function pageUrl(c: RequestContext, cursor: string, removed: string[] = []): string {
  const { pathname, searchParams } = new URL(c.req.url)
  for (const name of removed) searchParams.delete(name)
  searchParams.set('cursor', cursor)
  return `${baseUrl(c)}${pathname.replace(/\/?$/, '/')}?${searchParams}`
}

/** The longest `Link` header, in bytes. nginx reads all headers of a response into 4 KiB, and answers 502 if they are longer. */
const MAX_LINK = 2048

/** Sets the `Link` header (RFC 8288) to the pages that exist, unless it would be too long. The body has the same URLs. */
export function setLinks(c: RequestContext, next: string | null, previous: string | null) {
  const links = [next && `<${next}>; rel="next"`, previous && `<${previous}>; rel="prev"`].filter(Boolean)
  const header = links.join(', ')
  if (header !== '' && header.length <= MAX_LINK) setHeader(c, 'Link', header)
}
