import { relative } from 'node:path'
import { developWorker, migrateDatabase, saveOpenApi } from './node/commands.ts'
import { serve } from './node/serve.ts'
import { CommandError, manageUsers, sendTestMail } from './node/users.ts'
import { readSettings, type Settings, StartupError } from './settings.ts'

type Command = { does: string; run: (settings: Settings, args: string[]) => Promise<void> }

const commands: Record<string, Command> = {
  serve: { does: 'start the server (the default)', run: (settings) => serve(settings, { isDemo: false }) },
  demo: { does: 'start the server with demo data', run: (settings) => serve(settings, { isDemo: true }) },
  migrate: { does: 'migrate the database of DATABASE_URL', run: migrateDatabase },
  openapi: { does: 'write the OpenAPI document to openapi.json', run: saveOpenApi },
  users: { does: 'list, show, log out, activate or delete accounts', run: manageUsers },
  'mail:test': { does: 'send a mail to see whether the settings are right', run: sendTestMail },
  worker: { does: 'run the Worker on this machine with wrangler', run: developWorker },
}

async function main([name = 'serve', ...args]: string[]) {
  try {
    const command = Object.hasOwn(commands, name) && commands[name]
    if (!command) throw new StartupError(`There is no command "${name}". ${usage()}`)
    await command.run(readSettings(process.env), args)
  } catch (error) {
    // A stack helps nobody where the message already says what to do.
    const message = error instanceof StartupError ? `Docket did not start.\n${error.message}` : error
    console.error(error instanceof CommandError ? error.message : message)
    process.exit(1)
  }
}

function usage() {
  const program = relative('.', process.argv[1] as string)
  const lines = Object.entries(commands).map(([name, { does }]) => `  node ${program} ${name.padEnd(10)}${does}`)
  return ['The commands are:', ...lines].join('\n')
}

await main(process.argv.slice(2))
