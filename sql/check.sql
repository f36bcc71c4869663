/*
 * check.sql
 *    Findings: every rule that does not hold, where, and the statement that
 *    mends it.
 *
 * Reads catalogs only, and the tenant registry where there is one; no lock on
 * another of a user's tables but ACCESS SHARE on partitioned ones, which hold no
 * rows.  One function a family of rules, and steward.check() puts them together.  JIT is off in them: it takes
 * seconds to compile what runs for milliseconds.
 */

-- What the rules hang on: the database and the services' roles
CREATE FUNCTION steward.check_foundation()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH RECURSIVE membership AS (
        -- who is a member of a service's role, and through which grant of his own
        -- (of NULL: of steward_cross_tenant)
        SELECT v.name AS of, v.role AS of_role, a.member, a.roleid AS first_grant
          FROM pg_auth_members a LEFT JOIN steward.service v ON v.role = a.roleid
         WHERE v.name IS NOT NULL OR a.roleid = 'steward_cross_tenant'::regrole
        UNION
        SELECT m.of, m.of_role, a.member, a.roleid FROM membership m JOIN pg_auth_members a ON a.roleid = m.member)
    SELECT 'critical', 'unarmed', current_database()::text,
           'the event trigger steward_armed is missing or disabled: admission, guard and access let everything pass',
           'SELECT steward.arm()'
     WHERE EXISTS (SELECT FROM steward.store)
       AND NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'steward_armed' AND evtenabled = 'A')
    UNION ALL
    SELECT 'warning', 'not_preloaded', current_database()::text,
           'pg_steward is not in shared_preload_libraries: reads by a role that was granted them are not refused by owner '
           || '(row security still hides tenants'' rows), COPY FROM by a role under row security is refused by PostgreSQL, '
           || 'and a superuser who disables a trigger is not bound. The remedy takes effect at the next restart',
           format('ALTER SYSTEM SET shared_preload_libraries = %s',
                  (SELECT string_agg(quote_literal(btrim(l)), ', ')
                     FROM string_to_table(coalesce(nullif((SELECT setting FROM pg_settings
                                                            WHERE name = 'shared_preload_libraries'), '') || ',', '')
                                          || 'pg_steward', ',') l))
     WHERE NOT steward.preloaded()
    UNION ALL
    SELECT 'critical', 'missing_role', v.name, 'the role that acts for the service does not exist any more',
           format('SELECT steward.create_service(%L, role => %L)', v.name,
                  lower(regexp_replace(regexp_replace(v.name, '([a-z0-9])([A-Z])', '\1_\2', 'g'), '[^A-Za-z0-9_]+', '_', 'g')))
      FROM steward.service v WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = v.role)
    UNION ALL
    SELECT 'critical', 'privileged_role', r.rolname::text,
           format('the role of service %s is %s: the rules do not bind it', v.name, array_to_string(p.attributes, ' and ')),
           format('ALTER ROLE %I NO%s', r.rolname, array_to_string(p.attributes, ' NO'))
      FROM steward.service v JOIN pg_roles r ON r.oid = v.role,
           LATERAL (SELECT array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                                              CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                                              CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END], NULL) AS attributes) p
     WHERE cardinality(p.attributes) > 0
    UNION ALL
    -- a login that acts for a service and that row security does not bind
    SELECT DISTINCT 'critical', 'privileged_role', r.rolname::text,
           format('acts for service %s and is BYPASSRLS: row security does not bind it', m.of),
           format('ALTER ROLE %I NOBYPASSRLS', r.rolname)
      FROM membership m JOIN pg_roles r ON r.oid = m.member
     WHERE m.of IS NOT NULL AND r.rolbypassrls AND NOT r.rolsuper
       AND NOT EXISTS (SELECT FROM steward.service v WHERE v.role = r.oid)
    UNION ALL
    SELECT DISTINCT 'error', 'role_membership', pg_get_userbyid(m.member)::text,
           format('the role of service %s is a member of that of service %s, and so acts for both', v.name, m.of),
           format('REVOKE %I FROM %I', pg_get_userbyid(m.first_grant), pg_get_userbyid(m.member))
      FROM membership m JOIN steward.service v ON v.role = m.member AND v.name <> m.of
    UNION ALL
    SELECT DISTINCT 'error', 'role_membership', pg_get_userbyid(m.member)::text,
           format('the role of service %s may touch rows of every tenant', v.name),
           format('REVOKE %I FROM %I', pg_get_userbyid(m.first_grant), pg_get_userbyid(m.member))
      FROM membership m JOIN steward.service v ON v.role = m.member WHERE m.of IS NULL
