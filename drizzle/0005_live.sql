-- A later `npm run db:migrate` replaces this function if the log has positions above the cluster's transaction ids: see
-- src/database/log-position.ts.
CREATE FUNCTION log_position(transaction xid8) RETURNS bigint LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN transaction::text::bigint + 0;--> statement-breakpoint
-- In two steps: existing rows get the constant 0, and only new rows get the id of their transaction.
ALTER TABLE "assignment_events" ADD COLUMN "position" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "assignment_events" ALTER COLUMN "position" SET DEFAULT log_position(pg_current_xact_id());--> statement-breakpoint
CREATE INDEX "assignment_events_position_at_index" ON "assignment_events" USING btree ("position","at");--> statement-breakpoint
-- The same indexes with the position, so that a reader who catches up finds their own events in the index alone.
DROP INDEX "assignment_events_assignee_at_index";--> statement-breakpoint
DROP INDEX "assignment_events_creator_at_index";--> statement-breakpoint
DROP INDEX "assignment_events_old_assignee_at_index";--> statement-breakpoint
CREATE INDEX "assignment_events_assignee_at_index" ON "assignment_events" USING btree ("assignee","at") INCLUDE ("creator","old_assignee","status","old_status","kind","created_at","started_at","position");--> statement-breakpoint
CREATE INDEX "assignment_events_creator_at_index" ON "assignment_events" USING btree ("creator","at") INCLUDE ("assignee","old_assignee","status","old_status","kind","created_at","started_at","position");--> statement-breakpoint
CREATE INDEX "assignment_events_old_assignee_at_index" ON "assignment_events" USING btree ("old_assignee","at") INCLUDE ("creator","assignee","status","old_status","kind","position") WHERE "assignment_events"."old_assignee" <> "assignment_events"."assignee";
