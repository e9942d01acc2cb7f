ALTER TABLE "media_sessions" ADD COLUMN "leased_media_ms" bigint;--> statement-breakpoint
ALTER TABLE "media_sessions" ADD COLUMN "leased_bytes" bigint;--> statement-breakpoint
-- Leases. Each session of a ticket with a budget (seconds, bytes) has a part of it to itself: what it may use in all,
-- from its beginning on. It is given more with the answers to its receipts, and what its final receipt leaves goes back.
-- All of it is decided under the ticket's row lock, so that
--
--   used + leased and not used yet <= total + one interval.
--
-- A part is not taken back from a streaming server that is not heard: it may be using it, and say so later. Only one
-- interval a ticket is given out a second time, of what those have that did not come back.

-- Where a lease ends: what its session has used, and half of what nobody else has ("most" at most), or all, when that
-- is an interval at most; and never before the end that was told already. NULL is "not limited".
CREATE FUNCTION "lease_end"(
  "total" bigint, "used" bigint, "elsewhere" bigint, "own_end" bigint, "own_used" bigint, "an_interval" bigint,
  "most" bigint
) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  "free" bigint := greatest(0, "total" - "used" - "elsewhere");
BEGIN
  -- greatest() passes over NULL, which is "not limited" and must stay so.
  IF "total" IS NULL THEN RETURN NULL; END IF;
  RETURN greatest("own_end", "own_used" + least("free", greatest("an_interval", least("most", "free" / 2))));
END $$;
--> statement-breakpoint
-- One interval: 5 s of media; in bytes 8 MiB (5 s at 13 Mb/s), where nothing is known of the rate.
CREATE FUNCTION "lease_interval"(OUT "media_ms" bigint, OUT "bytes" bigint) LANGUAGE sql IMMUTABLE AS $$
  SELECT 5000::bigint, 8388608::bigint
$$;
--> statement-breakpoint
-- What the other sessions of a ticket have and have not used yet. In doubt is what was reserved and neither committed nor
-- released in time, or has gone silent. A server that was taken off the register can state nothing any more.
CREATE FUNCTION "leased_elsewhere"(
  "p_ticket" uuid, "p_session" uuid, "moment" timestamptz, OUT "media_ms" bigint, OUT "bytes" bigint
) LANGUAGE sql STABLE AS $$
  SELECT
    coalesce(sum("h"."media_ms") FILTER (WHERE NOT "h"."in_doubt"), 0)::bigint
      + greatest(0, coalesce(sum("h"."media_ms") FILTER (WHERE "h"."in_doubt"), 0)::bigint - max("i"."media_ms")),
    coalesce(sum("h"."bytes") FILTER (WHERE NOT "h"."in_doubt"), 0)::bigint
      + greatest(0, coalesce(sum("h"."bytes") FILTER (WHERE "h"."in_doubt"), 0)::bigint - max("i"."bytes"))
  FROM "lease_interval"() "i"
  LEFT JOIN (
    SELECT
      CASE "s"."state" WHEN 'reserved' THEN "s"."reserved_until" <= "moment" ELSE "s"."ended_at" IS NOT NULL END AS "in_doubt",
      greatest(0, "s"."leased_media_ms" - "s"."media_ms") AS "media_ms",
      greatest(0, "s"."leased_bytes" - "s"."bytes") AS "bytes"
    FROM "media_sessions" "s" JOIN "streaming_servers" "v" ON "v"."id" = "s"."server_id"
    WHERE "s"."ticket_id" = "p_ticket" AND "s"."id" <> "p_session" AND "s"."state" IN ('reserved', 'committed')
      AND "v"."active"
  ) "h" ON true
$$;
--> statement-breakpoint
-- Gives a session of a ticket, whose row is locked, as much as it should have now. Before its first receipt is here a
-- crash may leave nothing of it: until then that is one interval, and then it is enough for a while without an answer.
CREATE FUNCTION "extend_lease"("ticket" "tickets", "p_session" uuid, "moment" timestamptz) RETURNS "media_sessions"
LANGUAGE plpgsql AS $$
DECLARE
  "known" "media_sessions";
  "elsewhere" record;
  "an_interval" record;
  "intervals" integer;
