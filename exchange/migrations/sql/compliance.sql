-- The compliance workspace: who may read which answer. Idempotent.
-- The functions look across a member's whole past, also where a circle was left since: whoever asks
-- gets its own side of it, the forum's officer what the ledger says. Nobody else gets a row.

-- A worker writes an export down with the rights of who asked, and no others: it takes the web's
-- role for that, and has none of its rights by itself.
GRANT weir_web TO weir_worker WITH INHERIT FALSE, SET TRUE;

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_questionview', 'exchange_inquiry', 'exchange_answerexport',
            'exchange_answerfile', 'exchange_attestation', 'exchange_nature',
            'exchange_verdictdocument', 'exchange_lookedback', 'exchange_lookback',
            'exchange_judgedtable'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('REVOKE ALL ON %I FROM weir_web, weir_worker, weir_sequencer', one);
    END LOOP;
END
$$;

-- Who asks: a member's officer or counsel for its own side, the forum's officer for all of it.
CREATE OR REPLACE FUNCTION weir_asks_for_own() RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT weir_member() IS NOT NULL
              AND (weir_acts_as('officer') OR weir_acts_as('counsel')) $$;
CREATE OR REPLACE FUNCTION weir_audits() RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT weir_member() IS NULL AND weir_acts_as('forum-officer') $$;

-- The log of views: written in one's own name, read by the member's officer and counsel, or, of the
-- forum's own people, by its officer. It only grows.
DROP POLICY IF EXISTS noted ON exchange_questionview;
CREATE POLICY noted ON exchange_questionview FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND member_id IS NOT DISTINCT FROM weir_member());
DROP POLICY IF EXISTS own ON exchange_questionview;
CREATE POLICY own ON exchange_questionview FOR SELECT TO weir_web USING (
    user_id = weir_user() OR (member_id = weir_member() AND weir_asks_for_own())
    OR (member_id IS NULL AND weir_audits()));
GRANT SELECT, INSERT ON exchange_questionview TO weir_web;
GRANT SELECT, INSERT ON exchange_questionview TO weir_worker;

-- What somebody took along, or asked to be found by, is that person's.
DROP POLICY IF EXISTS own ON exchange_inquiry;
CREATE POLICY own ON exchange_inquiry TO weir_web
    USING (user_id = weir_user() AND member_id = weir_member())
    WITH CHECK (user_id = weir_user() AND member_id = weir_member() AND weir_asks_for_own());
GRANT SELECT, INSERT ON exchange_inquiry TO weir_web;
DROP POLICY IF EXISTS own ON exchange_answerexport;
CREATE POLICY own ON exchange_answerexport TO weir_web
    USING (user_id = weir_user() AND member_id IS NOT DISTINCT FROM weir_member())
    WITH CHECK (user_id = weir_user() AND member_id IS NOT DISTINCT FROM weir_member());
GRANT SELECT, INSERT ON exchange_answerexport TO weir_web;
GRANT SELECT, UPDATE, DELETE ON exchange_answerexport TO weir_worker;
DROP POLICY IF EXISTS own ON exchange_answerfile;
CREATE POLICY own ON exchange_answerfile FOR SELECT TO weir_web USING (
    user_id = weir_user() AND EXISTS (
        SELECT 1 FROM exchange_answerexport made WHERE made.id = export_id));
GRANT SELECT ON exchange_answerfile TO weir_web;
GRANT SELECT, INSERT, DELETE ON exchange_answerfile TO weir_worker;

-- Attestations: a member's own. The forum's officer sees that one was made, under which mark.
DROP POLICY IF EXISTS own ON exchange_attestation;
CREATE POLICY own ON exchange_attestation TO weir_web
    USING (member_id = weir_member() AND weir_asks_for_own())
    WITH CHECK (member_id = weir_member() AND user_id = weir_user() AND weir_asks_for_own());
DROP POLICY IF EXISTS audited ON exchange_attestation;
CREATE POLICY audited ON exchange_attestation FOR SELECT TO weir_web USING (weir_audits());
GRANT SELECT, INSERT ON exchange_attestation TO weir_web;

-- Which members are public bodies the operator states, and those read who ask for it.
DROP POLICY IF EXISTS known ON exchange_nature;
CREATE POLICY known ON exchange_nature FOR SELECT TO weir_web
    USING (weir_asks_for_own() OR weir_audits() OR weir_acts_as('operator'));
