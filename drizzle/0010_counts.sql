-- With the assignee, these indexes count what a caller has created without a look at each row.
DROP INDEX "assignments_creator_id_index";--> statement-breakpoint
DROP INDEX "assignments_creator_status_id_index";--> statement-breakpoint
CREATE INDEX "assignments_creator_id_index" ON "assignments" USING btree ("creator","id") INCLUDE ("assignee");--> statement-breakpoint
CREATE INDEX "assignments_creator_status_id_index" ON "assignments" USING btree ("creator","status","id") INCLUDE ("assignee");
