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

-- When and how one part of a recall was taken: a push that was answered, a page that had it, or a
-- person's word. It may have been read in any of the circles in which it was listed. Of who keeps
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
            WHERE act.count > 0 AND listed.recipient_id = part.recipient_id
              AND note.via NOT LIKE '%-own'
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
                AND note.via NOT LIKE '%-own'
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
    BEGIN
        RETURN QUERY
        SELECT r.id, r.object_id, object.stix_type, r.reason, r.told_at, who.name,
            CASE WHEN officer THEN seen.escalated_at END, weir_passed_over(part.id)
        FROM exchange_following seen
        JOIN exchange_recall r ON r.id = seen.recall_id AND r.told_at < told_before
        JOIN indicators_forumobject object ON object.id = r.object_id
        JOIN exchange_releaserecipient part ON part.id = seen.part_id
        JOIN members_member who ON who.id = seen.recipient_id AND who.state <> 'left'
        WHERE seen.acknowledged_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM weir_taken(part.id))
          AND ((officer AND seen.is_told)
               OR (part.told_here AND weir_may_recall(r.object_id)))
        ORDER BY r.told_at, who.name LIMIT most;
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
