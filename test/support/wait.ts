import { vi } from 'vitest'

/** Waits until a condition holds, and returns what it returned. Fails after 30 seconds unless told otherwise. */
export const until = <T>(condition: () => T | Promise<T>, { timeout = 30_000, interval = 10 } = {}) =>
  vi.waitUntil(condition, { timeout, interval })
