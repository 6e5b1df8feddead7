// wrangler.toml puts this file in place of modules that Docket does not use. Zod calls these two functions for each schema. Any
// other import is undefined, as it is CommonJS.
module.exports = { createStandardJSONSchemaMethod: () => undefined, createToJSONSchemaMethod: () => undefined }
