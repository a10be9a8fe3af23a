-- Folds: totals are sealed; the worker adds to them, the web only says that something changed.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_fold', 'exchange_foldpart', 'exchange_releaseagain'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker, weir_sequencer '
                       'USING (true) WITH CHECK (true)', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
END
$$;

-- Seats that stand already are no newcomers'.
INSERT INTO exchange_backfill (seat_id, after, done_at)
    SELECT id, 0, now() FROM members_circlemember ON CONFLICT DO NOTHING;
GRANT SELECT, INSERT, UPDATE ON exchange_backfill TO weir_worker;
GRANT USAGE ON SEQUENCE exchange_backfill_id_seq TO weir_worker;
GRANT SELECT, INSERT ON exchange_releaseagain TO weir_web;
ALTER TABLE exchange_backfill ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS engine ON exchange_backfill;
CREATE POLICY engine ON exchange_backfill TO weir_worker USING (true) WITH CHECK (true);
GRANT SELECT (id, ended, member_id), UPDATE (changed) ON exchange_fold TO weir_web;
GRANT SELECT (fold_id, object_id, member_id) ON exchange_foldpart TO weir_web;
GRANT USAGE ON SEQUENCE exchange_fold_id_seq, exchange_foldpart_id_seq TO weir_worker;

-- Who takes part: the web changes it for the operator alone, whatever a page forgets to ask.
CREATE OR REPLACE FUNCTION weir_operator_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_user = 'weir_web' AND NOT weir_acts_as('operator') THEN
            RAISE EXCEPTION 'Only the operator changes who takes part.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END
    $$;
DROP TRIGGER IF EXISTS operator_only ON members_member;
CREATE TRIGGER operator_only BEFORE INSERT OR UPDATE ON members_member
    FOR EACH ROW EXECUTE FUNCTION weir_operator_only();
DROP TRIGGER IF EXISTS operator_only ON members_circlemember;
CREATE TRIGGER operator_only BEFORE INSERT OR UPDATE ON members_circlemember
    FOR EACH ROW EXECUTE FUNCTION weir_operator_only();
GRANT UPDATE (state, left_at) ON members_member TO weir_web;

-- What waits for a member ends, or what waits for it through one circle. It sees no content.
CREATE OR REPLACE FUNCTION weir_end_waiting(who uuid, through uuid, for_ever boolean)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT weir_acts_as('operator') THEN
            RAISE EXCEPTION 'Only the operator ends what waits.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE exchange_delivery waiting SET state = 'cancelled', done_at = now()
            WHERE waiting.member_id = who AND waiting.state IN ('waiting', 'ready')
              AND (through IS NULL OR EXISTS (
                  SELECT 1 FROM exchange_release act
                  WHERE act.id = waiting.release_id AND act.circle_id = through));
        IF for_ever THEN
            UPDATE exchange_subscription SET state = 'removed'
                WHERE member_id = who AND (through IS NULL OR circle_id = through);
            DELETE FROM exchange_missing lacks USING exchange_outcome o
                WHERE o.id = lacks.outcome_id AND lacks.recipient_id = who
                  AND (through IS NULL OR o.circle_id = through);
        END IF;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_end_waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_end_waiting TO weir_web;
