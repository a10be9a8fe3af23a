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

-- A page of what I hold, in the order of my own count: the same condition, checked once for the
-- page and not for each row. `circle` names one of my circles; empty, the whole holding.
CREATE OR REPLACE FUNCTION weir_page(
        circle uuid, after bigint, since timestamptz, ids text[], types text[], versions text[],
        most integer)
    RETURNS TABLE (stix_id text, stix_type text, modified text, added_at timestamptz,
                   place integer, body bytea, number bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    #variable_conflict error
    DECLARE
        me uuid := (SELECT m.id FROM members_member m
                    WHERE m.id = weir_member() AND m.state = 'active');
        published bigint := weir_published();
        circles uuid[] := ARRAY(
            SELECT seat.circle_id FROM members_circlemember seat
            WHERE seat.member_id = me AND seat.left_at IS NULL
              AND (weir_page.circle IS NULL OR seat.circle_id = weir_page.circle));
        named text[] := ARRAY(SELECT v FROM unnest(versions) v WHERE v NOT IN ('last', 'first', 'all'));
    BEGIN
        RETURN QUERY
        SELECT said.stix_id, said.stix_type, said.modified, part.added_at, item.position,
               said.body, part.running + item.position
        FROM exchange_releaserecipient part
        JOIN exchange_release act ON act.id = part.release_id
        JOIN exchange_releaseitem item ON item.release_id = act.id
        JOIN exchange_rendition said ON said.id = item.rendition_id
        WHERE part.recipient_id = me AND part.idx < published AND octet_length(said.body) > 0
          AND (NOT item.recalled OR weir_keeps(item.id))
          AND (act.circle_id IS NULL OR act.circle_id = ANY (circles))
          -- In the whole holding once: where it came first, or, where that circle was left, here.
          AND (weir_page.circle IS NOT NULL OR NOT act.circle_only OR NOT EXISTS (
              SELECT 1 FROM exchange_releaseitem once
              JOIN exchange_release there ON there.id = once.release_id
                  AND NOT there.circle_only AND there.circle_id = ANY (circles)
              JOIN exchange_releaserecipient had ON had.release_id = there.id
                  AND had.recipient_id = me AND had.idx < published
              WHERE once.rendition_id = item.rendition_id
                AND (NOT once.recalled OR weir_keeps(once.id))))
          AND part.running > after - 500 AND part.running + item.position > after
          AND (since IS NULL OR (
              part.added_at > since - interval '1 millisecond'
              AND part.added_at + item.position * interval '1 microsecond' > since))
          AND (ids IS NULL OR said.stix_id = ANY (ids))
          AND (types IS NULL OR said.stix_type = ANY (types))
          AND (
            'all' = ANY (versions)
            OR ('last' = ANY (versions) AND NOT item.superseded AND NOT EXISTS (
                SELECT 1 FROM exchange_rendition rival
                JOIN exchange_releaseitem listed
                    ON listed.rendition_id = rival.id
                    AND (NOT listed.recalled OR weir_keeps(listed.id))
                JOIN exchange_releaserecipient mine ON mine.release_id = listed.release_id
                JOIN exchange_release told ON told.id = mine.release_id
                    AND (told.circle_id IS NULL OR told.circle_id = ANY (circles))
                WHERE rival.stix_id = said.stix_id AND rival.modified > said.modified
                  AND mine.recipient_id = me AND mine.idx < published))
            OR ('first' = ANY (versions) AND NOT EXISTS (
                SELECT 1 FROM exchange_rendition rival
                JOIN exchange_releaseitem listed
                    ON listed.rendition_id = rival.id
                    AND (NOT listed.recalled OR weir_keeps(listed.id))
                JOIN exchange_releaserecipient mine ON mine.release_id = listed.release_id
                JOIN exchange_release told ON told.id = mine.release_id
                    AND (told.circle_id IS NULL OR told.circle_id = ANY (circles))
                WHERE rival.stix_id = said.stix_id AND rival.modified < said.modified
                  AND mine.recipient_id = me AND mine.idx < published))
            OR (cardinality(named) > 0 AND coalesce(
                nullif(said.modified, ''),
                substring(convert_from(said.body, 'UTF8') from '"created":"([^"]+)"'),
                '1970-01-01T00:00:00.000Z') = ANY (named)))
        ORDER BY part.running, item.position
        LIMIT most;
    END
    $$;
REVOKE EXECUTE ON FUNCTION weir_page FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_page TO weir_web;