DROP POLICY IF EXISTS stated ON exchange_nature;
CREATE POLICY stated ON exchange_nature FOR INSERT TO weir_web
    WITH CHECK (weir_acts_as('operator') AND stated_by_id = weir_user());
GRANT SELECT, INSERT ON exchange_nature TO weir_web;
GRANT SELECT ON exchange_nature TO weir_worker;

-- What was looked back at: its contributor's, and the auditors'. A recipient sees nothing of it.
DROP POLICY IF EXISTS own ON exchange_lookedback;
CREATE POLICY own ON exchange_lookedback FOR SELECT TO weir_web USING (
    (member_id = weir_member() AND weir_asks_for_own()) OR weir_audits()
    OR weir_acts_as('forum-counsel'));
GRANT SELECT ON exchange_lookedback TO weir_web;
GRANT SELECT, INSERT, UPDATE ON exchange_lookedback, exchange_lookback, exchange_judgedtable,
    exchange_verdictdocument TO weir_worker;
DROP POLICY IF EXISTS told ON exchange_lookback;
CREATE POLICY told ON exchange_lookback FOR SELECT TO weir_web
    USING (weir_asks_for_own() OR weir_audits() OR weir_acts_as('forum-counsel'));
DROP POLICY IF EXISTS told ON exchange_judgedtable;
CREATE POLICY told ON exchange_judgedtable FOR SELECT TO weir_web
    USING (weir_asks_for_own() OR weir_audits() OR weir_acts_as('forum-counsel'));
GRANT SELECT ON exchange_judgedtable TO weir_web;
-- When it was, and not how far: that would count what the whole forum shares.
GRANT SELECT (id, at) ON exchange_lookback TO weir_web;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker;

CREATE OR REPLACE FUNCTION compliance_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What was written down stays: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_questionview
    FOR EACH ROW EXECUTE FUNCTION compliance_refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_attestation
    FOR EACH ROW EXECUTE FUNCTION compliance_refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_nature
    FOR EACH ROW EXECUTE FUNCTION compliance_refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_verdictdocument
    FOR EACH ROW EXECUTE FUNCTION compliance_refuse();

-- The names that a link or a sighting ties together, as its bytes say; nothing once they are erased.
CREATE OR REPLACE FUNCTION weir_ends(body bytea) RETURNS text[] LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog
    AS $$
    BEGIN
        RETURN ARRAY(
            SELECT hit[1] FROM regexp_matches(
                convert_from(body, 'UTF8'),
                '"(?:source_ref|target_ref|sighting_of_ref)":"([^"]+)"', 'g') AS hit);
    END
    $$;
CREATE INDEX IF NOT EXISTS rendition_ends ON exchange_rendition USING gin (weir_ends(body))
    WHERE stix_type IN ('relationship', 'sighting');
-- What is shown to all is a handful among millions.
CREATE INDEX IF NOT EXISTS entry_shown_to_all ON ledger_entry (idx)
    WHERE kind IN ('key', 'policy') AND to_member_id IS NULL AND from_member_id IS NULL;
CREATE INDEX IF NOT EXISTS object_by_name ON indicators_forumobject (name) WHERE name <> '';
CREATE INDEX IF NOT EXISTS part_of_contributor ON exchange_releaserecipient (member_id, added_at)
    WHERE idx IS NOT NULL AND told_here;
CREATE INDEX IF NOT EXISTS part_by_time ON exchange_releaserecipient (added_at)
    WHERE idx IS NOT NULL;
CREATE INDEX IF NOT EXISTS note_by_time ON exchange_servednote (recipient_id, at);
CREATE INDEX IF NOT EXISTS hold_of_member_by_time ON exchange_hold (member_id, opened_at, id);
CREATE INDEX IF NOT EXISTS hold_by_time ON exchange_hold (opened_at, id);
CREATE INDEX IF NOT EXISTS delivery_of_release ON exchange_delivery (release_id, member_id)
    WHERE state = 'delivered';

