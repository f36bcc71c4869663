/*
 * template.sql
 *    The storage maps that ship with the extension, as manifests and as
 *    reference tables.
 *
 * The rows stand in sql/templates/, one file a map.  A store that several
 * services have (an outbox in each publishing service's database) is one row
 * of the map: installed as a whole, the first service's is the store and the
 * others' are parts of it.
 */
CREATE TABLE steward.template_service (
    template text,
    position integer NOT NULL,
    name text,
    role name NOT NULL,
    PRIMARY KEY (template, name)
);
COMMENT ON TABLE steward.template_service IS 'the services of a shipped storage map; the schema of a service has the name of its role';

CREATE TABLE steward.template_store (
    template text,
    position integer NOT NULL,
    name text,
    services text[] NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    store jsonb NOT NULL,
    ddl text,
    PRIMARY KEY (template, name)
);
COMMENT ON TABLE steward.template_store IS 'the stores of a shipped storage map: manifest entry and reference table, with {schema} for the service''s schema';
COMMENT ON COLUMN steward.template_store.services IS 'the services in whose database the store stands; the first owns it';
COMMENT ON COLUMN steward.template_store.shared IS 'true: one table, of which each service writes its own rows';

-- Which store is installed for which service, and where
CREATE FUNCTION steward.template_placement(template text, service text)
    RETURNS TABLE (name text, service text, role name, main boolean, store jsonb, ddl text, guests text[], place integer)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN p.main THEN t.name ELSE t.name || '_' || v.role END, v.name, v.role, p.main, t.store, t.ddl,
           CASE WHEN t.shared AND template_placement.service IS NULL THEN t.services[2:] ELSE '{}' END, t.position
      FROM steward.template_store t
      JOIN steward.template_service v ON v.template = t.template AND v.name = ANY (t.services),
           LATERAL (SELECT template_placement.service IS NOT NULL OR v.name = t.services[1] AS main) p
     WHERE t.template = template_placement.template
       AND CASE WHEN template_placement.service IS NOT NULL THEN v.name = template_placement.service
                WHEN t.shared OR t.ddl IS NULL THEN p.main
                ELSE true END
     ORDER BY t.position, NOT p.main, v.position
$$;
COMMENT ON FUNCTION steward.template_placement(text, text) IS
    'the stores of a template as they are installed, for one service or (NULL) for all';

