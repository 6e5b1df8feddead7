import type { z } from 'zod'
import { type Cursor, isCursorOf, readCursor, writeCursor } from '../assignments/cursors.ts'
import type { Page } from '../assignments/keyset.ts'
import type { RequestContext } from '../services.ts'
import { pageUrl, setLinks } from './links.ts'
import { Problem } from './problem.ts'

/** Decodes the `cursor` parameter. Throws 400 if it cannot be one of the list. `assertCursorOf` must follow. */
export function parseCursor(text: string | undefined, keys: z.ZodType<string[]>): Cursor | undefined {
  const cursor = text === undefined ? undefined : readCursor(text, keys)
  if (text !== undefined && !cursor) throw new Problem('invalid_cursor')
  return cursor
}

/** Throws 400 if a cursor does not belong to a list, which is known only with its caller. */
export function assertCursorOf(identity: unknown, text: string | undefined, cursor: Cursor | undefined) {
  if (text !== undefined && cursor && !isCursorOf(identity, text, cursor)) throw new Problem('invalid_cursor')
}

/** Returns the URLs of the pages around a page, and sets them as the `Link` header. They read the list as of one instant. */
export function linkPages(c: RequestContext, page: Page<unknown>, identity: unknown, as_of?: string) {
  const urlOf = (cursor: Cursor | undefined) =>
    cursor ? withAsOf(pageUrl(c, writeCursor(cursor, identity)), as_of) : null
  const links = { next: urlOf(page.next), previous: urlOf(page.previous) }
  setLinks(c, links.next, links.previous)
  return links
}

/** Writes the instant that was read into a page's URL, in place of one that was ahead of this clock. */
function withAsOf(href: string, as_of: string | undefined): string {
  if (as_of === undefined) return href
  const url = new URL(href)
  url.searchParams.set('as_of', as_of)
  return url.href
}
