const fields = ['comment', 'retry', 'event', 'id', 'data'] as const

/** A message of a stream of server-sent events. `retry` is in milliseconds. */
export type SseMessage = { [Field in (typeof fields)[number]]?: string | number | undefined }

/** Formats a message (WHATWG HTML, 9.2.5). A value of several lines takes a field for each. */
export function formatSse(message: SseMessage): string {
  const lines = fields.flatMap((field) => {
    const values = message[field] === undefined ? [] : String(message[field]).split(/\r\n|[\r\n]/)
    return values.map((value) => `${field === 'comment' ? '' : field}: ${value}\n`)
  })
  return `${lines.join('')}\n`
}
