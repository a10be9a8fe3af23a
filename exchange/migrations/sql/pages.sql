-- Pages of what a member holds, walked by keyset and sealed. Idempotent.
-- Who asks is weir_member(), checked once for a page; every function here has one snapshot.

-- What a page shows changes only when an item is superseded, recalled or erased. Each release counts
-- such changes, whoever makes them: a sealed page whose releases have counted on is not served.
CREATE OR REPLACE FUNCTION weir_items_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
    BEGIN
        UPDATE exchange_release SET changes = changes + 1
        WHERE id IN (SELECT release_id FROM changed);
        RETURN NULL;
    END
    $$;
CREATE OR REPLACE TRIGGER pages_change AFTER UPDATE ON exchange_releaseitem
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION weir_items_changed();

CREATE OR REPLACE FUNCTION weir_renditions_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
    BEGIN
        UPDATE exchange_release SET changes = changes + 1
        WHERE id IN (SELECT item.release_id FROM exchange_releaseitem item
                     WHERE item.rendition_id IN (SELECT id FROM changed));
        RETURN NULL;
    END
    $$;
CREATE OR REPLACE TRIGGER pages_change AFTER UPDATE ON exchange_rendition
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION weir_renditions_changed();

-- Who keeps what was taken back from others sees it come and go as well.
CREATE OR REPLACE FUNCTION weir_kept_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
    BEGIN
        UPDATE exchange_release SET changes = changes + 1
        WHERE id IN (SELECT item.release_id FROM exchange_releaseitem item
                     WHERE item.id IN (SELECT item_id FROM changed));
        RETURN NULL;
    END
    $$;
CREATE OR REPLACE TRIGGER pages_gain AFTER INSERT ON exchange_kept
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION weir_kept_changed();
CREATE OR REPLACE TRIGGER pages_lose AFTER DELETE ON exchange_kept
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION weir_kept_changed();

