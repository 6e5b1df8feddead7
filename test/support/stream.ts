import type { Docket, Json } from './fixtures.ts'

export type Person = Awaited<ReturnType<Docket['createUser']>>

/** What people do to assignments, each a millisecond after the one before, and what they then hear of it. */
export function verbsOf({ call, advance }: Docket) {
  const create = async ({ token }: Person, fields: object = {}): Promise<Json> => {
    advance(1)
    return (await call('POST', '/assignments/', { token, body: { name: 'x', ...fields } })).body
  }
  const change = ({ token }: Person, { id }: Json, fields: object) => {
    advance(1)
    return call('PATCH', `/assignments/${id}/`, { token, body: fields })
  }
  const remove = ({ token }: Person, { id }: Json) => call('DELETE', `/assignments/${id}/`, { token })

  /** What a person gets in one page; with a cursor, after it. */
  async function poll({ token }: Person, cursor?: string, query: Record<string, string> = {}) {
    const given = { limit: '100', ...(cursor !== undefined && { cursor }), ...query }
    return (await call('GET', `/assignments/events/?${new URLSearchParams(given)}`, { token })).body as {
      next: string
      results: Json[]
    }
  }

  return { create, change, remove, poll }
}

/** Events in short. */
export const told = (results: Json[]) => results.map(({ kind, version }) => `${kind} ${version}`)

/** One block of a stream of server-sent events: its fields, and its comments under ''. */
export type Block = { event?: string; id?: string; data?: string; retry?: string; comment?: string }

/** Reads a stream of server-sent events block by block, as HTML's standard (9.2.6) splits it; knows the last id, as a client does. */
export function readStream(body: ReadableStream<Uint8Array> | null) {
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  let lastId: string | undefined

  /** The next block; undefined at the end, also where the connection breaks. */
  async function next(): Promise<Block | undefined> {
    for (;;) {
      const end = text.indexOf('\n\n')
      if (end >= 0) {
        const block = parse(text.slice(0, end))
        text = text.slice(end + 2)
        lastId = block.id ?? lastId
        return block
      }
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
      if (done) return undefined
      text += decoder.decode(value, { stream: true })
    }
  }

  /** The next block that has data. */
  async function nextEvent(): Promise<Block | undefined> {
    for (;;) {
      const block = await next()
      if (!block || block.data !== undefined) return block
    }
  }

  /** So many events; fewer where the stream ends before. */
  async function take(count: number) {
    const events: Block[] = []
    while (events.length < count) {
      const event = await nextEvent()
      if (!event) break
      events.push(event)
    }
    return events
  }

  return { next, nextEvent, take, lastId: () => lastId, cancel: () => reader.cancel() }
}

function parse(text: string): Block {
  return Object.fromEntries(
    text.split('\n').map((line) => {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) as RegExpExecArray
      return [name || 'comment', value]
    }),
  )
}