-- When somebody took its part of a release, and how: told to itself and to the auditors alone.
CREATE OR REPLACE FUNCTION weir_fetched(one bigint)
    RETURNS TABLE (at timestamptz, how text) LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN QUERY
        SELECT took.at, took.how FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN LATERAL (
            (SELECT sent.done_at AS at, 'push' AS how FROM exchange_delivery sent
             WHERE sent.release_id = act.id AND sent.member_id = part.recipient_id
               AND sent.state = 'delivered' ORDER BY sent.done_at LIMIT 1)
            UNION ALL
            (SELECT note.at, note.via FROM exchange_servednote note
             WHERE note.recipient_id = part.recipient_id AND note.at >= part.added_at
               AND note.via NOT LIKE '%-own' AND act.count > 0
               AND note.first_seq < part.running + act.count AND note.last_seq >= part.running
             ORDER BY note.at LIMIT 1)
        ) took ON true
        WHERE part.id = one
          AND ((weir_asks_for_own() AND part.recipient_id = weir_member()) OR weir_audits())
        ORDER BY 1 LIMIT 1;
    END
    $$;

-- The names of what is about a campaign, by links of which the asker itself has a part: a link that
-- it was never given ties nothing together here.
CREATE OR REPLACE FUNCTION weir_about(campaign text) RETURNS text[] LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        me uuid := weir_member();
        published bigint := weir_published();
        root text := campaign;
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) THEN
            RETURN '{}';
        END IF;
        IF root NOT LIKE 'campaign--%' THEN
            root := (SELECT 'campaign--' || named.id FROM indicators_forumobject named
                     WHERE named.name = campaign AND named.name <> ''
                       AND named.stix_type = 'campaign' LIMIT 1);
        END IF;
        RETURN ARRAY(
            SELECT root WHERE root IS NOT NULL UNION
            SELECT tied.name FROM exchange_rendition link
            CROSS JOIN LATERAL unnest(weir_ends(link.body) || link.stix_id) AS tied (name)
            WHERE link.stix_type IN ('relationship', 'sighting')
              AND weir_ends(link.body) @> ARRAY[root]
              AND (me IS NULL OR EXISTS (
                  SELECT 1 FROM exchange_releaseitem item
                  JOIN exchange_releaserecipient part ON part.release_id = item.release_id
                  WHERE item.rendition_id = link.id AND part.idx < published
                    AND (part.recipient_id = me OR (part.member_id = me AND part.told_here)))));
    END
    $$;