$$;
COMMENT ON FUNCTION steward.check_foundation() IS 'findings about the database and the services'' roles';

-- What is declared, and what is not
CREATE FUNCTION steward.check_map()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH member AS MATERIALIZED (
        SELECT * FROM steward.member(ARRAY(SELECT s FROM steward.store s))),
    used_column AS (
        SELECT s.name, s.relation, 'tenant' AS field, s.tenant AS attribute FROM steward.store s WHERE s.scope = 'tenant'
        UNION ALL SELECT s.name, s.relation, 'row_owner', s.row_owner FROM steward.store s
        UNION ALL SELECT s.name, s.relation, 'retention.clock', s.retention ->> 'clock' FROM steward.store s
        UNION ALL SELECT s.name, s.relation, 'keys', c FROM steward.store s, jsonb_array_elements(s.keys) k,
                         jsonb_array_elements_text(k) c)
    SELECT 'error', 'ungoverned_table', c.oid::regclass::text,
           'the table is no store: nothing says who owns it, whose rows it holds or how long they live',
           format('SELECT steward.govern(%L, owner => %L, scope => %L, retention => %L)', c.oid::regclass,
                  coalesce((SELECT v.name FROM steward.service v WHERE v.role = c.relowner),
                           (SELECT s.owner FROM steward.store s JOIN pg_class o ON o.oid = s.relation
                             WHERE o.relnamespace = c.relnamespace AND s.owner IS NOT NULL
                             GROUP BY s.owner ORDER BY count(*) DESC, s.owner LIMIT 1),
                           (SELECT min(v.name) FROM steward.service v)),
                  CASE WHEN steward.tenant_type(c.oid, 'tenant_id') IS NULL THEN 'service' ELSE 'tenant' END,
                  '{"until": "lifetime"}')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'steward') AND n.nspname !~ '^pg_(toast|temp)'
       AND (EXISTS (SELECT FROM steward.store s WHERE s.kind = 'table')
            -- or the rules came without the map: a dump of the schema alone
            OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'steward_access'))
       AND NOT EXISTS (SELECT FROM member m WHERE m.relation = c.oid)
       -- nor one that retention has detached
       AND NOT EXISTS (SELECT FROM steward.segment g JOIN steward.store s ON s.name = g.store
                        WHERE g.relation = c.oid AND g.kind = 'partition' AND g.state IN ('exporting', 'uploaded', 'verified', 'failed'))
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'error', 'no_owner', s.name, 'no service owns the store: whoever was granted it may write it',
           format('SELECT steward.alter_store(%L, %L)', s.name,
                  jsonb_build_object('owner', coalesce((SELECT v.name FROM steward.service v JOIN pg_class c ON c.relowner = v.role
                                                         WHERE c.oid = s.relation),
                                                       (SELECT min(v.name) FROM steward.service v), '')))
      FROM steward.store s WHERE s.owner IS NULL
    UNION ALL
    SELECT 'error', 'no_owner', s.name, format('service %s, which owns the store, is not declared: nobody may write it', s.owner),
           format('SELECT steward.create_service(%L, role => %L)', s.owner,
                  lower(regexp_replace(regexp_replace(s.owner, '([a-z0-9])([A-Z])', '\1_\2', 'g'), '[^A-Za-z0-9_]+', '_', 'g')))
      FROM steward.store s WHERE NOT EXISTS (SELECT FROM steward.service v WHERE v.name = s.owner) AND s.owner IS NOT NULL
    UNION ALL
    SELECT 'warning', 'no_retention', s.name, 'nothing says how long the store''s data is kept',
           format('SELECT steward.alter_store(%L, %L)', s.name, '{"retention": {"until": "lifetime"}}')
      FROM steward.store s WHERE s.retention IS NULL AND s.part_of IS NULL
    UNION ALL
    SELECT 'error', 'broken_hold', s.name,
           format('legal hold %s cannot be applied to the table as it is: nothing of the store can be deleted', b.id),
           format('SELECT steward.release_hold(%s, %L)', b.id, 'replaced by a hold that fits the table')
      FROM steward.store s, steward.broken_hold(s.name) b (id)
    UNION ALL
    SELECT 'error', 'missing_relation', s.name, 'the table of the store does not exist any more',
           format('SELECT steward.release(%L)', s.name)
      FROM steward.store s WHERE s.kind = 'table' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.relation)
    UNION ALL
    -- one remedy for all of a store's: a manifest with one of them left is refused
    SELECT DISTINCT 'error', 'missing_column', u.name, format('column %I, which %s names, does not exist any more', u.attribute, u.field),
           CASE WHEN bool_or(u.field = 'tenant') OVER store THEN format('SELECT steward.release(%L)', u.name)
                ELSE format('SELECT steward.alter_store(%L, %L)', u.name,
                            jsonb_object_agg(split_part(u.field, '.', 1), NULL::text) OVER store) END
      FROM used_column u JOIN pg_class c ON c.oid = u.relation
     WHERE u.attribute IS NOT NULL AND NOT steward.has_column(u.relation, u.attribute)
    WINDOW store AS (PARTITION BY u.name)
