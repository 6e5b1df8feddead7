declare module 'event-source-polyfill' {
  export class EventSourcePolyfill extends EventTarget {
    constructor(url: string, options: { headers: Record<string, string> })
    addEventListener(type: string, listener: (event: { data: string }) => void): void
    close(): void
  }
}