BEGIN
  SELECT * INTO "known" FROM "media_sessions" WHERE "id" = "p_session";
  SELECT * INTO "elsewhere" FROM "leased_elsewhere"("ticket"."jti", "p_session", "moment");
  -- In bytes as many as have been used in five seconds.
  SELECT "i"."media_ms", greatest("i"."bytes", "known"."bytes" / greatest("known"."media_ms", 5000) * 5000) AS "bytes"
  INTO "an_interval" FROM "lease_interval"() "i";
  "intervals" := CASE WHEN "known"."last_seq" IS NULL THEN 1 ELSE 24 END;
  UPDATE "media_sessions" SET
    "leased_media_ms" = "lease_end"(
      ("ticket"."rights"->>'seconds')::bigint * 1000, "ticket"."media_ms_used", "elsewhere"."media_ms",
      "known"."leased_media_ms", "known"."media_ms", "an_interval"."media_ms", "an_interval"."media_ms" * "intervals"),
    "leased_bytes" = "lease_end"(
      ("ticket"."rights"->>'bytes')::bigint, "ticket"."bytes_used", "elsewhere"."bytes",
      "known"."leased_bytes", "known"."bytes", "an_interval"."bytes", "an_interval"."bytes" * "intervals")
  WHERE "id" = "p_session" RETURNING * INTO "known";
  RETURN "known";
END $$;
--> statement-breakpoint
-- What sessions may use from now on: those of a server's batch of receipts that go on, of tickets whose rows are locked.
-- One that has been kicked, or whose ticket was revoked, gets no more.
CREATE FUNCTION "extend_leases"("pairs" jsonb, "p_server" text, "moment" timestamptz)
RETURNS TABLE ("session_id" uuid, "media_ms" bigint, "bytes" bigint) LANGUAGE plpgsql AS $$
DECLARE
  "due" record;
  "known" "media_sessions";
BEGIN
  FOR "due" IN
    SELECT DISTINCT "s"."id", "t"."jti"
    FROM jsonb_to_recordset("pairs") AS "p"("session" uuid, "ticket" uuid)
    JOIN "media_sessions" "s" ON "s"."id" = "p"."session" AND "s"."ticket_id" = "p"."ticket"
    JOIN "tickets" "t" ON "t"."jti" = "s"."ticket_id"
    WHERE "s"."server_id" = "p_server" AND "s"."state" = 'committed' AND "s"."kicked_at" IS NULL
      AND "t"."revoked_at" IS NULL
    ORDER BY "s"."id"
  LOOP
    SELECT "e".* INTO "known" FROM "tickets" "t", "extend_lease"("t", "due"."id", "moment") "e" WHERE "t"."jti" = "due"."jti";
    RETURN QUERY SELECT "known"."id", "known"."leased_media_ms", "known"."leased_bytes";
  END LOOP;
END $$;
--> statement-breakpoint
DROP FUNCTION "redemption_granted"("tickets", uuid);
--> statement-breakpoint
CREATE FUNCTION "redemption_granted"("ticket" "tickets", "session" uuid, "moment" timestamptz) RETURNS "redemption"
LANGUAGE plpgsql AS $$
DECLARE
  "known" "media_sessions";
BEGIN
  IF "ticket"."rights"->>'seconds' IS NOT NULL OR "ticket"."rights"->>'bytes' IS NOT NULL THEN
    "known" := "extend_lease"("ticket", "session", "moment");
  END IF;
  RETURN ROW(
    NULL, NULL, "session", "ticket"."window_ends_at", "known"."leased_media_ms", "known"."leased_bytes"
  )::"redemption";
END $$;
--> statement-breakpoint
-- NULL when the ticket, whose row is locked, has an access, a place beside its running sessions, and budget left that no
-- other session has.
CREATE OR REPLACE FUNCTION "redemption_room"("ticket" "tickets", "session" uuid, "moment" timestamptz) RETURNS "redemption"
LANGUAGE plpgsql AS $$
DECLARE
  "live" bigint;
  "took" bigint;
  "elsewhere" record;
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
  IF "ticket"."rights"->>'seconds' IS NOT NULL OR "ticket"."rights"->>'bytes' IS NOT NULL THEN
    SELECT * INTO "elsewhere" FROM "leased_elsewhere"("ticket"."jti", "session", "moment");
    IF ("ticket"."rights"->>'seconds')::bigint * 1000 <= "ticket"."media_ms_used" + "elsewhere"."media_ms" THEN
      RETURN "redemption_refused"('rights_concurrency', 'seconds');
    END IF;
    IF ("ticket"."rights"->>'bytes')::bigint <= "ticket"."bytes_used" + "elsewhere"."bytes" THEN
      RETURN "redemption_refused"('rights_concurrency', 'bytes');
    END IF;
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
CREATE OR REPLACE FUNCTION "reserve_access"(
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
    RETURN "redemption_granted"("ticket", "p_session", "moment");
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
  RETURN "redemption_granted"("ticket", "known"."id", "moment");
END $$;
--> statement-breakpoint
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
  IF "known"."state" NOT IN ('reserved', 'committed') THEN
    RETURN "redemption_refused"('session_ended', 'session');
  END IF;
  -- A receipt that came first has made it committed; the window begins here all the same.
  IF "known"."committed_at" IS NULL THEN
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
  END IF;
  RETURN "redemption_granted"("ticket", "p_session", "moment");
END $$;
