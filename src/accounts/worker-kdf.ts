import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { pbkdf2 } from '@noble/hashes/pbkdf2.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { Kdf } from './passwords.ts'

/** More iterations than that are refused by Workers in production, in WebCrypto and node:crypto alike. */
const MOST_NATIVE_ITERATIONS = 100_000

/**
 * Workers' key derivations: native, but for PBKDF2 above what the platform allows. That takes seconds of CPU for a million
 * iterations, which is a paid plan's; the login that pays it replaces the hash.
 */
export function workerKdf(preferred: Kdf['preferred']): Kdf {
  return {
    preferred,
    pbkdf2: async (password, salt, iterations, length) =>
      iterations > MOST_NATIVE_ITERATIONS
        ? pbkdf2(sha256, password, salt, { c: iterations, dkLen: length })
        : nativePbkdf2(password, salt, iterations, length),
    scrypt: (password, salt, { N, r, p }, length) =>
      scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r }),
  }
}

async function nativePbkdf2(...[password, salt, iterations, length]: Parameters<Kdf['pbkdf2']>) {
  const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits'])
  const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations }
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, length * 8))
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)
