CREATE TABLE "revocations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"kind" text NOT NULL,
	"value" text NOT NULL,
	"until" timestamp with time zone NOT NULL,
	"reason" text NOT NULL,
	"revoked_by" uuid NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "revocations_seq_unique" UNIQUE("seq"),
	CONSTRAINT "revocations_value" UNIQUE("kind","value")
);
--> statement-breakpoint
CREATE TABLE "server_messages" (
	"id" text PRIMARY KEY NOT NULL,
	"seen_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ticket_flags" (
	"id" uuid PRIMARY KEY NOT NULL,
	"ticket_id" uuid NOT NULL,
	"what" text NOT NULL,
	"times" integer NOT NULL,
	"first_at" timestamp with time zone NOT NULL,
	"last_at" timestamp with time zone NOT NULL,
	"server_id" text NOT NULL,
	CONSTRAINT "ticket_flags_ticket" UNIQUE("ticket_id","what")
);
--> statement-breakpoint
ALTER TABLE "accounts" ADD COLUMN "revoked_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "media_sessions" ADD COLUMN "kicked_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "subject" text;--> statement-breakpoint
-- Of the tickets that are there: the claim "sub" of the stored JWS, whose payload is base64url without padding.
UPDATE "tickets" SET "subject" = convert_from(
  decode(rpad(translate(split_part("ticket", '.', 2), '-_', '+/'),
    (length(split_part("ticket", '.', 2)) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb->>'sub';--> statement-breakpoint
ALTER TABLE "tickets" ALTER COLUMN "subject" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "revocations" ADD CONSTRAINT "revocations_revoked_by_accounts_id_fk" FOREIGN KEY ("revoked_by") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "ticket_flags" ADD CONSTRAINT "ticket_flags_ticket_id_tickets_jti_fk" FOREIGN KEY ("ticket_id") REFERENCES "public"."tickets"("jti") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "revocations_until" ON "revocations" USING btree ("until");--> statement-breakpoint
CREATE INDEX "server_messages_seen" ON "server_messages" USING btree ("seen_at");--> statement-breakpoint
CREATE INDEX "media_sessions_running" ON "media_sessions" USING btree ("id") WHERE "media_sessions"."state" in ('reserved', 'committed');--> statement-breakpoint
CREATE INDEX "tickets_jkt" ON "tickets" USING btree ("jkt");