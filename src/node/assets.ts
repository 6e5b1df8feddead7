import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { parseAccept } from 'hono/utils/accept'
import { swaggerFile } from '../files.ts'
import type { Services, StaticFile } from '../services.ts'

const CHUNK_BYTES = 64 * 1024

/** The most compressed files that are kept. `openapi.json` has a version for each name of the server. */
const MAX_KEPT = 16

/** Reads a file of Swagger UI. */
export const readAsset: Services['asset'] = async (name) => new Uint8Array(await readFile(swaggerFile(name)))

/**
 * Returns a file compressed by Brotli or gzip, as the client prefers. A file is read and compressed once. It is streamed in
 * chunks, so that a response buffers no more than its client is about to read.
 */
export const encode: Services['encode'] = async (file, acceptEncoding) => {
  const encoding = preferredEncoding(acceptEncoding)
  const bytes = await encodedOnce(file, encoding)
  return { body: ReadableStream.from(chunksOf(bytes)), encoding }
}

type Encoding = 'br' | 'gzip' | undefined

/** Returns the encoding of the highest quality (RFC 9110, 12.5.3), and of several the smallest. */
function preferredEncoding(acceptEncoding: string): Encoding {
  const accepted = parseAccept(acceptEncoding.toLowerCase())
  const qualityOf = (name: string) =>
    (accepted.find(({ type }) => type === name) ?? accepted.find(({ type }) => type === '*'))?.q ?? 0
  const [br, gzip] = [qualityOf('br'), qualityOf('gzip')]
  const identity = accepted.find(({ type }) => type === 'identity')?.q ?? 0
  if (Math.max(br, gzip) === 0 || identity > Math.max(br, gzip)) return undefined
  return br >= gzip ? 'br' : 'gzip'
}

const kept = new Map<string, Promise<Uint8Array>>()

function encodedOnce(file: StaticFile, encoding: Encoding): Promise<Uint8Array> {
  const key = [file.type, file.version, encoding].join()
  const known = kept.get(key)
  if (known) return known
  const encoded = compress(file, encoding)
  kept.set(key, encoded)
  encoded.catch(() => kept.delete(key))
  if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value as string)
  return encoded
}

async function compress(file: StaticFile, encoding: Encoding): Promise<Uint8Array> {
  const bytes = (await file.read()) as Uint8Array
  if (encoding === 'gzip') return promisify(gzip)(bytes, { level: 9 })
  // The default quality of 11 would take five seconds for Swagger UI and save another tenth.
  const params = { [constants.BROTLI_PARAM_QUALITY]: 6, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length }
  return encoding === 'br' ? promisify(brotliCompress)(bytes, { params }) : bytes
}

function* chunksOf(bytes: Uint8Array) {
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) yield bytes.subarray(start, start + CHUNK_BYTES)
}
