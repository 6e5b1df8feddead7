import { readFile } from 'node:fs/promises'

const CHUNK_BYTES = 64 * 1024

const files = new Map<string, Promise<Uint8Array>>()

/**
 * Returns a file of Swagger UI, which is read from the disk once. It is streamed in chunks, so that a response buffers no
 * more than its client is about to read.
 */
export async function getAsset(name: string): Promise<Response> {
  const file = files.get(name) ?? readFile(new URL(import.meta.resolve(`swagger-ui-dist/${name}`)))
  files.set(name, file)
  return new Response(ReadableStream.from(chunksOf(await file)))
}

function* chunksOf(bytes: Uint8Array) {
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) yield bytes.subarray(start, start + CHUNK_BYTES)
}
