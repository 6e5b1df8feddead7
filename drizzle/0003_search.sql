-- Sigma has two lower-case forms, one of them for the end of a word. They are made equal, so that a search finds both.
DO $$
DECLARE
  best text := (
    SELECT quote_ident(collname) FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
    ORDER BY collname LIMIT 1
  );
BEGIN
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION fold(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
     AS $fold$ SELECT replace(lower($1 %s), ''ς'', ''σ'') $fold$',
    'COLLATE ' || coalesce(best, '"default"')
  );
END $$;
--> statement-breakpoint
REINDEX INDEX "assignments_assignee_name_id_index";--> statement-breakpoint
REINDEX INDEX "assignments_creator_name_id_index";--> statement-breakpoint
CREATE TABLE "assignment_search" (
	"assignment" uuid PRIMARY KEY NOT NULL,
	"people" uuid[] NOT NULL,
	"text" text NOT NULL
);
--> statement-breakpoint
DROP INDEX "assignments_search_index";--> statement-breakpoint
INSERT INTO "assignment_search" SELECT "id", array["assignee", "creator"], fold("name") || '"' || fold("description") FROM "assignments";--> statement-breakpoint
CREATE INDEX "assignment_search_index" ON "assignment_search" USING gin ("people","text" gin_trgm_ops) WITH (gin_pending_list_limit=256);