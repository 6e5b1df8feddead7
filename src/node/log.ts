import pino from 'pino'

/** Milliseconds for which lines are collected. */
const BATCH_MS = 10

/**
 * Creates the log of the process, JSON lines on standard output. Lines of 10 ms are written together, since a write for each
 * would take another 10 µs of CPU. Writes do not block, and a log that cannot be written, on a closed
 * terminal or a full disk, does not stop the server.
 */
export function createLog(level: string) {
  const output = openOutput({ sync: false })
  let lines = ''
  const writeBatch = () => {
    output.write(lines)
    lines = ''
  }
  const write = (line: string) => {
    if (lines === '') setTimeout(writeBatch, BATCH_MS).unref()
    lines += line
  }
  // Also after an uncaught error.
  process.once('exit', () => openOutput({ sync: true }).write(lines))
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (name: string) => ({ level: name }) },
  }
  return pino(options, { write })
}

const openOutput = ({ sync }: { sync: boolean }) => pino.destination({ dest: 1, sync }).on('error', () => {})
