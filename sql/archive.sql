/*
 * archive.sql
 *    Archived rows: read in place, verified, restored (src/restore.c).
 *
 * Nothing here that reads is SECURITY DEFINER: a typed read calls the input
 * functions of whatever type the caller names, and those must be called with no
 * more than his rights.  Who may read is decided by EXECUTE alone, and the
 * archive's place by the catalog, never by an argument.
 *
 * restore_rows() judges what its caller may write, and calls restore_partition()
 * and restore_hold() as the extension's owner.
 */
CREATE FUNCTION steward.archive_rows(archive bigint, "from" timestamptz, "to" timestamptz, tenant text) RETURNS SETOF jsonb
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'steward_archive_rows';
COMMENT ON FUNCTION steward.archive_rows(bigint, timestamptz, timestamptz, text) IS
    'the rows of one archive, each column as its text or null; those whose retention clock lies in [from, to) and whose tenant is this, where given';

CREATE FUNCTION steward.archive_rows("row" anyelement, archive bigint, "from" timestamptz, "to" timestamptz, tenant text) RETURNS SETOF anyelement
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'steward_archive_rows_typed';
COMMENT ON FUNCTION steward.archive_rows(anyelement, bigint, timestamptz, timestamptz, text) IS
    'the same as rows of a table''s type, columns by name: a column that the archive lacks is NULL, one that the type lacks is left out';

-- The archives that a read must open, oldest first
CREATE FUNCTION steward.readable_archive(store text, "from" timestamptz, "to" timestamptz, tenant text) RETURNS SETOF bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id
      FROM steward.archive a
     WHERE a.store = readable_archive.store AND a.state = 'verified'
       AND (readable_archive."from" IS NULL OR a.time_to IS NULL OR a.time_to >= readable_archive."from")
       AND (readable_archive."to" IS NULL OR a.time_from IS NULL OR a.time_from < readable_archive."to")
       AND (readable_archive.tenant IS NULL OR a.tenants IS NULL OR readable_archive.tenant = ANY (a.tenants))
     ORDER BY a.time_from, a.id
$$;
COMMENT ON FUNCTION steward.readable_archive(text, timestamptz, timestamptz, text) IS
    'the verified archives of a store that may hold rows of that time and tenant, in order of time';

CREATE FUNCTION steward.read_archive(store text, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, tenant text DEFAULT NULL)
    RETURNS SETOF jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT steward.archive_rows(a, $2, $3, $4) FROM steward.readable_archive($1, $2, $3, $4) a
$$;
COMMENT ON FUNCTION steward.read_archive(text, timestamptz, timestamptz, text) IS
    'reads a store''s verified archives in place: each row as JSON, each column as its text or null; those whose retention clock lies in [from, to) and whose tenant is this, where given';

CREATE FUNCTION steward.read_archive_as("row" anyelement, store text, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, tenant text DEFAULT NULL)
    RETURNS SETOF anyelement
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT steward.archive_rows($1, a, $3, $4, $5) FROM steward.readable_archive($2, $3, $4, $5) a
$$;
COMMENT ON FUNCTION steward.read_archive_as(anyelement, text, timestamptz, timestamptz, text) IS
    'the same as rows of a table''s type: SELECT * FROM steward.read_archive_as(NULL::webhook.deliveries, ''webhook_deliveries''). Every type comes back exactly';

CREATE FUNCTION steward.verify_archive(archive bigint) RETURNS boolean
    LANGUAGE c VOLATILE STRICT COST 1000000 AS 'MODULE_PATHNAME', 'steward_verify_archive';
COMMENT ON FUNCTION steward.verify_archive(bigint) IS
    'reads an archive back in full and compares it with its manifest and with the catalog: true, or an error that says what differs';

/*
 * The partition that an archive's rows came from, made again where nothing has
 * taken its place.  Attached rather than made in place: ATTACH locks the parent
 * SHARE UPDATE EXCLUSIVE, which readers and writers do not notice, and the lock
 * lasts to the end of the restore.
 */
CREATE FUNCTION steward.restore_partition(archive bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    s steward.segment;
    parent pg_class;
    part text;
    grants record;
BEGIN
    SELECT g.* INTO s
      FROM steward.archive a JOIN steward.segment g ON g.id = a.segment
     WHERE a.id = restore_partition.archive AND g.kind = 'partition';
    SELECT c.* INTO parent FROM pg_class c WHERE c.oid = to_regclass(s.parent) AND c.relkind = 'p';
    IF s.bound IS NULL OR parent.oid IS NULL
       OR EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = parent.oid AND p.partdefid <> 0)
       OR EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = parent.oid AND pg_get_expr(c.relpartbound, c.oid) = s.bound) THEN
        RETURN;
    END IF;

    part := (parse_ident(s.relation_name))[array_upper(parse_ident(s.relation_name), 1)];
    IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = parent.relnamespace AND c.relname = part) THEN
        part := left(part, 40) || '_' || s.id;
    END IF;
    part := format('%s.%I', parent.relnamespace::regnamespace, part);

    PERFORM set_config('lock_timeout', coalesce(current_setting('steward.lock_timeout', true), '2s'), true);
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES EXCLUDING STATISTICS EXCLUDING COMMENTS)',
                   part, parent.oid::regclass);
    EXECUTE format('ALTER TABLE %s OWNER TO %s', part, parent.relowner::regrole);
    FOR grants IN
        SELECT x.privilege_type, x.is_grantable,
               CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS grantee
          FROM aclexplode(parent.relacl) x
         WHERE x.grantee <> parent.relowner
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s%s', grants.privilege_type, part, grants.grantee,
                       CASE WHEN grants.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s %s', parent.oid::regclass, part, s.bound);
