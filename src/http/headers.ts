import type { RequestContext } from '../services.ts'

/**
 * Sets a header of the response. A header of the same name that the handler gives to its response replaces it. On Node it does
 * without the `Headers` object of `c.header`, which takes about 5 µs of CPU for each response.
 */
export function setHeader(c: Pick<RequestContext, 'env' | 'header'>, name: string, value: string) {
  if (c.env.setHeader) c.env.setHeader(name, value)
  else c.header(name, value)
}
