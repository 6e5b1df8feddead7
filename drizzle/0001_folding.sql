-- Written by hand, since Drizzle has no extensions and functions: trigrams, and a lower case that does not depend on the
-- collation of the database.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
--> statement-breakpoint
-- The C collation lower-cases only ASCII. PostgreSQL 17 and newer have pg_c_utf8 for all of Unicode; older versions have ICU.
DO $$
DECLARE
  best text := (
    SELECT quote_ident(collname) FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
    ORDER BY collname LIMIT 1
  );
BEGIN
  EXECUTE format(
    'CREATE FUNCTION fold(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $fold$ SELECT lower($1 %s) $fold$',
    'COLLATE ' || coalesce(best, '"default"')
  );
END $$;
