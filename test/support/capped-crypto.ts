// biome-ignore-all lint/style/useNodejsImportProtocol: with it this module would import itself.
import { pbkdf2 as native, pbkdf2Sync as nativeSync } from 'crypto'

export * from 'crypto'

// What stands for node:crypto in the Worker under test: itself, with the cap that production puts on PBKDF2.

/** Throws, as Workers do in production, above 100,000 iterations. */
export function refuseBeyondCap(iterations = 0) {
  if (iterations > 100_000)
    throw new DOMException(`Pbkdf2 failed: iteration counts above 100000 are not supported (requested ${iterations}).`)
}

export const pbkdf2: typeof native = (password, salt, iterations, ...rest) => {
  refuseBeyondCap(iterations)
  native(password, salt, iterations, ...rest)
}

export const pbkdf2Sync: typeof nativeSync = (password, salt, iterations, ...rest) => {
  refuseBeyondCap(iterations)
  return nativeSync(password, salt, iterations, ...rest)
}
