import { liveSessions } from '../accounts/sessions.ts'
import type { Background } from '../background.ts'
import type { Database } from '../database/connect.ts'
import { describeError, type Log } from '../log.ts'
import {
  type EventFilter,
  type EventPage,
  type LogEvent,
  listEvents,
  listEventsOfAudience,
  publicEvent,
} from './log.ts'
import { earlier, isAfter, type LogPosition, later, positionOf } from './position.ts'

/** Passes changes on to those who follow them, as streams of server-sent events (HTML's standard, 9.2). */
export type Hub = {
  /** A stream of what comes after a place, or from now on, that begins with the page that was read from there. */
  follow(
    follower: Follower,
    place: LogPosition | undefined,
    page: EventPage,
    signal: AbortSignal,
  ): ReadableStream<Uint8Array>
  /** Ends all streams; their clients are told to come back soon, but not all at once. */
  close(): void
}

export type Follower = {
  caller: string
  session: string
  filter: EventFilter
  cursorOf: (place: LogPosition) => string
}

/** Milliseconds: between queries, between signs of life, of a stream's life, between looks at its session. */
export type Pace = { tick?: number; heartbeat?: number; life?: number; sessions?: number }

/** How many bytes may wait for a reader. */
const BACKLOG = 64 * 1024

/** How many events are read at once. */
const PAGE = 100

/**
 * How a stream gets its events: `live` ones from the query that all of them share, `reading` ones from one of their own,
 * and `behind` ones from none, until what waits for their readers is read.
 */
type Stream = Follower & {
  controller: ReadableStreamDefaultController<Uint8Array>
  state: 'live' | 'reading' | 'behind'
  /** What its reader was given, or need not be: every event up to here. */
  place: LogPosition
  /** The last place whose cursor the reader was given. */
  told: LogPosition
  heartbeat: number
  end: number
}

/**
 * One for each process, or on Workers for each request. While there are streams it asks the database once a tick for all of
 * them, and otherwise not at all. No event waits in here: a stream that cannot take one reads it again, from where it is.
 */
