import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { Kdf } from '../accounts/passwords.ts'
import { createLimiter } from '../concurrency.ts'

/** The most iterations that Workers allow in production, in WebCrypto and node:crypto alike. */
const MAX_NATIVE_ITERATIONS = 100_000

/** Iterations in JavaScript before other requests get the thread. They take some hundredths of a second. */
const ITERATIONS_PER_SLICE = 10_000

// An isolate has one thread, and a native derivation blocks it.
const oneAtATime = {
  concurrency: 1,
  maxWait: 2,
  overloadMessage: 'Too many passwords are being checked at the moment.',
}
const limitNative = createLimiter({ ...oneAtATime, taskSeconds: 0.4 })
const limitSlow = createLimiter({ ...oneAtATime, taskSeconds: 2 })

/**
 * Returns the key derivations of Workers: native ones, and JavaScript for PBKDF2 above the limit of the platform. A million
 * such iterations take seconds of CPU, which needs a paid plan; the login that spends them replaces the hash. One derivation
 * of each kind runs at a time. Rejects with an OverloadError when a derivation would wait too long.
 */
export function createWorkerKdf(preferred: Kdf['preferred']): Kdf {
  return {
    preferred,
    pbkdf2: (password, salt, iterations, length) =>
      iterations > MAX_NATIVE_ITERATIONS
        ? limitSlow(() => pbkdf2(password, salt, iterations, length))
        : limitNative(() => nativePbkdf2(password, salt, iterations, length)),
    scrypt: (password, salt, { N, r, p }, length) =>
      limitNative(async () => {
        await yieldThread()
        return scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r })
      }),
  }
}

/**
 * PBKDF2 with HMAC-SHA256 for a key of one block (RFC 8018, 5.2). The implementation of @noble/hashes blocks the thread. So
 * does its asynchronous variant, because it yields by a clock that stands still on Workers.
 */
const pbkdf2: Kdf['pbkdf2'] = async (password, salt, iterations, length) => {
  const keyed = hmac.create(sha256, password)
  const block = keyed
    .clone()
    .update(salt)
    .update(Uint8Array.of(0, 0, 0, 1))
    .digest()
  const key = block.slice()
  const work = keyed.clone()
  for (let iteration = 1; iteration < iterations; iteration++) {
    if (iteration % ITERATIONS_PER_SLICE === 0) await yieldThread()
    keyed._cloneInto(work).update(block).digestInto(block)
    for (let index = 0; index < key.length; index++) (key[index] as number) ^= block[index] as number
  }
  return key.subarray(0, length)
}

const nativePbkdf2: Kdf['pbkdf2'] = async (password, salt, iterations, length) => {
  const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits'])
  const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations }
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, length * 8))
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)

/** Lets other requests run. */
const yieldThread = () => new Promise((resolve) => setTimeout(resolve))