$$;
COMMENT ON FUNCTION steward.check_map() IS 'findings about what is declared: ungoverned tables, stores without owner or retention, what was dropped, holds that do not fit';

-- What is declared and not in force
CREATE FUNCTION steward.check_drift()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT CASE d.kind WHEN 'grant' THEN 'warning' ELSE 'critical' END, replace(d.kind, ' ', '_'), d.relation::regclass::text,
           CASE d.state WHEN 'missing' THEN 'is missing' WHEN 'extra' THEN 'belongs to no rule of the store'
                        WHEN 'differs' THEN 'is not as the store''s rules have it' WHEN 'disabled' THEN 'is not enabled always'
                        ELSE 'is not valid' END || coalesce(': ' || d.name, '') || format(' (store %s)', d.store),
           d.sql
      FROM steward.difference(ARRAY(SELECT s FROM steward.store s ORDER BY s.position), ARRAY(SELECT v FROM steward.service v)) d
    UNION ALL
    SELECT 'critical', 'foreign_table', c.oid::regclass::text,
           format('a foreign table below store %s: neither constraints nor row security hold there', m.store),
           CASE WHEN c.relispartition THEN format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, c.oid::regclass)
                ELSE format('ALTER FOREIGN TABLE %s NO INHERIT %s', c.oid::regclass, i.inhparent::regclass) END
      FROM steward.member(ARRAY(SELECT s FROM steward.store s)) m
      JOIN pg_inherits i ON i.inhparent = m.relation JOIN pg_class c ON c.oid = i.inhrelid
     WHERE c.relkind = 'f'
    UNION ALL
    SELECT 'critical', 'foreign_policy', m.relation::regclass::text,
           format('policy %I admits rows beside the tenant''s: permissive policies are added up', p.polname),
           format('DROP POLICY %I ON %s', p.polname, m.relation::regclass)
      FROM steward.member(ARRAY(SELECT s FROM steward.store s WHERE s.scope = 'tenant')) m
      JOIN pg_policy p ON p.polrelid = m.relation
     WHERE p.polpermissive AND p.polname NOT IN ('steward_tenant', 'steward_cross_tenant')
