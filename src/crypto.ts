import { sha256 as hashBytes } from '@noble/hashes/sha2.js'
import { generateRandomString, type RandomReader } from '@oslojs/crypto/random'
import { v7 } from 'uuid'

const random: RandomReader = { read: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>) }

/** Returns an unguessable string, with every character of the alphabet equally likely. */
export const randomString = (alphabet: string, length: number) => generateRandomString(random, alphabet, length)

/** Returns unguessable bytes. */
export const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length))

/** Returns the SHA-256 of a text. Enough to store a token or a code, since both are long and random. */
export const sha256 = (text: string) => hashBytes(new TextEncoder().encode(text))

/** Returns a new UUIDv7 (RFC 9562). Such ids sort by the millisecond in which they were made. */
export const newId = (now: Date) => v7({ msecs: now.getTime() })

/** Returns the lowest UUIDv7 of an RFC 3339 time: earlier ids sort before it, later ids do not. */
export function lowestIdAt(time: string): string {
  const hex = Math.max(0, Date.parse(time)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

/** Returns the RFC 3339 time at which a UUIDv7 was made. For another kind of UUID the time is meaningless but valid. */
export const idTime = (id: string): string =>
  new Date(Math.min(Number.parseInt(id.replace('-', '').slice(0, 12), 16), Date.UTC(9999, 0))).toISOString()
