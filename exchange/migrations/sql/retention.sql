-- Recalls that are followed to each recipient, legal holds, clocks and erasure: who may see what,
-- and the acts that no role may do row by row. Idempotent.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_following', 'exchange_mail'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
END
$$;

-- A recipient sees what it was told and has to acknowledge; the forum's officer follows everybody.
-- Who keeps equal bytes of somebody else was told nothing, and is shown nothing.
DROP POLICY IF EXISTS own ON exchange_following;
CREATE POLICY own ON exchange_following TO weir_web
    USING (recipient_id = weir_member() AND is_told)
    WITH CHECK (recipient_id = weir_member() AND is_told);
DROP POLICY IF EXISTS followed ON exchange_following;
CREATE POLICY followed ON exchange_following FOR SELECT TO weir_web
    USING (weir_acts_as('forum-officer'));
GRANT SELECT ON exchange_following TO weir_web;
GRANT UPDATE (acknowledged_at, via, user_id, credential_id) ON exchange_following TO weir_web;
GRANT UPDATE (sealed_note) ON exchange_feedback TO weir_web;

-- When and how one part of a recall was taken: a push that was answered, a page that a machine
-- pulled, or a person's word. It may have been read in any of the circles in which it was listed. Of who keeps
-- equal bytes from somebody else: whatever it took next.
CREATE OR REPLACE FUNCTION weir_taken(of_part bigint)
    RETURNS TABLE (at timestamptz, via text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT each.at, each.via FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        CROSS JOIN LATERAL (
            SELECT d.done_at AS at, 'push' AS via FROM exchange_delivery d
            WHERE d.member_id = part.recipient_id AND d.state = 'delivered'
              AND (d.release_id = act.id
                   OR (act.count = 0 AND d.done_at > act.committed_at
                       AND d.release_id IS NOT NULL))
            UNION ALL
            SELECT note.at, CASE note.via WHEN 'word' THEN 'word' ELSE 'page' END
            FROM exchange_releaserecipient listed
            JOIN exchange_release there ON there.id = listed.release_id
                AND there.recall_id = act.recall_id
            JOIN exchange_servednote note ON note.recipient_id = part.recipient_id
                AND note.first_seq = note.last_seq AND note.first_seq = listed.running
            -- A list on a screen is no word: a person says it with a click.
            WHERE act.count > 0 AND listed.recipient_id = part.recipient_id
              AND note.via IN ('taxii', 'api', 'word')
            UNION ALL
            SELECT note.at, 'page' FROM exchange_servednote note
            WHERE act.count = 0 AND note.recipient_id = part.recipient_id
              AND note.at > act.committed_at AND note.via NOT LIKE '%-own'
        ) each
        WHERE part.id = of_part
        ORDER BY each.at LIMIT 1;
    END
    $$;
REVOKE ALL ON FUNCTION weir_taken(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_taken(bigint) TO weir_worker;

-- Whether its recipient took what came after a recall and not the recall: it says that it never
-- got one, and its own numbers say otherwise.
CREATE OR REPLACE FUNCTION weir_passed_over(of_part bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id AND act.count > 0
            JOIN exchange_releaserecipient later ON later.recipient_id = part.recipient_id
                AND later.to_seq > part.to_seq
            JOIN exchange_delivery d ON d.release_id = later.release_id
                AND d.member_id = part.recipient_id AND d.state = 'delivered'
            WHERE part.id = of_part)
        OR EXISTS (
            SELECT 1 FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id AND act.count > 0
            JOIN exchange_servednote note ON note.recipient_id = part.recipient_id
                AND note.last_seq > part.running AND note.at > part.added_at
                AND note.via IN ('taxii', 'api')
            WHERE part.id = of_part);
    END
    $$;
REVOKE ALL ON FUNCTION weir_passed_over(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_passed_over(bigint) TO weir_worker;

-- How far a recall has come with each recipient. For an object that refers to another member's
-- there is one line, `told`, whoever got it and whatever they answered: the forum's officer
-- follows those. Who keeps equal bytes from somebody else shows here like the others.
DROP FUNCTION IF EXISTS weir_recall_progress(uuid);
CREATE FUNCTION weir_recall_progress(one uuid)
    RETURNS TABLE (name text, state text, at timestamptz, index bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        published bigint := weir_published();
        target uuid := (SELECT r.object_id FROM exchange_recall r WHERE r.id = one);
    BEGIN
        IF target IS NULL OR NOT weir_may_recall(target) THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT coalesce(who.name, 'the circle ' || circle.name),
            CASE WHEN part.idx IS NULL OR part.idx >= published THEN 'waiting'
                 WHEN part.recipient_id IS NULL THEN 'told'
                 WHEN coalesce(seen.acknowledged_at, taken.at) IS NOT NULL THEN 'acknowledged'
                 WHEN who.state = 'left' THEN 'left'
                 WHEN weir_passed_over(part.id) THEN 'passed over'
                 ELSE 'sent' END,
            CASE WHEN part.recipient_id IS NOT NULL
                THEN coalesce(seen.acknowledged_at, taken.at) END,
            part.idx
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id AND act.recall_id = one
            AND NOT act.circle_only
        LEFT JOIN exchange_following seen ON seen.part_id = part.id
        LEFT JOIN members_member who ON who.id = part.recipient_id
        LEFT JOIN members_circle circle ON circle.id = act.circle_id
        LEFT JOIN LATERAL weir_taken(part.id) taken ON true
        WHERE part.recipient_id IS DISTINCT FROM part.member_id
          AND (part.told_here OR part.recipient_id IS NULL)
        ORDER BY 1;
    END
    $$;

-- Who has not acknowledged yet. A contributor's people and the forum's counsel see who received
-- the objects that refer to nobody else's; the forum's officer sees everybody who was told.
CREATE OR REPLACE FUNCTION weir_recalls_open(told_before timestamptz, most integer)
    RETURNS TABLE (recall_id uuid, object_id uuid, stix_type text, reason text,
                   told_at timestamptz, name text, escalated_at timestamptz, passed boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        officer boolean := weir_acts_as('forum-officer');
        counsel boolean := weir_acts_as('forum-counsel');
    BEGIN
        RETURN QUERY
        WITH mine AS MATERIALIZED (
            SELECT r.id, r.object_id, object.stix_type, r.reason, r.told_at, who.name,
                seen.escalated_at, part.id AS part_id
            FROM exchange_following seen
            JOIN exchange_recall r ON r.id = seen.recall_id AND r.told_at < told_before
            JOIN indicators_forumobject object ON object.id = r.object_id
            JOIN exchange_releaserecipient part ON part.id = seen.part_id
            JOIN members_member who ON who.id = seen.recipient_id AND who.state <> 'left'
            WHERE seen.acknowledged_at IS NULL
              AND ((officer AND seen.is_told)
                   OR (part.told_here AND (counsel OR object.member_id = weir_member())))
            ORDER BY r.told_at, who.name LIMIT most
        )
        SELECT mine.id, mine.object_id, mine.stix_type, mine.reason, mine.told_at, mine.name,
            CASE WHEN officer THEN mine.escalated_at END, weir_passed_over(mine.part_id)
        FROM mine WHERE NOT EXISTS (SELECT 1 FROM weir_taken(mine.part_id))
        ORDER BY mine.told_at, mine.name;
    END
    $$;
REVOKE ALL ON FUNCTION weir_recalls_open(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_recalls_open(timestamptz, integer) TO weir_web;

-- What I was told of recalls, newest first: the id, the reason from the closed list, and whether
-- we have acknowledged it.
DROP FUNCTION IF EXISTS weir_recalled_from_me(integer);
CREATE FUNCTION weir_recalled_from_me(most integer)
    RETURNS TABLE (id uuid, stix_id text, reason text, at timestamptz, acknowledged_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT act.id,
            coalesce(substring(convert_from(said.body, 'UTF8')
                               from '"external_id":"([^"]+)"'), said.stix_id),
            act.reason, part.added_at, coalesce(seen.acknowledged_at, taken.at)
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id AND act.reason <> ''
            AND NOT act.circle_only
        JOIN exchange_releaseitem item ON item.release_id = act.id
        JOIN exchange_rendition said ON said.id = item.rendition_id
        LEFT JOIN exchange_following seen ON seen.part_id = part.id
        LEFT JOIN LATERAL weir_taken(part.id) taken ON true
        WHERE part.recipient_id = weir_member() AND weir_holds(act.id)
          AND part.recipient_id IS DISTINCT FROM part.member_id
        ORDER BY part.running DESC LIMIT most;
    END
    $$;
REVOKE ALL ON FUNCTION weir_recalled_from_me(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_recalled_from_me(integer) TO weir_web;

-- What became of what I said of others' objects: the word of the closed list, and the day. Whose
-- object it is, and who answered, is not in it.
CREATE OR REPLACE FUNCTION weir_answers_to_me(most integer)
    RETURNS TABLE (version_id bigint, stix_id text, disposition text, at timestamptz, answer text,
                   answered_on date)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT mine.id, object.stix_type || '--' || object.id, said.disposition, said.at,
            said.answer, (said.answered_at AT TIME ZONE 'UTC')::date
        FROM exchange_feedback said
        JOIN indicators_version mine ON mine.id = said.version_id
            AND mine.member_id = weir_member()
        JOIN indicators_forumobject object ON object.id = said.object_id
        ORDER BY said.at DESC LIMIT most;
    END
    $$;
REVOKE ALL ON FUNCTION weir_answers_to_me(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_answers_to_me(integer) TO weir_web;

GRANT EXECUTE ON FUNCTION weir_stop TO weir_worker;

-- --- legal holds, clocks, erasure ---------------------------------------------------------------

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_legalhold', 'exchange_retentionrun', 'exchange_personrequest',
            'exchange_erasure', 'exchange_keptlist'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
END
$$;

-- A member's officer and counsel see what stands about their own things, whoever set it; the
-- forum's see all. Each side sets and lifts its own.
DROP POLICY IF EXISTS seen ON exchange_legalhold;
CREATE POLICY seen ON exchange_legalhold FOR SELECT TO weir_web USING (
    (member_id = weir_member() AND (weir_acts_as('officer') OR weir_acts_as('counsel')))
    OR weir_acts_as('forum-counsel') OR weir_acts_as('forum-officer'));
DROP POLICY IF EXISTS set_own ON exchange_legalhold;
CREATE POLICY set_own ON exchange_legalhold FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND (
        (NOT of_forum AND member_id = weir_member() AND weir_acts_as('counsel'))
        OR (of_forum AND weir_acts_as('forum-counsel'))));
DROP POLICY IF EXISTS lift_own ON exchange_legalhold;
CREATE POLICY lift_own ON exchange_legalhold FOR UPDATE TO weir_web
    USING ((NOT of_forum AND member_id = weir_member() AND weir_acts_as('counsel'))
           OR (of_forum AND weir_acts_as('forum-counsel')))
    WITH CHECK (lifted_by_id = weir_user());
GRANT SELECT, INSERT ON exchange_legalhold TO weir_web;
GRANT UPDATE (lifted_at, lifted_by_id, sealed_lift) ON exchange_legalhold TO weir_web;

-- The list of a contribution whose originals are gone: its contributor's, like they were.
DROP POLICY IF EXISTS own ON exchange_keptlist;
CREATE POLICY own ON exchange_keptlist FOR SELECT TO weir_web USING (member_id = weir_member());
GRANT SELECT ON exchange_keptlist TO weir_web;

-- Numbers of what was aged out: for who watches the clocks.
DROP POLICY IF EXISTS watched ON exchange_retentionrun;
CREATE POLICY watched ON exchange_retentionrun FOR SELECT TO weir_web
    USING (weir_acts_as('forum-officer') OR weir_acts_as('forum-counsel') OR weir_acts_as('operator'));
GRANT SELECT ON exchange_retentionrun TO weir_web;

-- A person's request is for the officer and the counsel of one side, a member or the forum.
DROP POLICY IF EXISTS own ON exchange_personrequest;
CREATE POLICY own ON exchange_personrequest FOR SELECT TO weir_web USING (
    (member_id = weir_member() AND (weir_acts_as('officer') OR weir_acts_as('counsel')))
    OR (member_id IS NULL AND (weir_acts_as('forum-officer') OR weir_acts_as('forum-counsel'))));
DROP POLICY IF EXISTS asked ON exchange_personrequest;
CREATE POLICY asked ON exchange_personrequest FOR INSERT TO weir_web WITH CHECK (
    asked_by_id = weir_user() AND state = 'asked' AND decided_by_id IS NULL AND (
        (member_id = weir_member() AND weir_acts_as('officer'))
        OR (member_id IS NULL AND weir_acts_as('forum-officer'))));
DROP POLICY IF EXISTS decided ON exchange_personrequest;
CREATE POLICY decided ON exchange_personrequest FOR UPDATE TO weir_web
    USING (state = 'asked' AND asked_by_id <> weir_user() AND (
        (member_id = weir_member() AND weir_acts_as('counsel'))
        OR (member_id IS NULL AND weir_acts_as('forum-counsel'))))
    WITH CHECK (decided_by_id = weir_user() AND state IN ('approved', 'refused'));
GRANT SELECT, INSERT ON exchange_personrequest TO weir_web;
GRANT UPDATE (state, decided_by_id, decided_at, sealed_decision) ON exchange_personrequest TO weir_web;

-- Who has the objects that speak of a person, and what was done: for the side that asked, within
-- what it may know. A member sees the recipients of its own objects, by circle where these refer to
-- others'; the forum's two see every recipient.
CREATE OR REPLACE FUNCTION weir_who_has(request uuid)
    RETURNS TABLE (object_id uuid, stix_type text, state text, name text, kind text, index bigint,
                   at timestamptz, erased boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        asked exchange_personrequest;
        published bigint := weir_published();
    BEGIN
        SELECT * INTO asked FROM exchange_personrequest WHERE id = request;
        IF asked.id IS NULL OR NOT (
            (asked.member_id = weir_member()
                AND (weir_acts_as('officer') OR weir_acts_as('counsel')))
            OR (asked.member_id IS NULL
                AND (weir_acts_as('forum-officer') OR weir_acts_as('forum-counsel')))) THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT DISTINCT ON (object.id, act.kind, part.id) object.id, object.stix_type, object.state,
            CASE WHEN act.id IS NULL THEN ''
                 WHEN asked.member_id IS NULL OR part.told_here THEN coalesce(who.name, '')
                 ELSE 'the circle ' || coalesce(circle.name, '') END,
            coalesce(act.kind, ''), part.idx, part.added_at,
            act.id IS NOT NULL AND act.kind = 'release' AND octet_length(said.body) = 0
        FROM indicators_forumobject object
        LEFT JOIN exchange_rendition said ON said.object_id = object.id
        LEFT JOIN exchange_releaseitem item ON item.rendition_id = said.id
        LEFT JOIN exchange_release act ON act.id = item.release_id AND NOT act.circle_only
        LEFT JOIN exchange_releaserecipient part ON part.release_id = act.id
            AND part.idx < published AND part.recipient_id IS NOT NULL
            AND part.recipient_id IS DISTINCT FROM object.member_id
        LEFT JOIN members_member who ON who.id = part.recipient_id
        LEFT JOIN members_circle circle ON circle.id = act.circle_id
        WHERE object.id = ANY (asked.objects_found)
          AND (asked.member_id IS NULL OR object.member_id = asked.member_id)
          AND (act.id IS NULL OR part.id IS NOT NULL)
        ORDER BY object.id, act.kind, part.id;
    END
    $$;
REVOKE ALL ON FUNCTION weir_who_has(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_who_has(uuid) TO weir_web;

-- The legal hold that stops an erasure, if one does: of the object, its contribution, a member
-- whom it concerns, or its time.
CREATE OR REPLACE FUNCTION weir_legal_hold(
        parties uuid[], target uuid, given uuid, moment timestamptz,
        of_forum_only boolean DEFAULT false) RETURNS uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN (
            SELECT hold.id FROM exchange_legalhold hold
            WHERE hold.lifted_at IS NULL AND (hold.of_forum OR NOT of_forum_only)
              AND (hold.since IS NULL OR moment >= hold.since)
              AND (hold.until IS NULL OR moment <= hold.until)
              AND (hold.member_id IS NULL OR hold.member_id = ANY (parties))
              AND CASE hold.kind
                    WHEN 'contribution' THEN hold.contribution_id = given
                    WHEN 'object' THEN target = ANY (hold.objects_held)
                    WHEN 'campaign' THEN target = ANY (hold.objects_held)
                    ELSE true END
            ORDER BY hold.at LIMIT 1);
    END
    $$;
REVOKE ALL ON FUNCTION weir_legal_hold(uuid[], uuid, uuid, timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_legal_hold(uuid[], uuid, uuid, timestamptz, boolean) TO weir_worker;

-- The same for one object; by name and side, for a refusal. A clock is stopped by a recipient's hold
-- too: what it received may be evidence of its own. An act of erasure is not, for one member would
-- then stop another's, and tell it by the refusal that it has a case.
CREATE OR REPLACE FUNCTION weir_held_legally(target uuid, is_clock boolean)
    RETURNS TABLE (id uuid, at timestamptz, of_forum boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT hold.id, hold.at, hold.of_forum FROM exchange_legalhold hold
        WHERE hold.id IN (
            SELECT coalesce(
                weir_legal_hold(
                    ARRAY[object.member_id], target, version.contribution_id, given.received_at),
                weir_legal_hold(
                    ARRAY(
                        SELECT DISTINCT part.recipient_id FROM exchange_rendition said
                        JOIN exchange_releaseitem item ON item.rendition_id = said.id
                        JOIN exchange_releaserecipient part ON part.release_id = item.release_id
                        WHERE said.object_id = target AND part.recipient_id IS NOT NULL),
                    target, version.contribution_id, given.received_at, NOT is_clock))
            FROM indicators_forumobject object
            JOIN indicators_version version ON version.object_id = object.id
            JOIN indicators_contribution given ON given.id = version.contribution_id
            WHERE object.id = target)
        ORDER BY hold.at LIMIT 1;
    END
    $$;
REVOKE ALL ON FUNCTION weir_held_legally(uuid, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_held_legally(uuid, boolean) TO weir_worker, weir_web;

-- What a legal hold on a campaign covers: it, what was contributed with it, and, of the forum's,
-- what refers to it.
CREATE OR REPLACE FUNCTION weir_campaign_objects(target uuid, own_only boolean) RETURNS uuid[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        name bytea := (SELECT convert_to(object.stix_type || '--' || object.id, 'UTF8')
                       FROM indicators_forumobject object WHERE object.id = target);
    BEGIN
        RETURN ARRAY(
            SELECT target
            UNION SELECT other.object_id FROM indicators_version mine
            JOIN indicators_version other ON other.contribution_id = mine.contribution_id
            WHERE mine.object_id = target
            UNION SELECT said.object_id FROM exchange_rendition said
            WHERE NOT own_only AND said.stix_type IN ('relationship', 'sighting', 'observed-data')
              AND said.object_id IS NOT NULL AND position(name IN said.body) > 0);
    END
    $$;
REVOKE ALL ON FUNCTION weir_campaign_objects(uuid, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_campaign_objects(uuid, boolean) TO weir_worker, weir_web;

-- Erasing slots: by the erasure's own role alone, and only what a published entry says is erased.
-- The row stays with its digest, without which the entry's other slots could not be opened.
DO $$
BEGIN
    EXECUTE format('GRANT weir_erasure TO %I', current_user);
EXCEPTION WHEN invalid_grant_operation THEN NULL;  -- it is that role, or above all roles
END
$$;
GRANT USAGE, CREATE ON SCHEMA public TO weir_erasure;
GRANT SELECT, UPDATE ON exchange_erasure TO weir_erasure;
GRANT SELECT ON ledger_entry, ledger_checkpoint TO weir_erasure;
DROP POLICY IF EXISTS erasure ON exchange_erasure;
CREATE POLICY erasure ON exchange_erasure TO weir_erasure USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS erasure ON ledger_entry;
CREATE POLICY erasure ON ledger_entry FOR SELECT TO weir_erasure USING (true);
CREATE OR REPLACE FUNCTION weir_erase_slots(one uuid) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        act exchange_erasure;
        published bigint := (SELECT coalesce(max(size), 0) FROM ledger_checkpoint);
        emptied bigint;
    BEGIN
        SELECT * INTO act FROM exchange_erasure WHERE id = one AND done_at IS NULL FOR UPDATE;
        IF act.id IS NULL OR act.recorded_at IS NULL OR cardinality(act.events) = 0 OR EXISTS (
                SELECT 1 FROM unnest(act.events) event
                WHERE NOT EXISTS (SELECT 1 FROM ledger_entry entry
                                  WHERE entry.kind = 'erase' AND entry.ref = event
                                    AND entry.idx < published)) THEN
            RETURN NULL;
        END IF;
        UPDATE ledger_slot SET sealed = '' WHERE idx = ANY (act.indexes) AND sealed <> '';
        GET DIAGNOSTICS emptied = ROW_COUNT;
        UPDATE exchange_erasure SET done_at = statement_timestamp() WHERE id = one;
        RETURN emptied;
    END
    $$;
ALTER FUNCTION weir_erase_slots(uuid) OWNER TO weir_erasure;
REVOKE CREATE ON SCHEMA public FROM weir_erasure;
REVOKE ALL ON FUNCTION weir_erase_slots(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_erase_slots(uuid) TO weir_worker;
-- Written by the two acts that record an erasure; what is recorded is never widened afterwards.
CREATE OR REPLACE FUNCTION erasure_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.recorded_at IS NOT NULL AND (
            NEW.indexes <> OLD.indexes OR NEW.events <> OLD.events
            OR NEW.recorded_at IS DISTINCT FROM OLD.recorded_at)) THEN
        RAISE EXCEPTION 'An erasure that is recorded stays as it is.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON exchange_erasure
    FOR EACH ROW EXECUTE FUNCTION erasure_stays();

-- Contributions whose originals may go: nothing of them is served, nothing waits, none is held
-- legally. `released` are those of which something had left.
CREATE OR REPLACE FUNCTION weir_quiet_contributions(
        before timestamptz, released boolean, most integer)
    RETURNS SETOF uuid LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT given.id FROM indicators_contribution given
        WHERE given.received_at < before AND given.state = 'complete'
          AND EXISTS (SELECT 1 FROM indicators_version version
                      JOIN indicators_original original ON original.version_id = version.id
                      WHERE version.contribution_id = given.id)
          AND released = EXISTS (SELECT 1 FROM exchange_outcome o
                                 WHERE o.contribution_id = given.id AND o.released_at IS NOT NULL)
          AND NOT EXISTS (
              SELECT 1 FROM exchange_outcome o
              WHERE o.contribution_id = given.id AND NOT o.replaced AND o.released_at IS NULL
                AND (o.due_at IS NOT NULL OR EXISTS (
                    SELECT 1 FROM exchange_hold hold
                    WHERE hold.outcome_id = o.id AND hold.state IN ('open', 'asked'))))
          AND NOT EXISTS (
              SELECT 1 FROM exchange_outcome o
              JOIN exchange_missing lacks ON lacks.outcome_id = o.id
              WHERE o.contribution_id = given.id AND NOT o.replaced)
          AND NOT EXISTS (
              SELECT 1 FROM exchange_outcome o
              JOIN exchange_releaseitem item ON item.outcome_id = o.id
              JOIN exchange_rendition said ON said.id = item.rendition_id AND NOT said.takes_back
              WHERE o.contribution_id = given.id AND (NOT item.recalled OR EXISTS (
                  SELECT 1 FROM exchange_kept k WHERE k.item_id = item.id))
                AND NOT EXISTS (SELECT 1 FROM exchange_revocation r
                                WHERE r.object_id = said.object_id AND r.done_at < before))
          AND NOT EXISTS (
              SELECT 1 FROM exchange_outcome o
              JOIN exchange_twin twin ON twin.outcome_id = o.id
              JOIN indicators_version version ON version.id = o.version_id
              JOIN indicators_forumobject object ON object.id = version.object_id
              WHERE o.contribution_id = given.id AND object.state = 'live')
          AND NOT EXISTS (
              SELECT 1 FROM indicators_version version
              WHERE version.contribution_id = given.id AND weir_legal_hold(
                  ARRAY[given.member_id], version.object_id, given.id, given.received_at)
                  IS NOT NULL)
        ORDER BY given.received_at LIMIT most;
    END
    $$;
REVOKE ALL ON FUNCTION weir_quiet_contributions(timestamptz, boolean, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_quiet_contributions(timestamptz, boolean, integer) TO weir_worker;

-- Objects whose renditions may go: all that was given of them was taken back long ago.
CREATE OR REPLACE FUNCTION weir_spent_objects(before timestamptz, most integer)
    RETURNS SETOF uuid LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT object.id FROM indicators_forumobject object
        WHERE object.state IN ('withdrawn', 'recalled')
          AND EXISTS (SELECT 1 FROM exchange_rendition said
                      WHERE said.object_id = object.id AND NOT said.takes_back
                        AND octet_length(said.body) > 0)
          AND greatest(
              (SELECT r.told_at FROM exchange_recall r WHERE r.object_id = object.id),
              (SELECT r.done_at FROM exchange_revocation r WHERE r.object_id = object.id)) < before
          AND NOT EXISTS (
              SELECT 1 FROM exchange_rendition said
              JOIN exchange_releaseitem item ON item.rendition_id = said.id
              JOIN exchange_kept k ON k.item_id = item.id
              WHERE said.object_id = object.id AND NOT said.takes_back)
          AND NOT EXISTS (SELECT 1 FROM weir_held_legally(object.id, true))
        LIMIT most;
    END
    $$;
REVOKE ALL ON FUNCTION weir_spent_objects(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_spent_objects(timestamptz, integer) TO weir_worker;

-- The use of tokens is no business of the worker: it ages it out without reading any of it.
CREATE OR REPLACE FUNCTION weir_old_token_use(before timestamptz, most integer, takes boolean)
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        calls bigint[] := ARRAY(
            SELECT call.id FROM exchange_tokencall call WHERE call.at < before
              AND weir_legal_hold(ARRAY[call.member_id], NULL, NULL, call.at) IS NULL
            ORDER BY call.id LIMIT most);
        days bigint[] := ARRAY(
            SELECT used.id FROM exchange_tokenday used WHERE used.day < before
              AND weir_legal_hold(ARRAY[used.member_id], NULL, NULL, used.day) IS NULL
            ORDER BY used.id LIMIT most - cardinality(calls));
    BEGIN
        IF takes THEN
            DELETE FROM exchange_tokencall WHERE id = ANY (calls);
            DELETE FROM exchange_tokenday WHERE id = ANY (days);
        END IF;
        RETURN cardinality(calls) + cardinality(days);
    END
    $$;
REVOKE ALL ON FUNCTION weir_old_token_use(timestamptz, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_old_token_use(timestamptz, integer, boolean) TO weir_worker;

-- What the clocks take out row by row; the worker deletes nothing else.
GRANT DELETE ON indicators_original, indicators_observable, exchange_servednote, exchange_attempt,
    exchange_mail, exchange_inquiry, exchange_previewline,
    exchange_previewaudience, exchange_previewpart, exchange_preview TO weir_worker;
GRANT SELECT (id, member_id, at) ON exchange_inquiry TO weir_worker;
GRANT SELECT, DELETE ON members_signinlink, members_invitation, django_session,
    axes_accessattempt, axes_accesslog, axes_accessfailurelog TO weir_worker;
