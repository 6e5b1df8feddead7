import { randomString, sha256 } from '../crypto.ts'

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Returns a one-time code: 80 random bits in Crockford's base 32, such as `7KQ2-M9XD-4HRT-V8CW`. */
export const newCode = () => randomString(CROCKFORD, 16).replace(/(.{4})(?=.)/g, '$1-')

/**
 * Returns the hash under which a typed code is stored; undefined for a text that cannot be a code. Case, dashes and spaces
 * do not matter, nor do Crockford's look-alikes: O is read as 0, I and L as 1.
 */
export function hashCode(typed: string): Uint8Array | undefined {
  const code = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
  return /^[0-9A-HJKMNP-TV-Z]{16}$/.test(code) ? sha256(code) : undefined
}
