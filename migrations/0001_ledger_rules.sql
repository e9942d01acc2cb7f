-- The ledger's rules, held by the database: entries are never changed, every transaction sums to zero per
-- currency, an entry has the currency of its account, a customer's balance follows its entries.

CREATE FUNCTION "ledger_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$;
--> statement-breakpoint
CREATE TRIGGER "ledger_entries_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "ledger_entries"
  FOR EACH STATEMENT EXECUTE FUNCTION "ledger_refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "ledger_transactions_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "ledger_transactions"
  FOR EACH STATEMENT EXECUTE FUNCTION "ledger_refuse_change"();
--> statement-breakpoint
CREATE FUNCTION "ledger_keep_balance"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  account_currency text;
BEGIN
  SELECT "currency" INTO account_currency FROM "ledger_accounts" WHERE "id" = NEW."ledger_account_id";
  IF account_currency IS DISTINCT FROM NEW."currency" THEN
    RAISE EXCEPTION 'an entry must have the currency of its account' USING ERRCODE = 'check_violation';
  END IF;
  UPDATE "ledger_accounts" SET "balance_minor" = "balance_minor" + NEW."amount_minor"
    WHERE "id" = NEW."ledger_account_id" AND "kind" = 'customer_balance';
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "ledger_entries_balance" AFTER INSERT ON "ledger_entries"
  FOR EACH ROW EXECUTE FUNCTION "ledger_keep_balance"();
--> statement-breakpoint
CREATE FUNCTION "ledger_check_sum"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  checked uuid;
BEGIN
  IF TG_TABLE_NAME = 'ledger_entries' THEN
    checked := NEW."transaction_id";
  ELSE
    checked := NEW."id";
  END IF;
  IF NOT EXISTS (SELECT 1 FROM "ledger_entries" WHERE "transaction_id" = checked) THEN
    RAISE EXCEPTION 'a ledger transaction must have entries' USING ERRCODE = 'check_violation';
  END IF;
  IF EXISTS (
    SELECT 1 FROM "ledger_entries" WHERE "transaction_id" = checked
    GROUP BY "currency" HAVING sum("amount_minor") <> 0
  ) THEN
    RAISE EXCEPTION 'a ledger transaction must sum to zero' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE CONSTRAINT TRIGGER "ledger_entries_sum" AFTER INSERT ON "ledger_entries"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "ledger_check_sum"();
--> statement-breakpoint
CREATE CONSTRAINT TRIGGER "ledger_transactions_sum" AFTER INSERT ON "ledger_transactions"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "ledger_check_sum"();
