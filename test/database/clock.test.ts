import { describe, expect, onTestFinished, test } from 'vitest'
import { ClockOffset, openClock } from '../../src/database/clock.ts'
import { connect } from '../../src/database/connect.ts'
import { ClockUnknown } from '../../src/database/errors.ts'
import { openDocket } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'

const HOUR = 3_600_000

const { db, url } = await openDocket()

/** Opens a clock over local clocks that the test moves, and collects what it logs. */
function openMovable(database = db) {
  const moved = { wall: 0, monotonic: 0 }
  const lines: string[] = []
  const write = (_: object, message = '') => lines.push(message)
  const offset = new ClockOffset(
    { info: write, warn: write, error: write },
    {
      wall: () => Date.now() + moved.wall,
      monotonic: () => performance.now() + moved.monotonic,
    },
  )
  /** Sets the local clocks. */
  const move = (wall: number, monotonic = 0) => Object.assign(moved, { wall, monotonic })
  return { clock: openClock(database, offset), offset, move, lines }
}

/** Connects to the database through a proxy. */
async function openProxied() {
  const proxy = await startProxy(url)
  const { db: proxied, close } = connect(proxy.url, { max: 1 })
  onTestFinished(async () => {
    await close()
    proxy.close()
  })
  return { proxy, proxied }
}

/** Expects a time within two seconds of the true one. */
const expectTrue = (time: Date) => expect(Math.abs(time.getTime() - Date.now())).toBeLessThan(2_000)

describe('the clock', () => {
  test('keeps exactly the time of an instance that is right', async () => {
    const { clock, offset } = openMovable()
    for (let round = 0; round < 20; round++) {
      expectTrue(await clock.sync())
      const [before, time, after] = [Date.now(), offset.now().getTime(), Date.now()]
      expect(time).toBeGreaterThanOrEqual(before)
      expect(time).toBeLessThanOrEqual(after)
    }
    expect(clock.warning()).toBeUndefined()
  })

  test.each([
    ['ahead', HOUR],
    ['31 days ahead', 31 * 24 * HOUR],
    ['60 days behind', -60 * 24 * HOUR],
  ])('has the time of the database on an instance that is %s', async (_, milliseconds) => {
    const { clock, move } = openMovable()
    move(milliseconds)
    await clock.ensureSynced()
    expectTrue(clock.now())
  })

  test('is unknown before the first measurement', () => {
    expect(() => openMovable().clock.now()).toThrow(ClockUnknown)
  })

  test.each([
    ['the time of day is set forward', HOUR, 0],
    ['the time of day is set back', -HOUR, 0],
    ['the time of day is set by two seconds', 2_000, 0],
    ['both clocks jump forward', HOUR, HOUR],
    ['both clocks jump back', -HOUR, -HOUR],
    ['the machine wakes from sleep', HOUR, 10],
  ])('is unknown until it is synced when %s', async (_, wall, monotonic) => {
    const { clock, move } = openMovable()
    await clock.ensureSynced()
    move(wall, monotonic)
    expect(() => clock.now()).toThrow(ClockUnknown)
    await clock.ensureSynced()
    expectTrue(clock.now())
  })

  test('is measured again after a minute, while running requests go on', async () => {
    const { clock, offset, move } = openMovable()
    await clock.ensureSynced()
    move(59_000, 59_000)
    expect(offset.isDoubtful).toBe(false)
    move(61_000, 61_000)
    expect(offset.isDoubtful).toBe(true)
    expect(() => clock.now()).not.toThrow()
    move(121_000, 121_000)
    expect(() => clock.now()).toThrow(ClockUnknown)
  })

  test('measures again if a clock is set during a measurement', async () => {
    const { proxied } = await openProxied()
    for (const [wall, monotonic] of [
      [HOUR, 0],
      [HOUR, HOUR],
      [-HOUR, -HOUR],
    ] as const) {
      const { clock, move } = openMovable(proxied)
      const synced = clock.sync()
      move(wall, monotonic)
      expectTrue(await synced)
      expectTrue(clock.now())
    }
  })

  test('stays unknown while the database is gone', async () => {
    const { proxy, proxied } = await openProxied()
    const { clock, move } = openMovable(proxied)
    await clock.sync()
    move(HOUR)
    proxy.close()
    await expect(clock.ensureSynced()).rejects.toThrow()
    expect(() => clock.now()).toThrow(ClockUnknown)
  })

  test('is read once for all that wait for it, and not while it is known', async () => {
    const { proxy, proxied } = await openProxied()
    const { clock } = openMovable(proxied)
    await Promise.all(Array.from({ length: 20 }, () => clock.ensureSynced()))
    const trips = proxy.roundTrips()
    for (let round = 0; round < 5; round++) await clock.ensureSynced()
    expect(proxy.roundTrips()).toBe(trips)
    await clock.sync()
    expect(proxy.roundTrips()).toBe(trips + 1)
  })

  test('logs each change by more than a minute once', async () => {
    const { clock, move, lines } = openMovable()
    for (const seconds of [0, 59, 0, 3_600, 3_600, 3_630, -90, -90, 0, 0]) {
      move(seconds * 1000)
      await clock.sync()
    }
    expect(lines).toEqual([
      "The clock of this instance is 3,600 seconds ahead of the database's clock.",
      "The clock of this instance is 90 seconds behind the database's clock.",
      "The clock of this instance agrees with the database's clock again.",
    ])
  })
})
