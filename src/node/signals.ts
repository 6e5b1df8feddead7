/**
 * Resolves when the process is told to stop: by SIGINT, SIGTERM, or SIGHUP, which a closed terminal sends. A repeated SIGINT
 * or SIGTERM ends the process at once. A repeated SIGHUP does nothing, because both the system and the shell send it.
 */
export function stopSignal(): Promise<NodeJS.Signals> {
  // A closed terminal or pipe must not fail the shutdown, which would leave PostgreSQL running.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  return new Promise((resolve) => {
    process.once('SIGINT', resolve).once('SIGTERM', resolve).on('SIGHUP', resolve)
  })
}
