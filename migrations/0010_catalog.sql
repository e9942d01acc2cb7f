CREATE TABLE "categories" (
	"id" uuid PRIMARY KEY NOT NULL,
	"slug" text NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "categories_slug_unique" UNIQUE("slug")
);
--> statement-breakpoint
CREATE TABLE "title_categories" (
	"title_id" uuid NOT NULL,
	"category_id" uuid NOT NULL,
	CONSTRAINT "title_categories_title_id_category_id_pk" PRIMARY KEY("title_id","category_id")
);
--> statement-breakpoint
CREATE TABLE "places" (
	"order_id" uuid NOT NULL,
	"server_id" text NOT NULL,
	"until" timestamp with time zone NOT NULL,
	CONSTRAINT "places_order_id_server_id_pk" PRIMARY KEY("order_id","server_id")
);
--> statement-breakpoint
CREATE TABLE "preview_counts" (
	"day" date NOT NULL,
	"title_id" uuid NOT NULL,
	"who" text NOT NULL,
	"taken" integer NOT NULL,
	CONSTRAINT "preview_counts_day_title_id_who_pk" PRIMARY KEY("day","title_id","who")
);
--> statement-breakpoint
CREATE TABLE "preview_days" (
	"day" date PRIMARY KEY NOT NULL,
	"key" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "promotion_uses" (
	"order_id" uuid PRIMARY KEY NOT NULL,
	"promotion_id" uuid NOT NULL,
	"account_id" uuid,
	"used_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "promotions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"code" text NOT NULL,
	"name" text NOT NULL,
	"percent" integer,
	"amount_minor" bigint,
	"currency" text,
	"starts_at" timestamp with time zone,
	"ends_at" timestamp with time zone,
	"max_uses" integer,
	"max_uses_per_account" integer,
	"offer_ids" uuid[],
	"title_ids" uuid[],
	"active" boolean NOT NULL,
	"uses" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "promotions_code_unique" UNIQUE("code"),
	CONSTRAINT "promotions_discount" CHECK (("promotions"."percent" is null) <> ("promotions"."amount_minor" is null) and ("promotions"."amount_minor" is null) = ("promotions"."currency" is null)),
	CONSTRAINT "promotions_uses" CHECK ("promotions"."uses" between 0 and coalesce("promotions"."max_uses", "promotions"."uses"))
);
--> statement-breakpoint
CREATE TABLE "voucher_batches" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"offer_id" uuid,
	"amount_minor" bigint,
	"currency" text,
	"count" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"cancelled_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "voucher_batches_worth" CHECK (("voucher_batches"."offer_id" is null) <> ("voucher_batches"."amount_minor" is null) and ("voucher_batches"."amount_minor" is null) = ("voucher_batches"."currency" is null))
);
--> statement-breakpoint
CREATE TABLE "vouchers" (
	"id" uuid PRIMARY KEY NOT NULL,
	"batch_id" uuid NOT NULL,
	"code_hash" text NOT NULL,
	"redeemed_at" timestamp with time zone,
	"order_id" uuid,
	"account_id" uuid,
	CONSTRAINT "vouchers_code_hash_unique" UNIQUE("code_hash"),
	CONSTRAINT "vouchers_redeemed" CHECK (("vouchers"."redeemed_at" is null) = ("vouchers"."order_id" is null and "vouchers"."account_id" is null))
);
--> statement-breakpoint
DROP INDEX "offers_title";--> statement-breakpoint
ALTER TABLE "offers" ALTER COLUMN "title_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ALTER COLUMN "valid_seconds" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "category_id" uuid;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "tax_inclusive" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "time_option" jsonb;--> statement-breakpoint
-- Of the offers that are there, the rights are what was said.
UPDATE "offers" SET "time_option" = jsonb_build_object('kind', 'rights', 'rights', "rights", 'validSeconds', "valid_seconds");--> statement-breakpoint
ALTER TABLE "offers" ALTER COLUMN "time_option" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "tier_name" text;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "valid_from" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "valid_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "unused_policy" text DEFAULT 'forfeit' NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "capture_after_seconds" integer;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "meter_unit" text;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "meter_price_minor" bigint;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "preview" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "previews_per_address" integer;--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "previews_per_title" integer;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "kind" text DEFAULT 'live' NOT NULL;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "artwork_url" text;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "languages" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "countries" text[];--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "available_from" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "available_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "titles" ADD COLUMN "search" "tsvector" GENERATED ALWAYS AS (setweight(to_tsvector('simple', "titles"."name"), 'A') || setweight(to_tsvector('simple', "titles"."description"), 'B')) STORED;--> statement-breakpoint
ALTER TABLE "streaming_servers" ADD COLUMN "capacity" integer;--> statement-breakpoint
ALTER TABLE "title_categories" ADD CONSTRAINT "title_categories_title_id_titles_id_fk" FOREIGN KEY ("title_id") REFERENCES "public"."titles"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "title_categories" ADD CONSTRAINT "title_categories_category_id_categories_id_fk" FOREIGN KEY ("category_id") REFERENCES "public"."categories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "places" ADD CONSTRAINT "places_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "places" ADD CONSTRAINT "places_server_id_streaming_servers_id_fk" FOREIGN KEY ("server_id") REFERENCES "public"."streaming_servers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "preview_counts" ADD CONSTRAINT "preview_counts_day_preview_days_day_fk" FOREIGN KEY ("day") REFERENCES "public"."preview_days"("day") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "preview_counts" ADD CONSTRAINT "preview_counts_title_id_titles_id_fk" FOREIGN KEY ("title_id") REFERENCES "public"."titles"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "promotion_uses" ADD CONSTRAINT "promotion_uses_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "promotion_uses" ADD CONSTRAINT "promotion_uses_promotion_id_promotions_id_fk" FOREIGN KEY ("promotion_id") REFERENCES "public"."promotions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "promotion_uses" ADD CONSTRAINT "promotion_uses_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "voucher_batches" ADD CONSTRAINT "voucher_batches_offer_id_offers_id_fk" FOREIGN KEY ("offer_id") REFERENCES "public"."offers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vouchers" ADD CONSTRAINT "vouchers_batch_id_voucher_batches_id_fk" FOREIGN KEY ("batch_id") REFERENCES "public"."voucher_batches"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vouchers" ADD CONSTRAINT "vouchers_order_id_orders_id_fk" FOREIGN KEY ("order_id") REFERENCES "public"."orders"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vouchers" ADD CONSTRAINT "vouchers_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "categories_name" ON "categories" USING btree ("name","id");--> statement-breakpoint
CREATE INDEX "title_categories_category" ON "title_categories" USING btree ("category_id","title_id");--> statement-breakpoint
CREATE INDEX "places_server" ON "places" USING btree ("server_id","until");--> statement-breakpoint
CREATE INDEX "promotion_uses_account" ON "promotion_uses" USING btree ("promotion_id","account_id");--> statement-breakpoint
CREATE INDEX "vouchers_batch" ON "vouchers" USING btree ("batch_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "vouchers_order" ON "vouchers" USING btree ("order_id");--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_category_id_categories_id_fk" FOREIGN KEY ("category_id") REFERENCES "public"."categories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "offers_category" ON "offers" USING btree ("category_id","price_minor");--> statement-breakpoint
CREATE INDEX "titles_search" ON "titles" USING gin ("search");--> statement-breakpoint
CREATE INDEX "titles_published" ON "titles" USING btree ("id") WHERE "titles"."published";--> statement-breakpoint
CREATE INDEX "titles_name" ON "titles" USING btree ("name","id");--> statement-breakpoint
CREATE INDEX "media_sessions_live" ON "media_sessions" USING btree ("server_id") WHERE "media_sessions"."state" in ('reserved', 'committed');--> statement-breakpoint
CREATE INDEX "offers_title" ON "offers" USING btree ("title_id","price_minor");--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_target" CHECK (("offers"."title_id" is null) <> ("offers"."category_id" is null));--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_validity" CHECK (("offers"."valid_seconds" is null) = ("offers"."valid_from" is not null) and ("offers"."valid_from" is null) = ("offers"."valid_until" is null));--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_delivery" CHECK (("offers"."charging" = 'on_delivery') = ("offers"."capture_after_seconds" is not null));--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_meter" CHECK (("offers"."charging" = 'metered') = ("offers"."meter_unit" is not null) and ("offers"."meter_unit" is null) = ("offers"."meter_price_minor" is null));--> statement-breakpoint
ALTER TABLE "offers" ADD CONSTRAINT "offers_preview" CHECK (not "offers"."preview" or "offers"."charging" = 'free');--> statement-breakpoint
ALTER TABLE "titles" ADD CONSTRAINT "titles_window" CHECK ("titles"."available_from" < "titles"."available_until");