CREATE TABLE "server_streams" (
	"server_id" text NOT NULL,
	"uri" text NOT NULL,
	"report" jsonb NOT NULL,
	"on_air_since" timestamp with time zone NOT NULL,
	"viewers" integer NOT NULL,
	"reported_at" timestamp with time zone NOT NULL,
	CONSTRAINT "server_streams_server_id_uri_pk" PRIMARY KEY("server_id","uri")
);
--> statement-breakpoint
ALTER TABLE "offers" ADD COLUMN "transport" text;--> statement-breakpoint
ALTER TABLE "server_streams" ADD CONSTRAINT "server_streams_server_id_streaming_servers_id_fk" FOREIGN KEY ("server_id") REFERENCES "public"."streaming_servers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "server_streams_uri" ON "server_streams" USING btree ("uri");