$$;
COMMENT ON FUNCTION steward.check_drift() IS 'findings about drift: what a store''s rules need and its tables lack';

-- From the catalog, not cut out of pg_get_constraintdef(): a name may hold
-- anything, parentheses too, and a remedy is run by a superuser.
CREATE FUNCTION steward.foreign_key_behaviour(constraint_oid oid, columns text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- of one column it is MATCH SIMPLE; beside the tenant it would refuse a NULL
    SELECT CASE WHEN c.confmatchtype = 'f' AND cardinality(c.conkey) > 1 THEN ' MATCH FULL' ELSE '' END
           || coalesce(' ON UPDATE ' || u.action, '')
           -- SET NULL and SET DEFAULT must spare the tenant
           || coalesce(' ON DELETE ' || d.action || CASE WHEN c.confdeltype IN ('n', 'd') THEN format(' (%s)', coalesce(k.columns, foreign_key_behaviour.columns)) ELSE '' END, '')
           || CASE WHEN c.condeferrable THEN ' DEFERRABLE' ELSE '' END
           || CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
           || CASE WHEN to_jsonb(c) ->> 'conenforced' = 'false' THEN ' NOT ENFORCED'
                   WHEN NOT c.convalidated THEN ' NOT VALID' ELSE '' END
      FROM pg_constraint c
      LEFT JOIN (VALUES ('c', 'CASCADE'), ('r', 'RESTRICT'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) u (type, action) ON u.type = c.confupdtype::text
      LEFT JOIN (VALUES ('c', 'CASCADE'), ('r', 'RESTRICT'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) d (type, action) ON d.type = c.confdeltype::text,
           LATERAL (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns FROM pg_attribute a
                     WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.confdelsetcols)) k
     WHERE c.oid = constraint_oid
$$;
COMMENT ON FUNCTION steward.foreign_key_behaviour(oid, text) IS
    'what follows the columns in a foreign key''s definition; ON DELETE SET NULL is narrowed to these columns';

-- Ways around: keys without an index, foreign keys and views across tenants
CREATE FUNCTION steward.check_schema()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH RECURSIVE store AS MATERIALIZED (
        SELECT s.*, a.attnum AS tenant_attnum
          FROM steward.store s JOIN pg_class c ON c.oid = s.relation
          LEFT JOIN pg_attribute a ON a.attrelid = s.relation AND a.attname = s.tenant AND s.scope = 'tenant'),
    key AS (
        -- a key's columns without the tenant, which comes first in any case
        SELECT s.name, s.relation, s.tenant_attnum, k.j AS columns,
               ARRAY(SELECT a.attnum FROM jsonb_array_elements_text(k.j) WITH ORDINALITY c (attname, i)
                       JOIN pg_attribute a ON a.attrelid = s.relation AND a.attname = c.attname
                      WHERE a.attnum IS DISTINCT FROM s.tenant_attnum ORDER BY c.i) AS attnums
          FROM store s, jsonb_array_elements(s.keys) k (j)),
    index AS MATERIALIZED (
        SELECT i.indrelid, i.indisunique, i.indnkeyatts, (string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts] AS attnums
          FROM pg_index i WHERE i.indisvalid AND i.indpred IS NULL AND i.indrelid IN (SELECT s.relation FROM store s)),
    unserved AS (
        SELECT k.*, coalesce(array_prepend(k.tenant_attnum, k.attnums), k.attnums) AS wanted FROM key k
         WHERE NOT EXISTS (
            SELECT FROM index i
             WHERE i.indrelid = k.relation
               AND (k.tenant_attnum IS NULL OR i.attnums[1] = k.tenant_attnum)
               AND i.attnums[1 : cardinality(k.attnums) + (k.tenant_attnum IS NOT NULL)::int]
                   @> array_remove(array_prepend(k.tenant_attnum, k.attnums), NULL)
            UNION ALL
            SELECT FROM index i
             WHERE i.indrelid = k.relation AND i.indisunique AND cardinality(k.attnums) > 0
               AND i.attnums <@ array_remove(array_prepend(k.tenant_attnum, k.attnums), NULL))),
    foreign_key AS (
        SELECT c.*, child.name AS child, parent.name AS parent, child.tenant AS child_tenant, parent.tenant AS parent_tenant,
               child.tenant_attnum AS child_attnum, parent.tenant_attnum AS parent_attnum
          FROM pg_constraint c JOIN store child ON child.relation = c.conrelid JOIN store parent ON parent.relation = c.confrelid
         WHERE c.contype = 'f' AND c.conparentid = 0
           AND child.tenant_attnum IS NOT NULL AND parent.tenant_attnum IS NOT NULL
           AND NOT EXISTS (SELECT FROM unnest(c.conkey, c.confkey) k (child, parent)
                            WHERE k.child = child.tenant_attnum AND k.parent = parent.tenant_attnum)),
    fk_columns AS (
        SELECT f.oid,
               string_agg(quote_ident(ca.attname), ', ' ORDER BY k.i) AS child_columns,
               string_agg(quote_ident(pa.attname), ', ' ORDER BY k.i) AS parent_columns,
               array_agg(k.parent) AS parent_attnums
          FROM foreign_key f, unnest(f.conkey, f.confkey) WITH ORDINALITY k (child, parent, i),
               pg_attribute ca, pg_attribute pa
         WHERE ca.attrelid = f.conrelid AND ca.attnum = k.child AND pa.attrelid = f.confrelid AND pa.attnum = k.parent
           AND k.child <> f.child_attnum AND k.parent <> f.parent_attnum
         GROUP BY f.oid),
    tenant_member AS MATERIALIZED (
        SELECT m.* FROM steward.member(ARRAY(SELECT s FROM steward.store s WHERE s.scope = 'tenant')) m),
    dependent AS (
        SELECT DISTINCT d.refobjid AS on_relation, r.ev_class AS view
          FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
         WHERE d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass AND r.ev_class <> d.refobjid),
    above AS (
        -- views over the tables, and views over those: an invoker's view in
        -- between does not help a materialized one above it
        SELECT d.view, m.store FROM tenant_member m JOIN dependent d ON d.on_relation = m.relation
        UNION
        SELECT d.view, a.store FROM above a JOIN dependent d ON d.on_relation = a.view),
    view AS (
        SELECT v.oid, v.relkind, v.relowner, v.relacl, min(a.store) AS store,
               EXISTS (SELECT FROM pg_options_to_table(v.reloptions) o
                        WHERE o.option_name = 'security_invoker' AND o.option_value::boolean) AS invoker,
               bool_or(EXISTS (SELECT FROM tenant_member m JOIN dependent d ON d.on_relation = m.relation WHERE d.view = v.oid)) AS direct
          FROM above a JOIN pg_class v ON v.oid = a.view
         WHERE v.relkind IN ('v', 'm')
         GROUP BY v.oid, v.relkind, v.relowner, v.relacl, v.reloptions),
    reader AS (
        SELECT v.oid, string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ') AS names
          FROM view v, aclexplode(v.relacl) a WHERE a.grantee <> v.relowner GROUP BY v.oid)
    SELECT 'warning', 'unindexed_key', u.relation::text,
           format('no index serves lookups by %s%s (store %s)', u.columns, CASE WHEN u.tenant_attnum IS NULL THEN '' ELSE ', tenant first' END, u.name),
           format('CREATE INDEX ON %s (%s)', u.relation,
                  (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY w.i) FROM unnest(u.wanted) WITH ORDINALITY w (attnum, i)
                     JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = w.attnum))
      FROM unserved u
    UNION ALL
    SELECT 'error', 'foreign_key_without_tenant', f.conrelid::regclass::text,
           format('foreign key %I from store %s to store %s leaves the tenant out: a row can refer to another tenant''s', f.conname, f.child, f.parent),
           CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.confrelid AND i.indisunique AND i.indpred IS NULL AND i.indisvalid
                                AND (string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts] @> (c.parent_attnums || f.parent_attnum)
                                AND i.indnkeyatts = cardinality(c.parent_attnums) + 1) THEN ''
                ELSE format('ALTER TABLE %s ADD UNIQUE (%I, %s); ', f.confrelid::regclass, f.parent_tenant, c.parent_columns) END
           || format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I FOREIGN KEY (%I, %s) REFERENCES %s (%I, %s)%s',
                     f.conrelid::regclass, f.conname, f.conname, f.child_tenant, c.child_columns, f.confrelid::regclass,
                     f.parent_tenant, c.parent_columns,
                     steward.foreign_key_behaviour(f.oid, c.child_columns))
      FROM foreign_key f JOIN fk_columns c USING (oid)
    UNION ALL
    SELECT 'error', 'leaking_view', v.oid::regclass::text,
           format('the view reads tenant store %s with its owner''s rights, past the reader''s row security', v.store),
           format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass)
      FROM view v WHERE v.relkind = 'v' AND v.direct AND NOT v.invoker
    UNION ALL
    SELECT 'error', 'leaking_view', v.oid::regclass::text,
           format('the materialized view holds rows of every tenant of store %s, and row security cannot guard it', v.store),
           concat_ws('; ', 'REVOKE ALL ON ' || v.oid::regclass || ' FROM ' || r.names || ' CASCADE',
                     CASE WHEN NOT o.rolsuper THEN format('ALTER MATERIALIZED VIEW %s OWNER TO %I', v.oid::regclass,
                                                          (SELECT pg_get_userbyid(e.extowner) FROM pg_extension e WHERE e.extname = 'pg_steward')) END)
      FROM view v JOIN pg_roles o ON o.oid = v.relowner LEFT JOIN reader r ON r.oid = v.oid
     WHERE v.relkind = 'm' AND (NOT o.rolsuper OR r.names IS NOT NULL)
