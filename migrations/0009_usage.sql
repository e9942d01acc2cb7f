CREATE TABLE "usage_periods" (
	"session_id" uuid NOT NULL,
	"starts_at" timestamp with time zone NOT NULL,
	"order_id" uuid NOT NULL,
	"account_id" uuid,
	"title_id" uuid,
	"server_id" text NOT NULL,
	"media_ms" bigint NOT NULL,
	"bytes" bigint NOT NULL,
	CONSTRAINT "usage_periods_session_id_starts_at_pk" PRIMARY KEY("session_id","starts_at")
);
--> statement-breakpoint
ALTER TABLE "media_sessions" ADD COLUMN "last_at_seconds" bigint;--> statement-breakpoint
ALTER TABLE "usage_periods" ADD CONSTRAINT "usage_periods_session_id_media_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."media_sessions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "usage_periods" ADD CONSTRAINT "usage_periods_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "usage_periods" ADD CONSTRAINT "usage_periods_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "usage_periods" ADD CONSTRAINT "usage_periods_title_id_titles_id_fk" FOREIGN KEY ("title_id") REFERENCES "public"."titles"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "usage_periods_time" ON "usage_periods" USING btree ("starts_at");--> statement-breakpoint
CREATE INDEX "usage_periods_title" ON "usage_periods" USING btree ("title_id","starts_at");--> statement-breakpoint
CREATE INDEX "usage_periods_account" ON "usage_periods" USING btree ("account_id","starts_at");--> statement-breakpoint
CREATE INDEX "usage_periods_server" ON "usage_periods" USING btree ("server_id","starts_at");--> statement-breakpoint
CREATE INDEX "usage_periods_order" ON "usage_periods" USING btree ("order_id");--> statement-breakpoint
CREATE INDEX "ledger_transactions_created" ON "ledger_transactions" USING btree ("created_at");