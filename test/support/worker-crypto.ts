// biome-ignore-all lint/style/useNodejsImportProtocol: with the prefix, this module would import itself.
import { pbkdf2 as native, scrypt as nativeScrypt, pbkdf2Sync as nativeSync, type ScryptOptions } from 'crypto'

export * from 'crypto'

// Replaces node:crypto in the Worker under test. It limits PBKDF2 as production does, which the local workerd does not.

/** Throws above 100,000 iterations, as Workers do in production. */
export function assertBelowCap(iterations = 0) {
  if (iterations > 100_000)
    throw new DOMException(`Pbkdf2 failed: iteration counts above 100000 are not supported (requested ${iterations}).`)
}

export const pbkdf2: typeof native = (password, salt, iterations, ...rest) => {
  assertBelowCap(iterations)
  native(password, salt, iterations, ...rest)
}

export const pbkdf2Sync: typeof nativeSync = (password, salt, iterations, ...rest) => {
  assertBelowCap(iterations)
  return nativeSync(password, salt, iterations, ...rest)
}

let scryptCost: ScryptOptions | undefined

/** Makes scrypt use this cost instead of the one in its arguments. */
export function overrideScryptCost(cost: ScryptOptions) {
  scryptCost = cost
}

export const scrypt = (
  password: Uint8Array,
  salt: Uint8Array,
  length: number,
  options: ScryptOptions,
  callback: (error: Error | null, key: Buffer) => void,
) => nativeScrypt(password, salt, length, scryptCost ?? options, callback)
