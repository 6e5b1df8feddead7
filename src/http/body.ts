import type { RequestContext } from '../services.ts'
import { isJson } from './media-type.ts'
import { invalidRequest, Problem } from './problem.ts'
import { unknownFields } from './validation.ts'

/** The largest body that is read, in bytes. */
const MAX_BODY = 256 * 1024

/**
 * Reads the body as a JSON object of one of some media types; undefined if there is none and no type is expected. Throws 413, 415, or 400 for a body that
 * is not JSON in UTF-8 (`c.req.json()` would turn invalid bytes into U+FFFD, and two passwords into one).
 */
export async function readBody(c: RequestContext, types: string[]): Promise<object | undefined> {
  const isExpected = types.length > 0
  const bytes = await c
    .get('pauseTimeout')(() => readBytes(c.req.raw))
    .catch(rejectBroken)
  if (!isExpected && isBlank(bytes)) return undefined
  assertJson(c, isExpected ? types : ['application/json'])
  const value = parseJson(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('malformed_request', { detail: 'The body must be a JSON object.' })
  }
  if (!isExpected && Object.keys(value).length > 0) throw invalidRequest(unknownFields(Object.keys(value), 'body'))
  return value
}

/** Reads the bytes of a body. `Content-Length` is believed only where HTTP itself holds the body to it. */
async function readBytes(request: Request): Promise<Uint8Array> {
  const length = request.headers.get('Content-Length')
  if (length !== null && /^\d+$/.test(length) && !request.headers.has('Transfer-Encoding')) {
    if (Number(length) > MAX_BODY) throw new Problem('payload_too_large')
    const bytes = new Uint8Array(await request.arrayBuffer())
    if (bytes.length > MAX_BODY) throw new Problem('payload_too_large')
    return bytes
  }
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  // Not cancelled, because that would close the connection before the client has read its response.
  for await (const chunk of request.body?.values({ preventCancel: true }) ?? []) {
    size += chunk.length
    if (size > MAX_BODY) throw new Problem('payload_too_large')
    chunks.push(chunk)
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer())
}

function rejectBroken(error: unknown): never {
  throw error instanceof Problem ? error : new Problem('malformed_request', { detail: 'The body ended too early.' })
}

/** Tells whether a body counts as no body. Clients send `null` or `""` when they have nothing to send. */
const isBlank = (bytes: Uint8Array) => ['', 'null', '""'].includes(new TextDecoder().decode(bytes).trim())

/** Throws 415, with the types or encodings that are accepted (RFC 9110, 15.5.16), unless the body is uncompressed JSON. */
function assertJson({ req }: RequestContext, types: string[]) {
  const encodings = (req.header('Content-Encoding') ?? '').split(',').map((encoding) => encoding.trim().toLowerCase())
  if (encodings.some((encoding) => encoding !== '' && encoding !== 'identity')) {
    const headers = { 'Accept-Encoding': 'identity' }
    throw new Problem('unsupported_media_type', { detail: 'The body must not be compressed.', headers })
  }
  if (isJson(req.header('Content-Type') ?? '', types)) return
  const names = req.method === 'PATCH' ? ['Accept', 'Accept-Patch'] : ['Accept']
  const headers = Object.fromEntries(names.map((name) => [name, types.join(', ')]))
  throw new Problem('unsupported_media_type', { detail: `The body must be ${types.join(' or ')}.`, headers })
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new Problem('malformed_request', { detail: 'The body is not JSON in UTF-8.' })
  }
}
