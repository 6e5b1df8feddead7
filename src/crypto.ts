import { generateRandomString, type RandomReader } from '@oslojs/crypto/random'
import { sha256 } from '@oslojs/crypto/sha2'
import { v7 } from 'uuid'

const source: RandomReader = { read: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>) }

/** Unguessable letters, each drawn alike from the alphabet. */
export const randomString = (alphabet: string, length: number) => generateRandomString(source, alphabet, length)

export const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length))

/** SHA-256 of a text: all that is stored of a token or a code, and enough, since both are long and random. */
export const digest = (text: string) => sha256(new TextEncoder().encode(text))

/** A UUIDv7 (RFC 9562): ids sort by the instant they are made at, to the millisecond. */
export const newId = (now: Date) => v7({ msecs: now.getTime() })

/** What all ids made from an instant on are not below, and all made before it are. */
export function firstIdAt(instant: string): string {
  const time = Math.max(0, Date.parse(instant)).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`
}

/** The instant that an id was made at; for an id of another kind, any instant. */
export const timeOf = (id: string): string =>
  new Date(Math.min(Number.parseInt(id.replace('-', '').slice(0, 12), 16), Date.UTC(9999, 0))).toISOString()
