ALTER TABLE "assignment_events" DROP CONSTRAINT "assignment_events_assignment_version_at_pk";--> statement-breakpoint
ALTER TABLE "assignment_events" ADD CONSTRAINT "assignment_events_assignment_at_pk" PRIMARY KEY("assignment","at");--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "created_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "started_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "old_status" "assignment_status";--> statement-breakpoint
ALTER TABLE "assignment_events" ADD COLUMN "old_assignee" uuid;--> statement-breakpoint
ALTER TABLE "assignments" ADD COLUMN "started_at" timestamp (3) with time zone;--> statement-breakpoint
-- Fills the new columns of existing events, from the earlier events of each assignment.
UPDATE "assignment_events" AS e
SET "created_at" = told.created_at, "started_at" = told.started_at, "old_status" = told.old_status, "old_assignee" = told.old_assignee
FROM (
	SELECT "assignment", "at",
		min("at") OVER whole AS created_at,
		min("at") FILTER (WHERE "status" = 'in progress') OVER so_far AS started_at,
		lag("status") OVER so_far AS old_status,
		lag("assignee") OVER so_far AS old_assignee
	FROM "assignment_events"
	WINDOW whole AS (PARTITION BY "assignment"), so_far AS (PARTITION BY "assignment" ORDER BY "at")
) AS told
WHERE e."assignment" = told."assignment" AND e."at" = told."at";--> statement-breakpoint
UPDATE "assignments" SET "started_at" = told.started_at
FROM (SELECT "assignment", min("started_at") AS started_at FROM "assignment_events" GROUP BY "assignment") AS told
WHERE "id" = told."assignment" AND told.started_at IS NOT NULL;--> statement-breakpoint
ALTER TABLE "assignment_events" ALTER COLUMN "created_at" SET NOT NULL;--> statement-breakpoint
-- These indexes include every column that reports read, so that reports need no other access to the table.
CREATE INDEX "assignment_events_assignee_at_index" ON "assignment_events" USING btree ("assignee","at") INCLUDE ("creator","old_assignee","status","old_status","kind","created_at","started_at");--> statement-breakpoint
CREATE INDEX "assignment_events_creator_at_index" ON "assignment_events" USING btree ("creator","at") INCLUDE ("assignee","old_assignee","status","old_status","kind","created_at","started_at");--> statement-breakpoint
CREATE INDEX "assignment_events_old_assignee_at_index" ON "assignment_events" USING btree ("old_assignee","at") INCLUDE ("creator","assignee","status","old_status","kind") WHERE "assignment_events"."old_assignee" <> "assignment_events"."assignee";
