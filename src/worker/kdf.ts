import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { Kdf } from '../accounts/passwords.ts'
import { createTurns } from '../concurrency.ts'

/** More iterations than that are refused by Workers in production, in WebCrypto and node:crypto alike. */
const MOST_NATIVE_ITERATIONS = 100_000

/** Iterations in JavaScript, some hundredths of a second, after which others have their turn. */
const AT_ONCE = 10_000

const BUSY = 'Too many passwords are being checked just now.'

// An isolate has one thread for all, and a derivation keeps it.
const nativeTurn = createTurns({ running: 1, seconds: 0.4, patience: 2 }, BUSY)
const slowTurn = createTurns({ running: 1, seconds: 2, patience: 2 }, BUSY)

/**
 * Workers' key derivations: native, but for PBKDF2 above what the platform allows. That takes seconds of CPU for a million
 * iterations, which is a paid plan's; the login that pays it replaces the hash. One of each kind runs at a time, and other
 * requests go on in between. Who would wait too long gets 503 at once.
 */
export function workerKdf(preferred: Kdf['preferred']): Kdf {
  return {
    preferred,
    pbkdf2: (password, salt, iterations, length) =>
      iterations > MOST_NATIVE_ITERATIONS
        ? slowTurn(() => pbkdf2(password, salt, iterations, length))
        : nativeTurn(() => nativePbkdf2(password, salt, iterations, length)),
    scrypt: (password, salt, { N, r, p }, length) =>
      nativeTurn(async () => {
        await others()
        return scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r })
      }),
  }
}

/** Lets what waits for the thread have it. */
const others = () => new Promise((resolve) => setTimeout(resolve))

/**
 * PBKDF2 with HMAC-SHA256, for a key of one block (RFC 8018, 5.2). That of @noble/hashes keeps the thread to its end; its
 * asynchronous one as well, which waits for promises alone, and by a clock that stands still here.
 */
async function pbkdf2(...[password, salt, iterations, length]: Parameters<Kdf['pbkdf2']>) {
  const keyed = hmac.create(sha256, password)
  const block = keyed
    .clone()
    .update(salt)
    .update(Uint8Array.of(0, 0, 0, 1))
    .digest()
  const key = block.slice()
  const work = keyed.clone()
  for (let iteration = 1; iteration < iterations; iteration++) {
    if (iteration % AT_ONCE === 0) await others()
    keyed._cloneInto(work).update(block).digestInto(block)
    for (let index = 0; index < key.length; index++) (key[index] as number) ^= block[index] as number
  }
  return key.subarray(0, length)
}

async function nativePbkdf2(...[password, salt, iterations, length]: Parameters<Kdf['pbkdf2']>) {
  const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits'])
  const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations }
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, length * 8))
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)
