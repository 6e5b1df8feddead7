import { liveSessions } from '../accounts/sessions.ts'
import type { Background } from '../background.ts'
import type { Clock } from '../database/clock.ts'
import type { Database } from '../database/connect.ts'
import { describeError, type Logger } from '../logger.ts'
import { type EventPage, type LogEvent, listEventsOfAudience, listEventsOfUser, publicEvent } from './log.ts'
import { earlier, type LogPosition, later } from './position.ts'
import { type Subscriber, Subscription } from './subscription.ts'

/** In milliseconds. */
const defaults = { pollInterval: 200, heartbeatInterval: 15_000, maxLifetime: 300_000, sessionCheckInterval: 10_000 }

export type Intervals = typeof defaults

type Options = Partial<Intervals> & { clock: Clock; log: Logger; runInBackground: Background['runInBackground'] }

/** The events that one query reads. */
const PAGE_SIZE = 100

/**
 * Sends new events to open streams of server-sent events (WHATWG HTML, 9.2): one hub for each process or, on Workers, for
 * each request. One query per interval serves all streams. Without streams there is none.
 */
export class Hub {
  readonly #db: Database
  readonly #options: Options & Intervals
  readonly #subscriptions = new Set<Subscription>()
  #isPolling = false
  #isClosed = false
  #isFailing = false
  #sessionsCheckedAt = Number.NEGATIVE_INFINITY

  constructor(db: Database, options: Options) {
    this.#db = db
    this.#options = { ...defaults, ...options }
  }

  /** Opens a stream that starts with a page, which was read from a position, or from the head of the log. */
  subscribe(subscriber: Subscriber, from: LogPosition | undefined, page: EventPage, signal: AbortSignal) {
    const start = from && page.events.length > 0 ? from : page.next
    const subscription = new Subscription(subscriber, start, {
      ...this.#options,
      onRoom: () => this.#catchUp(subscription),
      onEnd: () => this.#subscriptions.delete(subscription),
    })
    this.#subscriptions.add(subscription)
    // When a reader leaves, Workers abort the request but do not cancel the stream.
    signal.addEventListener('abort', () => subscription.end())
    this.#deliver(subscription, page)
    // The reader may have left before the listener was added.
    if (signal.aborted) subscription.end()
    else if (this.#isClosed) this.close()
    else if (!this.#isPolling) this.#options.runInBackground(() => this.#poll())
    return subscription.body
  }

  /** Ends all streams. Their clients reconnect after one to five seconds, so that they do not all come at once. */
  close() {
    this.#isClosed = true
    for (const subscription of this.#subscriptions) {
      subscription.end({ retry: Math.round(1000 + Math.random() * 4000) })
    }
  }

  async #poll() {
    this.#isPolling = true
    while (this.#subscriptions.size > 0) {
      const hasMore = await this.#sendNewEvents().catch((error) => this.#logFailure(error))
      if (!hasMore) await new Promise((resolve) => setTimeout(resolve, this.#options.pollInterval))
    }
    this.#isPolling = false
  }

  /** Sends the next events to all live subscriptions. Returns whether there are more already. */
  async #sendNewEvents(): Promise<boolean> {
    const time = performance.now()
    for (const subscription of this.#subscriptions) subscription.maintain(time)
    await this.#options.clock.ensureSynced()
    await this.#checkSessions(time)
    const live = [...this.#subscriptions].filter(({ state }) => state === 'live')
    if (live.length === 0) return false
    const audience = [...new Set(live.map(({ subscriber }) => subscriber.caller))]
    const positions = live.map(({ position }) => position)
    const range = { from: positions.reduce(earlier), mustExist: positions.reduce(later) }
    const page = await listEventsOfAudience(
      this.#db,
      { audience, ...range, limit: PAGE_SIZE },
      this.#options.clock.now(),
    )
    this.#isFailing = false
    if (typeof page === 'string') {
      // The clients learn the reason from the response to their next request.
      this.#options.log.error({ reason: page }, 'all event streams end: their position in the log cannot be read')
      for (const subscription of live) subscription.end()
      return false
    }
    const readers = new Set(page.events.flatMap(usersOf))
    await this.#endLoggedOut(live.filter(({ subscriber }) => readers.has(subscriber.caller)))
    this.#broadcast(page, live)
    return page.isFull
  }

  async #checkSessions(time: number) {
    if (time < this.#sessionsCheckedAt + this.#options.sessionCheckInterval) return
    await this.#endLoggedOut([...this.#subscriptions])
    this.#sessionsCheckedAt = time
  }

  /** Also called before events are sent, so that an ended session gets none that happened after its end. */
  async #endLoggedOut(subscriptions: Subscription[]) {
    if (subscriptions.length === 0) return
    const ids = subscriptions.map(({ subscriber }) => subscriber.session)
    const live = await liveSessions(this.#db, ids, this.#options.clock.now())
    for (const subscription of subscriptions) if (!live.has(subscription.subscriber.session)) subscription.end()
  }

  #broadcast({ events, next }: EventPage, live: Subscription[]) {
    const byCaller = Map.groupBy(live, ({ subscriber }) => subscriber.caller)
    for (const event of events) {
      for (const user of usersOf(event)) {
        const wanting = byCaller.get(user)?.filter((subscription) => subscription.wants(event)) ?? []
        const data = wanting.length > 0 ? JSON.stringify(publicEvent(event, user)) : ''
        for (const subscription of wanting) subscription.trySend(event, data)
      }
    }
    for (const subscription of live) {
      if (subscription.state === 'live') subscription.position = later(subscription.position, next)
    }
  }

  /** Reads the next page for one subscription. */
  async #catchUp(subscription: Subscription) {
    subscription.state = 'catching-up'
    const { caller, filter } = subscription.subscriber
    try {
      await this.#options.clock.ensureSynced()
      const query = { filter, from: subscription.position, limit: PAGE_SIZE }
      const page = await listEventsOfUser(this.#db, caller, query, this.#options.clock.now())
      this.#isFailing = false
      if (typeof page === 'string') return subscription.end()
      if (page.events.length > 0) await this.#endLoggedOut([subscription])
      if (subscription.isOpen) this.#deliver(subscription, page)
    } catch (error) {
      subscription.state = 'paused'
      this.#logFailure(error)
    }
  }

  #deliver(subscription: Subscription, { events, next, isFull }: EventPage) {
    for (const event of events) if (!subscription.trySend(event)) return
    subscription.position = next
    if (isFull) this.#catchUp(subscription)
    else subscription.state = 'live'
  }

  /** Logs the first of consecutive failures. A failure delays events and loses none, since every subscription has its position. */
  #logFailure(error: unknown) {
    if (!this.#isFailing) this.#options.log.error({ error: describeError(error) }, 'the event log cannot be read')
    this.#isFailing = true
  }
}

const usersOf = ({ creator, assignee, old_assignee }: LogEvent) => [
  ...new Set([creator, assignee, old_assignee ?? assignee]),
]
