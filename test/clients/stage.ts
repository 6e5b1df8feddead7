/** What a client gets for its story. */
export type Stage = {
  baseUrl: string
  email: string
  /** Returns the code of the newest mail. */
  readCode: () => Promise<string>
}

/** What each client has learned at the end of the same story. */
export const outcome = {
  names: ['Ada Lovelace'],
  pages: [['Send the report'], ['Write the report']],
  conflict: [412, 'precondition_failed'],
  done: 1,
  event: ['changed', 'done', 2],
}

/** Returns the cursor in the URL of another page. Typed clients pass it as a parameter. */
export const cursorIn = (url: string | null) => new URL(url ?? '').searchParams.get('cursor') ?? ''
