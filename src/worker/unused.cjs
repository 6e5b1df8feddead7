// wrangler.toml puts this file in place of modules that Docket does not use. Zod calls these two functions for each schema. It is
// CommonJS, so that any other import is undefined instead of an error.
module.exports = { createStandardJSONSchemaMethod: () => undefined, createToJSONSchemaMethod: () => undefined }
