ALTER TABLE "assignment_events" ADD COLUMN "old_name" text;--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "old_description" text;--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "old_updated_at" timestamp (3) with time zone;--> statement-breakpoint
-- TimescaleDB limits how many events of the columnstore a statement may convert.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);--> statement-breakpoint
-- Fills the new columns of existing events, from the event before each. They stay null if that was dropped.
UPDATE "assignment_events" AS e
SET "old_name" = nullif(before."name", e."name"), "old_description" = nullif(before."description", e."description"), "old_updated_at" = before."at"
FROM (
	SELECT "assignment", lead("at") OVER events AS next_at, "at", "name", "description"
	FROM "assignment_events"
	WINDOW events AS (PARTITION BY "assignment" ORDER BY "at")
) AS before
WHERE e."assignment" = before."assignment" AND e."at" = before.next_at;--> statement-breakpoint
-- While servers are restarted one after the other, those of the version before write events without the new columns.
CREATE FUNCTION fill_old_values() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT nullif("name", NEW."name"), nullif("description", NEW."description"), "at"
  INTO NEW."old_name", NEW."old_description", NEW."old_updated_at"
  FROM "public"."assignment_events" WHERE "assignment" = NEW."assignment" AND "at" < NEW."at"
  ORDER BY "at" DESC LIMIT 1;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER fill_old_values BEFORE INSERT ON "assignment_events" FOR EACH ROW
WHEN (NEW."kind" <> 'created' AND NEW."old_updated_at" IS NULL) EXECUTE FUNCTION fill_old_values();
