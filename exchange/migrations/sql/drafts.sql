-- Policies: a version stays as it is, and a draft is read by those whose work it is. Idempotent.

CREATE OR REPLACE FUNCTION weir_policy_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A policy that took effect stays as it is: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON exchange_floorpolicy
    FOR EACH ROW EXECUTE FUNCTION weir_policy_stays();
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON exchange_memberpolicyversion
    FOR EACH ROW EXECUTE FUNCTION weir_policy_stays();
REVOKE UPDATE, DELETE ON exchange_floorpolicy, exchange_memberpolicyversion FROM weir_web, weir_worker;

-- What was put in force, or put aside, is not written anew.
CREATE OR REPLACE FUNCTION weir_draft_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state IN ('active', 'discarded')
            OR NEW.kind <> OLD.kind OR NEW.member_id IS DISTINCT FROM OLD.member_id THEN
        RAISE EXCEPTION 'A draft that has come to its end stays as it is.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ends BEFORE UPDATE OR DELETE ON exchange_policydraft
    FOR EACH ROW EXECUTE FUNCTION weir_draft_ends();

ALTER TABLE exchange_policydraft ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS engine ON exchange_policydraft;
CREATE POLICY engine ON exchange_policydraft TO weir_worker USING (true) WITH CHECK (true);

-- A member's lists of whom it denies are its own: no role of the forum reads them.
DROP POLICY IF EXISTS own ON exchange_policydraft;
CREATE POLICY own ON exchange_policydraft TO weir_web
    USING (member_id = weir_member() AND (weir_acts_as('officer') OR weir_acts_as('counsel')))
    WITH CHECK (member_id = weir_member() AND (weir_acts_as('officer') OR weir_acts_as('counsel')));

DROP POLICY IF EXISTS floor ON exchange_policydraft;
CREATE POLICY floor ON exchange_policydraft TO weir_web
    USING (member_id IS NULL AND (weir_acts_as('forum-counsel') OR weir_acts_as('operator')))
    WITH CHECK (member_id IS NULL AND (weir_acts_as('forum-counsel') OR weir_acts_as('operator')));

-- Who must judge a class together has become more: what has not left waits for those too. What was
-- approved counts, and who still has to act is asked. It can only hold back, and shows no row.
CREATE OR REPLACE FUNCTION weir_ask_approvers(class text, wanted text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF current_setting('role', true) = 'weir_web' AND NOT weir_acts_as('operator') THEN
            RAISE EXCEPTION 'Only who puts a floor in force asks for its approvers.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE exchange_outcome waits SET outcome = 'held', due_at = NULL
        WHERE waits.outcome = 'accepted' AND waits.released_at IS NULL AND EXISTS (
            SELECT 1 FROM exchange_hold held
            WHERE held.outcome_id = waits.id AND held.state = 'released'
              AND held.field_class = class AND NOT held.approvers @> wanted);
        UPDATE exchange_hold held SET
            approvers = ARRAY(SELECT DISTINCT one FROM unnest(held.approvers || wanted) one ORDER BY 1),
            decided_at = CASE WHEN held.state = 'released' THEN NULL ELSE held.decided_at END,
            state = CASE WHEN held.state = 'released' THEN 'open' ELSE held.state END
        FROM exchange_outcome waits
        WHERE waits.id = held.outcome_id AND waits.released_at IS NULL
          AND held.field_class = class AND NOT held.approvers @> wanted;
    END
    $$;
REVOKE ALL ON FUNCTION weir_ask_approvers(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_ask_approvers(text, text[]) TO weir_web, weir_worker;

GRANT SELECT, INSERT, UPDATE ON exchange_policydraft TO weir_web, weir_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker;
