// Loaded before the sources, and plain JavaScript, so that a Node that cannot run TypeScript says so instead of failing.
if (!process.features.typescript) {
  console.error(
    [
      `Docket did not start.`,
      `It needs Node 22.18 or newer, and this is Node ${process.versions.node}.`,
      ``,
      `For development, npm can install Node 24 for this project alone:`,
      `  npm ci             with development dependencies and install scripts`,
      `  npm rebuild node   after npm ci --ignore-scripts`,
      `Otherwise, install it from https://nodejs.org/en/download, for example: nvm install 24`,
    ].join('\n'),
  )
  process.exit(1)
}