EXCEPTION
    WHEN invalid_object_definition THEN
        NULL;       -- another partition has its range: the rows are routed there
END
$$;
COMMENT ON FUNCTION steward.restore_partition(bigint) IS
    'makes the dropped partition that an archive was made of again, empty, with its parent''s owner and grants, unless a default or another partition takes its rows';

/*
 * A column's value as the column's own type would print it, in UTC
 */
CREATE FUNCTION steward.clock_literal(relation regclass, clock text, value timestamptz) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
    SELECT quote_literal(CASE a.atttypid
                             WHEN 'date'::regtype THEN value::timestamp::date::text
                             WHEN 'timestamp'::regtype THEN value::timestamp::text
                             ELSE value::text
                         END)
      FROM pg_attribute a
     WHERE a.attrelid = relation AND a.attname = clock AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION steward.clock_literal(regclass, text, timestamptz) IS 'a time as a literal of the type of a retention clock''s column';

-- Restored rows are due at once: hold them, or retention takes them away again
CREATE FUNCTION steward.restore_hold(archive bigint, keep interval) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a steward.archive;
    s steward.store;
    g steward.segment;
    clock text;
    predicate text;
    columns text;
BEGIN
    SELECT * INTO a FROM steward.archive x WHERE x.id = restore_hold.archive;
    SELECT * INTO s FROM steward.store x WHERE x.name = a.store;
    SELECT * INTO g FROM steward.segment x WHERE x.id = a.segment;
    clock := s.retention ->> 'clock';
    IF clock IS NOT NULL AND a.time_from IS NOT NULL THEN
        predicate := format('%1$I >= %2$s AND %1$I <= %3$s', clock,
                            steward.clock_literal(s.relation, clock, a.time_from),
                            steward.clock_literal(s.relation, clock, a.time_to));
    ELSIF g.key IS NOT NULL AND g.key_to IS NOT NULL THEN
        SELECT string_agg(quote_ident(k), ', ' ORDER BY n) INTO columns FROM unnest(g.key) WITH ORDINALITY u (k, n);
        SELECT format('(%s) <= (%s)', columns, string_agg(quote_literal(k), ', ' ORDER BY n)) INTO predicate
          FROM unnest(g.key_to) WITH ORDINALITY u (k, n);
        IF g.key_from IS NOT NULL THEN
            SELECT predicate || format(' AND (%s) > (%s)', columns, string_agg(quote_literal(k), ', ' ORDER BY n)) INTO predicate
              FROM unnest(g.key_from) WITH ORDINALITY u (k, n);
        END IF;
    END IF;
    PERFORM steward.hold(store => a.store, predicate => predicate, reason => format('restored from archive %s', a.id), expires => now() + keep);
END
$$;
COMMENT ON FUNCTION steward.restore_hold(bigint, interval) IS
    'holds the rows that a restore has brought back, by the archive''s time or key; the whole store where it has neither';

CREATE FUNCTION steward.restore_rows(archive bigint, "into" regclass, "from" timestamptz, "to" timestamptz,
                                     key_from text[], key_to text[], keep interval) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'steward_restore_rows';
COMMENT ON FUNCTION steward.restore_rows(bigint, regclass, timestamptz, timestamptz, text[], text[], interval) IS
    'what steward.restore() calls';

CREATE PROCEDURE steward.restore(archive bigint, "into" regclass DEFAULT NULL, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL,
                                 key_from text[] DEFAULT NULL, key_to text[] DEFAULT NULL, keep interval DEFAULT '7 days',
                                 INOUT "rows" bigint DEFAULT NULL)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    "rows" := steward.restore_rows(archive, "into", "from", "to", key_from, key_to, keep);
END
$$;
COMMENT ON PROCEDURE steward.restore(bigint, regclass, timestamptz, timestamptz, text[], text[], interval, bigint) IS
    'brings the rows of an archive back, each proven as it is read, into the store''s table or another; those whose retention clock lies in [from, to), or whose key lies in [key_from, key_to], where given. In the store''s own table they are held for "keep" against being purged again; NULL: not held';
