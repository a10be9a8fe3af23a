-- Pages of what a member holds. Its own file, so that a later migration may make it anew.

-- What was taken back from others, and I keep at its position.
CREATE OR REPLACE FUNCTION weir_keeps(one bigint) RETURNS boolean LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (SELECT 1 FROM exchange_kept k
                       WHERE k.item_id = one AND k.recipient_id = weir_member());
    END
    $$;

-- What a member holds, for every function that reads many rows of it (row-level security says the
-- same in weir_holds, for one release). Each of them asks once who it is (`me`, the size that is
-- `published`, the `circles` of its seats) and puts these conditions to its own joins: those in SQL are
-- no calls, the planner writes them into the query. None of them is for the web's role to call.

-- A place in a list is mine: released to me, under a published checkpoint, in a circle in which I
-- have a seat (the constants have none), and not taken back from me.
CREATE OR REPLACE FUNCTION weir_is_mine(
        recipient uuid, idx bigint, circle uuid, item bigint, recalled boolean,
        me uuid, published bigint, circles uuid[])
    RETURNS boolean LANGUAGE sql STABLE
    AS $$
        SELECT recipient = me AND idx < published AND (circle IS NULL OR circle = ANY (circles))
            AND (NOT recalled OR weir_keeps(item))
    $$;

-- Whether I hold a rendition where it came first, and so see it there in the whole holding; where
-- that circle was left, the list of a further circle shows it.
CREATE OR REPLACE FUNCTION weir_came_first(
        rendition bigint, me uuid, published bigint, circles uuid[])
    RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
    AS $$
    #variable_conflict error
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_releaseitem once
            JOIN exchange_release there ON there.id = once.release_id AND NOT there.circle_only
            JOIN exchange_releaserecipient had ON had.release_id = there.id
            WHERE once.rendition_id = rendition
              AND weir_is_mine(had.recipient_id, had.idx, there.circle_id, once.id, once.recalled,
                              me, published, circles));
    END
    $$;

-- Whether I hold a later version of an object than this one, or an earlier.
CREATE OR REPLACE FUNCTION weir_has_rival(
        named text, said_at text, is_later boolean, me uuid, published bigint, circles uuid[])
    RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
    AS $$
    #variable_conflict error
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_rendition rival
            JOIN exchange_releaseitem listed ON listed.rendition_id = rival.id
            JOIN exchange_releaserecipient mine ON mine.release_id = listed.release_id
            JOIN exchange_release told ON told.id = mine.release_id
            WHERE rival.stix_id = named
              AND CASE WHEN is_later THEN rival.modified > said_at ELSE rival.modified < said_at END
              AND weir_is_mine(mine.recipient_id, mine.idx, told.circle_id, listed.id,
                              listed.recalled, me, published, circles));
    END
    $$;

-- The version that a query asks for: by a keyword, or by when it was changed or made. No call either.
CREATE OR REPLACE FUNCTION weir_is_version(
        versions text[], named text, said_at text, body bytea, superseded boolean,
        has_later boolean, me uuid, published bigint, circles uuid[])
    RETURNS boolean LANGUAGE sql STABLE
    AS $$
        SELECT 'all' = ANY (versions)
            OR ('last' = ANY (versions) AND NOT superseded
                AND NOT (has_later
                         AND weir_has_rival(named, said_at, true, me, published, circles)))
            OR ('first' = ANY (versions)
                AND NOT weir_has_rival(named, said_at, false, me, published, circles))
            OR (cardinality(
                    array_remove(array_remove(array_remove(versions, 'all'), 'last'), 'first')) > 0
                AND coalesce(
                    nullif(said_at, ''),
                    substring(convert_from(body, 'UTF8') from '"created":"([^"]+)"'),
                    '1970-01-01T00:00:00.000Z') = ANY (versions))
    $$;

-- The circles of my seats, all or the one that is named; none where I am not active.
CREATE OR REPLACE FUNCTION weir_seats(circle uuid) RETURNS uuid[] LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN ARRAY(
            SELECT seat.circle_id FROM members_circlemember seat
            JOIN members_member me ON me.id = seat.member_id AND me.state = 'active'
            WHERE seat.member_id = weir_member() AND seat.left_at IS NULL
              AND (weir_seats.circle IS NULL OR seat.circle_id = weir_seats.circle)
            ORDER BY seat.circle_id);
    END
    $$;

