import { vi } from 'vitest'

/** Waits until a condition holds, and returns what it returned. Fails after 45 seconds by default. */
export const until = <T>(condition: () => T | Promise<T>, { timeout = 45_000, interval = 10 } = {}) =>
  vi.waitUntil(condition, { timeout, interval })
