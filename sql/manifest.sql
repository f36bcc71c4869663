/*
 * manifest.sql
 *    A manifest in, a manifest out: what is wrong with one, and the rows of
 *    steward.store that it describes.
 *
 * Everything is read from the JSON; nothing is executed.  Problems name the
 * path inside the JSON and never repeat a value.  Field by field:
 * docs/manifest.md.
 */

-- The fields of a store, and the JSON type of each
CREATE FUNCTION steward.store_fields() RETURNS TABLE (field text, type text)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('name', 'string'), ('data', 'string'), ('kind', 'string'), ('relation', 'string'),
           ('location', 'string'), ('owner', 'string'), ('scope', 'string'), ('tenant', 'string'),
           ('row_owner', 'string'), ('append_only', 'boolean'), ('write_once', 'boolean'),
           ('part_of', 'string'), ('access', 'string'), ('keys', 'array'), ('retention', 'object'),
           ('notes', 'string'), ('words', 'object'), ('plaintext_exempt', 'object'), ('registry', 'boolean')
$$;
COMMENT ON FUNCTION steward.store_fields() IS 'the fields that a store may have in a manifest, and their JSON types';

CREATE FUNCTION steward.is_period(period text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN period::interval > interval '0';
EXCEPTION
    WHEN data_exception THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION steward.is_period(text) IS 'true when the text is an interval longer than nothing';

-- An unqualified name is looked for in every schema of the user's: search_path
-- of whoever applies a manifest must not decide what is governed.
CREATE FUNCTION steward.find_relation(relation text) RETURNS oid
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parts text[];
    found oid;
BEGIN
    parts := parse_ident(relation);
    SELECT min(c.oid::bigint)::oid INTO found
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = parts[array_length(parts, 1)]
       AND CASE array_length(parts, 1)
               WHEN 1 THEN n.nspname NOT IN ('pg_catalog', 'information_schema', 'steward')
                           AND n.nspname !~ '^pg_(toast|temp)'
               WHEN 2 THEN n.nspname = parts[1]
           END
     HAVING count(*) = 1;
    RETURN found;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN NULL;            -- not a name at all
END
$$;
COMMENT ON FUNCTION steward.find_relation(text) IS
    'the relation of this name, schema-qualified or unique in the database; NULL otherwise';

CREATE FUNCTION steward.base_type(type oid) RETURNS oid
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE t AS (
        SELECT p.oid, p.typtype, p.typbasetype FROM pg_type p WHERE p.oid = base_type.type
        UNION ALL
        SELECT p.oid, p.typtype, p.typbasetype FROM t JOIN pg_type p ON p.oid = t.typbasetype WHERE t.typtype = 'd')
    SELECT t.oid FROM t WHERE t.typtype <> 'd'
$$;
COMMENT ON FUNCTION steward.base_type(oid) IS 'the type below any domains';

-- Which family of tenant functions serves a column: uuid, text or bigint
CREATE FUNCTION steward.tenant_type(relation oid, attribute text) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE steward.base_type(a.atttypid)
               WHEN 'uuid'::regtype THEN 'uuid'
               WHEN 'text'::regtype THEN 'text'
               WHEN 'varchar'::regtype THEN 'text'
               WHEN 'bigint'::regtype THEN 'bigint'
               WHEN 'integer'::regtype THEN 'bigint'
               WHEN 'smallint'::regtype THEN 'bigint'
           END
      FROM pg_attribute a
     WHERE a.attrelid = tenant_type.relation AND a.attname = tenant_type.attribute
       AND a.attnum > 0 AND NOT a.attisdropped
       -- row security would take acme and ACME for one tenant, admission for two
       AND NOT EXISTS (SELECT FROM pg_collation c WHERE c.oid = a.attcollation AND NOT c.collisdeterministic)
$$;
COMMENT ON FUNCTION steward.tenant_type(oid, text) IS
    'uuid, text or bigint: the type as which a column can hold a tenant; NULL when it cannot, or does not exist';

CREATE FUNCTION steward.has_column(relation oid, attribute text) RETURNS boolean
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = has_column.relation AND a.attname = has_column.attribute
                      AND a.attnum > 0 AND NOT a.attisdropped)