-- The same as manifest entries; a store of several services is a part for all
-- but the first
CREATE FUNCTION steward.template_entry(template text, service text) RETURNS TABLE (place integer, entry jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.place,
           CASE WHEN p.main THEN p.store
                ELSE p.store - ARRAY['data', 'access', 'notes', 'words'] || jsonb_build_object('part_of', t.name) END
           || jsonb_strip_nulls(jsonb_build_object(
                  'name', p.name, 'owner', p.service,
                  'relation', replace(p.store ->> 'relation', '{schema}', quote_ident(p.role))))
      FROM steward.template_placement(template_entry.template, template_entry.service) p
      JOIN steward.template_store t ON t.template = template_entry.template AND t.position = p.place
$$;
COMMENT ON FUNCTION steward.template_entry(text, text) IS 'the stores of a template as entries of a manifest';

CREATE FUNCTION steward.template(name text, service text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    manifest jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM steward.template_service v WHERE v.template = template.name) THEN
        RAISE EXCEPTION 'template "%" does not exist', template.name
            USING ERRCODE = 'undefined_object',
                  HINT = 'There are: ' || (SELECT string_agg(DISTINCT v.template, ', ') FROM steward.template_service v) || '.';
    END IF;
    IF template.service IS NOT NULL
       AND NOT EXISTS (SELECT FROM steward.template_service v WHERE v.template = template.name AND v.name = template.service) THEN
        RAISE EXCEPTION 'template "%" has no service "%"', template.name, template.service
            USING ERRCODE = 'undefined_object',
                  HINT = 'There are: ' || (SELECT string_agg(v.name, ', ' ORDER BY v.position) FROM steward.template_service v
                                            WHERE v.template = template.name) || '.';
    END IF;

    SELECT jsonb_build_object(
               'services', (SELECT jsonb_agg(jsonb_build_object('name', v.name, 'role', v.role) ORDER BY v.position)
                              FROM steward.template_service v
                             WHERE v.template = template.name AND (template.service IS NULL OR v.name = template.service)),
               'stores', (SELECT coalesce(jsonb_agg(m.entry || coalesce(p.parts, '{}') ORDER BY m.place), '[]')
                            FROM steward.template_entry(template.name, template.service) m,
                                 LATERAL (SELECT jsonb_build_object('parts', jsonb_agg(o.entry - 'part_of' ORDER BY o.place, o.entry ->> 'name')) AS parts
                                            FROM steward.template_entry(template.name, template.service) o
                                           WHERE o.entry ->> 'part_of' = m.entry ->> 'name' HAVING count(*) > 0
                                          UNION ALL SELECT NULL LIMIT 1) p
                           WHERE NOT m.entry ? 'part_of'))
      INTO manifest;
    RETURN manifest;
END
$$;
COMMENT ON FUNCTION steward.template(text, text) IS
    'a shipped storage map as a manifest: integration_platform or generated_saas, as a whole or what one service owns. Its tables are made by install_template()';

-- Months of a table that is partitioned by time, around today
CREATE FUNCTION steward.make_months(relation regclass, before integer, after integer) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz;
    parent record;
    child text;
BEGIN
    SELECT n.nspname, c.relname, c.relowner INTO parent
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = make_months.relation;
    -- a new partition makes PostgreSQL look through a DEFAULT one with the partition
    -- key, as us: an expression in it would run somebody's function as a superuser
    IF NOT EXISTS (SELECT FROM pg_partitioned_table p
                     JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                     JOIN pg_opclass o ON o.oid = p.partclass[0]
                    WHERE p.partrelid = make_months.relation AND p.partstrat = 'r' AND p.partnatts = 1
                      AND a.atttypid = 'timestamptz'::regtype AND o.opcnamespace = 'pg_catalog'::regnamespace) THEN
        RAISE EXCEPTION 'table % is not partitioned by range of one timestamptz column', make_months.relation
            USING ERRCODE = 'wrong_object_type';
    END IF;
    FOR month IN
        SELECT generate_series(date_trunc('month', now()) - before * interval '1 month',
                               date_trunc('month', now()) + after * interval '1 month', interval '1 month')
    LOOP
        child := format('%I.%I', parent.nspname, parent.relname || to_char(month, '"_p"YYYYMM'));
        IF to_regclass(child) IS NULL THEN
            EXECUTE format('CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
                           child, make_months.relation, month, month + interval '1 month');
            EXECUTE format('ALTER TABLE %s OWNER TO %I', child, pg_get_userbyid(parent.relowner));
            RETURN NEXT child;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.make_months(regclass, integer, integer) IS
    'makes the missing monthly partitions of a table that is partitioned by range of a timestamptz, from so many months before this one to so many after; returns their names';

CREATE FUNCTION steward.install_template(name text, service text DEFAULT NULL)
    RETURNS TABLE (action text, store text, detail text, sql text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    manifest jsonb := steward.template(install_template.name, install_template.service);
    v record;
    p record;
    guest name;
BEGIN
    FOR v IN SELECT m.name, m.role FROM jsonb_to_recordset(manifest -> 'services') m (name text, role text) LOOP
        IF NOT EXISTS (SELECT FROM steward.service o WHERE o.name = v.name) THEN
            PERFORM steward.create_service(v.name, v.role);
            RETURN QUERY SELECT 'create service', NULL::text, format('%s acts as role %I', v.name, v.role), NULL::text;
        END IF;
    END LOOP;

    FOR p IN SELECT t.*, replace(t.store ->> 'relation', '{schema}', quote_ident(t.role)) AS ident
               FROM steward.template_placement(install_template.name, install_template.service) t
              WHERE t.ddl IS NOT NULL ORDER BY t.place, NOT t.main, t.name
    LOOP
        IF to_regnamespace(quote_ident(p.role)) IS NULL THEN
            EXECUTE format('CREATE SCHEMA %I AUTHORIZATION steward_pipeline', p.role);
        END IF;
        -- what somebody else made under that name is not ours to adopt
        IF EXISTS (SELECT FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
                    WHERE c.oid = to_regclass(p.ident) AND o.rolname <> 'steward_pipeline' AND NOT o.rolsuper) THEN
            RAISE EXCEPTION 'table % exists already and belongs to another role', p.ident
                USING ERRCODE = 'duplicate_table',
                      HINT = format('ALTER TABLE %s OWNER TO steward_pipeline; if it is the template''s.', p.ident);
        END IF;
        IF to_regclass(p.ident) IS NULL THEN
            EXECUTE replace(p.ddl, '{schema}', quote_ident(p.role));
            EXECUTE format('ALTER TABLE %s OWNER TO steward_pipeline', p.ident);
            RETURN QUERY SELECT 'create table', p.name, p.ident, p.ddl;
        END IF;
        IF (SELECT c.relkind FROM pg_class c WHERE c.oid = to_regclass(p.ident)) = 'p' THEN
            RETURN QUERY SELECT 'create partition', p.name, m, NULL::text FROM steward.make_months(p.ident, 6, 6) m;
        END IF;
        FOR guest IN SELECT o.role FROM steward.template_service o
                      WHERE o.template = install_template.name AND o.name = ANY (p.guests) LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', p.role, guest);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', p.ident, guest);
        END LOOP;
    END LOOP;

    RETURN QUERY SELECT * FROM steward.apply(manifest);
END
$$;
COMMENT ON FUNCTION steward.install_template(text, text) IS
    'makes the tables of a shipped storage map where they are missing (owned by steward_pipeline, one schema a service) and applies its manifest: what one service owns, or everything. Returns what it did; installing twice changes nothing';
