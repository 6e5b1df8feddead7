/** A media type in lower case with its parameters (RFC 9110, 8.3.1). */
type MediaType = { type: string; parameters: [name: string, value: string][] }

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const PARAMETER = new RegExp(`^[ \\t]*;[ \\t]*(?:(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)"))?`)

/** Parses a `Content-Type`: parameters in any order, quoted or empty. Returns undefined for any other text. */
export function parseMediaType(header: string): MediaType | undefined {
  const type = new RegExp(`^${TOKEN}/${TOKEN}`).exec(header.trim())?.[0]
  if (!type) return undefined
  const parameters: MediaType['parameters'] = []
  let rest = header.trim().slice(type.length)
  while (rest.trim() !== '') {
    const match = PARAMETER.exec(rest)
    if (!match) return undefined
    const [whole, name, token, quoted = ''] = match
    if (name) parameters.push([name.toLowerCase(), token ?? quoted.replace(/\\(.)/g, '$1')])
    rest = rest.slice(whole.length)
  }
  return { type: type.toLowerCase(), parameters }
}

/**
 * Tells whether a `Content-Type` is one of some types of JSON, in UTF-8. A parameter other than `charset` has no meaning for
 * JSON (RFC 8259, 11).
 */
export function isJson(header: string, types: string[]): boolean {
  const parsed = parseMediaType(header)
  const charsets = parsed?.parameters.filter(([name]) => name === 'charset') ?? []
  return types.includes(parsed?.type ?? '') && charsets.every(([, charset]) => /^utf-?8$/i.test(charset))
}
