/*
 * segment.sql
 *    The SQL that the worker puts together: which columns an archive holds,
 *    what its manifest says, where it lies, how a batch is cut.
 *
 * Called by src/segment.c in the worker, as a superuser; nobody else's to call.
 */

CREATE FUNCTION steward.effective_retention(store text) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(s.retention, main.retention)
      FROM steward.store s LEFT JOIN steward.store main ON main.name = s.part_of
     WHERE s.name = effective_retention.store
$$;
COMMENT ON FUNCTION steward.effective_retention(text) IS 'a store''s retention, or that of the store that it is part of';

-- What a SELECT of whole rows names, and a digest of it.  Not null and defaults
-- do not matter: they change no row that is there.  Numbers do: a column that was
-- dropped and added again may hold other values, and no page has changed.
CREATE FUNCTION steward.export_columns(relation regclass, clock text, tenant text,
                                       OUT list text, OUT clock_at integer, OUT tenant_at integer, OUT shape text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.n),
           coalesce(max(a.n) FILTER (WHERE a.attname = clock), 0)::integer,
           coalesce(max(a.n) FILTER (WHERE a.attname = tenant), 0)::integer,
           encode(sha256(convert_to(string_agg(format('%s %s %s %s', a.attnum, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                                                      a.attgenerated), E'\n' ORDER BY a.n), 'UTF8')), 'hex')
      FROM (SELECT t.*, row_number() OVER (ORDER BY t.attnum) AS n FROM pg_attribute t
             WHERE t.attrelid = relation AND t.attnum > 0 AND NOT t.attisdropped) a
$$;
COMMENT ON FUNCTION steward.export_columns(regclass, text, text) IS
    'the columns of a table as a select list, the places of its clock and tenant in it (0: none), and a digest of names and types';

CREATE FUNCTION steward.table_ddl(relation regclass) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(E'CREATE TABLE %s (\n    %s\n)', relation, string_agg(l.line, E',\n    ' ORDER BY l.step, l.n))
      FROM (SELECT 1 AS step, a.attnum::integer AS n,
                   format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
                   || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
                   || CASE WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s)%s', pg_get_expr(d.adbin, d.adrelid),
                                                                 CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE '' END)
                           WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END
                   || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS line
              FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 2, c.oid::integer, pg_get_constraintdef(c.oid)
              FROM pg_constraint c WHERE c.conrelid = relation AND c.contype = 'p') l
$$;
COMMENT ON FUNCTION steward.table_ddl(regclass) IS
    'a CREATE TABLE for a table''s columns, defaults and primary key, without what pg_steward and others hang on it';

