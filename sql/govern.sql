/*
 * govern.sql
 *    plan, apply, govern, release, create_service: the functions that change
 *    what is governed.  They only issue DDL; what runs for a row is C.
 *
 * They run as the extension's owner (a trigger or policy needs the table's
 * owner), with a fixed search_path, and only for steward_admin.  The only SQL
 * they execute is what steward.plan() shows.  Each table is locked ACCESS
 * EXCLUSIVE for milliseconds: constraints are adopted without a scan, and a
 * lock that is not had within steward.lock_timeout gives up the whole.
 */
CREATE FUNCTION steward.create_service(name text, role text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF create_service.role <> '' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = create_service.role) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', create_service.role);
        RAISE NOTICE 'role "%" was created', create_service.role;
    END IF;
    PERFORM steward.require_valid(jsonb_build_object('services', jsonb_build_array(
                jsonb_build_object('name', create_service.name, 'role', create_service.role))));
    INSERT INTO steward.service AS v VALUES (create_service.name, quote_ident(create_service.role)::regrole)
        ON CONFLICT ON CONSTRAINT service_pkey DO UPDATE SET role = excluded.role WHERE v.role <> excluded.role;
    RETURN create_service.name;
END
$$;
COMMENT ON FUNCTION steward.create_service(text, text) IS
    'declares a service and the role that acts for it (created NOLOGIN if absent); a known service is given the role. Returns its name';

CREATE FUNCTION steward.drop_service(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM steward.store s WHERE s.owner = drop_service.name) THEN
        RAISE EXCEPTION 'service "%" still owns stores', drop_service.name
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = (SELECT string_agg(s.name, ', ' ORDER BY s.name) FROM steward.store s WHERE s.owner = drop_service.name),
                  HINT = 'Release the stores, or give them another owner, first.';
    END IF;
    DELETE FROM steward.service v WHERE v.name = drop_service.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'service "%" does not exist', drop_service.name USING ERRCODE = 'undefined_object';
    END IF;
END
$$;
COMMENT ON FUNCTION steward.drop_service(text) IS 'forgets a service that owns no store; its role stays';

CREATE FUNCTION steward.put_store(entry jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO steward.store AS old
    SELECT * FROM steward.manifest_stores(jsonb_build_object('stores', jsonb_build_array(entry)))
        ON CONFLICT ON CONSTRAINT store_pkey DO UPDATE
       SET (data, kind, relation, location, owner, scope, tenant, row_owner, append_only, write_once, part_of,
            access, keys, retention, notes, words, plaintext_exempt, registry)
         = (excluded.data, excluded.kind, excluded.relation, excluded.location, excluded.owner, excluded.scope,
            excluded.tenant, excluded.row_owner, excluded.append_only, excluded.write_once, excluded.part_of,
            excluded.access, excluded.keys, excluded.retention, excluded.notes, excluded.words, excluded.plaintext_exempt,
            excluded.registry)
$$;
COMMENT ON FUNCTION steward.put_store(jsonb) IS 'writes one store of a valid manifest into the catalog; a step of a plan';

CREATE FUNCTION steward.arm() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'steward_armed') THEN
        CREATE EVENT TRIGGER steward_armed ON ddl_command_end
            -- CREATE SCHEMA makes partitions too; ALTER VIEW and its like rename a table's columns
            WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW',
                         'ALTER FOREIGN TABLE', 'ALTER TYPE')
            EXECUTE FUNCTION steward.follow_ddl();
        COMMENT ON EVENT TRIGGER steward_armed IS 'pg_steward enforces its rules in this database while this exists';
    END IF;
    ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS;
END
$$;
COMMENT ON FUNCTION steward.arm() IS 'puts the rules in force: makes and enables the event trigger steward_armed';

