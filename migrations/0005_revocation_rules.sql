-- Revocation and messages of servers, decided by the statement that does what is asked.

-- The feed's numbers are the greatest one and 1: what is in it stays.
CREATE FUNCTION "revocations_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'revocations are append-only' USING ERRCODE = 'restrict_violation';
END $$;
--> statement-breakpoint
CREATE TRIGGER "revocations_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "revocations"
  FOR EACH STATEMENT EXECUTE FUNCTION "revocations_refuse_change"();
--> statement-breakpoint
-- Marks a server's message as used. NULL when it was not used before and its sender is a registered server still; a
-- copy that arrives beside it waits for its transaction.
CREATE FUNCTION "use_message"("p_message" text, "p_server" text, "moment" timestamptz)
RETURNS "redemption" LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM "streaming_servers" "s" WHERE "s"."id" = "p_server" AND "s"."active") THEN
    RETURN "redemption_refused"('server_untrusted', 'iss');
  END IF;
  INSERT INTO "server_messages" ("id", "seen_at") VALUES ("p_message", "moment") ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN "redemption_refused"('message_replayed', NULL); END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
-- Why an account (NULL: nobody) may not order with a proof key, or NULL. Until the order's transaction ends, neither of
-- them can be revoked: a ticket that is issued beside a revocation is seen by it.
CREATE FUNCTION "order_refusal"("p_account" uuid, "p_jkt" text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  "account_revoked_at" timestamptz;
BEGIN
  SELECT "a"."revoked_at" INTO "account_revoked_at" FROM "accounts" "a" WHERE "a"."id" = "p_account" FOR SHARE;
  IF "account_revoked_at" IS NOT NULL THEN RETURN 'account'; END IF;
  -- The key's lock, which revokeProofKey takes alone.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended("p_jkt", 1));
  IF EXISTS (SELECT 1 FROM "revocations" "r" WHERE "r"."kind" = 'key' AND "r"."value" = "p_jkt") THEN
    RETURN 'proofKey';
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
DROP FUNCTION "reserve_access"(uuid, uuid, uuid, text, timestamptz, timestamptz);
--> statement-breakpoint
CREATE FUNCTION "reserve_access"(
  "p_ticket" uuid, "p_session" uuid, "p_attempt" uuid, "p_server" text, "moment" timestamptz, "until" timestamptz,
  "p_message" text DEFAULT NULL
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
  SELECT * INTO "ticket" FROM "tickets" WHERE "jti" = "p_ticket" FOR UPDATE;
  IF NOT FOUND THEN RETURN "redemption_refused"('ticket_untrusted', 'jti'); END IF;
  IF "p_server" <> ALL ("ticket"."audience") THEN RETURN "redemption_refused"('ticket_wrong_audience', 'aud'); END IF;
  -- Before anything that was answered already: a repeated attempt does not outlive its ticket.
  IF "ticket"."revoked_at" IS NOT NULL THEN RETURN "redemption_refused"('ticket_revoked', NULL); END IF;
  SELECT * INTO "known" FROM "media_sessions" WHERE "id" = "p_session";
  IF NOT FOUND AND "p_attempt" IS NOT NULL THEN
    SELECT * INTO "known" FROM "media_sessions"
    WHERE "ticket_id" = "p_ticket" AND "server_id" = "p_server" AND "attempt" = "p_attempt"
      AND "state" IN ('reserved', 'committed');
  END IF;
  IF NOT FOUND THEN
    "refused" := "redemption_room"("ticket", "p_session", "moment");
    IF "refused" IS DISTINCT FROM NULL THEN RETURN "refused"; END IF;
    INSERT INTO "media_sessions"
      ("id", "ticket_id", "server_id", "attempt", "state", "created_at", "reserved_until", "media_ms", "bytes")
    VALUES ("p_session", "p_ticket", "p_server", "p_attempt", 'reserved', "moment", "until", 0, 0);
    RETURN "redemption_granted"("ticket", "p_session");
  END IF;
  IF "known"."ticket_id" <> "p_ticket" OR "known"."server_id" <> "p_server"
    OR "known"."state" NOT IN ('reserved', 'committed') OR "known"."kicked_at" IS NOT NULL THEN
    RETURN "redemption_refused"('conflict', 'session');
  END IF;
  IF "known"."state" = 'reserved' AND "known"."reserved_until" <= "moment" THEN
    "refused" := "redemption_room"("ticket", "known"."id", "moment");
    IF "refused" IS DISTINCT FROM NULL THEN RETURN "refused"; END IF;
    UPDATE "media_sessions" SET "reserved_until" = "until" WHERE "id" = "known"."id";
  END IF;
  RETURN "redemption_granted"("ticket", "known"."id");
END $$;
--> statement-breakpoint
DROP FUNCTION "commit_access"(uuid, text, timestamptz, timestamptz);
--> statement-breakpoint
CREATE FUNCTION "commit_access"(
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
  IF "ticket"."window_ends_at" IS NULL AND "ticket"."rights"->>'window' IS NOT NULL THEN
    -- Seconds on the wire: a window ends on a whole one.
    UPDATE "tickets" SET "window_ends_at" =
      date_trunc('second', "moment") + make_interval(secs => ("ticket"."rights"->>'window')::double precision)
    WHERE "jti" = "ticket"."jti" RETURNING * INTO "ticket";
  END IF;
  RETURN "redemption_granted"("ticket", "p_session");
END $$;
--> statement-breakpoint
DROP FUNCTION "release_access"(uuid, text, timestamptz);
--> statement-breakpoint
CREATE FUNCTION "release_access"(
  "p_session" uuid, "p_server" text, "moment" timestamptz, "p_message" text DEFAULT NULL
) RETURNS "redemption" LANGUAGE plpgsql AS $$
DECLARE
  "refused" "redemption";
BEGIN
  IF "p_message" IS NOT NULL THEN
    "refused" := "use_message"("p_message", "p_server", "moment");
    IF "refused" IS DISTINCT FROM NULL THEN RETURN "refused"; END IF;
  END IF;
  UPDATE "media_sessions" SET "state" = 'released', "reserved_until" = NULL, "ended_at" = "moment"
  WHERE "id" = "p_session" AND "server_id" = "p_server" AND "state" = 'reserved';
  IF FOUND OR EXISTS (SELECT 1 FROM "media_sessions" WHERE "id" = "p_session" AND "server_id" = "p_server") THEN
    RETURN ROW(NULL, NULL, "p_session", NULL, NULL, NULL)::"redemption";
  END IF;
  RETURN "redemption_refused"('session_ended', 'session');
END $$;
