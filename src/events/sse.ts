const fields = ['comment', 'retry', 'event', 'data', 'id'] as const

/** A message of a stream of server-sent events. `retry` is in milliseconds. */
export type SseMessage = { [Field in (typeof fields)[number]]?: string | number | undefined }

/**
 * Formats a message (WHATWG HTML, 9.2.5). A value of several lines takes a field for each. Only a message with data ends in a
 * blank line: at each one @microsoft/fetch-event-source delivers a message, even an empty one. It reads `id` and `retry` line
 * by line, and the parsers of eventsource and event-source-polyfill ignore the id of a block without data either way. The id
 * comes last, so that a stream that breaks in the data of an event is resumed before the event.
 */
export function formatSse(message: SseMessage): string {
  const lines = fields.flatMap((field) => {
    const values = message[field] === undefined ? [] : String(message[field]).split(/\r\n|[\r\n]/)
    return values.map((value) => `${field === 'comment' ? '' : field}: ${value}\n`)
  })
  return lines.join('') + (message.data === undefined ? '' : '\n')
}