CREATE FUNCTION steward.plan(manifest jsonb)
    RETURNS TABLE (action text, store text, detail text, sql text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    services steward.service[];
    stores steward.store[];
BEGIN
    PERFORM steward.require_valid(manifest);

    SELECT array_agg(v) INTO services
      FROM (SELECT m.name, quote_ident(m.role)::regrole AS role
              FROM jsonb_to_recordset(coalesce(manifest -> 'services', '[]')) m (name text, role text)
            UNION ALL
            SELECT v.name, v.role FROM steward.service v
             WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(coalesce(manifest -> 'services', '[]')) m (name text)
                                WHERE m.name = v.name)) v;
    SELECT array_agg(s) INTO stores FROM steward.manifest_stores(manifest) s;

    RETURN QUERY
    SELECT CASE WHEN old.name IS NULL THEN 'create service' ELSE 'alter service' END, NULL::text,
           format('%s acts as role %I', v.name, pg_get_userbyid(v.role)),
           format('SELECT steward.create_service(%L, role => %L)', v.name, pg_get_userbyid(v.role))
      FROM unnest(services) v LEFT JOIN steward.service old ON old.name = v.name
     WHERE old.role IS DISTINCT FROM v.role;

    RETURN QUERY
    SELECT CASE WHEN old.name IS NULL THEN 'create store' ELSE 'alter store' END, s.name,
           coalesce(s.data, s.kind || coalesce(' ' || s.relation::text, '')),
           format('SELECT steward.put_store(%L)', steward.store_entry(s))
      FROM unnest(stores) s LEFT JOIN steward.store old ON old.name = s.name
     WHERE steward.store_entry(old) IS DISTINCT FROM steward.store_entry(s)
     ORDER BY s.part_of IS NOT NULL, s.position;

    RETURN QUERY
    SELECT CASE d.state WHEN 'missing' THEN 'add ' WHEN 'extra' THEN 'drop ' WHEN 'differs' THEN 'replace '
                        WHEN 'disabled' THEN 'enable ' ELSE 'validate ' END || d.kind,
           d.store, d.relation::regclass::text || coalesce(': ' || d.name, ''), d.sql
      FROM steward.difference(stores, services) d;

    IF stores IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'steward_armed' AND evtenabled = 'A') THEN
        RETURN QUERY SELECT 'arm', NULL::text, 'puts the rules in force in this database', 'SELECT steward.arm()';
    END IF;
END
$$;
COMMENT ON FUNCTION steward.plan(jsonb) IS
    'what apply would do, statement by statement; changes nothing. 22023 with the path inside the JSON when the manifest is wrong';

-- Whoever holds a lock that we could not have, in words
CREATE FUNCTION steward.lock_holders(relation text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s is in use by %s.', lock_holders.relation,
                  coalesce(string_agg(DISTINCT format('process %s (%s, %s)', l.pid, a.usename, a.state), ', '), 'another session'))
      FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
     WHERE l.relation::regclass::text = lock_holders.relation AND l.granted AND l.pid <> pg_backend_pid()
$$;
COMMENT ON FUNCTION steward.lock_holders(text) IS 'who holds locks on a relation, for an error''s DETAIL';

-- One change of the map at a time: taken before anything is read that is
-- written back, or the last of two would undo the first
CREATE FUNCTION steward.lock_map() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM set_config('lock_timeout', coalesce(current_setting('steward.lock_timeout', true), '2s'), true);
    LOCK TABLE steward.store IN SHARE ROW EXCLUSIVE MODE;
EXCEPTION
    WHEN lock_not_available THEN
        RAISE EXCEPTION 'could not lock the catalog within %', coalesce(current_setting('steward.lock_timeout', true), '2s')
            USING ERRCODE = 'lock_not_available',
                  DETAIL = steward.lock_holders('steward.store') || ' Nothing was changed.',
                  HINT = 'Run it again when they are done, or wait longer: SET steward.lock_timeout = ''10s'';';
END
$$;
COMMENT ON FUNCTION steward.lock_map() IS
    'waits until nobody else changes the map, and keeps others from it to the end of the transaction; 55P03 when that takes longer than steward.lock_timeout';

