import { randomString, sha256 } from '../crypto.ts'

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Returns a one-time code: 80 random bits in Crockford's base 32, such as `7KQ2-M9XD-4HRT-V8CW`. */
export const newCode = () => randomString(CROCKFORD, 16).replace(/(.{4})(?=.)/g, '$1-')

/** The longest text that is normalized as a code: ICU takes quadratic time for many combining marks. */
const MAX_LENGTH = 64

/**
 * The characters that may surround those of a typed code: punctuation with all dashes and quotes, white space, and characters that
 * cannot be seen. Japanese keyboards type `ー` for a dash, and a terminal frames a printed mail with lines.
 */
const NOISE =
  /[\p{P}\p{Z}\p{Cc}\p{Cf}\p{Sm}\p{Sk}\p{Default_Ignorable_Code_Point}ー\u{FF70}\u{2500}-\u{257F}\u{2796}\u{2800}]/gu

/**
 * Returns the hash under which a typed code is stored; undefined for a text that cannot be a code. Case, dashes, spaces,
 * quotes, invisible characters and full-width forms do not matter, nor do Crockford's look-alikes: O is read as 0, I and L
 * as 1.
 */
export function hashCode(typed: string): Uint8Array | undefined {
  const visible = typed.replace(NOISE, '')
  if (visible.length > MAX_LENGTH) return undefined
  const letters = visible.normalize('NFKC').toUpperCase()
  const code = letters.replaceAll('O', '0').replace(/[IL]/g, '1')
  return /^[0-9A-HJKMNP-TV-Z]{16}$/.test(code) ? sha256(code) : undefined
}