-- The sequencer's last act of publishing: an older version is superseded from the moment at which
-- its successor can be read, so at no moment neither of them is there.
CREATE OR REPLACE FUNCTION weir_supersede(first bigint, until bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict error
    DECLARE
        renewed text[] := ARRAY(
            SELECT DISTINCT newer.stix_id
            FROM ledger_entry entry
            JOIN exchange_releaserecipient part ON part.id = entry.ref
            JOIN exchange_releaseitem item ON item.release_id = part.release_id
            JOIN exchange_rendition newer ON newer.id = item.rendition_id
            WHERE entry.idx >= weir_supersede.first AND entry.idx < weir_supersede.until
              AND entry.kind IN ('release', 'recall') AND newer.modified <> ''
              AND EXISTS (SELECT 1 FROM exchange_rendition older
                          WHERE older.stix_id = newer.stix_id AND older.modified < newer.modified));
    BEGIN
        IF cardinality(renewed) = 0 THEN
            RETURN;
        END IF;
        UPDATE exchange_rendition older SET has_later = true
        WHERE older.stix_id = ANY (renewed) AND NOT older.has_later
          AND EXISTS (SELECT 1 FROM exchange_rendition newer
                      WHERE newer.stix_id = older.stix_id AND newer.modified > older.modified);
        UPDATE exchange_releaseitem old SET superseded = true
        FROM exchange_rendition older
        JOIN exchange_release here ON true
        WHERE older.id = old.rendition_id AND here.id = old.release_id
          AND older.stix_id = ANY (renewed) AND older.has_later AND NOT old.superseded
          AND NOT EXISTS (
            SELECT 1 FROM exchange_releaserecipient has
            WHERE has.release_id = old.release_id AND has.recipient_id IS NOT NULL
              AND NOT EXISTS (
                SELECT 1 FROM exchange_rendition newer
                JOIN exchange_releaseitem item ON item.rendition_id = newer.id
                JOIN exchange_releaserecipient later ON later.release_id = item.release_id
                JOIN exchange_release there ON there.id = later.release_id
                WHERE newer.stix_id = older.stix_id AND newer.modified > older.modified
                  AND later.recipient_id = has.recipient_id AND later.idx < weir_supersede.until
                  AND there.circle_id IS NOT DISTINCT FROM here.circle_id));
    END
    $$;

-- The newest versions of what I hold behind a number, in the order of my own count. The sift for
-- later versions touches only what has one; all else is found by the index of what is current.
CREATE OR REPLACE FUNCTION weir_walk(
        circle uuid, after bigint, upto bigint, since timestamptz, most integer)
    RETURNS TABLE (number bigint, added_at timestamptz, rendition bigint, takes_back boolean,
                   body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET enable_sort = off SET join_collapse_limit = 1
    AS $$
    #variable_conflict error
    DECLARE
        me uuid := weir_active();
        published bigint := weir_published();
        circles uuid[] := weir_seats(weir_walk.circle);
        start bigint := weir_walk.after;
    BEGIN
        IF since IS NOT NULL THEN
            -- Times grow with numbers: what came before is passed over by the index of times.
            start := greatest(start, (
                SELECT part.running - 1 FROM exchange_releaserecipient part
                WHERE part.recipient_id = me AND part.added_at > since - interval '1 millisecond'
                ORDER BY part.added_at, part.running LIMIT 1));
            IF NOT EXISTS (SELECT 1 FROM exchange_releaserecipient part
                           WHERE part.recipient_id = me
                             AND part.added_at > since - interval '1 millisecond') THEN
                RETURN;
            END IF;
        END IF;
        RETURN QUERY
        SELECT part.running + item.position, part.added_at + item.position * interval '1 microsecond',
               said.id, said.takes_back, said.body
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN exchange_releaseitem item ON item.release_id = act.id AND NOT item.superseded
        JOIN exchange_rendition said ON said.id = item.rendition_id AND octet_length(said.body) > 0
        WHERE weir_is_mine(part.recipient_id, part.idx, act.circle_id, item.id, item.recalled,
                          me, published, circles)
          AND part.running > start - 500 AND part.running + item.position > start
          AND (upto IS NULL OR (part.running <= upto AND part.running + item.position <= upto))
          AND (weir_walk.circle IS NOT NULL OR NOT act.circle_only
               OR NOT weir_came_first(said.id, me, published, circles))
          AND (since IS NULL OR (
              part.added_at > since - interval '1 millisecond'
              AND part.added_at + item.position * interval '1 microsecond' > since))
          AND NOT (said.has_later AND weir_has_rival(
              said.stix_id, said.modified, true, me, published, circles))
        ORDER BY part.running, item.position
        LIMIT most;
    END
    $$;

-- By what a page of these numbers is known: my seats, and each release in it with its changes.
CREATE OR REPLACE FUNCTION weir_signature(circle uuid, after bigint, until bigint) RETURNS bytea
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    AS $$
    #variable_conflict error
    DECLARE
        circles uuid[] := weir_seats(weir_signature.circle);
    BEGIN
        RETURN sha256(convert_to(
            circles::text || coalesce((
                SELECT string_agg(act.id::text || act.changes, ',' ORDER BY part.running, act.id)
                FROM exchange_releaserecipient part
                JOIN exchange_release act ON act.id = part.release_id
                WHERE part.recipient_id = weir_member()
                  AND part.running > weir_signature.after - 500
                  AND part.running <= weir_signature.until AND act.count > 0), ''),
            'UTF8'));
    END
    $$;

-- The sealed page that begins behind a number, and whether it is still what the walk would show.
CREATE OR REPLACE FUNCTION weir_sealed(circle uuid, after bigint)
    RETURNS TABLE (digest bytea, until bigint, first_number bigint, count integer, back bigint[],
                   first_at timestamptz, last_at timestamptz, is_current boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT page.digest, page.until, page.first_number, page.count, page.back, page.first_at,
               page.last_at,
               page.signature = weir_signature(weir_sealed.circle, weir_sealed.after, page.until)
        FROM exchange_sealedpage page
        WHERE page.member_id = weir_member() AND page.after = weir_sealed.after
          AND page.circle_id IS NOT DISTINCT FROM weir_sealed.circle;
    END
    $$;

ALTER TABLE exchange_sealedpage ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS engine ON exchange_sealedpage;
CREATE POLICY engine ON exchange_sealedpage TO weir_worker USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS own ON exchange_sealedpage;
CREATE POLICY own ON exchange_sealedpage TO weir_web
    USING (member_id = weir_member()) WITH CHECK (member_id = weir_member());

REVOKE EXECUTE ON FUNCTION weir_walk, weir_sealed, weir_signature, weir_supersede
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_walk, weir_sealed, weir_signature TO weir_web;
GRANT EXECUTE ON FUNCTION weir_supersede TO weir_sequencer;
GRANT SELECT, INSERT, UPDATE, DELETE ON exchange_sealedpage TO weir_web;
GRANT SELECT, DELETE ON exchange_sealedpage TO weir_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web;
