import { pbkdf2Sync, scryptSync } from 'node:crypto'
import type { Kdf } from '../../src/accounts/passwords.ts'

/** The password of every account that `createUser` makes. */
export const PASSWORD = 'purple horse battery'

const SALT = 'Zm9yVGVzdHNPbmx5MTIzNA'

/** The real hashes of PASSWORD, computed with Python's hashlib. */
const REAL_HASHES = {
  pbkdf2_sha256: `pbkdf2_sha256$1000000$${SALT}$Pf8GFNwurYtnDkCTbztSA+kIgiDi2xBc6QQ6O8FnwUU=`,
  scrypt: `scrypt$16384$${SALT}$8$5$RVALUMlT37bX/ebw6kCkUYS3LadqnqTI9sWtqabH/CB4OT/lc35ng623C/1cb+cb/fdB4gsNsfgAzraEYbIZqQ==`,
}

/** The cost of the quick scrypt, here and in the Worker under test. */
export const QUICK_SCRYPT = { N: 2, r: 1, p: 1 }

/**
 * Key derivations of minimal cost, for tests that are not about passwords: a real one takes a third of a second of CPU. The
 * hashes still state the real cost.
 */
export const createQuickKdf = (preferred: Kdf['preferred']): Kdf => ({
  preferred,
  pbkdf2: async (password, salt, _iterations, length) => pbkdf2Sync(password, salt, 1, length, 'sha256'),
  scrypt: async (password, salt, _cost, length) => scryptSync(password, salt, length, QUICK_SCRYPT),
})

/** Returns the hash of PASSWORD that the real or the quick key derivations accept. */
export function passwordHash(algorithm: Kdf['preferred'], kdf: 'real' | 'quick' = 'real') {
  if (kdf === 'real') return REAL_HASHES[algorithm]
  if (algorithm === 'scrypt') {
    return `scrypt$16384$${SALT}$8$5$${scryptSync(PASSWORD, SALT, 64, QUICK_SCRYPT).toString('base64')}`
  }
  return `pbkdf2_sha256$1000000$${SALT}$${pbkdf2Sync(PASSWORD, SALT, 1, 32, 'sha256').toString('base64')}`
}
