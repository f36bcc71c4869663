/*
 * events.sql
 *    The catalog follows DDL: new partitions are governed, renamed and dropped
 *    columns and tables are renamed and dropped in the map.
 *
 * follow_ddl() belongs to the event trigger steward_armed, which steward.arm()
 * makes and which is no member of the extension (sql/registry.sql says why).
 * Both run as the extension's owner: whoever makes a partition need not own
 * the map.
 */
CREATE FUNCTION steward.govern_new_members(changed oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    governed steward.store[];
    fresh oid;
    step record;
BEGIN
    WITH RECURSIVE up AS (
        SELECT changed AS relid
        UNION
        SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.relid)
    SELECT array_agg(s) INTO governed
      FROM up JOIN steward.store s ON s.relation = up.relid
      JOIN pg_trigger t ON t.tgrelid = up.relid AND t.tgname = 'steward_access';
    IF governed IS NULL THEN
        RETURN;
    END IF;

    -- a member without the access trigger is new; one that lost something else
    -- is drift, and drift is reported, not hidden
    FOR fresh IN
        SELECT m.relation FROM steward.member(governed) m
         WHERE NOT m.is_root
           AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = m.relation AND t.tgname = 'steward_access')
    LOOP
        -- the ALTER TABLE of an earlier one has brought us here for those below it
        CONTINUE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = fresh AND t.tgname = 'steward_access');
        FOR step IN
            SELECT d.sql FROM steward.difference(governed, ARRAY(SELECT v FROM steward.service v)) d WHERE d.relation = fresh
        LOOP
            EXECUTE step.sql;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.govern_new_members(oid) IS
    'gives the rules to partitions and inheritance children that do not have them yet, when one of their governed tables changed';

-- After one RENAME COLUMN, the one name that the map uses and the table lacks
-- is the old name.  Dropped columns leave the map at once (forget_dropped).
CREATE FUNCTION steward.follow_column(relation oid, attribute text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    governed steward.store;
    gone text[];
    was jsonb;
    now_is jsonb := to_jsonb(attribute);
BEGIN
    SELECT s.* INTO governed FROM steward.store s WHERE s.relation = follow_column.relation;
    SELECT array_agg(DISTINCT u.name) INTO gone
      FROM (SELECT governed.tenant UNION ALL SELECT governed.row_owner
            UNION ALL SELECT governed.retention ->> 'clock'
            UNION ALL SELECT c FROM jsonb_array_elements(governed.keys) k, jsonb_array_elements_text(k) c
            UNION ALL SELECT jsonb_object_keys(governed.plaintext_exempt)) u (name)
     WHERE u.name IS NOT NULL AND NOT steward.has_column(follow_column.relation, u.name);
    IF array_length(gone, 1) IS DISTINCT FROM 1 THEN
        RETURN;
    END IF;
    was := to_jsonb(gone[1]);

    UPDATE steward.store s
       SET tenant = CASE WHEN s.tenant = gone[1] THEN attribute ELSE s.tenant END,
           row_owner = CASE WHEN s.row_owner = gone[1] THEN attribute ELSE s.row_owner END,
           retention = CASE WHEN s.retention -> 'clock' = was THEN s.retention || jsonb_build_object('clock', attribute)
                            ELSE s.retention END,
           keys = (SELECT jsonb_agg((SELECT jsonb_agg(CASE WHEN c = was THEN now_is ELSE c END ORDER BY j)
                                       FROM jsonb_array_elements(k) WITH ORDINALITY e (c, j)) ORDER BY i)
                     FROM jsonb_array_elements(s.keys) WITH ORDINALITY e (k, i)),
           plaintext_exempt = CASE WHEN s.plaintext_exempt ? gone[1]
                                   THEN s.plaintext_exempt - gone[1]
                                        || jsonb_build_object(attribute, s.plaintext_exempt -> gone[1])
                                   ELSE s.plaintext_exempt END
     WHERE s.name = governed.name;
END
$$;
COMMENT ON FUNCTION steward.follow_column(oid, text) IS 'renames a column in the map after it was renamed in the table';

CREATE FUNCTION steward.follow_ddl() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command record;
BEGIN
    FOR command IN
        SELECT DISTINCT c.objid, c.objsubid FROM pg_event_trigger_ddl_commands() c
         WHERE c.classid = 'pg_class'::regclass
    LOOP
        IF command.objsubid = 0 THEN
            PERFORM steward.govern_new_members(command.objid);
            PERFORM steward.keep_holds(command.objid);
        ELSE
            -- what inherits the column, or is of the type, is renamed with it and not named here
            PERFORM steward.follow_column(s.relation, a.attname), steward.keep_holds(s.relation)
               FROM pg_attribute a, steward.store s
              WHERE a.attrelid = command.objid AND a.attnum = command.objsubid
                AND s.relation IN (
                    WITH RECURSIVE below AS (
                        SELECT command.objid AS relid
                        UNION
                        SELECT d.relid
                          FROM below b
                          JOIN (SELECT i.inhparent AS above, i.inhrelid AS relid FROM pg_inherits i
                                UNION ALL
                                SELECT t.typrelid, c.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reloftype) d ON d.above = b.relid)
                    SELECT b.relid FROM below b);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.follow_ddl() IS 'event trigger function of steward_armed: governs new partitions, follows renamed columns, refuses what a legal hold could not follow';

CREATE FUNCTION steward.forget_dropped() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
BEGIN
    -- a number that is no table's any more is some other table's after a dump and restore
    UPDATE steward.segment g SET relation = NULL, state = 'failed', error = 'its table was dropped, not by retention'
      FROM pg_event_trigger_dropped_objects() d
     WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
       AND g.relation = d.objid AND g.kind = 'partition' AND g.state IN ('due', 'exporting', 'uploaded', 'verified', 'failed');
    FOR dropped IN
        SELECT d.objid, d.objsubid, d.address_names[array_length(d.address_names, 1)] AS name,
               s.name AS store, s.row_owner
          FROM pg_event_trigger_dropped_objects() d JOIN steward.store s ON s.relation = d.objid
         WHERE d.classid = 'pg_class'::regclass
    LOOP
        IF dropped.objsubid = 0 THEN
            IF steward.armed() THEN
                PERFORM steward.refuse_if_held(dropped.store);
            END IF;
            DELETE FROM steward.store s WHERE s.relation = dropped.objid;
        ELSE
            IF dropped.row_owner = dropped.name THEN
                RAISE WARNING 'store "%" has no row owner any more: whoever may write the store may write every row', dropped.store;
            END IF;
            UPDATE steward.store s
               SET row_owner = nullif(s.row_owner, dropped.name),
                   retention = CASE WHEN s.retention ->> 'clock' = dropped.name THEN NULL ELSE s.retention END,
                   keys = (SELECT jsonb_agg(k ORDER BY i) FROM jsonb_array_elements(s.keys) WITH ORDINALITY e (k, i)
                            WHERE NOT k ? dropped.name),
                   plaintext_exempt = s.plaintext_exempt - dropped.name
             WHERE s.relation = dropped.objid;
            IF steward.armed() THEN
                PERFORM steward.keep_holds(dropped.objid);
            END IF;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.forget_dropped() IS 'event trigger function of steward_drop: removes dropped tables and columns from the map, and refuses if a legal hold needs them';

CREATE EVENT TRIGGER steward_drop ON sql_drop EXECUTE FUNCTION steward.forget_dropped();
ALTER EVENT TRIGGER steward_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER steward_drop IS 'removes dropped tables and columns from pg_steward''s map';
