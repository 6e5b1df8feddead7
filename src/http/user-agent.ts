import type { RequestContext } from '../services.ts'

const MAX_LENGTH = 256

/** Returns the start of the `User-Agent` as it was sent, at most 256 characters; null without one. */
export function userAgentOf({ req }: RequestContext): string | null {
  const value = req.header('User-Agent')
  return value === undefined ? null : [...decodeHeader(value)].slice(0, MAX_LENGTH).join('')
}

/** Decodes a header: Node gives each byte as a character, while workerd has decoded UTF-8. What is not UTF-8 stays as it is. */
function decodeHeader(value: string): string {
  if (/[\u0100-\uffff]/.test(value)) return value
  try {
    const bytes = Uint8Array.from(value, (character) => character.charCodeAt(0))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return value
  }
}
