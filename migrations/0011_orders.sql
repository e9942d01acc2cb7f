CREATE TABLE "payment_events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"provider" text NOT NULL,
	"event_id" text NOT NULL,
	"operation_id" uuid NOT NULL,
	"outcome" text NOT NULL,
	"received_at" timestamp with time zone NOT NULL,
	CONSTRAINT "payment_events_event" UNIQUE("provider","event_id")
);
--> statement-breakpoint
CREATE TABLE "payment_operations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"payment_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"amount_minor" bigint NOT NULL,
	"state" text NOT NULL,
	"attempts" integer NOT NULL,
	"due_at" timestamp with time zone,
	"reason" text,
	"requested_by" uuid,
	"idempotency_key" text,
	"request_hash" text,
	"created_at" timestamp with time zone NOT NULL,
	"resolved_at" timestamp with time zone,
	CONSTRAINT "payment_operations_request" UNIQUE("requested_by","idempotency_key"),
	CONSTRAINT "payment_operations_amount" CHECK ("payment_operations"."amount_minor" > 0),
	CONSTRAINT "payment_operations_open_due" CHECK (("payment_operations"."state" in ('sent', 'waiting')) = ("payment_operations"."due_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "payments" (
	"id" uuid PRIMARY KEY NOT NULL,
	"order_id" uuid NOT NULL,
	"provider" text NOT NULL,
	"state" text NOT NULL,
	"amount_minor" bigint NOT NULL,
	"captured_minor" bigint NOT NULL,
	"refunded_minor" bigint NOT NULL,
	"currency" text NOT NULL,
	"source" text,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	CONSTRAINT "payments_order_id_unique" UNIQUE("order_id"),
	CONSTRAINT "payments_amounts" CHECK ("payments"."amount_minor" > 0 and "payments"."captured_minor" between 0 and "payments"."amount_minor" and "payments"."refunded_minor" between 0 and "payments"."captured_minor")
);
--> statement-breakpoint
CREATE TABLE "order_events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"order_id" uuid NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"actor" text NOT NULL,
	"actor_id" uuid,
	"amount_minor" bigint,
	"reason" text,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ledger_accounts" DROP CONSTRAINT "ledger_accounts_customer";--> statement-breakpoint
ALTER TABLE "ledger_accounts" DROP CONSTRAINT "ledger_accounts_kept";--> statement-breakpoint
ALTER TABLE "ledger_transactions" ADD COLUMN "account_id" uuid;--> statement-breakpoint
ALTER TABLE "ledger_transactions" ADD COLUMN "title_id" uuid;--> statement-breakpoint
-- Whose each of them was. The rows stay what they were: only the columns that are new are filled.
ALTER TABLE "ledger_transactions" DISABLE TRIGGER "ledger_transactions_append_only";--> statement-breakpoint
UPDATE "ledger_transactions" "t" SET
  "account_id" = (
    SELECT "a"."owner_id" FROM "ledger_entries" "e" JOIN "ledger_accounts" "a" ON "a"."id" = "e"."ledger_account_id"
    WHERE "e"."transaction_id" = "t"."id" AND "a"."owner_id" IS NOT NULL LIMIT 1),
  "title_id" = (
    SELECT "f"."title_id" FROM "orders" "o" JOIN "offers" "f" ON "f"."id" = "o"."offer_id"
    WHERE "o"."id" = "t"."order_id");--> statement-breakpoint
ALTER TABLE "ledger_transactions" ENABLE TRIGGER "ledger_transactions_append_only";--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "title_id" uuid;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "list_price_minor" bigint;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "captured_minor" bigint;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "refunded_minor" bigint;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "terms" jsonb;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "client_keys" jsonb;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "expires_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "delivered_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "orders" ADD COLUMN "due_at" timestamp with time zone;--> statement-breakpoint
-- Orders were charged when they were placed.
UPDATE "orders" "o" SET
  "title_id" = "f"."title_id",
  "list_price_minor" = "o"."price_minor",
  "captured_minor" = "o"."price_minor",
  "refunded_minor" = 0,
  "state" = 'captured',
  "expires_at" = (SELECT max("t"."expires_at") FROM "tickets" "t" WHERE "t"."order_id" = "o"."id"),
  "terms" = jsonb_build_object(
    'name', "f"."name", 'categoryId', NULL, 'rights', "f"."rights", 'validSeconds', "f"."valid_seconds",
    'validFrom', NULL, 'validUntil', NULL,
    'charging', CASE WHEN "o"."price_minor" = 0 THEN 'free' ELSE 'prepaid' END, 'unusedPolicy', 'forfeit',
    'captureAfterSeconds', NULL, 'meter', NULL, 'transport', "f"."transport", 'taxInclusive', true)
FROM "offers" "f" WHERE "f"."id" = "o"."offer_id";--> statement-breakpoint
ALTER TABLE "orders" ALTER COLUMN "title_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "orders" ALTER COLUMN "list_price_minor" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "orders" ALTER COLUMN "captured_minor" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "orders" ALTER COLUMN "refunded_minor" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "orders" ALTER COLUMN "terms" SET NOT NULL;--> statement-breakpoint
INSERT INTO "order_events" ("id", "order_id", "from_state", "to_state", "actor", "actor_id", "amount_minor", "created_at")
SELECT gen_random_uuid(), "id", NULL, 'captured', 'buyer', "account_id", "price_minor", "created_at" FROM "orders";--> statement-breakpoint
INSERT INTO "payments" ("id", "order_id", "provider", "state", "amount_minor", "captured_minor", "refunded_minor", "currency", "created_at", "updated_at")
SELECT gen_random_uuid(), "id", 'balance', 'captured', "price_minor", "price_minor", 0, "currency", "created_at", "created_at"
FROM "orders" WHERE "price_minor" > 0;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "idempotency_key" text;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "request_hash" text;--> statement-breakpoint
ALTER TABLE "payment_events" ADD CONSTRAINT "payment_events_operation_id_payment_operations_id_fk" FOREIGN KEY ("operation_id") REFERENCES "public"."payment_operations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "payment_operations" ADD CONSTRAINT "payment_operations_payment_id_payments_id_fk" FOREIGN KEY ("payment_id") REFERENCES "public"."payments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "payments" ADD CONSTRAINT "payments_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "order_events" ADD CONSTRAINT "order_events_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "payment_events_operation" ON "payment_events" USING btree ("operation_id");--> statement-breakpoint
CREATE INDEX "payment_operations_payment" ON "payment_operations" USING btree ("payment_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "payment_operations_open" ON "payment_operations" USING btree ("payment_id") WHERE "payment_operations"."state" in ('sent', 'waiting');--> statement-breakpoint
CREATE INDEX "payment_operations_due" ON "payment_operations" USING btree ("due_at") WHERE "payment_operations"."due_at" is not null;--> statement-breakpoint
CREATE INDEX "order_events_order" ON "order_events" USING btree ("order_id","id");--> statement-breakpoint
ALTER TABLE "ledger_transactions" ADD CONSTRAINT "ledger_transactions_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "ledger_transactions" ADD CONSTRAINT "ledger_transactions_title_id_titles_id_fk" FOREIGN KEY ("title_id") REFERENCES "public"."titles"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "orders" ADD CONSTRAINT "orders_title_id_titles_id_fk" FOREIGN KEY ("title_id") REFERENCES "public"."titles"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "ledger_accounts_of" ON "ledger_accounts" USING btree ("owner_id");--> statement-breakpoint
CREATE INDEX "ledger_transactions_order" ON "ledger_transactions" USING btree ("order_id","id");--> statement-breakpoint
CREATE INDEX "ledger_transactions_account" ON "ledger_transactions" USING btree ("account_id","id");--> statement-breakpoint
CREATE INDEX "ledger_transactions_title" ON "ledger_transactions" USING btree ("title_id","id");--> statement-breakpoint
CREATE INDEX "orders_title" ON "orders" USING btree ("title_id","id");--> statement-breakpoint
CREATE INDEX "orders_state" ON "orders" USING btree ("state","id");--> statement-breakpoint
CREATE INDEX "orders_due" ON "orders" USING btree ("due_at") WHERE "orders"."due_at" is not null;--> statement-breakpoint
ALTER TABLE "tickets" ADD CONSTRAINT "tickets_request" UNIQUE("order_id","idempotency_key");--> statement-breakpoint
ALTER TABLE "ledger_accounts" ADD CONSTRAINT "ledger_accounts_customer" CHECK (("ledger_accounts"."kind" in ('customer_balance', 'customer_held')) = ("ledger_accounts"."owner_id" is not null));--> statement-breakpoint
ALTER TABLE "ledger_accounts" ADD CONSTRAINT "ledger_accounts_kept" CHECK (("ledger_accounts"."kind" in ('customer_balance', 'customer_held')) = ("ledger_accounts"."balance_minor" is not null));--> statement-breakpoint
ALTER TABLE "orders" ADD CONSTRAINT "orders_amounts" CHECK ("orders"."captured_minor" between 0 and "orders"."price_minor" and "orders"."refunded_minor" between 0 and "orders"."captured_minor" and "orders"."price_minor" <= "orders"."list_price_minor");