-- A name as one component of a path; everything unusual is percent-encoded
CREATE FUNCTION steward.path_part(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$' THEN name
                ELSE left((SELECT coalesce(string_agg(CASE WHEN c ~ '^[A-Za-z0-9_-]$' THEN c
                                            ELSE regexp_replace(encode(convert_to(c, 'UTF8'), 'hex'), '(..)', '%\1', 'g') END, '' ORDER BY i), '%')
                             FROM regexp_split_to_table(name, '') WITH ORDINALITY x (c, i)), 180)
                     || CASE WHEN length(name) > 60 THEN '~' || left(md5(name), 16) ELSE '' END END
$$;
COMMENT ON FUNCTION steward.path_part(text) IS 'a name as one component of a path, percent-encoded where it is not plain';

CREATE FUNCTION steward.archive_path(store text, tenant text, at timestamptz, archive bigint, token uuid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT concat_ws('/', steward.path_part(coalesce(s.owner, 'no-service')), steward.path_part(s.name),
                     coalesce('t-' || steward.path_part(archive_path.tenant), 'all-tenants'),
                     to_char(coalesce(archive_path.at, now()), 'YYYY-MM-DD'),
                     archive_path.archive || '-' || left(archive_path.token::text, 8))
      FROM steward.store s WHERE s.name = archive_path.store
$$;
COMMENT ON FUNCTION steward.archive_path(text, text, timestamptz, bigint, uuid) IS
    'where an archive lies in its archive store: service/store/tenant/date/number-token';

-- The head of manifest.json; the worker adds what it measured
CREATE FUNCTION steward.manifest_head(segment bigint, archive bigint, tenant text, relation regclass, lsn pg_lsn) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT json_build_object(
               'format', 'pg_steward', 'format_version', 1,
               'service', s.owner, 'store', s.name, 'tenant', manifest_head.tenant,
               'segment', g.id, 'archive', manifest_head.archive, 'kind', g.kind,
               'relation', g.relation_name, 'parent', g.parent, 'bound', g.bound,
               'clock', steward.effective_retention(s.name) ->> 'clock', 'tenant_column', CASE WHEN s.scope = 'tenant' THEN s.tenant END,
               'condition', g.condition,
               'key', g.key, 'key_from', g.key_from, 'key_to', g.key_to,
               'columns', (SELECT json_agg(json_build_object(
                                      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                      'generated', a.attgenerated <> '', 'identity', a.attidentity <> '') ORDER BY a.attnum)
                             FROM pg_attribute a
                            WHERE a.attrelid = manifest_head.relation AND a.attnum > 0 AND NOT a.attisdropped),
               'ddl', steward.table_ddl(manifest_head.relation),
               'shape', g.shape, 'lsn', manifest_head.lsn, 'snapshot', pg_current_snapshot()::text,
               'taken_at', clock_timestamp(), 'encoding', getdatabaseencoding(),
               'database', current_database(), 'system_identifier', (SELECT c.system_identifier::text FROM pg_control_system() c),
               'postgresql', current_setting('server_version'),
               'pg_steward', (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'pg_steward'))::text
      FROM steward.segment g JOIN steward.store s ON s.name = g.store
     WHERE g.id = manifest_head.segment
$$;
COMMENT ON FUNCTION steward.manifest_head(bigint, bigint, text, regclass, pg_lsn) IS
    'what a manifest says of an archive beside the measured: where it is from, its columns and DDL, the place in the log';

CREATE FUNCTION steward.key_list(key text[], direction text DEFAULT '') RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(quote_ident(k) || direction, ', ' ORDER BY i) FROM unnest(key) WITH ORDINALITY x (k, i)
$$;
COMMENT ON FUNCTION steward.key_list(text[], text) IS 'columns as a list, for ORDER BY';

-- (a, b) > ('1'::integer, '2'::text)
CREATE FUNCTION steward.key_compare(relation regclass, key text[], operator text, value text[]) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('(%s) %s (%s)', string_agg(quote_ident(k.name), ', ' ORDER BY k.i), operator,
                  string_agg(format('%L::%s', k.value, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.i))
      FROM unnest(key, value) WITH ORDINALITY k (name, value, i)
      JOIN pg_attribute a ON a.attrelid = relation AND a.attname = k.name AND a.attnum > 0
$$;
COMMENT ON FUNCTION steward.key_compare(regclass, text[], text, text[]) IS 'a comparison of rows, in SQL: the key''s columns against these values';

-- How long an archive is kept: from its making on
CREATE FUNCTION steward.archive_keep(store text, tenant text) RETURNS interval
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(o.retention ->> 'keep', steward.effective_retention(s.name) ->> 'keep')::interval
      FROM steward.store s LEFT JOIN steward.retention_override o ON o.store = s.name AND o.tenant = archive_keep.tenant
     WHERE s.name = archive_keep.store
$$;
COMMENT ON FUNCTION steward.archive_keep(text, text) IS 'how long an archive of a store is kept; by contract, where it is one tenant''s and that has one';

CREATE FUNCTION steward.query_as_owner(relation regclass, query text) RETURNS text
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_query_as_owner';
COMMENT ON FUNCTION steward.query_as_owner(regclass, text) IS
    'the first field of a query''s result, run as the owner of a table and past its row security: an index of the table may call functions of the owner''s';
