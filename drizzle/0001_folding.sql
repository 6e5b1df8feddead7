-- What Drizzle cannot say: trigrams, and a lower case that does not depend on the collation this database was made with.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
--> statement-breakpoint
-- The C collation knows ASCII's letters alone. PostgreSQL 17 brings Unicode's own; before it there is ICU's.
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
