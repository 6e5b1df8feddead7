import { pbkdf2, scrypt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import pLimit from 'p-limit'
import { retryLater } from '../problem.ts'
import type { Kdf } from './passwords.ts'

/** How long a password may wait for its turn before its request is turned away. */
const PATIENCE_SECONDS = 3

/**
 * Node's key derivations, native and off the event loop. No more run at once than there are cores, and one thread of
 * libuv's four (or UV_THREADPOOL_SIZE) is left for files and names. Who would wait too long gets 503 at once.
 */
export function nodeKdf(preferred: Kdf['preferred']): Kdf {
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4)
  const running = Math.max(1, Math.min(availableParallelism(), threads - 1))
  const turn = pLimit(running)
  let seconds = 0.4

  const bounded = (work: () => Promise<Uint8Array>): Promise<Uint8Array> => {
    const wait = ((turn.pendingCount + 1) / running) * seconds
    if (wait > PATIENCE_SECONDS) throw retryLater('unavailable', wait, 'Too many passwords are being checked just now.')
    return turn(async () => {
      const start = performance.now()
      const key = await work()
      seconds += ((performance.now() - start) / 1000 - seconds) / 8
      return key
    })
  }

  return {
    preferred,
    pbkdf2: (password, salt, iterations, length) =>
      bounded(() => promisify(pbkdf2)(password, salt, iterations, length, 'sha256')),
    scrypt: (password, salt, { N, r, p }, length) =>
      bounded(() => scryptAsync(password, salt, length, { N, r, p, maxmem: 256 * N * r })),
  }
}

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Uint8Array>(scrypt)
