-- What is held for a customer is kept and checked as the balance is.
CREATE OR REPLACE FUNCTION "ledger_keep_balance"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  account_currency text;
BEGIN
  SELECT "currency" INTO account_currency FROM "ledger_accounts" WHERE "id" = NEW."ledger_account_id";
  IF account_currency IS DISTINCT FROM NEW."currency" THEN
    RAISE EXCEPTION 'an entry must have the currency of its account' USING ERRCODE = 'check_violation';
  END IF;
  UPDATE "ledger_accounts" SET "balance_minor" = "balance_minor" + NEW."amount_minor"
    WHERE "id" = NEW."ledger_account_id" AND "kind" IN ('customer_balance', 'customer_held');
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION "order_events_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the history of orders is append-only' USING ERRCODE = 'restrict_violation';
END $$;
--> statement-breakpoint
CREATE TRIGGER "order_events_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "order_events"
  FOR EACH STATEMENT EXECUTE FUNCTION "order_events_refuse_change"();
--> statement-breakpoint
-- The first commit makes the order due: it is settled at once, by whoever takes it from there.
CREATE OR REPLACE FUNCTION "commit_access"(
  "p_session" uuid, "p_server" text, "moment" timestamptz, "lease_until" timestamptz, "p_message" text DEFAULT NULL
) RETURNS "redemption" LANGUAGE plpgsql AS $$
DECLARE
  "ticket" "tickets";
  "known" "media_sessions";
  "refused" "redemption";
BEGIN
  IF "p_message" IS NOT NULL THEN
    "refused" := "use_message"("p_message", "p_server", "moment");
    IF "refused" IS DISTINCT FROM NULL THEN RETURN "refused"; END IF;
  END IF;
  -- The ticket's row first, as in every function here, so that two of them cannot wait for each other.
  SELECT "t".* INTO "ticket" FROM "tickets" "t"
  WHERE "t"."jti" = (SELECT "ticket_id" FROM "media_sessions" WHERE "id" = "p_session" AND "server_id" = "p_server")
  FOR UPDATE;
  IF NOT FOUND THEN RETURN "redemption_refused"('session_ended', 'session'); END IF;
  IF "ticket"."revoked_at" IS NOT NULL THEN RETURN "redemption_refused"('ticket_revoked', NULL); END IF;
  SELECT * INTO "known" FROM "media_sessions" WHERE "id" = "p_session";
  IF "known"."kicked_at" IS NOT NULL THEN RETURN "redemption_refused"('session_ended', 'session'); END IF;
  IF "known"."state" = 'committed' THEN RETURN "redemption_granted"("ticket", "p_session"); END IF;
  IF "known"."state" <> 'reserved' THEN RETURN "redemption_refused"('session_ended', 'session'); END IF;
  IF "known"."reserved_until" <= "moment" THEN
    "refused" := "redemption_room"("ticket", "p_session", "moment");
    IF "refused" IS DISTINCT FROM NULL THEN RETURN "refused"; END IF;
  END IF;
  UPDATE "media_sessions" "s"
  SET "state" = 'committed', "reserved_until" = NULL, "committed_at" = "moment", "lease_until" = "commit_access"."lease_until"
  WHERE "s"."id" = "p_session";
  UPDATE "orders" "o" SET "delivered_at" = "moment", "due_at" = "moment"
  WHERE "o"."id" = "ticket"."order_id" AND "o"."state" = 'ticketed' AND "o"."delivered_at" IS NULL;
  IF "ticket"."window_ends_at" IS NULL AND "ticket"."rights"->>'window' IS NOT NULL THEN
    -- Seconds on the wire: a window ends on a whole one.
    UPDATE "tickets" SET "window_ends_at" =
      date_trunc('second', "moment") + make_interval(secs => ("ticket"."rights"->>'window')::double precision)
    WHERE "jti" = "ticket"."jti" RETURNING * INTO "ticket";
  END IF;
  RETURN "redemption_granted"("ticket", "p_session");
END $$;
