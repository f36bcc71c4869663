/*
 * requirement.sql
 *    What each governed table needs so that its store's rules hold, against
 *    what it has.  plan, apply, govern, release, check and the event trigger
 *    all ask steward.difference(): there is one statement of what a rule is
 *    made of, and it is here.
 */

-- Expressions compare without the casts and parentheses that the parser adds;
-- a quoted name keeps its blanks and parentheses
CREATE FUNCTION steward.bare_expression(expression text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(expression, '("(?:[^"]|"")*")|::(?:text|uuid|bigint|character varying)\M|[() ]', '\1', 'g')
$$;
COMMENT ON FUNCTION steward.bare_expression(text) IS 'an expression without casts, parentheses and blanks, for comparison';

-- A governed table and everything below it
CREATE FUNCTION steward.member(stores steward.store[])
    RETURNS TABLE (store text, relation oid, is_root boolean, is_partition boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE m AS (
        SELECT s.name, s.relation::oid AS relid, true AS is_root, false AS is_partition
          FROM unnest(stores) s JOIN pg_class c ON c.oid = s.relation
         WHERE s.kind = 'table'
        UNION
        SELECT m.name, c.oid, false, c.relispartition
          FROM m JOIN pg_inherits i ON i.inhparent = m.relid JOIN pg_class c ON c.oid = i.inhrelid
         WHERE c.relkind IN ('r', 'p'))
    SELECT * FROM m
$$;
COMMENT ON FUNCTION steward.member(steward.store[]) IS 'the tables of some stores: each root, its partitions and its inheritance children';

/*
 * The order of the rows is the order to run their statements in.  A partition's
 * access trigger comes first and a root's last: steward.follow_ddl() takes a
 * partition without one below a root with one to be new, and would mend it in
 * the middle of ours.
 *
 * Statements are put together whether or not they are needed, so names go
 * through quote_ident(), which passes NULL on, and not %I, which refuses it.
 *
 * state: missing, differs (made again), disabled, unvalidated, extra (a steward_
 * object that no rule of the store asks for any more).
 */
CREATE FUNCTION steward.difference(stores steward.store[], services steward.service[])
    RETURNS TABLE (store text, relation oid, kind text, name text, state text, sql text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET quote_all_identifiers = off AS $$
    WITH s AS (
        SELECT u.*, v.role, steward.tenant_type(u.relation, u.tenant) AS tenant_type
          FROM unnest(stores) u LEFT JOIN unnest(services) v ON v.name = u.owner
         WHERE u.kind = 'table'),
    m AS (
        SELECT m.*, m.relation::regclass::text AS ident, c.relrowsecurity, c.relforcerowsecurity,
               c.relnamespace, c.relowner
          FROM steward.member(stores) m JOIN pg_class c ON c.oid = m.relation),
    -- constraints: on the root, and inherited from there
    want_constraint AS (
        SELECT m.store, m.relation, m.ident, w.name, w.expression
          FROM s JOIN m ON m.store = s.name AND m.is_root,
               LATERAL (VALUES ('steward_tenant', format('steward.in_tenant(%s)', quote_ident(s.tenant)), s.tenant_type IS NOT NULL AND s.scope = 'tenant'),
                               ('steward_row_owner', format('steward.is_row_owner(%s)', quote_ident(s.row_owner)), steward.has_column(s.relation, s.row_owner)))
                       w (name, expression, wanted)
         WHERE w.wanted),
    have_constraint AS (
        SELECT m.store, m.relation, m.ident, c.conname::text AS name, c.convalidated AS valid,
               steward.bare_expression(pg_get_expr(c.conbin, c.conrelid)) AS expression,
               c.connoinherit OR to_jsonb(c) ->> 'conenforced' = 'false' AS weak, c.coninhcount > 0 AS inherited
          FROM m JOIN pg_constraint c ON c.conrelid = m.relation
         WHERE c.contype = 'c' AND c.conname LIKE 'steward\_%'),
    constraint_diff AS (
        SELECT coalesce(w.store, h.store) AS store, coalesce(w.relation, h.relation) AS relation, 'constraint' AS kind,
               coalesce(w.name, h.name) AS name,
               CASE WHEN h.name IS NULL THEN 'missing' WHEN w.name IS NULL THEN 'extra'
                    WHEN h.weak OR h.expression <> steward.bare_expression(w.expression) THEN 'differs'
                    WHEN NOT h.valid THEN 'unvalidated' END AS state,
               format('ALTER TABLE %s DROP CONSTRAINT %s', h.ident, quote_ident(h.name)) AS drop_sql,
               format('ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID; SELECT steward.adopt_constraint(%L, %L)',
                      w.ident, w.name, w.expression, w.ident, w.name) AS make_sql,
               format('SELECT steward.adopt_constraint(%L, %L)', w.ident, w.name) AS switch_sql,
               4 AS step
          FROM want_constraint w
          FULL JOIN (SELECT * FROM have_constraint WHERE NOT inherited) h ON h.relation = w.relation AND h.name = w.name),
    -- triggers: a partition has its row triggers from its parent
    want_trigger AS (
        SELECT m.store, m.relation, m.ident, m.is_root, w.name, w.type, w.events, w.level, w.function, m.is_partition AND w.cloned AS cloned
          FROM s JOIN m ON m.store = s.name,
               LATERAL (VALUES ('steward_access', 62, 'INSERT OR UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'steward.access', false),
                               ('steward_guard', 27, 'UPDATE OR DELETE', 'ROW', 'steward.guard', true))
                       w (name, type, events, level, function, cloned)),
    have_trigger AS (
        SELECT m.store, m.relation, m.ident, m.is_root, t.tgname::text AS name, t.tgtype AS type, t.tgenabled AS enabled,
               t.tgfoid, t.tgqual IS NOT NULL OR t.tgattr::text <> '' AS narrowed, t.tgparentid <> 0 AS cloned
          FROM m JOIN pg_trigger t ON t.tgrelid = m.relation
         WHERE t.tgname LIKE 'steward\_%'),
    trigger_diff AS (
        SELECT coalesce(w.store, h.store) AS store, coalesce(w.relation, h.relation) AS relation, 'trigger' AS kind,
               coalesce(w.name, h.name) AS name,
               CASE WHEN h.name IS NULL THEN CASE WHEN NOT w.cloned THEN 'missing' END
                    WHEN w.name IS NULL THEN CASE WHEN NOT h.cloned THEN 'extra' END
                    WHEN h.type <> w.type OR h.narrowed OR h.tgfoid <> (w.function || '()')::regprocedure
                         THEN CASE WHEN NOT h.cloned THEN 'differs' END
                    WHEN h.enabled <> 'A' THEN 'disabled' END AS state,
               format('DROP TRIGGER %s ON %s', quote_ident(h.name), h.ident) AS drop_sql,
               format('CREATE TRIGGER %s BEFORE %s ON %s FOR EACH %s EXECUTE FUNCTION %s(); ALTER TABLE %s ENABLE ALWAYS TRIGGER %s',
                      w.name, w.events, w.ident, w.level, w.function, w.ident, w.name) AS make_sql,
               format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %s', w.ident, w.name) AS switch_sql,
               CASE WHEN coalesce(w.name, h.name) <> 'steward_access' THEN 5
                    WHEN coalesce(w.is_root, h.is_root) THEN 9 ELSE 1 END AS step
          FROM want_trigger w FULL JOIN have_trigger h ON h.relation = w.relation AND h.name = w.name),
    -- row security, on every member: it is not inherited
    row_security_diff AS (
        SELECT m.store, m.relation, 'row security' AS kind, NULL::text AS name,
               CASE WHEN s.scope = 'tenant' AND NOT (m.relrowsecurity AND m.relforcerowsecurity) THEN 'missing'
                    WHEN s.scope <> 'tenant' AND m.relforcerowsecurity
                         AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = m.relation AND p.polname = 'steward_tenant')
                         THEN 'extra' END AS state,
               -- somebody else's policies stay in force
               format('ALTER TABLE %s %sNO FORCE ROW LEVEL SECURITY', m.ident,
                      CASE WHEN NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = m.relation AND p.polname NOT LIKE 'steward\_%')
                           THEN 'DISABLE ROW LEVEL SECURITY, ' ELSE '' END) AS drop_sql,
               format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', m.ident) AS make_sql,
               NULL::text AS switch_sql, 7 AS step
          FROM s JOIN m ON m.store = s.name),
    want_policy AS (
        SELECT m.store, m.relation, m.ident, w.name, w.role, w.qual, w.admits
          FROM s JOIN m ON m.store = s.name,
               LATERAL (VALUES ('steward_tenant', CASE WHEN s.row_owner IS NULL THEN s.role::oid END,
                                format('%s = steward.tenant_id_%s()', quote_ident(s.tenant), s.tenant_type),
                                format('steward.in_tenant(%s)', quote_ident(s.tenant))),
                               ('steward_cross_tenant', 'steward_cross_tenant'::regrole::oid, 'true', 'true'))
                       w (name, role, qual, admits)
         WHERE s.scope = 'tenant' AND s.tenant_type IS NOT NULL),
    have_policy AS (
        SELECT m.store, m.relation, m.ident, p.polname::text AS name, p.polroles, p.polcmd, p.polpermissive,
               steward.bare_expression(pg_get_expr(p.polqual, p.polrelid)) AS qual,
               steward.bare_expression(pg_get_expr(p.polwithcheck, p.polrelid)) AS admits
          FROM m JOIN pg_policy p ON p.polrelid = m.relation
         WHERE p.polname LIKE 'steward\_%'),
    policy_diff AS (
        SELECT coalesce(w.store, h.store) AS store, coalesce(w.relation, h.relation) AS relation, 'policy' AS kind,
               coalesce(w.name, h.name) AS name,
               CASE WHEN h.name IS NULL THEN 'missing' WHEN w.name IS NULL THEN 'extra'
                    WHEN h.polcmd <> '*' OR NOT h.polpermissive OR h.polroles <> ARRAY[coalesce(w.role, 0)]
                         OR h.qual IS DISTINCT FROM steward.bare_expression(w.qual)
                         OR h.admits IS DISTINCT FROM steward.bare_expression(w.admits) THEN 'differs' END AS state,
               format('DROP POLICY %s ON %s', quote_ident(h.name), h.ident) AS drop_sql,
               format('CREATE POLICY %s ON %s TO %s USING (%s) WITH CHECK (%s)', w.name, w.ident,
                      CASE WHEN w.role IS NULL THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(w.role)) END,
                      w.qual, w.admits) AS make_sql,
               NULL::text AS switch_sql, 6 AS step
          FROM want_policy w FULL JOIN have_policy h ON h.relation = w.relation AND h.name = w.name),
    -- what the owner needs to use its store
    grant_diff AS (
        SELECT m.store, m.relation, 'grant' AS kind, g.privileges AS name, 'missing' AS state, NULL::text AS drop_sql,
               format('GRANT %s ON %s TO %s', g.privileges, g.object, quote_ident(pg_get_userbyid(s.role))) AS make_sql,
               NULL::text AS switch_sql, 8 AS step
          FROM s JOIN m ON m.store = s.name AND m.is_root,
               LATERAL (
                   SELECT string_agg(p.privilege, ', ' ORDER BY p.n) AS privileges, m.ident AS object
                     FROM (VALUES (1, 'SELECT', true), (2, 'INSERT', true), (3, 'UPDATE', NOT s.append_only),
                                  (4, 'DELETE', NOT s.append_only)) p (n, privilege, wanted)
                    WHERE p.wanted AND NOT has_table_privilege(s.role, m.relation, p.privilege)
                   UNION ALL
                   SELECT 'USAGE', format('SCHEMA %I', n.nspname) FROM pg_namespace n
                    WHERE n.oid = m.relnamespace AND NOT has_schema_privilege(s.role, n.oid, 'USAGE')
                   UNION ALL
                   SELECT 'USAGE', format('SEQUENCE %s', d.objid::regclass) FROM pg_depend d JOIN pg_class q ON q.oid = d.objid
                    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
                      AND d.refobjid = m.relation AND CASE q.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.role, d.objid, 'USAGE') END) g
         WHERE EXISTS (SELECT FROM pg_roles r WHERE r.oid = s.role) AND g.privileges IS NOT NULL),
    every AS (
        SELECT * FROM constraint_diff UNION ALL SELECT * FROM trigger_diff UNION ALL SELECT * FROM row_security_diff
        UNION ALL SELECT * FROM policy_diff UNION ALL SELECT * FROM grant_diff)
    SELECT e.store, e.relation, e.kind, e.name, e.state,
           CASE e.state WHEN 'missing' THEN e.make_sql WHEN 'extra' THEN e.drop_sql
                        WHEN 'differs' THEN e.drop_sql || '; ' || e.make_sql ELSE e.switch_sql END
      FROM every e JOIN (SELECT u.name, row_number() OVER () AS i FROM unnest(stores) u) o ON o.name = e.store
     WHERE e.state IS NOT NULL
     ORDER BY o.i, CASE e.state WHEN 'extra' THEN -e.step ELSE e.step END, e.relation, e.name
$$;
COMMENT ON FUNCTION steward.difference(steward.store[], steward.service[]) IS
    'what the tables of these stores lack or have too much of, each with the statement that mends it, in the order to run them';

CREATE FUNCTION steward.adopt_constraint(relation regclass, name name) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'steward_adopt_constraint';
COMMENT ON FUNCTION steward.adopt_constraint(regclass, name) IS
    'marks an admission constraint valid on a table and all below it without a scan: it judges rows as they come in, and none that are there. SHARE UPDATE EXCLUSIVE on each';
