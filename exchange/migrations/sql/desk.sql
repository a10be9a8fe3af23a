-- The counsel's desk: who may write which act, and when an original may be read by whom. Idempotent.

GRANT UPDATE (state, decided_at, approved) ON exchange_hold TO weir_web;
GRANT SELECT, INSERT ON exchange_originalrequest, exchange_originalword TO weir_web;
GRANT SELECT ON exchange_originalrequest, exchange_originalword TO weir_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker;

ALTER TABLE exchange_originalrequest ENABLE ROW LEVEL SECURITY;
ALTER TABLE exchange_originalword ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS engine ON exchange_originalrequest;
CREATE POLICY engine ON exchange_originalrequest TO weir_worker USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS engine ON exchange_originalword;
CREATE POLICY engine ON exchange_originalword TO weir_worker USING (true) WITH CHECK (true);

-- Who writes an act or an opening writes it in his own name.
DROP POLICY IF EXISTS judged ON exchange_holdact;
CREATE POLICY judged ON exchange_holdact FOR SELECT TO weir_web
    USING (weir_acts_as('forum-counsel'));
DROP POLICY IF EXISTS judge ON exchange_holdact;
CREATE POLICY judge ON exchange_holdact FOR INSERT TO weir_web
    WITH CHECK (weir_acts_as('forum-counsel') AND user_id = weir_user() AND role = 'forum-counsel');
DROP POLICY IF EXISTS own ON exchange_holdact;
CREATE POLICY own ON exchange_holdact FOR SELECT TO weir_web USING (member_id = weir_member());
DROP POLICY IF EXISTS own_word ON exchange_holdact;
CREATE POLICY own_word ON exchange_holdact FOR INSERT TO weir_web
    WITH CHECK (member_id = weir_member() AND user_id = weir_user() AND role <> 'forum-counsel');

DROP POLICY IF EXISTS judged ON exchange_originalread;
DROP POLICY IF EXISTS own ON exchange_originalread;
CREATE POLICY own ON exchange_originalread FOR SELECT TO weir_web USING (member_id = weir_member());
DROP POLICY IF EXISTS reader ON exchange_originalread;
CREATE POLICY reader ON exchange_originalread FOR SELECT TO weir_web USING (
    user_id = weir_user() AND (weir_acts_as('forum-counsel') OR weir_acts_as('forum-officer')));
DROP POLICY IF EXISTS noted ON exchange_originalread;
CREATE POLICY noted ON exchange_originalread FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND weir_acts_as(role) AND role IN ('forum-counsel', 'forum-officer'));

-- The wish and the two words: the contributor's officer and the forum's, each in his own name.
DROP POLICY IF EXISTS own ON exchange_originalrequest;
CREATE POLICY own ON exchange_originalrequest FOR SELECT TO weir_web
    USING (member_id = weir_member() OR weir_acts_as('forum-officer'));
DROP POLICY IF EXISTS asked ON exchange_originalrequest;
CREATE POLICY asked ON exchange_originalrequest FOR INSERT TO weir_web WITH CHECK (
    weir_acts_as('forum-officer') OR (weir_acts_as('officer') AND member_id = weir_member()));
DROP POLICY IF EXISTS own ON exchange_originalword;
CREATE POLICY own ON exchange_originalword FOR SELECT TO weir_web
    USING (member_id = weir_member() OR weir_acts_as('forum-officer'));
DROP POLICY IF EXISTS said ON exchange_originalword;
CREATE POLICY said ON exchange_originalword FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND weir_acts_as(role) AND (
        role = 'forum-officer' OR (role = 'officer' AND member_id = weir_member())));

-- Both officers have said yes, and not longer ago than a day: counted from the later word.
CREATE OR REPLACE FUNCTION weir_together(wish uuid) RETURNS boolean LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_originalrequest asked
            JOIN exchange_originalword theirs ON theirs.request_id = asked.id
                AND theirs.role = 'officer' AND theirs.is_yes AND theirs.member_id = asked.member_id
            JOIN exchange_originalword ours ON ours.request_id = asked.id
                AND ours.role = 'forum-officer' AND ours.is_yes AND ours.user_id <> theirs.user_id
            WHERE asked.id = wish
              AND ours.user_id = weir_user()
              AND greatest(theirs.at, ours.at) > statement_timestamp() - interval '24 hours');
    END
    $$;
REVOKE ALL ON FUNCTION weir_together(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_together(uuid) TO weir_web;

-- An opening is good for the transaction that recorded it, and for no other: who looks again says
-- so again. The officer's needs both words beside it.
DROP POLICY IF EXISTS opened ON indicators_original;
CREATE POLICY opened ON indicators_original FOR SELECT TO weir_web USING (
    weir_acts_as('forum-counsel') AND EXISTS (
        SELECT 1 FROM exchange_originalread seen
        WHERE seen.version_id = indicators_original.version_id AND seen.user_id = weir_user()
          AND seen.role = 'forum-counsel'
          AND seen.written_in = pg_current_xact_id()::text::bigint));
DROP POLICY IF EXISTS together ON indicators_original;
CREATE POLICY together ON indicators_original FOR SELECT TO weir_web USING (
    weir_acts_as('forum-officer') AND EXISTS (
        SELECT 1 FROM exchange_originalread seen
        JOIN exchange_originalrequest asked ON asked.id = seen.request_id
            AND asked.version_id = seen.version_id
            AND asked.member_id = indicators_original.member_id
        WHERE seen.version_id = indicators_original.version_id AND seen.user_id = weir_user()
          AND seen.role = 'forum-officer'
          AND seen.written_in = pg_current_xact_id()::text::bigint
          AND weir_together(asked.id)));

-- The name by which the forum's officer knows an object, to the contributor's newest version of it
-- that was released under it. It tells whose it is to nobody but this function's caller's wish.
CREATE OR REPLACE FUNCTION weir_released_as(name text)
    RETURNS TABLE (version_id bigint, member_id uuid) LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT weir_acts_as('forum-officer') THEN RETURN; END IF;
        RETURN QUERY
        SELECT said.version_id, act.member_id
        FROM exchange_rendition said
        JOIN exchange_releaseitem item ON item.rendition_id = said.id
        JOIN exchange_release act ON act.id = item.release_id
        WHERE said.stix_id = name AND said.version_id IS NOT NULL AND act.member_id IS NOT NULL
        ORDER BY said.version_id DESC LIMIT 1;
    END
    $$;
REVOKE ALL ON FUNCTION weir_released_as(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_released_as(text) TO weir_web;

-- Which of one's own objects wait for an end that a recipient does not hold, and until when.
CREATE OR REPLACE FUNCTION weir_waits(outcomes bigint[])
    RETURNS TABLE (outcome_id bigint, due_at timestamptz) LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT missing.outcome_id, min(missing.due_at)
        FROM exchange_missing missing
        JOIN exchange_outcome mine ON mine.id = missing.outcome_id
        WHERE missing.outcome_id = ANY (outcomes) AND mine.member_id = weir_member()
          AND NOT missing.optional
        GROUP BY missing.outcome_id;
    END
    $$;
REVOKE ALL ON FUNCTION weir_waits(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_waits(bigint[]) TO weir_web;