$$;
COMMENT ON FUNCTION steward.check_schema() IS 'findings about indexes, foreign keys and views of governed tables';

-- Retention that is not kept, or cannot be
CREATE FUNCTION steward.check_retention()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET timezone = 'UTC' AS $$
BEGIN
    RETURN QUERY
    WITH rule AS MATERIALIZED (SELECT * FROM steward.retention_rule() r),
    plan AS MATERIALIZED (SELECT * FROM steward.plan_retention() p),
    open_task AS MATERIALIZED (SELECT * FROM steward.task t WHERE t.state IN ('queued', 'running')),
    last_task AS MATERIALIZED (
        -- through the segment: its tasks are many
        SELECT DISTINCT ON (t.kind, t.target) t.* FROM steward.task t ORDER BY t.kind, t.target, t.id DESC),
    late AS (
        -- due for two days and more, and nobody works on it
        SELECT p.store, p.relation::oid AS relid, p.time_to FROM plan p JOIN rule r ON r.store = p.store
         WHERE p.kind = 'partition' AND p.blocked IS NULL AND p.time_to < steward.time_before(r.period, r.clock_type) - interval '2 days'
           AND pg_relation_size(p.relation) > 0
        UNION ALL
        SELECT g.store, g.relation::oid, g.time_to FROM steward.segment g
         WHERE g.kind = 'partition' AND g.state IN ('due', 'exporting', 'uploaded', 'verified') AND g.created_at < now() - interval '2 days'
           AND NOT EXISTS (SELECT FROM last_task t WHERE t.kind = 'partition' AND t.target = g.id::text AND t.state <> 'done')),
    by_rows AS MATERIALIZED (
        SELECT DISTINCT p.store, r.relation AS root, p.relation, CASE WHEN p.bound IS NULL THEN p.relation ELSE r.relation END AS indexed,
               r.clock, p.key, p.blocked
          FROM plan p JOIN rule r ON r.store = p.store WHERE p.kind = 'rows')
    SELECT 'error', 'overdue_retention', s.relation::text,
           format('%s of store %s should have gone: %s, the oldest with rows up to %s', CASE count(*) WHEN 1 THEN 'a partition' ELSE count(*) || ' partitions' END,
                  l.store, min(l.relid::regclass::text), min(l.time_to)),
           'CALL steward.enforce_retention()'
      FROM late l JOIN steward.store s ON s.name = l.store GROUP BY s.relation, l.store
    UNION ALL
    SELECT 'error', 'failed_retention', coalesce(g.relation_name, t.argument ->> 'relation', a.path, t.target),
           format('%s after %s: %s (store %s)',
                  CASE t.kind WHEN 'partition' THEN 'the partition was given up' WHEN 'rows' THEN 'its rows were given up'
                              WHEN 'expire' THEN 'the archive could not be removed' ELSE 'the task was given up' END,
                  CASE t.attempt WHEN 1 THEN 'one attempt' ELSE t.attempt || ' attempts' END, coalesce(t.error, 'no reason recorded'), t.store),
           'CALL steward.enforce_retention()'
      FROM last_task t
      LEFT JOIN steward.segment g ON t.kind = 'partition' AND g.id = (t.argument ->> 'segment')::bigint
      LEFT JOIN steward.archive a ON t.kind = 'expire' AND a.id = (t.argument ->> 'archive')::bigint
     -- (a crash may have taken the last attempt when its work was done)
     WHERE t.state = 'failed'
       AND CASE t.kind WHEN 'partition' THEN coalesce(g.state <> 'purged', true)
                       WHEN 'rows' THEN EXISTS (SELECT FROM plan p WHERE p.kind = 'rows' AND p.store = t.store
                                                   AND p.relation = to_regclass(t.argument ->> 'relation'))
                       WHEN 'expire' THEN a.removed_at IS NULL ELSE false END
    UNION ALL
    SELECT 'error', 'retention_without_key', b.relation::text,
           format('rows of store %s are due one by one, and no primary key tells them apart', b.store),
           format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS steward_key uuid NOT NULL DEFAULT gen_random_uuid(); CREATE UNIQUE INDEX ON %s (steward_key)',
                  b.root, b.relation)
      FROM by_rows b WHERE b.blocked = 'no primary key'
    UNION ALL
    SELECT 'error', 'retention_cascades', b.relation::text,
           format('rows of store %s are due, but %s: they are kept until the foreign key says NO ACTION and the other table has a retention of its own', b.store, b.blocked),
           'ALTER TABLE ' || c.conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(c.conname) || ', ADD CONSTRAINT ' || quote_ident(c.conname) || ' '
           || regexp_replace(pg_get_constraintdef(c.oid), ' ON DELETE (CASCADE|SET NULL|SET DEFAULT)( \([^)]*\))?', '')
      FROM by_rows b JOIN pg_constraint c ON c.contype = 'f' AND c.confrelid = b.relation AND c.confdeltype IN ('c', 'n', 'd') AND c.conrelid <> c.confrelid
     WHERE b.blocked LIKE 'rows of %'
    UNION ALL
    SELECT DISTINCT 'warning', 'unindexed_clock', b.indexed::text,
           format('no index begins with %I, by which rows of store %s are found to be due', b.clock, b.store),
           format('CREATE INDEX ON %s (%I)', b.indexed, b.clock)
      FROM by_rows b WHERE b.clock IS NOT NULL AND b.key[1] IS DISTINCT FROM b.clock AND b.blocked IS NULL
    UNION ALL
    -- neither seen through its parent nor gone: nobody's retention covers it
    SELECT 'error', 'pending_detach', i.inhrelid::regclass::text, format('a concurrent detach from %s was broken off (store %s)', i.inhparent::regclass, m.store),
           format('ALTER TABLE %s DETACH PARTITION %s FINALIZE', i.inhparent::regclass, i.inhrelid::regclass)
      FROM pg_inherits i JOIN steward.member(ARRAY(SELECT s FROM steward.store s)) m ON m.relation = i.inhparent
     WHERE i.inhdetachpending
       AND NOT EXISTS (SELECT FROM steward.segment g WHERE g.relation = i.inhrelid AND g.kind = 'partition' AND g.state <> 'purged')
    UNION ALL
    SELECT 'error', 'retention_clock', r.relation::text,
           format('the table of store %s %s%s', r.store, r.problem, coalesce(format(': that of store %s, which it is part of', r.inherited_from), '')),
           format('SELECT steward.alter_store(%L, %L)', r.store, '{"retention": {"until": "lifetime"}}')
      FROM rule r
     WHERE r.problem IS NOT NULL
       -- or it is a missing_column
       AND (r.inherited_from IS NOT NULL OR steward.has_column(r.relation, coalesce(r.clock, r.tenant)) OR coalesce(r.clock, r.tenant) IS NULL)
    UNION ALL
    SELECT 'error', 'overdue_archive', min(a.base), format('%s of store %s should have been removed, the first on %s',
                  CASE count(*) WHEN 1 THEN 'an archive' ELSE count(*) || ' archives' END, a.store, min(a.keep_until)::date),
           'CALL steward.enforce_retention()'
      FROM steward.expired_archives() a
     WHERE a.keep_until < now() - interval '2 days'
       AND NOT EXISTS (SELECT FROM last_task t WHERE t.kind = 'expire' AND t.target = a.id::text)
     GROUP BY a.store
    UNION ALL
    SELECT 'error', 'clock_jump', current_database()::text, format('%s: retention waits for somebody to say that the clock is right', steward.clock_problem()),
           'CALL steward.enforce_retention(clock_checked => true)'
     WHERE steward.clock_problem() IS NOT NULL AND EXISTS (SELECT FROM rule r);

    -- pg_partman drops by name and age, without an archive and past every hold
    RETURN QUERY EXECUTE coalesce((
        SELECT format($sql$
            SELECT 'error', 'foreign_retention', s.relation::text,
                   format('pg_partman drops partitions of store %%s after %%s, without an archive and past every hold', s.name, p.retention),
                   format('UPDATE %%s SET retention = NULL WHERE parent_table = %%L', %1$L, p.parent_table)
              FROM %1$s p JOIN steward.store s ON s.relation = to_regclass(p.parent_table) WHERE p.retention IS NOT NULL $sql$,
            c.oid::regclass)
          FROM pg_extension e JOIN pg_class c ON c.relnamespace = e.extnamespace AND c.relname = 'part_config'
         WHERE e.extname = 'pg_partman' AND has_table_privilege(c.oid, 'SELECT')),
        'SELECT NULL::text, NULL::text, NULL::text, NULL::text, NULL::text WHERE false');
END
$$;
COMMENT ON FUNCTION steward.check_retention() IS 'findings about retention: what should be gone and is not, what failed, and what cannot be enforced';

CREATE FUNCTION steward.check()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT f.* FROM (SELECT * FROM steward.check_foundation() UNION ALL SELECT * FROM steward.check_map()
                     UNION ALL SELECT * FROM steward.check_drift() UNION ALL SELECT * FROM steward.check_schema()
                     UNION ALL SELECT * FROM steward.check_retention() UNION ALL SELECT * FROM steward.check_worker())
                    f (severity, rule, object, detail, remedy)
     ORDER BY array_position(ARRAY['critical', 'error', 'warning'], f.severity), f.rule, f.object, f.detail
$$;
COMMENT ON FUNCTION steward.check() IS
    'every rule that does not hold, gravest first: severity (critical, error, warning), rule, where, why, and the statement that mends it. Empty when the map is kept';
