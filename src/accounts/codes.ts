import { digest, randomString } from '../crypto.ts'

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** A one-time code: 80 random bits in Crockford's base 32, as `7KQ2-M9XD-4HRT-V8CW`. */
export const newCode = () => randomString(CROCKFORD, 16).replace(/(.{4})(?=.)/g, '$1-')

/**
 * What is stored and looked for: the hash of a code as a person typed it, whatever its case, dashes and spaces, with
 * Crockford's look-alikes (O for 0, I and L for 1). Undefined for what cannot be a code.
 */
export function hashCode(typed: string): Uint8Array | undefined {
  const code = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
  return /^[0-9A-HJKMNP-TV-Z]{16}$/.test(code) ? digest(code) : undefined
}