CREATE FUNCTION steward.apply(manifest jsonb)
    RETURNS TABLE (action text, store text, detail text, sql text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    step record;
BEGIN
    PERFORM steward.lock_map();
    PERFORM set_config('lock_timeout', coalesce(current_setting('steward.lock_timeout', true), '2s'), true);

    BEGIN
        FOR step IN SELECT * FROM steward.plan(manifest) LOOP
            EXECUTE step.sql;
            action := step.action;
            store := step.store;
            detail := step.detail;
            sql := step.sql;
            RETURN NEXT;
        END LOOP;
    EXCEPTION
        WHEN lock_not_available THEN
            RAISE EXCEPTION 'could not lock % within %', coalesce(regexp_replace(step.detail, ': [^:]*$', ''), 'the catalog'),
                            coalesce(current_setting('steward.lock_timeout', true), '2s')
                USING ERRCODE = 'lock_not_available',
                      DETAIL = coalesce(steward.lock_holders(regexp_replace(step.detail, ': [^:]*$', '')) || ' ', '') || 'Nothing was changed.',
                      HINT = 'Run it again when they are done, or wait longer: SET steward.lock_timeout = ''10s'';';
    END;
END
$$;
COMMENT ON FUNCTION steward.apply(jsonb) IS
    'makes the database obey a manifest, in one transaction; returns what it did, no rows when there was nothing to do. Stores that the manifest does not name are left alone. ACCESS EXCLUSIVE on each table for milliseconds; 55P03 when a lock is not had within steward.lock_timeout';

CREATE FUNCTION steward.rename_store(store text, name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(rename_store.name) NOT BETWEEN 1 AND 63 THEN
        RAISE EXCEPTION 'a store''s name has 1 to 63 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM steward.store s WHERE s.name = rename_store.name) THEN
        RAISE EXCEPTION 'store "%" exists already', rename_store.name USING ERRCODE = 'duplicate_object';
    END IF;
    UPDATE steward.store s SET name = rename_store.name WHERE s.name = rename_store.store;
END
$$;
COMMENT ON FUNCTION steward.rename_store(text, text) IS 'gives a store another name; its parts follow';

CREATE FUNCTION steward.govern(relation regclass, owner text DEFAULT NULL, tenant text DEFAULT NULL,
                               scope text DEFAULT NULL, name text DEFAULT NULL, data text DEFAULT NULL,
                               access text DEFAULT NULL, keys jsonb DEFAULT NULL, retention jsonb DEFAULT NULL,
                               notes text DEFAULT NULL, row_owner text DEFAULT NULL, append_only boolean DEFAULT NULL,
                               part_of text DEFAULT NULL, words jsonb DEFAULT NULL, plaintext_exempt jsonb DEFAULT NULL)
    RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old steward.store;
    relname text := (SELECT c.relname FROM pg_class c WHERE c.oid = govern.relation);
    entry jsonb;
BEGIN
    PERFORM steward.lock_map();
    SELECT s.* INTO old FROM steward.store s WHERE s.relation = govern.relation;
    entry := coalesce(steward.store_entry(old), '{}') || jsonb_strip_nulls(jsonb_build_object(
        'relation', govern.relation::text, 'owner', govern.owner, 'tenant', govern.tenant, 'scope', govern.scope,
        'data', govern.data, 'access', govern.access, 'keys', govern.keys, 'retention', govern.retention,
        'notes', govern.notes, 'row_owner', govern.row_owner, 'append_only', govern.append_only,
        'part_of', govern.part_of, 'words', govern.words, 'plaintext_exempt', govern.plaintext_exempt));
    IF entry ->> 'scope' IN ('global', 'service') AND govern.tenant IS NULL THEN
        entry := entry - 'tenant';
    END IF;
    entry := jsonb_build_object('name', coalesce(old.name, govern.name,
        CASE WHEN EXISTS (SELECT FROM steward.store s WHERE s.name = relname) THEN govern.relation::text ELSE relname END))
        || entry;
    IF govern.name <> old.name THEN
        PERFORM steward.rename_store(old.name, govern.name);
        entry := entry || jsonb_build_object('name', govern.name);
    END IF;
    PERFORM steward.apply(jsonb_build_object('stores', jsonb_build_array(entry)));
    RETURN entry ->> 'name';
END
$$;
COMMENT ON FUNCTION steward.govern(regclass, text, text, text, text, text, text, jsonb, jsonb, text, text, boolean, text, jsonb, jsonb) IS
    'governs a table, or changes what is given of a governed one; the arguments are a manifest''s fields. Returns the store''s name, the table''s own unless given';

CREATE FUNCTION steward.alter_store(store text, change jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old steward.store;
BEGIN
    PERFORM steward.lock_map();
    SELECT s.* INTO old FROM steward.store s WHERE s.name = alter_store.store;
    IF old.name IS NULL THEN
        RAISE EXCEPTION 'store "%" does not exist', alter_store.store USING ERRCODE = 'undefined_object';
    END IF;
    IF jsonb_typeof(alter_store.change) = 'object' AND alter_store.change ->> 'name' <> old.name THEN
        PERFORM steward.rename_store(old.name, alter_store.change ->> 'name');
    END IF;
    PERFORM steward.apply(jsonb_build_object('stores', jsonb_build_array(
                jsonb_strip_nulls(steward.store_entry(old) || alter_store.change))));
END
$$;
COMMENT ON FUNCTION steward.alter_store(text, jsonb) IS
    'changes the given fields of a store (a manifest''s fields; null removes one), and applies';

-- A partition that is detached already is nobody's but retention's
CREATE FUNCTION steward.forget_due(stores text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    n record;
BEGIN
    -- the worker holds a task's row while it changes anything
    PERFORM FROM steward.task t WHERE t.store = ANY (stores) AND t.state IN ('queued', 'running') ORDER BY t.id FOR UPDATE;
    SELECT count(*) AS many, min(g.relation::text) AS first INTO n
      FROM steward.segment g JOIN pg_class c ON c.oid = g.relation
     WHERE g.store = ANY (stores) AND g.kind = 'partition'
       AND (g.state IN ('exporting', 'uploaded', 'verified') OR g.state = 'failed' AND NOT c.relispartition);
    IF n.many > 0 OR EXISTS (SELECT FROM steward.task t WHERE t.store = ANY (stores) AND t.state = 'running') THEN
        RAISE EXCEPTION 'store "%" cannot be released while retention works on it', stores[1]
            USING ERRCODE = 'object_in_use',
                  DETAIL = CASE WHEN n.many > 0 THEN format('%s detached for it, the first is %s. Nothing was changed.',
                                                            CASE n.many WHEN 1 THEN 'A partition is' ELSE n.many || ' partitions are' END, n.first)
                                ELSE 'Rows are being archived or purged. Nothing was changed.' END,
                  HINT = 'Try again when steward.progress and steward.history show that it is done.';
    END IF;
    DELETE FROM steward.task t WHERE t.store = ANY (stores) AND t.state = 'queued' AND t.kind IN ('partition', 'rows');
    DELETE FROM steward.segment g WHERE g.store = ANY (stores) AND g.kind = 'partition' AND g.state IN ('due', 'failed');
END
$$;
COMMENT ON FUNCTION steward.forget_due(text[]) IS
    'takes back what retention was about to do to stores; 55006 when it is doing it already';

CREATE FUNCTION steward.release(store text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    released steward.store[];
    step record;
BEGIN
    PERFORM steward.lock_map();
    PERFORM set_config('lock_timeout', coalesce(current_setting('steward.lock_timeout', true), '2s'), true);
    BEGIN
        SELECT array_agg(s) INTO released FROM steward.store s
         WHERE s.name = release.store
            OR s.relation = steward.find_relation(release.store)
               AND NOT EXISTS (SELECT FROM steward.store o WHERE o.name = release.store);
        IF released IS NULL THEN
            RAISE EXCEPTION 'store "%" does not exist', release.store
                USING ERRCODE = 'undefined_object', HINT = 'SELECT name, relation FROM steward.store;';
        END IF;
        released := released || ARRAY(SELECT s FROM steward.store s WHERE s.part_of = released[1].name);
        PERFORM steward.refuse_if_held(r.name) FROM unnest(released) r;
        PERFORM steward.forget_due(ARRAY(SELECT r.name FROM unnest(released) r));

        -- a store of scope service without rows or columns of its own asks for the
        -- triggers only: everything else is "extra", and that goes by name
        FOR step IN
            SELECT d.sql FROM steward.difference(
                (SELECT array_agg(jsonb_populate_record(r, '{"scope": "service", "tenant": null, "row_owner": null, "append_only": false}'))
                   FROM unnest(released) r), NULL) d
             WHERE d.state = 'extra'
            UNION ALL
            SELECT format('DROP TRIGGER IF EXISTS %s ON %s', t.name, m.relation::regclass)
              FROM steward.member(released) m, unnest(ARRAY['steward_guard', 'steward_access']) t (name)
             WHERE t.name = 'steward_access' OR NOT m.is_partition
        LOOP
            EXECUTE step.sql;
        END LOOP;
        DELETE FROM steward.store s WHERE s.name IN (SELECT name FROM unnest(released));
    EXCEPTION
        WHEN lock_not_available THEN
            RAISE EXCEPTION 'could not lock store "%" within %', release.store,
                            coalesce(current_setting('steward.lock_timeout', true), '2s')
                USING ERRCODE = 'lock_not_available',
                      DETAIL = steward.lock_holders(released[1].relation::text) || ' Nothing was changed.',
                      HINT = 'Run it again when they are done, or wait longer: SET steward.lock_timeout = ''10s'';';
    END;
END
$$;
COMMENT ON FUNCTION steward.release(text) IS
    'stops governing a store, by its name or its table''s, and its parts: the rules and their objects go, rows and grants stay. ACCESS EXCLUSIVE on each table for milliseconds';
