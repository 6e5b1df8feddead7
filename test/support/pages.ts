import { expect } from 'vitest'
import type { Json } from './fixtures.ts'

type Page = { results: { id: string }[]; next: string | null; previous: string | null }

const idsOf = ({ results }: Page) => results.map(({ id }) => id)

/** Follows `next` from the first page to the last one, and `previous` back. Returns the ids in list order of both ways. */
export async function walkPages(getPage: (url: string) => Promise<{ body: Json }>, url: string) {
  const read = async (url: string) => (await getPage(url)).body as Page
  let page = await read(url)
  expect(page.previous).toBe(null)
  const forward = idsOf(page)
  while (page.next) {
    page = await read(page.next)
    forward.push(...idsOf(page))
  }
  const backward = idsOf(page)
  while (page.previous) {
    page = await read(page.previous)
    backward.unshift(...idsOf(page))
  }
  return { forward, backward }
}
