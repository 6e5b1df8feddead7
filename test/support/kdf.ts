import { pbkdf2Sync, scryptSync } from 'node:crypto'
import type { Kdf } from '../../src/accounts/passwords.ts'

/** One round instead of a million, for tests on Node that hash much and are not about that. */
export const quickKdf: Kdf = {
  preferred: 'pbkdf2_sha256',
  pbkdf2: async (password, salt, _rounds, length) => pbkdf2Sync(password, salt, 1, length, 'sha256'),
  scrypt: async (password, salt, _cost, length) => scryptSync(password, salt, length, { N: 2 }),
}
