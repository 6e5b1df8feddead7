import { pbkdf2, scrypt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import type { Kdf } from '../accounts/passwords.ts'
import { createLimiter } from '../concurrency.ts'

/**
 * Returns Node's key derivations, which are native and run off the event loop: at most one for each core, and always one
 * fewer than the threads of libuv (UV_THREADPOOL_SIZE, 4), which also read files and resolve names. Rejects with an
 * OverloadError when a derivation would wait too long.
 */
export function createNodeKdf(preferred: Kdf['preferred']): Kdf {
  // libuv uses one thread when the value is not a number.
  const threads = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? '4', 10) || 1
  const concurrency = Math.max(1, Math.min(availableParallelism(), threads - 1))
  const limit = createLimiter({
    concurrency,
    maxWait: 2,
    taskSeconds: 0.4,
    overloadMessage: 'Too many passwords are being checked at the moment.',
  })
  return {
    preferred,
    pbkdf2: (password, salt, iterations, length) =>
      limit(() => promisify(pbkdf2)(password, salt, iterations, length, 'sha256')),
    scrypt: (password, salt, { N, r, p }, length) =>
      limit(() => scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r })),
  }
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)
