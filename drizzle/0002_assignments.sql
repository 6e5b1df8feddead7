CREATE TYPE "public"."assignment_event_kind" AS ENUM('created', 'changed', 'deleted');--> statement-breakpoint
CREATE TYPE "public"."assignment_status" AS ENUM('todo', 'in progress', 'done', 'error');--> statement-breakpoint
CREATE TABLE "assignment_events" (
	"id" uuid NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"kind" "assignment_event_kind" NOT NULL,
	"actor" uuid NOT NULL,
	"assignment" uuid NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"status" "assignment_status" NOT NULL,
	"assignee" uuid NOT NULL,
	"creator" uuid NOT NULL,
	"version" integer NOT NULL,
	"changed" text[] NOT NULL,
	CONSTRAINT "assignment_events_assignment_version_at_pk" PRIMARY KEY("assignment","version","at")
);
--> statement-breakpoint
CREATE TABLE "assignments" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"status" "assignment_status" NOT NULL,
	"assignee" uuid NOT NULL,
	"creator" uuid NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"version" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_assignee_users_id_fk" FOREIGN KEY ("assignee") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_creator_users_id_fk" FOREIGN KEY ("creator") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "assignments_assignee_id_index" ON "assignments" USING btree ("assignee","id");--> statement-breakpoint
CREATE INDEX "assignments_assignee_updated_at_id_index" ON "assignments" USING btree ("assignee","updated_at","id");--> statement-breakpoint
CREATE INDEX "assignments_assignee_status_id_index" ON "assignments" USING btree ("assignee","status","id");--> statement-breakpoint
CREATE INDEX "assignments_assignee_name_id_index" ON "assignments" USING btree ("assignee",(fold("name") collate "C"),"id");--> statement-breakpoint
CREATE INDEX "assignments_creator_id_index" ON "assignments" USING btree ("creator","id");--> statement-breakpoint
CREATE INDEX "assignments_creator_updated_at_id_index" ON "assignments" USING btree ("creator","updated_at","id");--> statement-breakpoint
CREATE INDEX "assignments_creator_status_id_index" ON "assignments" USING btree ("creator","status","id");--> statement-breakpoint
CREATE INDEX "assignments_creator_name_id_index" ON "assignments" USING btree ("creator",(fold("name") collate "C"),"id");--> statement-breakpoint
CREATE INDEX "assignments_search_index" ON "assignments" USING gin (fold("name") gin_trgm_ops,fold("description") gin_trgm_ops) WITH (gin_pending_list_limit=256);