-- What was disclosed, newest first: `received` by the asker, `given` by it, or, for the auditors,
-- all of it. A recipient gets no contributor, no policy of another's, no rule and no verdict.
CREATE OR REPLACE FUNCTION weir_disclosed(
        side text, to_whom uuid, by_whom uuid, names text[], circle_of uuid, since timestamptz,
        until timestamptz, of_class text, of_rule text, words text[], bodies uuid[],
        entry bigint, heads boolean, of_kind text, before_at timestamptz, before_idx bigint, before_place integer, most integer)
    RETURNS TABLE (idx bigint, place integer, added_at timestamptz, kind text, part bigint,
                   release uuid, recipient text, contributor text, circle text, rendition bigint,
                   stix_id text, stix_type text, modified text, digest bytea, octets integer,
                   floor text, floor_digest bytea, policy text, nominal_at timestamptz,
                   reason text, recalled boolean, verdict bytea, rules text[], told_here boolean,
                   circle_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
        published bigint := weir_published();
        is_received boolean := weir_disclosed.side = 'received' AND weir_asks_for_own();
        is_given boolean := weir_disclosed.side = 'given' AND weir_asks_for_own();
        is_all boolean := weir_disclosed.side = 'all' AND weir_audits();
        picked uuid[];
    BEGIN
        IF NOT (is_received OR is_given OR is_all) THEN
            RETURN;
        END IF;
        -- The few releases that a name is in, first: a walk through time would pass by all others.
        IF names IS NOT NULL THEN
            picked := ARRAY(
                SELECT item.release_id FROM exchange_rendition said
                JOIN exchange_releaseitem item ON item.rendition_id = said.id
                WHERE said.stix_id = ANY (names)
                UNION
                SELECT twin.release_id FROM exchange_rendition said
                JOIN exchange_twin twin ON twin.rendition_id = said.id
                WHERE said.stix_id = ANY (names));
        END IF;
        RETURN QUERY
        SELECT part.idx, listed.position, part.added_at, act.kind, part.id, act.id,
            CASE WHEN part.recipient_id IS NULL THEN 'the circle ' || circle.name ELSE who.name END,
            CASE WHEN is_received THEN NULL ELSE giver.name END,
            circle.name, said.id, said.stix_id, said.stix_type, said.modified, said.digest,
            octet_length(said.body), floor.version, floor.digest,
            CASE WHEN is_received OR policy.id IS NULL THEN NULL
                 ELSE policy.document ->> 'version' END,
            act.nominal_at, act.reason, listed.recalled,
            CASE WHEN is_received THEN NULL ELSE looked.verdict END,
            CASE WHEN is_received THEN NULL ELSE looked.rules END, part.told_here, act.circle_id
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN exchange_floorpolicy floor ON floor.id = act.floor_id
        LEFT JOIN exchange_memberpolicyversion policy ON policy.id = act.policy_id
        LEFT JOIN members_circle circle ON circle.id = act.circle_id
        LEFT JOIN members_member who ON who.id = part.recipient_id
        LEFT JOIN members_member giver ON giver.id = part.member_id
        JOIN LATERAL (
            SELECT item.position, item.rendition_id, item.recalled
            FROM exchange_releaseitem item WHERE item.release_id = act.id
            UNION ALL
            SELECT 1000 + (row_number() OVER (ORDER BY twin.id))::integer, twin.rendition_id, false
            FROM exchange_twin twin WHERE twin.release_id = act.id AND NOT is_received
        ) listed ON true
        JOIN exchange_rendition said ON said.id = listed.rendition_id
        LEFT JOIN exchange_lookedback looked
            ON looked.release_id = act.id AND looked.rendition_id = said.id
        WHERE part.idx < published
          AND (entry IS NULL OR part.id = (
              SELECT told.ref FROM ledger_entry told
              WHERE told.idx = entry AND told.kind IN ('release', 'recall')))
          AND (of_kind IS NULL OR act.kind = of_kind)
          AND (NOT heads OR listed.position = 0 OR (listed.position = 1001 AND act.count = 0))
          AND (NOT is_received OR part.recipient_id = me)
          AND (NOT is_given OR (part.member_id = me AND part.told_here
                                AND part.recipient_id IS DISTINCT FROM me))
          AND (NOT is_all OR part.recipient_id IS DISTINCT FROM part.member_id)
          AND (to_whom IS NULL OR part.recipient_id = to_whom)
          AND (by_whom IS NULL OR is_received OR part.member_id = by_whom)
          AND (picked IS NULL OR part.release_id = ANY (picked))
          AND (names IS NULL OR said.stix_id = ANY (names))
          AND (circle_of IS NULL OR act.circle_id = circle_of)
          AND (weir_disclosed.since IS NULL OR part.added_at >= weir_disclosed.since)
          AND (weir_disclosed.until IS NULL OR part.added_at < weir_disclosed.until)
          AND (of_class IS NULL OR (NOT is_received AND looked.classes @> ARRAY[of_class]))
          AND (of_rule IS NULL OR (NOT is_received AND looked.rules @> ARRAY[of_rule]))
          AND (words IS NULL OR EXISTS (
              SELECT 1 FROM unnest(words) AS word
              WHERE position(convert_to(word, 'UTF8') IN said.body) > 0))
          AND (bodies IS NULL OR part.recipient_id = ANY (bodies)
               OR (NOT is_received AND part.member_id = ANY (bodies)))
          AND (before_at IS NULL OR part.added_at <= before_at)
          AND (before_at IS NULL OR part.added_at < before_at OR part.idx < before_idx
               OR (part.idx = before_idx AND listed.position > before_place))
        ORDER BY part.added_at DESC, part.idx DESC, listed.position
        LIMIT most;
    END
    $$;

-- What one's own member gave, summed by whom and by the policies of then.
CREATE OR REPLACE FUNCTION weir_shared(
        by_whom uuid, to_whom uuid, since timestamptz, until timestamptz)
    RETURNS TABLE (contributor text, recipient text, circle text, floor text, policy text,
                   releases bigint, objects bigint, first_at timestamptz, last_at timestamptz,
                   first_idx bigint, last_idx bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
        published bigint := weir_published();
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) THEN
            RETURN;
        END IF;
        RETURN QUERY
        WITH summed AS MATERIALIZED (
            SELECT part.member_id, part.recipient_id, act.circle_id, act.floor_id, act.policy_id,
                count(*) AS releases, sum(act.count)::bigint AS objects,
                min(part.added_at) AS first_at, max(part.added_at) AS last_at,
                min(part.idx) AS first_idx, max(part.idx) AS last_idx
            FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id AND act.kind = 'release'
            WHERE part.idx < published
              AND ((me IS NULL AND part.member_id IS NOT NULL)
                   OR (part.member_id = me AND part.told_here))
              AND part.recipient_id IS DISTINCT FROM part.member_id
              AND (by_whom IS NULL OR part.member_id = by_whom)
              AND (to_whom IS NULL OR part.recipient_id = to_whom)
              AND (weir_shared.since IS NULL OR part.added_at >= weir_shared.since)
              AND (weir_shared.until IS NULL OR part.added_at < weir_shared.until)
            GROUP BY 1, 2, 3, 4, 5)
        SELECT giver.name,
            CASE WHEN summed.recipient_id IS NULL THEN 'the circle ' || circle.name
                 ELSE who.name END,
            circle.name, floor.version, policy.document ->> 'version', summed.releases,
            summed.objects, summed.first_at, summed.last_at, summed.first_idx, summed.last_idx
        FROM summed
        JOIN exchange_floorpolicy floor ON floor.id = summed.floor_id
        LEFT JOIN exchange_memberpolicyversion policy ON policy.id = summed.policy_id
        LEFT JOIN members_circle circle ON circle.id = summed.circle_id
        LEFT JOIN members_member who ON who.id = summed.recipient_id
        LEFT JOIN members_member giver ON giver.id = summed.member_id
        ORDER BY 1, 2, 3, 4, 5;
    END
    $$;

-- Out of how many objects that left something of a class was taken: its contributor's to know, and
-- the auditors'. A recipient gets no row of it.
CREATE OR REPLACE FUNCTION weir_removed(
        by_whom uuid, to_whom uuid, since timestamptz, until timestamptz)
    RETURNS TABLE (class text, n bigint) LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT one.class, sum(alike.n)::bigint FROM (
            SELECT looked.classes, count(*) AS n FROM exchange_lookedback looked
            JOIN exchange_release act ON act.id = looked.release_id
            WHERE looked.classes <> '{}' AND (me IS NULL OR looked.member_id = me)
              AND (by_whom IS NULL OR looked.member_id = by_whom)
              AND (weir_removed.since IS NULL OR act.committed_at >= weir_removed.since)
              AND (weir_removed.until IS NULL OR act.committed_at < weir_removed.until)
              AND (to_whom IS NULL OR EXISTS (
                  SELECT 1 FROM exchange_releaserecipient part
                  WHERE part.release_id = act.id AND part.recipient_id = to_whom
                    AND (me IS NULL OR part.told_here)))
            GROUP BY 1) alike
        CROSS JOIN LATERAL unnest(alike.classes) AS one (class)
        GROUP BY 1 ORDER BY 1;
    END
    $$;

-- The exact bytes of one rendition that the asker has a part in. What was taken back from a
-- recipient is not shown again to it: then there is nothing here.
CREATE OR REPLACE FUNCTION weir_bytes(entry bigint, place integer)
    RETURNS TABLE (rendition bigint, release uuid, version_id bigint, body bytea, digest bytea,
                   stix_id text, side text, verdict bytea, number bigint, added_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
        published bigint := weir_published();
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT said.id, part.release_id,
            CASE WHEN part.member_id = me THEN said.version_id END, said.body, said.digest,
            said.stix_id,
            CASE WHEN me IS NULL THEN 'all' WHEN part.member_id = me THEN 'given'
                 ELSE 'received' END,
            CASE WHEN me IS NULL OR part.member_id = me THEN looked.verdict END,
            CASE WHEN part.recipient_id = me THEN part.running + weir_bytes.place END,
            part.added_at
        FROM exchange_releaserecipient part
        JOIN LATERAL (
            SELECT item.id, item.position, item.rendition_id, item.recalled
            FROM exchange_releaseitem item WHERE item.release_id = part.release_id
            UNION ALL
            SELECT 0, 1000 + (row_number() OVER (ORDER BY twin.id))::integer, twin.rendition_id,
                false
            FROM exchange_twin twin WHERE twin.release_id = part.release_id
        ) listed ON listed.position = weir_bytes.place
        JOIN exchange_rendition said ON said.id = listed.rendition_id
        LEFT JOIN exchange_lookedback looked
            ON looked.release_id = part.release_id AND looked.rendition_id = said.id
        WHERE part.id = (SELECT told.ref FROM ledger_entry told
                         WHERE told.idx = entry AND told.kind IN ('release', 'recall'))
          AND part.idx < published
          AND (me IS NULL OR (part.member_id = me AND part.told_here)
               OR (part.recipient_id = me AND weir_bytes.place < 1000
                   AND weir_holds(part.release_id)
                   AND (NOT listed.recalled OR weir_keeps(listed.id))));
    END
    $$;

-- The same object as each other recipient has it, that its contributor is told of; to the auditors
-- all of them.
CREATE OR REPLACE FUNCTION weir_siblings(entry bigint, place integer)
    RETURNS TABLE (name text, idx bigint, listed integer) LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
        published bigint := weir_published();
        wanted bigint := (
            SELECT said.version_id FROM weir_bytes(entry, place) seen
            JOIN exchange_rendition said ON said.id = seen.rendition
            WHERE seen.side <> 'received');
    BEGIN
        RETURN QUERY
        SELECT DISTINCT ON (1) coalesce(who.name, 'the circle ' || circle.name), part.idx,
            item.position
        FROM exchange_rendition said
        JOIN exchange_releaseitem item ON item.rendition_id = said.id
        JOIN exchange_release act ON act.id = item.release_id
        JOIN exchange_releaserecipient part ON part.release_id = act.id
        LEFT JOIN members_member who ON who.id = part.recipient_id
        LEFT JOIN members_circle circle ON circle.id = act.circle_id
        WHERE said.version_id = wanted AND part.idx < published
          AND (me IS NULL OR (part.member_id = me AND part.told_here))
          AND part.recipient_id IS DISTINCT FROM part.member_id
        ORDER BY 1, part.idx DESC;
    END
    $$;

-- A verdict by its digest. To the auditors a property that the catalogue does not know has no name:
-- that is its contributor's own wording.
CREATE OR REPLACE FUNCTION weir_verdict(named bytea) RETURNS jsonb LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        told jsonb;
    BEGIN
        IF weir_asks_for_own() THEN
            told := (SELECT said.document FROM exchange_verdictdocument said
                      WHERE said.digest = named AND EXISTS (
                          SELECT 1 FROM exchange_lookedback looked
                          WHERE looked.verdict = named AND looked.member_id = weir_member()));
        ELSIF weir_audits() THEN
            told := (
                SELECT jsonb_set(said.document, '{rulings}', coalesce((
                    SELECT jsonb_agg(CASE WHEN ruling ->> 'class' = 'unknown'
                        THEN ruling || '{"path": "(a property that the catalogue does not know)"}'
                        ELSE ruling END ORDER BY place)
                    FROM jsonb_array_elements(said.document -> 'rulings')
                        WITH ORDINALITY AS every (ruling, place)), '[]'))
                FROM exchange_verdictdocument said WHERE said.digest = named);
        END IF;
        RETURN told;
    END
    $$;
CREATE INDEX IF NOT EXISTS looked_back_verdict ON exchange_lookedback (verdict, member_id);

-- What a member could pull at a moment: the newest state of each object that it held then, by the
-- ledger's numbers, seats and recalls of that moment. Told to the member itself, and of one's own
-- objects to their contributor; the auditors see all of it.
CREATE OR REPLACE FUNCTION weir_held_at(
        who uuid, moment timestamptz, after bigint, most integer)
    RETURNS TABLE (number bigint, idx bigint, place integer, added_at timestamptz, circle text,
                   stix_id text, stix_type text, modified text, digest bytea, body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        me uuid := weir_member();
        published bigint := (SELECT coalesce(max(c.size), 0) FROM ledger_checkpoint c
                             WHERE c.at <= moment);
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) OR NOT EXISTS (
                SELECT 1 FROM members_member there WHERE there.id = who
                  AND there.joined_at <= moment
                  AND (there.left_at IS NULL OR there.left_at > moment)) THEN
            RETURN;
        END IF;
        RETURN QUERY
        WITH seat AS MATERIALIZED (
            SELECT DISTINCT s.circle_id FROM members_circlemember s
            WHERE s.member_id = who AND s.joined_at <= moment
              AND (s.left_at IS NULL OR s.left_at > moment)),
        -- Who asks about another member is told of its own objects alone.
        had AS MATERIALIZED (
            SELECT part.running + item.position AS number, part.idx, item.position, part.added_at,
                act.circle_id, said.id AS rendition_id, said.stix_id, said.stix_type, said.modified,
                said.digest, said.object_id, act.circle_only, act.kind, item.id AS item_id,
                item.recalled, said.takes_back
            FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id
            JOIN exchange_releaseitem item ON item.release_id = act.id
            JOIN exchange_rendition said ON said.id = item.rendition_id
            WHERE part.recipient_id = who AND part.idx < published AND part.added_at <= moment
              AND (act.circle_id IS NULL OR act.circle_id IN (SELECT circle_id FROM seat))
              AND (me IS NULL OR who = me OR (part.member_id = me AND part.told_here)))
        SELECT had.number, had.idx, had.position, had.added_at, circle.name, had.stix_id,
            had.stix_type, had.modified, had.digest, said.body
        FROM had
        JOIN exchange_rendition said ON said.id = had.rendition_id
        LEFT JOIN members_circle circle ON circle.id = had.circle_id
        WHERE had.number > weir_held_at.after
          AND NOT (had.circle_only AND EXISTS (
              SELECT 1 FROM had once WHERE once.rendition_id = had.rendition_id
                AND NOT once.circle_only AND NOT weir_gone(
                    once.item_id, once.object_id, once.recalled, once.takes_back, who, moment)))
          AND NOT weir_gone(had.item_id, had.object_id, had.recalled, had.takes_back, who, moment)
          AND NOT EXISTS (
              SELECT 1 FROM had later WHERE later.stix_id = had.stix_id
                AND later.modified > had.modified
                AND NOT weir_gone(later.item_id, later.object_id, later.recalled,
                                  later.takes_back, who, moment))
        ORDER BY had.number LIMIT most;
    END
    $$;
-- Whether an item had been taken back by a moment: by its object's recall or revocation, or by the
-- act that gave it anew or took it back for another reason.
CREATE OR REPLACE FUNCTION weir_gone(
        item bigint, object uuid, recalled boolean, takes_back boolean, who uuid, moment timestamptz)
    RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT recalled OR takes_back THEN
            RETURN false;
        END IF;
        IF EXISTS (SELECT 1 FROM exchange_kept kept
                   WHERE kept.item_id = item AND kept.recipient_id = who) THEN
            RETURN false;
        END IF;
        -- A recall holds from its own moment, whenever its recipients are told.
        IF EXISTS (SELECT 1 FROM exchange_recall ordered
                   WHERE ordered.object_id = object AND ordered.at <= moment) THEN
            RETURN true;
        END IF;
        RETURN EXISTS (
            SELECT 1 FROM exchange_releaserecipient given
            JOIN exchange_releaseitem mine ON mine.release_id = given.release_id AND mine.id = item
            JOIN exchange_releaserecipient undone
                ON undone.undoes_to_id = given.id OR undone.undoes_from_id = given.id
            JOIN exchange_release act ON act.id = undone.release_id
            WHERE given.recipient_id = who AND act.committed_at <= moment);
    END
    $$;

-- Who asked for the reading of an original, and when: to the auditors without the words, which may
-- quote what they are about; to a contributor its own.
CREATE OR REPLACE FUNCTION weir_readings(
        since timestamptz, until timestamptz, before bigint, most integer)
    RETURNS TABLE (id bigint, at timestamptz, person text, person_id uuid, role text,
                   stix_type text, own boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        IF NOT (weir_asks_for_own() OR weir_audits()) THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT seen.id, seen.at, person.name, person.id, seen.role, object.stix_type,
            seen.member_id = weir_member()
        FROM exchange_originalread seen
        JOIN members_user person ON person.id = seen.user_id
        JOIN indicators_version version ON version.id = seen.version_id
        JOIN indicators_forumobject object ON object.id = version.object_id
        WHERE (weir_audits() OR seen.member_id = weir_member())
          AND (weir_readings.since IS NULL OR seen.at >= weir_readings.since)
          AND (weir_readings.until IS NULL OR seen.at < weir_readings.until)
          AND (before IS NULL OR seen.id < before)
        ORDER BY seen.id DESC LIMIT most;
    END
    $$;

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['weir_fetched', 'weir_about', 'weir_disclosed', 'weir_shared', 'weir_removed',
            'weir_bytes', 'weir_verdict', 'weir_siblings', 'weir_held_at', 'weir_readings'] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM PUBLIC', one);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO weir_web', one);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION weir_gone FROM PUBLIC;
