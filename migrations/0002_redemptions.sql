-- Counted rights, decided in the database, each by one statement: every caller, however many processes there are,
-- waits for the ticket's row and then sees what the one before has done. An access is taken by a session row, not by
-- a counter: rows that hold one are counted, so a lapsed reservation gives its access back by itself, exactly once.

-- What a refusal is: its code, and what of the ticket it is about.
CREATE TYPE "redemption" AS (
  "refusal" text,
  "detail" text,
  "session_id" uuid,
  "window_ends_at" timestamptz,
  "media_ms_left" bigint,
  "bytes_left" bigint
);
--> statement-breakpoint
CREATE FUNCTION "redemption_refused"("refusal" text, "detail" text) RETURNS "redemption" LANGUAGE sql IMMUTABLE AS $$
  SELECT ROW("refusal", "detail", NULL, NULL, NULL, NULL)::"redemption"
$$;
--> statement-breakpoint
CREATE FUNCTION "redemption_granted"("ticket" "tickets", "session" uuid) RETURNS "redemption" LANGUAGE sql STABLE AS $$
  SELECT ROW(
    NULL, NULL, "session", "ticket"."window_ends_at",
    -- greatest() passes over NULL, which is "not limited" and must stay so.
    CASE WHEN "ticket"."rights"->>'seconds' IS NOT NULL
      THEN greatest(0, ("ticket"."rights"->>'seconds')::bigint * 1000 - "ticket"."media_ms_used") END,
    CASE WHEN "ticket"."rights"->>'bytes' IS NOT NULL
      THEN greatest(0, ("ticket"."rights"->>'bytes')::bigint - "ticket"."bytes_used") END
  )::"redemption"
$$;
--> statement-breakpoint
-- NULL when the ticket, whose row is locked, has an access, a place beside its running sessions, and budget left.
CREATE FUNCTION "redemption_room"("ticket" "tickets", "session" uuid, "moment" timestamptz) RETURNS "redemption"
LANGUAGE plpgsql AS $$
DECLARE
  "live" bigint;
  "took" bigint;
BEGIN
  IF "ticket"."revoked_at" IS NOT NULL THEN RETURN "redemption_refused"('ticket_revoked', NULL); END IF;
  IF "ticket"."expires_at" <= "moment" THEN RETURN "redemption_refused"('ticket_expired', 'exp'); END IF;
  IF "ticket"."window_ends_at" <= "moment" THEN RETURN "redemption_refused"('rights_exhausted', 'window'); END IF;
  IF ("ticket"."rights"->>'seconds')::bigint * 1000 <= "ticket"."media_ms_used" THEN
    RETURN "redemption_refused"('rights_exhausted', 'seconds');
  END IF;
  IF ("ticket"."rights"->>'bytes')::bigint <= "ticket"."bytes_used" THEN
    RETURN "redemption_refused"('rights_exhausted', 'bytes');
  END IF;
  SELECT
    count(*) FILTER (WHERE ("s"."state" = 'reserved' AND "s"."reserved_until" > "moment")
      OR ("s"."state" = 'committed' AND "s"."lease_until" > "moment")),
    count(*) FILTER (WHERE ("s"."state" = 'reserved' AND "s"."reserved_until" > "moment")
      OR "s"."state" IN ('committed', 'ended'))
  INTO "live", "took"
  FROM "media_sessions" "s" WHERE "s"."ticket_id" = "ticket"."jti" AND "s"."id" <> "session";
  IF "took" >= ("ticket"."rights"->>'accesses')::bigint THEN
    RETURN "redemption_refused"('rights_exhausted', 'accesses');
  END IF;
  IF "live" >= ("ticket"."rights"->>'concurrent')::bigint THEN
    RETURN "redemption_refused"('rights_concurrency', 'concurrent');
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION "reserve_access"(
  "p_ticket" uuid, "p_session" uuid, "p_attempt" uuid, "p_server" text, "moment" timestamptz, "until" timestamptz
) RETURNS "redemption" LANGUAGE plpgsql AS $$
DECLARE
  "ticket" "tickets";
  "known" "media_sessions";
  "refused" "redemption";
BEGIN
  SELECT * INTO "ticket" FROM "tickets" WHERE "jti" = "p_ticket" FOR UPDATE;
  IF NOT FOUND THEN RETURN "redemption_refused"('ticket_untrusted', 'jti'); END IF;
  IF "p_server" <> ALL ("ticket"."audience") THEN RETURN "redemption_refused"('ticket_wrong_audience', 'aud'); END IF;
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
    OR "known"."state" NOT IN ('reserved', 'committed') THEN
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
CREATE FUNCTION "commit_access"("p_session" uuid, "p_server" text, "moment" timestamptz, "lease_until" timestamptz)
RETURNS "redemption" LANGUAGE plpgsql AS $$
DECLARE
  "ticket" "tickets";
  "known" "media_sessions";
  "refused" "redemption";
BEGIN
  -- The ticket's row first, as in every function here, so that two of them cannot wait for each other.
  SELECT "t".* INTO "ticket" FROM "tickets" "t"
  WHERE "t"."jti" = (SELECT "ticket_id" FROM "media_sessions" WHERE "id" = "p_session" AND "server_id" = "p_server")
  FOR UPDATE;
  IF NOT FOUND THEN RETURN "redemption_refused"('session_ended', 'session'); END IF;
  SELECT * INTO "known" FROM "media_sessions" WHERE "id" = "p_session";
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
CREATE FUNCTION "release_access"("p_session" uuid, "p_server" text, "moment" timestamptz)
RETURNS "redemption" LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "media_sessions" SET "state" = 'released', "reserved_until" = NULL, "ended_at" = "moment"
  WHERE "id" = "p_session" AND "server_id" = "p_server" AND "state" = 'reserved';
  IF FOUND OR EXISTS (SELECT 1 FROM "media_sessions" WHERE "id" = "p_session" AND "server_id" = "p_server") THEN
    RETURN ROW(NULL, NULL, "p_session", NULL, NULL, NULL)::"redemption";
  END IF;
  RETURN "redemption_refused"('session_ended', 'session');
END $$;