-- Who asks, while it is active; nobody else holds anything.
CREATE OR REPLACE FUNCTION weir_active() RETURNS uuid LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN (SELECT m.id FROM members_member m
                WHERE m.id = weir_member() AND m.state = 'active');
    END
    $$;

-- A page of what I hold, in the order of my own count. `circle` names one of my circles; empty,
-- the whole holding.
CREATE OR REPLACE FUNCTION weir_page(
        circle uuid, after bigint, since timestamptz, ids text[], types text[], versions text[],
        most integer)
    RETURNS TABLE (stix_id text, stix_type text, modified text, added_at timestamptz,
                   place integer, body bytea, number bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET enable_sort = off SET join_collapse_limit = 1
    AS $$
    #variable_conflict error
    DECLARE
        me uuid := weir_active();
        published bigint := weir_published();
        circles uuid[] := weir_seats(weir_page.circle);
    BEGIN
        RETURN QUERY
        SELECT said.stix_id, said.stix_type, said.modified, part.added_at, item.position,
               said.body, part.running + item.position
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN exchange_releaseitem item ON item.release_id = act.id
        JOIN exchange_rendition said ON said.id = item.rendition_id AND octet_length(said.body) > 0
        WHERE weir_is_mine(part.recipient_id, part.idx, act.circle_id, item.id, item.recalled,
                          me, published, circles)
          AND part.running > after - 500 AND part.running + item.position > after
          AND (since IS NULL OR (
              part.added_at > since - interval '1 millisecond'
              AND part.added_at + item.position * interval '1 microsecond' > since))
          AND (ids IS NULL OR said.stix_id = ANY (ids))
          AND (types IS NULL OR said.stix_type = ANY (types))
          AND (weir_page.circle IS NOT NULL OR NOT act.circle_only
               OR NOT weir_came_first(said.id, me, published, circles))
          AND weir_is_version(versions, said.stix_id, said.modified, said.body, item.superseded,
                              said.has_later, me, published, circles)
        ORDER BY part.running, item.position
        LIMIT most;
    END
    $$;

-- The same of what is named, found by its name: its plan is made once.
CREATE OR REPLACE FUNCTION weir_named(
        circle uuid, after bigint, since timestamptz, ids text[], types text[], versions text[],
        most integer)
    RETURNS TABLE (stix_id text, stix_type text, modified text, added_at timestamptz,
                   place integer, body bytea, number bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    SET enable_material = off SET enable_memoize = off SET join_collapse_limit = 1
    AS $$
    #variable_conflict error
    DECLARE
        me uuid := weir_active();
        published bigint := weir_published();
        circles uuid[] := weir_seats(weir_named.circle);
    BEGIN
        RETURN QUERY
        SELECT said.stix_id, said.stix_type, said.modified, part.added_at, item.position,
               said.body, part.running + item.position
        FROM exchange_rendition said
        JOIN exchange_releaseitem item ON item.rendition_id = said.id
        JOIN exchange_release act ON act.id = item.release_id
        -- Fenced: whatever the planner believes of a feed's length, it is not walked.
        CROSS JOIN LATERAL (
            SELECT * FROM exchange_releaserecipient mine
            WHERE mine.release_id = act.id AND mine.recipient_id = me OFFSET 0) part
        WHERE said.stix_id = ANY (ids) AND octet_length(said.body) > 0
          AND weir_is_mine(part.recipient_id, part.idx, act.circle_id, item.id, item.recalled,
                          me, published, circles)
          AND part.running + item.position > after
          AND (since IS NULL OR part.added_at + item.position * interval '1 microsecond' > since)
          AND (types IS NULL OR said.stix_type = ANY (types))
          AND (weir_named.circle IS NOT NULL OR NOT act.circle_only
               OR NOT weir_came_first(said.id, me, published, circles))
          AND weir_is_version(versions, said.stix_id, said.modified, said.body, item.superseded,
                              said.has_later, me, published, circles)
        ORDER BY part.running, item.position
        LIMIT most;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_is_mine, weir_came_first, weir_has_rival, weir_is_version,
    weir_active, weir_seats, weir_page, weir_named FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_page, weir_named TO weir_web;