$$;
COMMENT ON FUNCTION steward.has_column(oid, text) IS 'true when the relation has such a column';

CREATE FUNCTION steward.retention_problems(retention jsonb, relation oid) RETURNS TABLE (path text, problem text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH field AS (
        SELECT e.key, e.value, jsonb_typeof(e.value) = 'string' AS is_text, e.value #>> '{}' AS word
          FROM jsonb_each(retention) e),
    form AS (
        SELECT retention ? 'hot' AS hot, retention ? 'until' AS until, retention ? 'ttl' AS ttl)
    SELECT '.' || f.key, 'unknown field' FROM field f
     WHERE f.key NOT IN ('clock', 'hot', 'then', 'keep', 'until', 'plus', 'ttl', 'by_tenant')
    UNION ALL
    SELECT '.' || f.key, 'must be text' FROM field f WHERE NOT f.is_text AND f.key <> 'by_tenant'
    UNION ALL
    SELECT '.by_tenant', 'must be true or false' FROM field f
     WHERE f.key = 'by_tenant' AND jsonb_typeof(f.value) <> 'boolean'
    UNION ALL
    SELECT '.by_tenant', 'goes only with "then": "archive"'
     WHERE retention -> 'by_tenant' = 'true' AND retention ->> 'then' IS DISTINCT FROM 'archive'
    UNION ALL
    SELECT '.' || f.key, 'is not a period such as "90 days"' FROM field f
     WHERE f.key IN ('hot', 'keep', 'plus', 'ttl') AND f.is_text AND NOT steward.is_period(f.word)
    UNION ALL
    SELECT '.then', 'must be archive, purge or tier' FROM field f
     WHERE f.key = 'then' AND f.is_text AND f.word NOT IN ('archive', 'purge', 'tier')
    UNION ALL
    SELECT '.until', 'must be lifetime, tenant_lifetime, expired, published or rotated' FROM field f
     WHERE f.key = 'until' AND f.is_text
       AND f.word NOT IN ('lifetime', 'tenant_lifetime', 'expired', 'published', 'rotated')
    UNION ALL
    SELECT '', 'needs exactly one of hot, until and ttl' FROM form
     WHERE hot::int + until::int + ttl::int <> 1
    UNION ALL
    SELECT '.then', 'is missing: what happens after the hot period' FROM form WHERE hot AND NOT retention ? 'then'
    UNION ALL
    SELECT '.' || f.key, 'goes only with hot' FROM field f, form WHERE f.key IN ('then', 'keep') AND NOT form.hot
    UNION ALL
    SELECT '.plus', 'goes only with until' FROM form WHERE retention ? 'plus' AND NOT until
    UNION ALL
    SELECT '.clock', 'is not a column of the relation' FROM field f
     WHERE f.key = 'clock' AND f.is_text AND relation IS NOT NULL AND NOT steward.has_column(relation, f.word)
    UNION ALL
    SELECT '.clock', 'must be of type timestamptz, timestamp or date'
      FROM field f JOIN pg_attribute a ON a.attrelid = relation AND a.attname = f.word AND a.attnum > 0 AND NOT a.attisdropped
     WHERE f.key = 'clock' AND f.is_text
       AND steward.base_type(a.atttypid) NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
    UNION ALL
    SELECT '.clock', 'is missing: the column that time is counted from' FROM form
     WHERE relation IS NOT NULL AND NOT retention ? 'clock'
       AND (hot OR retention ->> 'until' IN ('expired', 'published'))
$$;
COMMENT ON FUNCTION steward.retention_problems(jsonb, oid) IS
    'what is wrong with a retention, with paths relative to it; relation is NULL for a store that is not a table';

-- The entries of a manifest, one a store: a part stands inside its main store
-- (field parts), or beside it with part_of
CREATE FUNCTION steward.manifest_entries(manifest jsonb) RETURNS TABLE (at text, place bigint, entry jsonb)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH main AS (
        SELECT '$.stores[' || (e.i - 1) || ']' AS at, e.i << 32 AS place, e.j
          FROM jsonb_array_elements(CASE jsonb_typeof(manifest -> 'stores') WHEN 'array' THEN manifest -> 'stores' ELSE '[]' END)
               WITH ORDINALITY e (j, i))
    SELECT m.at, m.place, CASE WHEN jsonb_typeof(m.j -> 'parts') = 'array' THEN m.j - 'parts' ELSE m.j END FROM main m
    UNION ALL
    SELECT m.at || '.parts[' || (p.i - 1) || ']', m.place + p.i,
           CASE jsonb_typeof(p.j) WHEN 'object' THEN p.j || jsonb_build_object('part_of', m.j -> 'name') ELSE p.j END
      FROM main m, jsonb_array_elements(CASE jsonb_typeof(m.j -> 'parts') WHEN 'array' THEN m.j -> 'parts' ELSE '[]' END)
           WITH ORDINALITY p (j, i)
     ORDER BY 2
$$;
COMMENT ON FUNCTION steward.manifest_entries(jsonb) IS
    'the stores of a manifest, its parts too, with the path of each and its place in the order';

-- JIT is off: it takes half a second to compile what runs for milliseconds
CREATE FUNCTION steward.manifest_problems(manifest jsonb) RETURNS TABLE (path text, problem text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH section AS (
        SELECT s.name, jsonb_typeof(manifest -> s.name) AS type FROM (VALUES ('services'), ('stores')) s (name)),
    service AS (
        SELECT '$.services[' || (e.i - 1) || ']' AS at, e.j, e.i,
               jsonb_typeof(e.j) = 'object' AS is_object, e.j ->> 'name' AS name, e.j ->> 'role' AS role
          FROM section s, jsonb_array_elements(CASE s.type WHEN 'array' THEN manifest -> s.name ELSE '[]' END)
               WITH ORDINALITY e (j, i)
         WHERE s.name = 'services'),
    entry AS MATERIALIZED (
        SELECT e.at, e.entry AS j, e.place AS i, jsonb_typeof(e.entry) = 'object' AS is_object,
               e.entry ->> 'name' AS name, coalesce(e.entry ->> 'kind', 'table') AS kind,
               coalesce(e.entry ->> 'scope', 'tenant') AS scope,
               CASE WHEN coalesce(e.entry ->> 'kind', 'table') = 'table'
                    THEN steward.find_relation(e.entry ->> 'relation') END AS relation
          FROM steward.manifest_entries(manifest) e),
    field AS (
        SELECT n.at, n.j, f.key, jsonb_typeof(f.value) AS type, f.value
          FROM entry n, jsonb_each(CASE WHEN n.is_object THEN n.j ELSE '{}' END) f
         WHERE f.value <> 'null'),
    key AS (
        SELECT f.at || '.keys[' || (k.i - 1) || ']' AS at, k.j, n.relation
          FROM field f JOIN entry n USING (at), jsonb_array_elements(f.value) WITH ORDINALITY k (j, i)
         WHERE f.key = 'keys' AND f.type = 'array'),
    key_column AS (
        SELECT key.at || '[' || (c.i - 1) || ']' AS at, c.j, key.relation
          FROM key, jsonb_array_elements(CASE jsonb_typeof(key.j) WHEN 'array' THEN key.j ELSE '[]' END)
               WITH ORDINALITY c (j, i)),
    known_service AS (
        SELECT name FROM service WHERE name IS NOT NULL UNION SELECT name FROM steward.service)
    -- the whole
    SELECT '$', 'must be an object with services and stores' WHERE coalesce(jsonb_typeof(manifest), 'null') <> 'object'
    UNION ALL
    SELECT '$.' || k, 'unknown field'
      FROM jsonb_object_keys(CASE jsonb_typeof(manifest) WHEN 'object' THEN manifest ELSE '{}' END) k
     WHERE k NOT IN ('services', 'stores')
    UNION ALL
    SELECT '$.' || name, 'must be an array' FROM section WHERE type NOT IN ('array', 'null')
    -- services
    UNION ALL
    SELECT at, 'must be an object with name and role' FROM service WHERE NOT is_object
    UNION ALL
    SELECT s.at || '.' || k, 'unknown field'
      FROM service s, jsonb_object_keys(CASE WHEN s.is_object THEN s.j ELSE '{}' END) k WHERE k NOT IN ('name', 'role')
    UNION ALL
    SELECT s.at || '.' || f, 'must be a name of 1 to 63 bytes'
      FROM service s, unnest(ARRAY['name', 'role']) f
     WHERE s.is_object
       AND (jsonb_typeof(s.j -> f) IS DISTINCT FROM 'string' OR octet_length(s.j ->> f) NOT BETWEEN 1 AND 63)
    UNION ALL
    SELECT s.at || '.role', 'role does not exist' FROM service s
     WHERE jsonb_typeof(s.j -> 'role') = 'string' AND s.role <> '' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = s.role)
    UNION ALL
    SELECT s.at || '.name', 'is the name of an earlier service too' FROM service s
     WHERE EXISTS (SELECT FROM service o WHERE o.name = s.name AND o.i < s.i)
    UNION ALL
    SELECT s.at || '.role', 'belongs to another service already' FROM service s
     WHERE EXISTS (SELECT FROM service o WHERE o.role = s.role AND o.i < s.i)
        OR EXISTS (SELECT FROM steward.service o JOIN pg_roles r ON r.oid = o.role
                    WHERE r.rolname = s.role AND o.name <> s.name)
    -- stores: shape
    UNION ALL
    SELECT at, 'must be an object' FROM entry WHERE NOT is_object
    UNION ALL
    SELECT f.at || '.' || f.key,
           CASE WHEN f.key <> 'parts' THEN 'unknown field' WHEN f.type = 'array' THEN 'a part has no parts'
                ELSE 'must be an array' END
      FROM field f WHERE f.key NOT IN (SELECT field FROM steward.store_fields())
    UNION ALL
    SELECT f.at || '.' || f.key,
           CASE WHEN f.key = 'owner' THEN 'a store has exactly one owner: the name of a service'
                ELSE 'must be ' || CASE t.type WHEN 'string' THEN 'text' WHEN 'object' THEN 'an object'
                                               WHEN 'array' THEN 'an array' ELSE 'true or false' END END
      FROM field f JOIN steward.store_fields() t ON t.field = f.key WHERE f.type <> t.type
    UNION ALL
    SELECT at || '.name', 'must be a name of 1 to 63 bytes' FROM entry
     WHERE is_object AND (name IS NULL OR octet_length(name) NOT BETWEEN 1 AND 63)
    UNION ALL
    SELECT n.at || '.name', CASE WHEN (SELECT count(DISTINCT o.j ->> 'owner') FROM entry o WHERE o.name = n.name) > 1
                                 THEN 'is the name of an earlier store too, with another owner: a store has exactly one owner'
                                 ELSE 'is the name of an earlier store too' END
      FROM entry n WHERE EXISTS (SELECT FROM entry o WHERE o.name = n.name AND o.i < n.i)
    UNION ALL
    SELECT at || '.kind', 'must be table, blob, cache, secret or transport' FROM entry
     WHERE kind NOT IN ('table', 'blob', 'cache', 'secret', 'transport')
    UNION ALL
    SELECT at || '.scope', 'must be tenant, global or service' FROM entry
     WHERE scope NOT IN ('tenant', 'global', 'service')
    UNION ALL
    SELECT f.at || '.owner', 'no such service: declare it in services, or with steward.create_service()' FROM field f
     WHERE f.key = 'owner' AND f.type = 'string' AND f.value #>> '{}' NOT IN (SELECT name FROM known_service)
    UNION ALL
    SELECT f.at || '.part_of', 'must be another store, which is not itself a part' FROM field f JOIN entry n USING (at)
     WHERE f.key = 'part_of' AND f.type = 'string'
       AND NOT EXISTS (SELECT FROM entry o WHERE o.name = n.j ->> 'part_of' AND o.at <> n.at
                          AND coalesce(o.j ->> 'part_of', '') = ''
                       UNION ALL
                       SELECT FROM steward.store o WHERE o.name = n.j ->> 'part_of' AND o.name <> n.name
                          AND o.part_of IS NULL AND NOT EXISTS (SELECT FROM entry e WHERE e.name = o.name))
    UNION ALL
    SELECT f.at || '.words.' || w.key, 'must be text for store, owner_service or retention'
      FROM field f, jsonb_each(CASE f.type WHEN 'object' THEN f.value ELSE '{}' END) w
     WHERE f.key = 'words'
       AND (w.key NOT IN ('store', 'owner_service', 'retention') OR jsonb_typeof(w.value) <> 'string')
    UNION ALL
    SELECT f.at || '.plaintext_exempt.' || w.key, CASE WHEN jsonb_typeof(w.value) <> 'string' OR w.value = '""'
                                                       THEN 'needs a reason' ELSE 'is not a column of the relation' END
      FROM field f JOIN entry n USING (at), jsonb_each(CASE f.type WHEN 'object' THEN f.value ELSE '{}' END) w
     WHERE f.key = 'plaintext_exempt'
       AND (jsonb_typeof(w.value) <> 'string' OR w.value = '""'
            OR n.relation IS NOT NULL AND NOT steward.has_column(n.relation, w.key))
    -- stores: the relation and its columns
    UNION ALL
    SELECT at || '.relation', 'is missing: the table that holds the store' FROM entry
     WHERE is_object AND kind = 'table' AND coalesce(j ->> 'relation', '') = ''
    UNION ALL
    SELECT f.at || '.' || f.key, 'goes only with kind table' FROM field f JOIN entry n USING (at)
     WHERE n.kind <> 'table' AND f.key IN ('relation', 'row_owner', 'append_only', 'plaintext_exempt', 'registry')
    UNION ALL
    SELECT f.at || '.registry', 'goes only with scope tenant, and with a retention until lifetime that has a clock' FROM field f JOIN entry n USING (at)
     WHERE f.key = 'registry' AND f.value = 'true'
       AND NOT (n.scope = 'tenant' AND coalesce(n.j -> 'retention' @> '{"until": "lifetime"}' AND n.j -> 'retention' ? 'clock', false))
    UNION ALL
    SELECT f.at || '.registry', 'another store is the registry already' FROM field f JOIN entry n USING (at)
     WHERE f.key = 'registry' AND f.value = 'true'
       AND (EXISTS (SELECT FROM entry o WHERE o.j -> 'registry' = 'true' AND o.i < n.i)
            OR EXISTS (SELECT FROM steward.store o WHERE o.registry AND o.name <> n.name
                          AND NOT EXISTS (SELECT FROM entry e WHERE e.name = o.name)))
    UNION ALL
    SELECT n.at || '.retention.by_tenant', 'goes only with scope tenant' FROM entry n
     WHERE n.scope IN ('global', 'service') AND n.j -> 'retention' -> 'by_tenant' = 'true'
    UNION ALL
    SELECT f.at || '.' || f.key, 'goes only with scope tenant' FROM field f JOIN entry n USING (at)
     WHERE f.key = 'tenant' AND n.scope IN ('global', 'service')
    UNION ALL
    SELECT f.at || '.relation', 'no such table, or more than one: write schema.table' FROM field f JOIN entry n USING (at)
     WHERE f.key = 'relation' AND f.type = 'string' AND n.kind = 'table' AND n.relation IS NULL AND f.value <> '""'
    UNION ALL
    SELECT n.at || '.relation', CASE WHEN c.relispartition THEN 'is a partition: govern its root'
                                     WHEN c.relpersistence = 't' THEN 'is a temporary table'
                                     WHEN c.relkind NOT IN ('r', 'p') THEN 'is not a table'
                                     ELSE 'belongs to PostgreSQL or to an extension' END
      FROM entry n JOIN pg_class c ON c.oid = n.relation
     WHERE c.relkind NOT IN ('r', 'p') OR c.relispartition OR c.relpersistence = 't'
        OR c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT n.at || '.relation', CASE WHEN (SELECT count(DISTINCT o.j ->> 'owner') FROM entry o WHERE o.relation = n.relation) > 1
                                     THEN 'is an earlier store''s relation too, with another owner: a store has exactly one owner'
                                     ELSE 'is an earlier store''s relation too' END
      FROM entry n WHERE EXISTS (SELECT FROM entry o WHERE o.relation = n.relation AND o.i < n.i)
    UNION ALL
    SELECT DISTINCT n.at || '.relation', 'is below a table that is governed: it has its rules from there'
      FROM entry n JOIN pg_class c ON c.oid = n.relation, LATERAL (
               WITH RECURSIVE up AS (
                   SELECT i.inhparent AS relid FROM pg_inherits i WHERE i.inhrelid = n.relation
                   UNION SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.relid)
               SELECT relid FROM up) up
     WHERE NOT c.relispartition
       AND (up.relid IN (SELECT s.relation FROM steward.store s) OR up.relid IN (SELECT o.relation FROM entry o))
    UNION ALL
    SELECT DISTINCT n.at || '.relation', 'is above a table that is governed as another store: release that one first'
      FROM entry n, LATERAL (
               WITH RECURSIVE down AS (
                   SELECT i.inhrelid AS relid FROM pg_inherits i WHERE i.inhparent = n.relation
                   UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.relid)
               SELECT relid FROM down) down
     WHERE down.relid IN (SELECT s.relation FROM steward.store s) AND down.relid NOT IN (SELECT o.relation FROM entry o WHERE o.relation IS NOT NULL)
    UNION ALL
    SELECT n.at || '.relation', 'is governed as another store already: release that one first'
      FROM entry n JOIN steward.store s ON s.relation = n.relation AND s.name <> n.name
     WHERE NOT EXISTS (SELECT FROM entry o WHERE o.name = s.name AND o.relation IS DISTINCT FROM s.relation)
    UNION ALL
    SELECT n.at || '.relation', 'the store governs another table already: release it first'
      FROM entry n JOIN steward.store s ON s.name = n.name AND s.relation <> n.relation
    UNION ALL
    SELECT n.at || '.kind', 'the store is of another kind already: release it first'
      FROM entry n JOIN steward.store s ON s.name = n.name AND s.kind <> n.kind
    UNION ALL
    SELECT n.at || '.tenant', CASE WHEN steward.has_column(n.relation, coalesce(n.j ->> 'tenant', 'tenant_id'))
                                   THEN 'must be of type uuid, text or bigint, with a deterministic collation'
                                   ELSE 'is not a column of the relation' END
      FROM entry n
     WHERE n.scope = 'tenant' AND n.relation IS NOT NULL
       AND steward.tenant_type(n.relation, coalesce(n.j ->> 'tenant', 'tenant_id')) IS NULL
    UNION ALL
    SELECT n.at || '.row_owner', CASE WHEN steward.has_column(n.relation, n.j ->> 'row_owner')
                                      THEN 'must be of type text' ELSE 'is not a column of the relation' END
      FROM entry n
     WHERE n.relation IS NOT NULL AND n.j ->> 'row_owner' IS NOT NULL
       AND steward.tenant_type(n.relation, n.j ->> 'row_owner') IS DISTINCT FROM 'text'
    UNION ALL
    SELECT at, 'must be an array of column names' FROM key WHERE jsonb_typeof(j) <> 'array' OR j = '[]'
    UNION ALL
    SELECT at, 'is not a column of the relation' FROM key_column
     WHERE jsonb_typeof(j) <> 'string' OR relation IS NOT NULL AND NOT steward.has_column(relation, j #>> '{}')
    UNION ALL
    SELECT n.at || '.retention' || r.path, r.problem
      FROM entry n, steward.retention_problems(n.j -> 'retention', n.relation) r
     WHERE jsonb_typeof(n.j -> 'retention') = 'object'
$$;
COMMENT ON FUNCTION steward.manifest_problems(jsonb) IS
    'everything that is wrong with a manifest: the path inside the JSON, and what is wrong there; no rows when it can be applied';

-- Raise the problems of a manifest as one error, or return
CREATE FUNCTION steward.require_valid(manifest jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    problems text[];
BEGIN
    SELECT array_agg(format('%s: %s', path, problem)) INTO problems
      FROM steward.manifest_problems(manifest);
    IF problems IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'manifest refused at %', problems[1]
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = CASE array_length(problems, 1) WHEN 1 THEN 'Nothing was changed.'
                       ELSE 'Nothing was changed. All problems:' || E'\n' || array_to_string(problems, E'\n') END,
              HINT = 'docs/manifest.md describes every field.';
END
$$;
COMMENT ON FUNCTION steward.require_valid(jsonb) IS '22023 with the path inside the JSON when a manifest cannot be applied';

-- The stores that a valid manifest describes, as rows of the catalog
CREATE FUNCTION steward.manifest_stores(manifest jsonb) RETURNS SETOF steward.store
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH entry AS (
        SELECT e.entry AS j, row_number() OVER (ORDER BY e.place) AS i,
               coalesce(e.entry ->> 'kind', 'table') AS kind, coalesce(e.entry ->> 'scope', 'tenant') AS scope
          FROM steward.manifest_entries(manifest) e)
    SELECT n.j ->> 'name',
           coalesce(old.position, ((SELECT coalesce(max(position), 0) FROM steward.store) + n.i)::integer),
           n.j ->> 'data',
           n.kind,
           CASE n.kind WHEN 'table' THEN steward.find_relation(n.j ->> 'relation')::regclass END,
           n.j ->> 'location',
           coalesce(n.j ->> 'owner', main.j ->> 'owner', main_old.owner),
           n.scope,
           CASE WHEN n.kind = 'table' AND n.scope = 'tenant' THEN coalesce(n.j ->> 'tenant', 'tenant_id')
                ELSE n.j ->> 'tenant' END,
           n.j ->> 'row_owner',
           coalesce((n.j ->> 'append_only')::boolean, false),
           coalesce((n.j ->> 'write_once')::boolean, false),
           n.j ->> 'part_of',
           n.j ->> 'access',
           nullif(n.j -> 'keys', 'null'),
           nullif(n.j -> 'retention', 'null'),
           n.j ->> 'notes',
           nullif(n.j -> 'words', 'null'),
           nullif(n.j -> 'plaintext_exempt', 'null'),
           coalesce((n.j ->> 'registry')::boolean, false)
      FROM entry n
      LEFT JOIN steward.store old ON old.name = n.j ->> 'name'
      LEFT JOIN entry main ON main.j ->> 'name' = n.j ->> 'part_of'
      LEFT JOIN steward.store main_old ON main_old.name = n.j ->> 'part_of'
     ORDER BY n.i
$$;
COMMENT ON FUNCTION steward.manifest_stores(jsonb) IS 'the stores of a valid manifest as rows of steward.store, defaults filled in';

CREATE FUNCTION steward.store_entry(store steward.store) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'name', store.name, 'data', store.data, 'kind', store.kind,
               'relation', store.relation::text, 'location', store.location,
               'owner', store.owner, 'scope', store.scope, 'tenant', store.tenant,
               'row_owner', store.row_owner, 'append_only', nullif(store.append_only, false),
               'write_once', nullif(store.write_once, false), 'part_of', store.part_of,
               'access', store.access, 'keys', store.keys, 'retention', store.retention,
               'notes', store.notes, 'words', store.words, 'plaintext_exempt', store.plaintext_exempt,
               'registry', nullif(store.registry, false)))
$$;
COMMENT ON FUNCTION steward.store_entry(steward.store) IS 'a store as it stands in a manifest';

CREATE FUNCTION steward.manifest() RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
               'services', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', v.name, 'role', pg_get_userbyid(v.role))
                                                      ORDER BY v.name), '[]')
                              FROM steward.service v),
               'stores', (SELECT coalesce(jsonb_agg(steward.store_entry(s) || coalesce(p.parts, '{}')
                                                    ORDER BY s.position, s.name), '[]')
                            FROM steward.store s,
                                 LATERAL (SELECT jsonb_build_object('parts', jsonb_agg(steward.store_entry(o) - 'part_of'
                                                                                      ORDER BY o.position, o.name)) AS parts
                                            FROM steward.store o WHERE o.part_of = s.name HAVING count(*) > 0
                                          UNION ALL SELECT NULL LIMIT 1) p
                           WHERE s.part_of IS NULL))
$$;
COMMENT ON FUNCTION steward.manifest() IS 'the live catalog as a manifest; apply(manifest()) changes nothing';
