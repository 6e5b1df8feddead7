import { expect, test } from 'vitest'
import { formatSse, type SseMessage } from '../../src/events/sse.ts'

test.each<[SseMessage, string]>([
  [{ retry: 2000, id: 'a' }, 'retry: 2000\nid: a\n'],
  [{ data: '{"id":1}', id: 'a', event: 'changed' }, 'event: changed\ndata: {"id":1}\nid: a\n\n'],
  [{ comment: 'still here' }, ': still here\n'],
  [{ id: 'a', comment: 'still here' }, ': still here\nid: a\n'],
  [{ id: undefined, comment: 'still here' }, ': still here\n'],
  [{ data: '' }, 'data: \n\n'],
  [{ data: 'one\ntwo\r\nthree\rfour' }, 'data: one\ndata: two\ndata: three\ndata: four\n\n'],
])('a server-sent event is formatted as text: %j', (message, text) => {
  expect(formatSse(message)).toBe(text)
})
