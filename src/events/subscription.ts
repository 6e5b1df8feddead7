import { type EventFilter, type LogEvent, publicEvent } from './log.ts'
import { isAfter, type LogPosition, positionOf } from './position.ts'
import { formatSse, type SseMessage } from './sse.ts'

/** A reader of a stream: the user and session, the filter, and how a position becomes a cursor of this reader. */
export type Subscriber = {
  caller: string
  session: string
  filter: EventFilter
  toCursor: (position: LogPosition) => string
}

/** Times are in milliseconds. */
type Options = {
  heartbeatInterval: number
  maxLifetime: number
  /** Called when a paused subscription has room again. */
  onRoom: () => void
  onEnd: () => void
}

/** The bytes that may wait for a reader. */
const BUFFER_BYTES = 64 * 1024

/** The state of one open stream. Events that its reader has no room for are not kept: it reads them from the log later. */
export class Subscription {
  readonly subscriber: Subscriber
  readonly body: ReadableStream<Uint8Array>
  /**
   * - `live`: gets its events from the query that all live subscriptions share.
   * - `catching-up`: reads pages of its own until it reaches the head of the log.
   * - `paused`: gets no events until its reader has taken those that wait.
   */
  state: 'live' | 'catching-up' | 'paused' = 'catching-up'
  /** Up to here every event was sent, or is not for this reader. */
  position: LogPosition
  isOpen = true
  #lastSent: LogPosition
  #heartbeatAt: number
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  readonly #endAt: number
  readonly #options: Options

  constructor(subscriber: Subscriber, position: LogPosition, options: Options) {
    this.subscriber = subscriber
    this.position = position
    this.#lastSent = position
    this.#options = options
    this.#heartbeatAt = performance.now() + options.heartbeatInterval
    // Streams that were opened together do not end together.
    this.#endAt = performance.now() + options.maxLifetime * (0.9 + Math.random() / 10)
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#resume(),
        cancel: () => this.#leave(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BUFFER_BYTES }),
    )
    // With an id the client can resume a stream that breaks before its first event.
    this.#send({ retry: 2000, id: subscriber.toCursor(position) })
  }

  /** Tells whether an event that the subscriber may see should be sent now. */
  wants(event: LogEvent): boolean {
    const { filter } = this.subscriber
    return this.state === 'live' && isWanted(event, filter) && isAfter(positionOf(event), this.position)
  }

  /** Sends an event, or pauses if the reader has no room for it. Returns whether it was sent. */
  trySend(event: LogEvent, data = JSON.stringify(publicEvent(event, this.subscriber.caller))): boolean {
    if (!this.isOpen) return false
    if (!this.#hasRoom) {
      this.state = 'paused'
      return false
    }
    this.position = positionOf(event)
    this.#lastSent = this.position
    this.#send({ event: event.kind, id: this.subscriber.toCursor(this.position), data })
    return true
  }

  /**
   * Sends a heartbeat if one is due. Ends the stream if it is too old, or if its reader does not keep up. The time is that of
   * `performance.now()`.
   */
  maintain(time: number) {
    if (time >= this.#endAt) return this.end()
    if (this.#hasRoom) {
      this.#resume()
      if (time < this.#heartbeatAt) return
      this.#heartbeatAt = time + this.#options.heartbeatInterval
      // Only the cursor of a head: a shared page may end at the event of another user, which a cursor would reveal.
      const isNew = this.position.kind === 'head' && isAfter(this.position, this.#lastSent)
      if (isNew) this.#lastSent = this.position
      this.#send({ comment: 'still here', id: isNew ? this.subscriber.toCursor(this.position) : undefined })
    } else if (time >= this.#heartbeatAt + this.#options.heartbeatInterval) {
      // The reader still gets what waits, and with it the cursor to resume from.
      this.end()
    }
  }

  /** Closes the stream, after a last message if there is one. */
  end(message?: SseMessage) {
    if (!this.isOpen) return
    if (message) this.#send(message)
    this.#controller?.close()
    this.#leave()
  }

  get #hasRoom() {
    return (this.#controller?.desiredSize ?? 0) > 0
  }

  #resume() {
    if (this.state === 'paused') this.#options.onRoom()
  }

  #leave() {
    this.isOpen = false
    this.#options.onEnd()
  }

  #send(message: SseMessage) {
    this.#controller?.enqueue(encoder.encode(formatSse(message)))
  }
}

/** Tells whether the assignment of an event matches a filter before or after the event, as `eventMatches` does in SQL. */
function isWanted(event: LogEvent, { status, assignee, creator, assignment }: EventFilter): boolean {
  const states = [event, { status: event.old_status, assignee: event.old_assignee }]
  return (
    (!creator || creator === event.creator) &&
    (!assignment || assignment === event.assignment) &&
    states.some(
      (state) =>
        (!status || status.some((wanted) => wanted === state.status)) && (!assignee || assignee === state.assignee),
    )
  )
}

const encoder = new TextEncoder()
