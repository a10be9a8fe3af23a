-- Witnesses and their signatures; the gate that waits for them. Idempotent.

CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_cosignature
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();

-- A witness ends, and nothing else of it changes.
CREATE OR REPLACE FUNCTION ledger_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ended record := NEW;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL THEN
        ended.ended_at := NULL;
        IF ended = OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The ledger only grows: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE OR REPLACE TRIGGER only_ends BEFORE UPDATE OR DELETE ON ledger_witness
    FOR EACH ROW EXECUTE FUNCTION ledger_end();

-- The gate opens further and never closes; without the setting it is taken away.
CREATE OR REPLACE FUNCTION ledger_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size < OLD.size THEN
        RAISE EXCEPTION 'What was shown is not taken back by the gate.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER only_opens BEFORE UPDATE ON ledger_gate
    FOR EACH ROW EXECUTE FUNCTION ledger_open();

-- The web writes no table of the log. What it hands on here it has verified; what can be said in
-- SQL is asked once more: the witness is the caller's own, the checkpoint is there, and no size is
-- older than the last that this witness signed.
CREATE OR REPLACE FUNCTION weir_cosign(
        named bigint, signed bigint, said text, stated timestamptz, now timestamptz)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        last bigint;
    BEGIN
        PERFORM 1 FROM ledger_witness w
            WHERE w.id = named AND w.member_id = weir_member() AND w.ended_at IS NULL FOR UPDATE;
        IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM ledger_checkpoint c WHERE c.size = signed) THEN
            RETURN false;
        END IF;
        SELECT max(c.size) INTO last FROM ledger_cosignature c WHERE c.witness_id = named;
        IF last > signed THEN
            RETURN false;
        END IF;
        INSERT INTO ledger_cosignature (size, witness_id, line, at, kept_at)
            VALUES (signed, named, said, stated, now) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('weir_ledger', '');
        RETURN true;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_cosign FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_cosign TO weir_web;

REVOKE ALL ON ledger_witness, ledger_cosignature, ledger_gate FROM weir_web, weir_worker;
GRANT SELECT ON ledger_witness, ledger_cosignature, ledger_gate
    TO weir_web, weir_worker, weir_sequencer;
GRANT INSERT ON ledger_cosignature TO weir_sequencer;
GRANT INSERT, UPDATE, DELETE ON ledger_gate TO weir_sequencer;
GRANT EXECUTE ON FUNCTION weir_published TO weir_sequencer;

-- What was recorded stays as it was said; on legal grounds its content goes.
CREATE OR REPLACE FUNCTION ledger_event_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    emptied record := NEW;
BEGIN
    IF TG_OP = 'UPDATE' AND current_user = 'weir_erasure' THEN
        emptied.slots := OLD.slots;
        IF NEW.slots = '' AND emptied = OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The ledger only grows: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_event
    FOR EACH ROW EXECUTE FUNCTION ledger_event_stays();
DROP POLICY IF EXISTS erasure ON ledger_event;
CREATE POLICY erasure ON ledger_event TO weir_erasure USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (slots) ON ledger_event TO weir_erasure;
