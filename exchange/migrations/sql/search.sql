-- Search in what a member holds, and in nothing else. Idempotent.
-- The index is nobody's to read: the functions below check once who asks, as weir_page does.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_searchentry', 'exchange_searchvalue'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('REVOKE ALL ON %I FROM weir_web, weir_sequencer', one);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO weir_worker', one);
    END LOOP;
END
$$;
GRANT USAGE ON SEQUENCE exchange_searchvalue_id_seq TO weir_worker;

-- What I hold of some renditions, or of all: the one place that says what search may see.
CREATE OR REPLACE FUNCTION weir_found(
        among bigint[], ids text[], types text[], kinds text[], phases text[], words text[],
        confidence integer, since timestamptz, until timestamptz, valid_on timestamptz,
        before bigint, every boolean, bodies boolean, most integer)
    RETURNS TABLE (rendition bigint, number bigint, added_at timestamptz, stix_id text,
                   stix_type text, modified text, takes_back boolean, kind text,
                   phases_named text[], body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict error
    DECLARE
        me uuid := weir_active();
        published bigint := weir_published();
        circles uuid[] := weir_seats(NULL);
    BEGIN
        RETURN QUERY
        SELECT said.id, part.running + item.position,
               part.added_at + item.position * interval '1 microsecond', said.stix_id,
               said.stix_type, said.modified, said.takes_back, entry.kind, entry.phases,
               CASE WHEN bodies THEN said.body END
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN exchange_releaseitem item ON item.release_id = act.id
        JOIN exchange_rendition said ON said.id = item.rendition_id
        JOIN exchange_searchentry entry ON entry.rendition_id = item.rendition_id
        WHERE octet_length(said.body) > 0
          AND weir_is_mine(part.recipient_id, part.idx, act.circle_id, item.id, item.recalled,
                          me, published, circles)
          AND (NOT act.circle_only OR NOT weir_came_first(said.id, me, published, circles))
          AND (among IS NULL OR item.rendition_id = ANY (among))
          AND (before IS NULL OR (
              part.running < before AND part.running + item.position < before))
          AND (ids IS NULL OR said.stix_id = ANY (ids))
          AND (types IS NULL OR entry.stix_type = ANY (types))
          AND (kinds IS NULL OR entry.kind = ANY (kinds))
          AND (weir_found.phases IS NULL OR entry.phases && weir_found.phases)
          AND (weir_found.words IS NULL OR entry.words @> weir_found.words)
          AND (weir_found.confidence IS NULL OR entry.confidence >= weir_found.confidence)
          AND (since IS NULL OR part.added_at >= since)
          AND (until IS NULL OR part.added_at < until)
          AND (valid_on IS NULL OR (
              entry.valid_from < valid_on + interval '1 day' AND entry.valid_until > valid_on))
          AND (every OR (NOT item.superseded AND NOT (said.has_later AND weir_has_rival(
              said.stix_id, said.modified, true, me, published, circles))))
        ORDER BY part.running DESC, item.position DESC
        LIMIT most;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_found FROM PUBLIC;

-- The renditions, anybody's, in which a value stands; for weir_found alone to sift.
CREATE OR REPLACE FUNCTION weir_with_value(digests bytea[], net inet) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    BEGIN
        IF digests IS NULL AND net IS NULL THEN
            RETURN NULL;
        END IF;
        RETURN ARRAY(
            SELECT v.rendition_id FROM exchange_searchvalue v WHERE v.digest = ANY (digests)
            UNION
            SELECT v.rendition_id FROM exchange_searchvalue v
            WHERE v.network IS NOT NULL AND v.network && net);
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_with_value FROM PUBLIC;

-- A page of what I search for, newest first.
CREATE OR REPLACE FUNCTION weir_search(
        digests bytea[], net inet, ids text[], types text[], kinds text[], phases text[],
        words text[], confidence integer, since timestamptz, until timestamptz,
        valid_on timestamptz, before bigint, every boolean, most integer)
    RETURNS TABLE (number bigint, added_at timestamptz, stix_id text, stix_type text,
                   modified text, body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT hit.number, hit.added_at, hit.stix_id, hit.stix_type, hit.modified, hit.body
        FROM weir_found(
            weir_with_value(digests, net), ids, types, kinds, weir_search.phases,
            weir_search.words, weir_search.confidence, since, until, valid_on, before, every,
            true, most) hit
        ORDER BY hit.number DESC;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_search TO weir_web;

-- How many of what I search for are of each type, kind and phase; counted up to `most` objects.
CREATE OR REPLACE FUNCTION weir_facets(
        digests bytea[], net inet, ids text[], types text[], kinds text[], phases text[],
        words text[], confidence integer, since timestamptz, until timestamptz,
        valid_on timestamptz, before bigint, every boolean, most integer)
    RETURNS TABLE (facet text, word text, count bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        WITH found AS MATERIALIZED (
            SELECT hit.stix_type, hit.kind, hit.phases_named FROM weir_found(
                weir_with_value(digests, net), ids, types, kinds, weir_facets.phases,
                weir_facets.words, weir_facets.confidence, since, until, valid_on, NULL, every,
                false, most) hit)
        SELECT each.facet, each.word, count(*) FROM found CROSS JOIN LATERAL (
            SELECT 'type' AS facet, found.stix_type AS word
            UNION ALL SELECT 'kind', found.kind WHERE found.kind <> ''
            UNION ALL SELECT 'phase', phase FROM unnest(found.phases_named) phase
            UNION ALL SELECT 'all', '') each
        GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_facets FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_facets TO weir_web;

-- A list of values in one step: each place with the newest of what I hold that says its value, and
-- without a place the objects that are named by their ids.
CREATE OR REPLACE FUNCTION weir_lookup(
        places integer[], digests bytea[], net_places integer[], nets inet[], ids text[],
        most integer)
    RETURNS TABLE (place integer, rank bigint, number bigint, stix_id text, stix_type text,
                   takes_back boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        WITH pairs AS MATERIALIZED (
            SELECT asked.place, v.rendition_id
            FROM unnest(places, digests) asked(place, digest)
            JOIN exchange_searchvalue v ON v.digest = asked.digest
            UNION
            SELECT asked.place, v.rendition_id
            FROM unnest(net_places, nets) asked(place, net)
            JOIN exchange_searchvalue v ON v.network IS NOT NULL AND v.network && asked.net),
        found AS MATERIALIZED (
            SELECT hit.rendition, hit.number, hit.stix_id, hit.stix_type, hit.takes_back
            FROM weir_found(
                ARRAY(SELECT DISTINCT pairs.rendition_id FROM pairs), NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, false, false, NULL) hit),
        ranked AS (
            SELECT pairs.place, row_number() OVER (
                       PARTITION BY pairs.place ORDER BY found.number DESC) AS rank,
                   found.number, found.stix_id, found.stix_type, found.takes_back
            FROM pairs JOIN found ON found.rendition = pairs.rendition_id)
        SELECT ranked.place, ranked.rank, ranked.number, ranked.stix_id, ranked.stix_type,
               ranked.takes_back
        FROM ranked WHERE ranked.rank <= most
        UNION ALL
        SELECT NULL, 1, hit.number, hit.stix_id, hit.stix_type, hit.takes_back
        FROM weir_found(NULL, ids, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false,
                        false, NULL) hit
        WHERE ids IS NOT NULL
        ORDER BY 1, 2;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_lookup FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_lookup TO weir_web;

-- What else I hold that says a value of one of my objects, newest first.
CREATE OR REPLACE FUNCTION weir_shares(id text, most integer)
    RETURNS TABLE (number bigint, added_at timestamptz, stix_id text, stix_type text,
                   modified text, body bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict use_column
    DECLARE
        mine bigint := (SELECT hit.rendition FROM weir_found(
            NULL, ARRAY[id], NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, false,
            1) hit);
    BEGIN
        RETURN QUERY
        SELECT hit.number, hit.added_at, hit.stix_id, hit.stix_type, hit.modified, hit.body
        FROM weir_found(
            ARRAY(SELECT other.rendition_id FROM exchange_searchvalue own
                  JOIN exchange_searchvalue other ON other.digest = own.digest
                  WHERE own.rendition_id = mine AND other.rendition_id <> mine
                  UNION
                  SELECT other.rendition_id FROM exchange_searchvalue own
                  JOIN exchange_searchvalue other
                      ON other.network IS NOT NULL AND other.network && own.network
                  WHERE own.rendition_id = mine AND other.rendition_id <> mine),
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, true,
            most) hit
        WHERE hit.stix_id <> id
        ORDER BY hit.number DESC;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_shares FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_shares TO weir_web;