export function createHub(
  db: Database,
  options: { now: () => Date; log: Log; runInBackground: Background['runInBackground'] } & Pace,
): Hub {
  const { now, log, runInBackground, tick = 200, heartbeat = 15_000, life = 300_000, sessions = 10_000 } = options
  const streams = new Set<Stream>()
  let isRunning = false
  let isClosed = false
  let isFailing = false
  let checked = 0

  return { follow, close }

  function follow(follower: Follower, place: LogPosition | undefined, page: EventPage, signal: AbortSignal) {
    let controller: Stream['controller'] | undefined
    const body = new ReadableStream<Uint8Array>(
      {
        start: (given) => {
          controller = given
        },
        pull: () => {
          if (stream.state === 'behind') catchUp(stream)
        },
        cancel: () => {
          streams.delete(stream)
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BACKLOG }),
    )
    const begin = place && page.events.length > 0 ? place : page.next
    const stream: Stream = {
      ...follower,
      controller: controller as unknown as Stream['controller'],
      state: 'reading',
      ...{ place: begin, told: begin },
      heartbeat: Date.now() + heartbeat,
      end: Date.now() + life * (0.9 + Math.random() / 10),
    }
    streams.add(stream)
    // On Workers a stream is not cancelled when its reader leaves, but the request is aborted.
    signal.addEventListener('abort', () => end(stream))
    // An id alone is kept by a client, and is no event: a stream that breaks before its first one is resumed as well.
    write(stream, `retry: 2000\nid: ${stream.cursorOf(begin)}\n\n`)
    take(stream, page)
    // It may have left before it was given anything.
    if (signal.aborted) end(stream)
    else if (isClosed) close()
    else if (!isRunning) runInBackground(run)
    return body
  }

  function close() {
    isClosed = true
    for (const stream of streams) {
      write(stream, `retry: ${Math.round(1000 + Math.random() * 4000)}\n\n`)
      end(stream)
    }
  }

  async function run() {
    isRunning = true
    while (streams.size > 0) {
      const hasMore = await turn().catch(fail)
      if (!hasMore) await new Promise((resolve) => setTimeout(resolve, tick))
    }
    isRunning = false
  }

  /** A database that is gone for a while delays events, and loses none: every stream has its place. */
  function fail(error: unknown) {
    if (!isFailing) log.error({ error: describeError(error) }, 'the feed cannot read the log')
    isFailing = true
  }

  /** Looks after all streams, and passes on what has happened. True where there is more of it already. */
  async function turn(): Promise<boolean> {
    const time = Date.now()
    for (const stream of streams) lookAfter(stream, time)
    if (time >= checked + sessions) {
      await endLoggedOut([...streams])
      checked = time
    }
    const live = [...streams].filter(({ state }) => state === 'live')
    if (live.length === 0) return false
    const places = live.map(({ place }) => place)
    const [first, last] = [places.reduce(earlier), places.reduce(later)]
    const people = [...new Set(live.map(({ caller }) => caller))]
    const page = await listEventsOfAudience(db, { audience: people, from: first, known: last, limit: PAGE }, now())
    isFailing = false
    if (typeof page === 'string') {
      // Each of them is told by the answer to its next request.
      log.error({}, `followers are sent away: ${page}`)
      for (const stream of live) end(stream)
      return false
    }
    const concerned = new Set(page.events.flatMap(peopleOf))
    await endLoggedOut(live.filter(({ caller }) => concerned.has(caller)))
    passOn(page, live)
    return page.isFull
  }

  function lookAfter(stream: Stream, time: number) {
    if (time >= stream.end) return end(stream)
    if (hasRoom(stream)) {
      if (stream.state === 'behind') catchUp(stream)
      if (time < stream.heartbeat) return
      stream.heartbeat = time + heartbeat
      // An event of somebody else, at which a full page happened to end, is not named to this one.
      const isNew = stream.place.kind === 'head' && isAfter(stream.place, stream.told)
      if (isNew) stream.told = stream.place
      write(stream, isNew ? `: still here\nid: ${stream.cursorOf(stream.place)}\n\n` : ': still here\n\n')
    } else if (time >= stream.heartbeat + heartbeat) {
      // What waits is still sent, so its client has the cursor to go on from.
      end(stream)
    }
  }

  /** Before they are given events: whose session has ended gets none of what happened after that. */
  async function endLoggedOut(checking: Stream[]) {
    if (checking.length === 0) return
    const ids = checking.map(({ session }) => session)
    const live = await liveSessions(db, ids, now())
    for (const stream of checking) if (!live.has(stream.session)) end(stream)
  }

  /** Reads on for a stream alone, to where the log ends or its reader has no room. */
  async function catchUp(stream: Stream) {
    stream.state = 'reading'
    try {
      const page = await listEvents(
        db,
        { caller: stream.caller, filter: stream.filter, from: stream.place, limit: PAGE },
        now(),
      )
      isFailing = false
      if (typeof page === 'string') return end(stream)
      if (page.events.length > 0) await endLoggedOut([stream])
      if (!streams.has(stream)) return
      take(stream, page)
    } catch (error) {
      stream.state = 'behind'
      fail(error)
    }
  }

  function take(stream: Stream, { events, next, isFull }: EventPage) {
    for (const event of events) if (!offer(stream, event, JSON.stringify(publicEvent(event)))) return
    stream.place = next
    if (isFull) catchUp(stream)
    else stream.state = 'live'
  }

  function passOn({ events, next }: EventPage, live: Stream[]) {
    const byCaller = Map.groupBy(live, ({ caller }) => caller)
    for (const event of events) {
      const audience = [...new Set(peopleOf(event))].flatMap((person) => byCaller.get(person ?? '') ?? [])
      const data = audience.length > 0 ? JSON.stringify(publicEvent(event)) : ''
      for (const stream of audience) {
        if (stream.state === 'live' && isOfInterest(event, stream.filter) && isAfter(positionOf(event), stream.place)) {
          offer(stream, event, data)
        }
      }
    }
    for (const stream of live) if (stream.state === 'live') stream.place = later(stream.place, next)
  }

  /** Gives an event to a stream whose reader has room for it; others are behind from here on. */
  function offer(stream: Stream, event: LogEvent, data: string): boolean {
    if (!streams.has(stream)) return false
    if (!hasRoom(stream)) {
      stream.state = 'behind'
      return false
    }
    const place = positionOf(event)
    write(stream, `event: ${event.kind}\nid: ${stream.cursorOf(place)}\ndata: ${data}\n\n`)
    stream.place = place
    stream.told = place
    return true
  }

  function end(stream: Stream) {
    if (streams.delete(stream)) stream.controller.close()
  }
}

const encoder = new TextEncoder()

const write = ({ controller }: Stream, text: string) => controller.enqueue(encoder.encode(text))

const hasRoom = ({ controller }: Stream) => (controller.desiredSize ?? 0) > 0

const peopleOf = ({ creator, assignee, old_assignee }: LogEvent) => [creator, assignee, old_assignee]

const isOfInterest = (event: LogEvent, { status, assignee, creator, assignment }: EventFilter) =>
  (!status || status.includes(event.status)) &&
  (!assignee || assignee === event.assignee) &&
  (!creator || creator === event.creator) &&
  (!assignment || assignment === event.assignment)
