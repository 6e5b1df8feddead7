import { constantTimeEqual } from '@oslojs/crypto/subtle'
import { decodeBase64, encodeBase64 } from '@oslojs/encoding'
import { eq } from 'drizzle-orm'
import { randomString } from '../crypto.ts'
import type { Database } from '../database/connect.ts'
import { common_passwords } from '../database/schema.ts'

/** The key derivations of the runtime, and the one that hashes new passwords. */
export type Kdf = {
  preferred: 'pbkdf2_sha256' | 'scrypt'
  pbkdf2: (password: Uint8Array, salt: Uint8Array, iterations: number, length: number) => Promise<Uint8Array>
  scrypt: (password: Uint8Array, salt: Uint8Array, cost: ScryptCost, length: number) => Promise<Uint8Array>
}

export type ScryptCost = { N: number; r: number; p: number }

type Encoded = { salt: string; hash: Uint8Array } & (
  | { algorithm: 'pbkdf2_sha256'; iterations: number }
  | { algorithm: 'scrypt'; cost: ScryptCost }
)

// Django 5.2's defaults.
const ITERATIONS = 1_000_000
const SCRYPT: ScryptCost = { N: 16384, r: 8, p: 5 }

/** Returns the hash of a password by the preferred algorithm, in Django's encoding. */
export async function hashPassword(kdf: Kdf, password: string): Promise<string> {
  const salt = newSalt()
  const encoded = preferredWith(kdf, salt, new Uint8Array(kdf.preferred === 'scrypt' ? 64 : 32))
  return encode({ ...encoded, hash: await derive(kdf, password, encoded) })
}

/** Tells whether a hash in Django's encoding is of this password. A malformed or too costly hash is rejected quickly. */
export async function verifyPassword(kdf: Kdf, password: string, encoded: string): Promise<boolean> {
  const read = parse(encoded)
  return read !== undefined && constantTimeEqual(await derive(kdf, password, read), read.hash)
}

/**
 * Tells whether a login's password is that of a hash; undefined is the hash of an unknown address. A failure costs the same
 * for every hash and for none: as much as the costliest hash of each algorithm that this process has met.
 */
export async function verifyLogin(kdf: Kdf, password: string, encoded: string | undefined): Promise<boolean> {
  const read = encoded === undefined ? undefined : parse(encoded)
  if (read && constantTimeEqual(await derive(kdf, password, read), read.hash)) return true
  const costs = costliest.get(kdf) ?? workOf(preferredWith(kdf, '', new Uint8Array()))
  const spent = read ? workOf(read) : NO_WORK
  const highest = { pbkdf2: Math.max(costs.pbkdf2, spent.pbkdf2), scrypt: Math.max(costs.scrypt, spent.scrypt) }
  costliest.set(kdf, highest)
  await spend(kdf, password, { pbkdf2: highest.pbkdf2 - spent.pbkdf2, scrypt: highest.scrypt - spent.scrypt })
  return false
}

/** Iterations of PBKDF2, and the product of the parameters of scrypt. */
type Work = { pbkdf2: number; scrypt: number }

const NO_WORK: Work = { pbkdf2: 0, scrypt: 0 }

/** The costliest failures of each process or isolate. */
const costliest = new WeakMap<Kdf, Work>()

const workOf = (encoded: Encoded): Work =>
  encoded.algorithm === 'scrypt' ? { pbkdf2: 0, scrypt: work(encoded.cost) } : { pbkdf2: encoded.iterations, scrypt: 0 }

/** Derives keys that nobody needs. The work of scrypt is rounded to lanes of the preferred size. */
async function spend(kdf: Kdf, password: string, { pbkdf2, scrypt }: Work): Promise<void> {
  const salt = newSalt()
  if (pbkdf2 > 0) {
    await derive(kdf, password, { algorithm: 'pbkdf2_sha256', iterations: pbkdf2, salt, hash: new Uint8Array(32) })
  }
  const p = Math.round(scrypt / work({ ...SCRYPT, p: 1 }))
  if (p > 0)
    await derive(kdf, password, { algorithm: 'scrypt', cost: { ...SCRYPT, p }, salt, hash: new Uint8Array(64) })
}

/** Tells whether a hash uses another algorithm than the preferred one, or a lower cost. */
export function isOutdated(kdf: Kdf, encoded: string): boolean {
  const read = parse(encoded)
  if (read?.algorithm !== kdf.preferred) return true
  return read.algorithm === 'scrypt' ? work(read.cost) < work(SCRYPT) : read.iterations < ITERATIONS
}

