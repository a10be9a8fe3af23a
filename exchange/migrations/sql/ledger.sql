-- The ledger only grows. Triggers refuse what would change its past, for every role but the two
-- acts of erasure; grants say who may write at all. Idempotent.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['weir_web', 'weir_worker', 'weir_sequencer', 'weir_erasure'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = one) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', one);
        END IF;
    END LOOP;
END
$$;

-- Hashes do not compress; a queue that is emptied all the time must be vacuumed all the time.
ALTER TABLE ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE ledger_intake SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX IF NOT EXISTS rendition_by_digest ON exchange_rendition (digest);

CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger only grows: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Erasure on legal grounds, by its own role: the row goes, or its content goes and the digest
-- stays, without which the entry's other slots could not be opened any more.
CREATE OR REPLACE FUNCTION ledger_erase() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    emptied record := NEW;
BEGIN
    IF current_user = 'weir_erasure' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        emptied.sealed := OLD.sealed;
        IF NEW.sealed = '' AND emptied = OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The ledger only grows: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE OR REPLACE FUNCTION ledger_grow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    grows boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'ledger_tile' THEN
        grows := NEW.level = OLD.level AND NEW.n = OLD.n
            AND substring(NEW.hashes FOR length(OLD.hashes)) = OLD.hashes;
    ELSIF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'ledger_head' THEN
        grows := NEW.size > OLD.size;
    ELSIF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'ledger_account' THEN
        grows := NEW.member_id = OLD.member_id AND NEW.slot = OLD.slot
            AND NEW.seq >= OLD.seq AND NEW.running >= OLD.running;
    END IF;
    IF NOT grows THEN
        RAISE EXCEPTION 'The ledger only grows: % of % is refused.', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ledger_rise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_checkpoint WHERE size >= NEW.size OR at >= NEW.at) THEN
        RAISE EXCEPTION 'A checkpoint is larger and later than all before it.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE INDEX IF NOT EXISTS checkpoint_by_time ON ledger_checkpoint (at);

CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_checkpoint
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE OR REPLACE TRIGGER only_rises BEFORE INSERT ON ledger_checkpoint
    FOR EACH ROW EXECUTE FUNCTION ledger_rise();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_slot
    FOR EACH ROW EXECUTE FUNCTION ledger_erase();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_tile
    FOR EACH ROW EXECUTE FUNCTION ledger_grow();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_head
    FOR EACH ROW EXECUTE FUNCTION ledger_grow();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_grow();

-- What every member may read of every entry: the commitments, and nothing that they hide. Both
-- views have their owner's rights, so they show leaves whose rows the reader may not see.
CREATE OR REPLACE VIEW ledger_leaf AS SELECT idx, leaf FROM ledger_entry;
CREATE OR REPLACE VIEW ledger_digest AS SELECT idx, slot, digest FROM ledger_slot;

-- Keys and floors concern everyone: their `to` slot is shown to all.
CREATE OR REPLACE FUNCTION ledger_shown_to_all(entry bigint) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT 1 FROM ledger_entry WHERE idx = entry AND kind IN ('key', 'policy')
                AND to_member_id IS NULL AND from_member_id IS NULL)
    $$;
DROP POLICY IF EXISTS shown ON ledger_slot;
CREATE POLICY shown ON ledger_slot FOR SELECT TO weir_web
    USING (slot = 'to' AND member_id IS NULL AND ledger_shown_to_all(idx));
DROP POLICY IF EXISTS shown ON ledger_entry;
CREATE POLICY shown ON ledger_entry FOR SELECT TO weir_web
    USING (kind IN ('key', 'policy') AND to_member_id IS NULL AND from_member_id IS NULL);

GRANT SELECT ON ledger_head, ledger_tile, ledger_checkpoint, ledger_leaf, ledger_digest,
    ledger_entry, ledger_slot TO weir_web, weir_worker, weir_sequencer;
GRANT INSERT ON ledger_event, ledger_intake TO weir_web, weir_worker;
GRANT SELECT ON ledger_event, ledger_intake, ledger_account TO weir_worker, weir_sequencer;
GRANT DELETE ON ledger_intake TO weir_sequencer;
GRANT INSERT ON ledger_entry, ledger_slot, ledger_checkpoint, ledger_event, ledger_intake
    TO weir_sequencer;
GRANT INSERT, UPDATE ON ledger_tile, ledger_head, ledger_account TO weir_sequencer;
-- Of a release the sequencer reads what it numbers, never the list or the renditions.
GRANT SELECT (id, kind, circle_id, count, slots) ON exchange_release TO weir_sequencer;
GRANT SELECT ON exchange_releaserecipient TO weir_sequencer;
GRANT UPDATE (idx, to_seq, running, added_at) ON exchange_releaserecipient TO weir_sequencer;
GRANT SELECT (id, idx, running, added_at), UPDATE (idx, running, added_at)
    ON indicators_contribution TO weir_sequencer;
DROP POLICY IF EXISTS erasure ON ledger_slot;
CREATE POLICY erasure ON ledger_slot TO weir_erasure USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE, DELETE ON ledger_slot TO weir_erasure;
DO $$
BEGIN
    IF to_regclass('ledger_signing_key') IS NOT NULL THEN  -- a later migration makes it
        GRANT SELECT ON ledger_signing_key TO weir_web, weir_worker, weir_sequencer;
        GRANT INSERT, UPDATE (status) ON ledger_signing_key TO weir_sequencer;
    END IF;
END
$$;
