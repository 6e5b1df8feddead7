import type { Docket, Json } from './fixtures.ts'

export type Person = Awaited<ReturnType<Docket['createUser']>>

/** Returns what people do with assignments, each time a second later, and how they poll for events. */
export function assignmentActions({ call, advance }: Docket) {
  const create = async ({ token }: Person, fields: object = {}): Promise<Json> => {
    advance(1)
    const { status, body } = await call('POST', '/assignments/', { token, body: { name: 'x', ...fields } })
    if (status !== 201) throw new Error(`An assignment was not created: ${status}`)
    return body
  }
  const change = ({ token }: Person, { id }: Json, fields: object) => {
    advance(1)
    return call('PATCH', `/assignments/${id}/`, { token, body: fields })
  }
  const remove = ({ token }: Person, { id }: Json) => call('DELETE', `/assignments/${id}/`, { token })

  /** Returns a page of events, after a cursor if there is one, and the cursor of the next page. */
  async function poll({ token }: Person, cursor?: string, query: Record<string, string> = {}) {
    const parameters = new URLSearchParams({ limit: '100', ...(cursor !== undefined && { cursor }), ...query })
    const { body } = await call('GET', `/assignments/events/?${parameters}`, { token })
    return { next: cursorIn(body.next), results: body.results as Json[] }
  }

  return { create, change, remove, poll }
}

/** Returns the cursor in the URL of a page. */
export const cursorIn = (url: string) => new URL(url).searchParams.get('cursor') ?? ''

/** Returns each event as its kind and version. */
export const summarize = (events: Json[]) => events.map(({ kind, version }) => `${kind} ${version}`)

/** One message of a stream of server-sent events. */
export type Block = { event?: string; id?: string; data?: string; retry?: string; comment?: string }

/** Reads a stream of server-sent events message by message, and keeps the last id as @microsoft/fetch-event-source does. */
export function readStream(body: ReadableStream<Uint8Array> | null) {
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  let lastId: string | undefined

  /** Returns the next message; undefined when the stream ends or breaks. Only one with data ends in a blank line. */
  async function next(): Promise<Block | undefined> {
    const block: Block = {}
    for (;;) {
      const end = text.indexOf('\n')
      const isEmpty = Object.keys(block).length === 0
      if (end < 0) {
        if (!isEmpty && text === '' && !block.event) return block
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
        if (done) return undefined
        text += decoder.decode(value, { stream: true })
        continue
      }
      const line = text.slice(0, end)
      if (!isEmpty && /^(:|retry:|event:)/.test(line)) return block
      text = text.slice(end + 1)
      if (line === '') return block
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) as RegExpExecArray
      block[(name || 'comment') as keyof Block] = value as string
      lastId = block.id ?? lastId
    }
  }

  /** Returns the next message with data. */
  async function nextEvent(): Promise<Block | undefined> {
    for (;;) {
      const block = await next()
      if (!block || block.data !== undefined) return block
    }
  }

  /** Returns this many events, or fewer if the stream ends. */
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
