-- What is taken back: who may see it, and the acts that the web's role may not do row by row.
-- Idempotent.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_recall', 'exchange_reissue', 'exchange_kept',
            'exchange_twin', 'exchange_feedback', 'exchange_preparation', 'exchange_affected'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
    FOREACH one IN ARRAY ARRAY['exchange_recall', 'exchange_feedback'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('DROP POLICY IF EXISTS judged ON %I', one);
        EXECUTE format('CREATE POLICY judged ON %I TO weir_web '
                       'USING (weir_acts_as(''forum-counsel''))', one);
    END LOOP;
END
$$;
GRANT DELETE ON exchange_kept, exchange_affected TO weir_worker;
GRANT SELECT, INSERT ON exchange_recall TO weir_web;
GRANT UPDATE (lifted_at) ON exchange_recall TO weir_web;
GRANT SELECT ON exchange_feedback TO weir_web;
GRANT UPDATE (answered_at, answered_by_id, answer) ON exchange_feedback TO weir_web;

-- A recipient sees what it keeps; who else keeps what is shown to nobody.
DROP POLICY IF EXISTS own ON exchange_kept;
CREATE POLICY own ON exchange_kept FOR SELECT TO weir_web USING (recipient_id = weir_member());
GRANT SELECT ON exchange_kept TO weir_web;

-- How far it has come is for those whose draft it is.
DROP POLICY IF EXISTS own ON exchange_preparation;
CREATE POLICY own ON exchange_preparation FOR SELECT TO weir_web
    USING (EXISTS (SELECT 1 FROM exchange_policydraft draft WHERE draft.id = draft_id));
GRANT SELECT ON exchange_preparation TO weir_web;

DROP POLICY IF EXISTS held ON exchange_releaseitem;
CREATE POLICY held ON exchange_releaseitem FOR SELECT TO weir_web USING (
    ((NOT recalled OR weir_keeps(id)) AND weir_holds(release_id))
    OR EXISTS (SELECT 1 FROM exchange_release act
               WHERE act.id = release_id AND act.member_id = weir_member())
    OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS held ON exchange_rendition;
CREATE POLICY held ON exchange_rendition FOR SELECT TO weir_web USING (
    EXISTS (SELECT 1 FROM exchange_releaseitem item
            WHERE item.rendition_id = exchange_rendition.id
              AND (NOT item.recalled OR weir_keeps(item.id)) AND weir_holds(item.release_id))
    OR EXISTS (SELECT 1 FROM indicators_forumobject mine
               WHERE mine.id = object_id AND mine.member_id = weir_member())
    OR weir_acts_as('forum-officer'));

-- A bundle is shown while I am still served all that is in it.
CREATE OR REPLACE FUNCTION weir_whole(release uuid, left_out integer[]) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN NOT EXISTS (
            SELECT 1 FROM exchange_releaseitem item
            WHERE item.release_id = release AND item.recalled AND NOT weir_keeps(item.id)
              AND NOT item.position = ANY (left_out));
    END
    $$;
DROP POLICY IF EXISTS held ON exchange_bundle;
CREATE POLICY held ON exchange_bundle FOR SELECT TO weir_web USING (
    weir_holds(release_id) AND weir_whole(release_id, left_out));

-- Whether what was given of an object stands: live, or withdrawn and not revoked yet.
CREATE OR REPLACE FUNCTION weir_stands(target uuid) RETURNS boolean LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM indicators_forumobject object
            WHERE object.id = target AND (object.state = 'live' OR (
                object.state = 'withdrawn' AND EXISTS (
                    SELECT 1 FROM exchange_revocation due
                    WHERE due.object_id = object.id AND due.done_at IS NULL))));
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_stands FROM PUBLIC;

-- Whether somebody was given these bytes, through this circle, by another object that stands.
CREATE OR REPLACE FUNCTION weir_stands_elsewhere(
        target uuid, bytes_digest bytea, who uuid, through uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_rendition said
            JOIN LATERAL (
                SELECT item.release_id FROM exchange_releaseitem item
                WHERE item.rendition_id = said.id AND (NOT item.recalled OR EXISTS (
                    SELECT 1 FROM exchange_kept k
                    WHERE k.item_id = item.id AND k.recipient_id = who))
                UNION ALL
                SELECT twin.release_id FROM exchange_twin twin WHERE twin.rendition_id = said.id
            ) given ON true
            JOIN exchange_release act ON act.id = given.release_id
                AND act.circle_id IS NOT DISTINCT FROM through
            JOIN exchange_releaserecipient part
                ON part.release_id = act.id AND part.recipient_id = who
            WHERE said.digest = bytes_digest AND said.object_id <> target
              AND weir_stands(said.object_id));
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_stands_elsewhere FROM PUBLIC;

-- Nothing of this object is served any more. Of an observable, the bytes stay at their first
-- position for whom another contributor's release of them stands.
CREATE OR REPLACE FUNCTION weir_take_back(target uuid) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        DELETE FROM exchange_kept k USING exchange_releaseitem item, exchange_rendition said
            WHERE k.item_id = item.id AND said.id = item.rendition_id AND said.object_id = target;
        INSERT INTO exchange_kept (item_id, recipient_id)
            SELECT item.id, part.recipient_id FROM exchange_rendition said
            JOIN exchange_releaseitem item ON item.rendition_id = said.id
            JOIN exchange_release act ON act.id = item.release_id
            JOIN exchange_releaserecipient part ON part.release_id = act.id
            -- Its contributor keeps nothing: it would learn that another has it too.
            WHERE said.object_id = target AND said.modified = '' AND part.recipient_id IS NOT NULL
              AND part.recipient_id IS DISTINCT FROM part.member_id
              AND weir_stands_elsewhere(target, said.digest, part.recipient_id, act.circle_id)
            ON CONFLICT DO NOTHING;
        UPDATE exchange_releaseitem item SET recalled = true FROM exchange_rendition said
            WHERE said.id = item.rendition_id AND said.object_id = target
              AND NOT said.takes_back AND NOT item.recalled;
        -- What others' taking back had left standing on account of this object.
        DELETE FROM exchange_kept k
            USING exchange_releaseitem item, exchange_rendition said, exchange_release act
            WHERE k.item_id = item.id AND said.id = item.rendition_id AND act.id = item.release_id
              AND said.object_id <> target AND said.modified = ''
              AND said.digest IN (SELECT own.digest FROM exchange_rendition own
                                  WHERE own.object_id = target AND own.modified = '')
              AND NOT weir_stands(said.object_id)
              AND NOT weir_stands_elsewhere(
                  said.object_id, said.digest, k.recipient_id, act.circle_id);
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_take_back FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_take_back TO weir_worker;

-- The moment of a recall. The object's row is locked first, as every release locks it: what is
-- being released meanwhile is either taken back with the rest or finds the object recalled.
CREATE OR REPLACE FUNCTION weir_stop(target uuid) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        owner uuid;
    BEGIN
        SELECT object.member_id INTO owner FROM indicators_forumobject object
            WHERE object.id = target FOR NO KEY UPDATE;
        IF NOT coalesce(owner = weir_member() OR weir_acts_as('forum-counsel'), false) THEN
            RAISE EXCEPTION 'Not yours to recall.' USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE indicators_forumobject SET state = 'recalled' WHERE id = target AND state = 'live';
        UPDATE exchange_outcome waiting SET replaced = true FROM indicators_version version
            WHERE version.id = waiting.version_id AND version.object_id = target
              AND waiting.released_at IS NULL;
        DELETE FROM exchange_missing lacks USING exchange_outcome o, indicators_version version
            WHERE o.id = lacks.outcome_id AND version.id = o.version_id
              AND version.object_id = target;
        PERFORM weir_take_back(target);
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_stop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_stop TO weir_web;

-- Whether I may follow a recall or ask for its effects: my own object, or the forum's counsel.
CREATE OR REPLACE FUNCTION weir_may_recall(target uuid) RETURNS boolean LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN weir_acts_as('forum-counsel') OR EXISTS (
            SELECT 1 FROM indicators_forumobject object
            WHERE object.id = target AND object.member_id = weir_member());
    END
    $$;

-- The objects under a name of the forum's: one, or several whose observable is the same.
CREATE OR REPLACE FUNCTION weir_objects_named(name text) RETURNS SETOF uuid LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY SELECT DISTINCT said.object_id FROM exchange_rendition said
            WHERE said.stix_id = name AND NOT said.takes_back AND said.object_id IS NOT NULL
              AND weir_may_recall(said.object_id);
    END
    $$;

-- What a recall reaches, before it is ordered. An object that refers to another member's has no
-- counts: who holds that one is not its contributor's to know.
CREATE OR REPLACE FUNCTION weir_recall_effects(target uuid)
    RETURNS TABLE (is_foreign boolean, recipients bigint, deliveries bigint, circles text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT weir_may_recall(target) THEN
            RETURN;
        END IF;
        RETURN QUERY
        WITH given AS (
            SELECT item.release_id FROM exchange_rendition said
            JOIN exchange_releaseitem item ON item.rendition_id = said.id AND NOT said.takes_back
            WHERE said.object_id = target
            UNION SELECT twin.release_id FROM exchange_rendition said
            JOIN exchange_twin twin ON twin.rendition_id = said.id WHERE said.object_id = target
        ), part AS (
            SELECT p.* FROM exchange_releaserecipient p JOIN given ON given.release_id = p.release_id
        )
        SELECT EXISTS (SELECT 1 FROM part WHERE NOT part.told_here),
            (SELECT count(DISTINCT part.recipient_id) FROM part
             JOIN members_member m ON m.id = part.recipient_id AND m.state <> 'left'
             WHERE part.recipient_id IS DISTINCT FROM part.member_id),
            (SELECT count(*) FROM exchange_delivery d JOIN given ON given.release_id = d.release_id
             WHERE d.state IN ('waiting', 'ready', 'sending')),
            (SELECT array_agg(DISTINCT c.name) FROM given
             JOIN exchange_release act ON act.id = given.release_id
             JOIN members_circle c ON c.id = act.circle_id);
    END
    $$;

-- How far a recall has come with each recipient. Who keeps equal bytes from somebody else is not
-- told of it, and shows here like the others: it has taken what came after.
CREATE OR REPLACE FUNCTION weir_recall_progress(one uuid)
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
            CASE WHEN who.state = 'left' THEN 'left'
                 WHEN part.idx IS NULL OR part.idx >= published THEN 'waiting'
                 WHEN part.recipient_id IS NULL OR taken.at IS NULL THEN 'sent'
                 ELSE 'acknowledged' END,
            CASE WHEN part.recipient_id IS NOT NULL THEN taken.at END,
            part.idx
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id AND act.recall_id = one
            AND NOT act.circle_only
        LEFT JOIN members_member who ON who.id = part.recipient_id
        LEFT JOIN members_circle circle ON circle.id = act.circle_id
        LEFT JOIN LATERAL (
            SELECT min(least_at) AS at FROM (
                SELECT d.done_at AS least_at FROM exchange_delivery d
                WHERE d.member_id = part.recipient_id AND d.state = 'delivered'
                  AND (d.release_id = act.id
                       OR (act.count = 0 AND d.done_at > act.committed_at
                           AND d.release_id IS NOT NULL))
                UNION ALL
                SELECT note.at FROM exchange_servednote note
                WHERE note.recipient_id = part.recipient_id AND note.via NOT LIKE '%-own'
                  AND ((act.count > 0 AND note.first_seq = part.running
                        AND note.last_seq = part.running)
                       OR (act.count = 0 AND note.at > act.committed_at))
            ) each
        ) taken ON true
        WHERE part.recipient_id IS DISTINCT FROM part.member_id
          AND (part.told_here OR part.recipient_id IS NULL)
        ORDER BY 1;
    END
    $$;

-- What I was told of recalls: the id and the reason from the closed list, newest first.
CREATE OR REPLACE FUNCTION weir_recalled_from_me(most integer)
    RETURNS TABLE (stix_id text, reason text, at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT coalesce(substring(convert_from(said.body, 'UTF8')
                                  from '"external_id":"([^"]+)"'), said.stix_id),
            act.reason, part.added_at
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id AND act.reason <> ''
            AND NOT act.circle_only
        JOIN exchange_releaseitem item ON item.release_id = act.id
        JOIN exchange_rendition said ON said.id = item.rendition_id
        WHERE part.recipient_id = weir_member() AND weir_holds(act.id)
        ORDER BY part.running DESC LIMIT most;
    END
    $$;
GRANT SELECT (undoes_to_id, undoes_from_id) ON exchange_releaserecipient TO weir_sequencer;