/**
 * Returns why a password is too weak, as a sentence; undefined if it is not. Checks the length, the list of common passwords
 * and the user's own address and names, but no composition rules (NIST SP 800-63B; OWASP ASVS 5.0, 6.2).
 */
export async function passwordWeakness(
  db: Database,
  password: string,
  personal: string[],
): Promise<string | undefined> {
  const length = [...password].length
  if (length < 8) return 'The password is too short. Use at least 8 characters.'
  if (length > 256) return 'The password is too long. Use at most 256 characters.'
  if (isBuiltFrom(password, personal)) return 'The password is built from your e-mail address or name.'
  const lower = password.toLowerCase()
  const common = await db.select().from(common_passwords).where(eq(common_passwords.password, lower))
  if (common.length > 0) return 'The password is among the most common ones.'
  return undefined
}

/** Tells whether too little is left to guess once the user's own words are removed. */
function isBuiltFrom(password: string, personal: string[]): boolean {
  const whole = personal.map((text) => text.toLowerCase())
  const words = whole.flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]).filter((word) => word.length > 2)
  let rest = password.toLowerCase()
  for (const word of words.sort((a, b) => b.length - a.length)) rest = rest.replaceAll(word, '')
  if (rest.length === password.length) return false
  return rest.length < 4 || !/\p{L}/u.test(rest)
}

const newSalt = () => randomString('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 22)

const preferredWith = (kdf: Kdf, salt: string, hash: Uint8Array): Encoded =>
  kdf.preferred === 'scrypt'
    ? { algorithm: 'scrypt', cost: SCRYPT, salt, hash }
    : { algorithm: 'pbkdf2_sha256', iterations: ITERATIONS, salt, hash }

function derive(kdf: Kdf, password: string, encoded: Encoded): Promise<Uint8Array> {
  const [secret, salt] = [password, encoded.salt].map((text) => new TextEncoder().encode(text)) as [
    Uint8Array,
    Uint8Array,
  ]
  return encoded.algorithm === 'scrypt'
    ? kdf.scrypt(secret, salt, encoded.cost, encoded.hash.length)
    : kdf.pbkdf2(secret, salt, encoded.iterations, encoded.hash.length)
}

function encode(encoded: Encoded): string {
  const hash = encodeBase64(encoded.hash)
  if (encoded.algorithm === 'pbkdf2_sha256') return `pbkdf2_sha256$${encoded.iterations}$${encoded.salt}$${hash}`
  const { N, r, p } = encoded.cost
  return `scrypt$${N}$${encoded.salt}$${r}$${p}$${hash}`
}

// A stored hash with hostile parameters must not stop the server. The limits are four times Django's newest iteration
// count, 32 MiB of memory, and the 2^20 that Workers allow.
const MAX_ITERATIONS = 4_000_000
const MAX_SCRYPT_BLOCKS = 2 ** 18
const MAX_SCRYPT_WORK = 2 ** 20

function parse(encoded: string): Encoded | undefined {
  const [algorithm, ...parts] = encoded.split('$')
  if (algorithm === 'pbkdf2_sha256' && parts.length === 3) {
    const [count, salt, hash] = parts as [string, string, string]
    const iterations = positive(count)
    const bytes = bytesOf(hash, 32)
    if (isSalt(salt) && bytes && iterations <= MAX_ITERATIONS) return { algorithm, iterations, salt, hash: bytes }
  }
  if (algorithm === 'scrypt' && parts.length === 5) {
    const [blocks, salt, size, lanes, hash] = parts as [string, string, string, string, string]
    const cost = { N: positive(blocks), r: positive(size), p: positive(lanes) }
    const bytes = bytesOf(hash, 64)
    if (isSalt(salt) && bytes && isAffordable(cost)) return { algorithm, cost, salt, hash: bytes }
  }
  return undefined
}

const positive = (digits: string) => (/^[1-9]\d{0,8}$/.test(digits) ? Number(digits) : Number.POSITIVE_INFINITY)

const isSalt = (salt: string) => salt.length > 0 && salt.length <= 256

const work = ({ N, r, p }: ScryptCost) => N * r * p

// RFC 7914: N is a power of two above 1.
const isAffordable = (cost: ScryptCost) =>
  Number.isInteger(Math.log2(cost.N)) &&
  cost.N > 1 &&
  cost.N * cost.r <= MAX_SCRYPT_BLOCKS &&
  work(cost) <= MAX_SCRYPT_WORK

function bytesOf(base64: string, length: number): Uint8Array | undefined {
  try {
    const bytes = decodeBase64(base64)
    return bytes.length === length ? bytes : undefined
  } catch {
    return undefined
  }
}
