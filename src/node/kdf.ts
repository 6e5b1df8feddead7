import { pbkdf2, scrypt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import type { Kdf } from '../accounts/passwords.ts'
import { createTurns } from '../concurrency.ts'

/**
 * Node's key derivations, native and off the event loop. No more run at once than there are cores, and one thread of
 * libuv's four (or UV_THREADPOOL_SIZE) is left for files and names. Who would wait too long gets 503 at once.
 */
export function nodeKdf(preferred: Kdf['preferred']): Kdf {
  // What is no number is one thread to libuv.
  const threads = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? '4', 10) || 1
  const running = Math.max(1, Math.min(availableParallelism(), threads - 1))
  const turn = createTurns({ running, seconds: 0.4, patience: 2 }, 'Too many passwords are being checked just now.')
  return {
    preferred,
    pbkdf2: (password, salt, iterations, length) =>
      turn(() => promisify(pbkdf2)(password, salt, iterations, length, 'sha256')),
    scrypt: (password, salt, { N, r, p }, length) =>
      turn(() => scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r })),
  }
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)
