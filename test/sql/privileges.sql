--
-- Who may call what
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE ROLE privileges_nobody;
CREATE ROLE privileges_admin IN ROLE steward_admin;
CREATE ROLE privileges_svc;
CREATE ROLE privileges_owner;
CREATE SCHEMA privileges_s AUTHORIZATION privileges_owner;
GRANT USAGE ON SCHEMA privileges_s TO PUBLIC;
SELECT steward.arm();
SET ROLE privileges_owner;
CREATE TABLE privileges_s.t (id serial PRIMARY KEY, tenant_id text);
CREATE TABLE privileges_s.p (id int, tenant_id text) PARTITION BY RANGE (id);
CREATE TABLE privileges_s.p1 PARTITION OF privileges_s.p FOR VALUES FROM (0) TO (10);
RESET ROLE;

-- ==== functions that run as their owner, and functions that nobody may call =
SELECT p.oid::regprocedure::text COLLATE "C" AS function, p.prosecdef AS definer,
       (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', ' ORDER BY a.grantee <> 0, a.grantee::regrole::text COLLATE "C")
          FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) AS may_call
  FROM pg_proc p
 WHERE p.pronamespace = 'steward'::regnamespace
   AND (p.prosecdef OR NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner))
 ORDER BY 1;
-- all others that are not C are for the four roles that read the map, and for no one else
SELECT (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', ' ORDER BY a.grantee::regrole::text COLLATE "C")
          FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) AS may_call, count(*) > 10 AS many
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'steward'::regnamespace AND l.lanname NOT IN ('c', 'internal') AND NOT p.prosecdef
   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) GROUP BY 1;
-- what PUBLIC may call is written in C and changes nothing but the tenant of its own transaction
SELECT DISTINCT l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'steward'::regnamespace AND has_function_privilege('privileges_nobody', p.oid, 'EXECUTE');
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'steward'::regnamespace
   AND has_function_privilege('privileges_nobody', p.oid, 'EXECUTE') AND p.provolatile = 'v' ORDER BY p.oid::regprocedure::text COLLATE "C";
-- every function that runs as its owner has a fixed search_path, with pg_temp last
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace = 'steward'::regnamespace AND p.prosecdef
   AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false);
-- and so has every other one that is not C (but erase_tenant(), which commits, and so can set nothing)
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'steward'::regnamespace AND l.lanname NOT IN ('c', 'internal')
   AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false);
-- nothing belongs to anyone but the owner of the extension
SELECT count(*) FROM pg_proc p, pg_extension e WHERE e.extname = 'pg_steward' AND p.pronamespace = 'steward'::regnamespace AND p.proowner <> e.extowner;
SELECT count(*) FROM pg_class c, pg_extension e WHERE e.extname = 'pg_steward' AND c.relnamespace = 'steward'::regnamespace AND c.relowner <> e.extowner;
-- PUBLIC has no right to a table
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'steward'::regnamespace AND c.relkind IN ('r', 'v', 'S')
   AND has_table_privilege('privileges_nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT has_schema_privilege('privileges_nobody', 'steward', 'USAGE') AS usage, has_schema_privilege('privileges_nobody', 'steward', 'CREATE') AS "create";
-- and the steward roles write none
SELECT c.oid::regclass, r.rolname FROM pg_class c, pg_roles r WHERE c.relnamespace = 'steward'::regnamespace AND c.relkind IN ('r', 'v', 'S')
   AND r.rolname ~ '^steward_' AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
-- every object has a comment (an index, a type of a table and an operator's array go without)
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
 WHERE e.extname = 'pg_steward' AND d.deptype = 'e'
   AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass, 'pg_event_trigger'::regclass)
   AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typrelid <> 0 OR t.typelem <> 0))
   AND obj_description(d.objid, d.classid::regclass::name) IS NULL ORDER BY 1;

-- ==== nobody ==============================================================
SET ROLE privileges_nobody;
SELECT steward.tenant() IS NULL AS none, steward.armed() IS NOT NULL AS armed, steward.preloaded() IS NOT NULL AS preloaded;
SELECT steward.set_tenant('t1');
SELECT steward.create_service('privileges', role => 'privileges_svc');
SELECT steward.drop_service('privileges');
SELECT steward.govern('privileges_s.t');
SELECT steward.apply('{}');
SELECT steward.plan('{}');
SELECT steward.manifest();
SELECT steward.alter_store('t', '{}');
SELECT steward.release('t');
SELECT steward.put_store('{}');
SELECT steward.arm();
SELECT steward.adopt_constraint('privileges_s.t', 'steward_tenant');
SELECT steward.govern_new_members(1);
SELECT steward.follow_column(1, 'x');
SELECT steward.make_months('privileges_s.p', 1, 1);
SELECT steward.install_template('integration_platform');
SELECT * FROM steward.check();
SELECT * FROM steward.storage_map;
SELECT * FROM steward.store;
INSERT INTO steward.service VALUES ('x', 'privileges_nobody');
DELETE FROM steward.store;
UPDATE steward.store SET owner = NULL;
TRUNCATE steward.store;
CREATE TABLE steward.mine (id int);
CREATE FUNCTION steward.in_tenant(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
ALTER EVENT TRIGGER steward_armed DISABLE;
DROP EVENT TRIGGER steward_drop;
ALTER FUNCTION steward.in_tenant(uuid) OWNER TO privileges_nobody;
DROP EXTENSION pg_steward;

-- ==== those who read ======================================================
SET ROLE steward_auditor;
SELECT count(*) >= 0 AS allowed FROM steward.storage_map;
SELECT count(*) >= 0 AS allowed FROM steward.store;
SELECT count(*) >= 0 AS allowed FROM steward.check();
SELECT jsonb_typeof(steward.manifest());
SELECT steward.govern('privileges_s.t');
SET ROLE steward_operator;
SELECT count(*) >= 0 AS allowed FROM steward.check();
SELECT steward.apply('{}');
SET ROLE steward_pipeline;
SELECT count(*) >= 0 AS allowed FROM steward.plan('{}');
SELECT steward.apply('{}');
SELECT steward.release('t');
SET ROLE steward_cross_tenant;
SELECT * FROM steward.check();
SELECT steward.apply('{}');

-- ==== steward_admin, no superuser: someone else's table ===================
SET ROLE privileges_admin;
SELECT rolsuper FROM pg_roles WHERE rolname = current_user;
ALTER TABLE privileges_s.t ADD COLUMN mine int;
SELECT steward.create_service('privileges', role => 'privileges_svc');
SELECT steward.govern('privileges_s.t', owner => 'privileges', name => 'privileges_t');
SELECT steward.govern('privileges_s.p', owner => 'privileges', name => 'privileges_p', append_only => true, retention => '{"until": "lifetime"}');
SELECT steward.alter_store('privileges_t', '{"retention": {"until": "lifetime"}}');
SELECT * FROM steward.plan(steward.manifest());
SELECT rule, object FROM steward.check() WHERE object ~ 'privileges' OR rule = 'unarmed';
SELECT tableowner FROM pg_tables WHERE schemaname = 'privileges_s' AND tablename = 't';
-- he changes the map by these functions alone
INSERT INTO steward.service VALUES ('x', 'privileges_nobody');
UPDATE steward.store SET owner = NULL;
SELECT steward.put_store('{"name": "x", "kind": "blob"}');
SELECT steward.adopt_constraint('privileges_s.t', 'steward_tenant');
-- and is bound by it: he neither reads nor writes
SELECT count(*) FROM privileges_s.t;
SELECT steward.release('privileges_t'), steward.release('privileges_p');
SELECT steward.drop_service('privileges');
RESET ROLE;

-- ==== names in the caller's search_path do not mislead ====================
CREATE SCHEMA privileges_evil;
GRANT ALL ON SCHEMA privileges_evil TO privileges_admin;
CREATE FUNCTION privileges_evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION privileges_evil.quote_ident(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'misled'; END $$;
CREATE FUNCTION privileges_evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'misled'; END $$;
CREATE FUNCTION privileges_evil.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'misled'; END $$;
CREATE OPERATOR privileges_evil.= (FUNCTION = privileges_evil.eq, LEFTARG = text, RIGHTARG = text);
CREATE TABLE privileges_evil.pg_class (LIKE pg_catalog.pg_class);
SET ROLE privileges_admin;
SET search_path = privileges_evil, pg_catalog, public;
SELECT steward.create_service('privileges', role => 'privileges_svc');
SELECT steward.govern('privileges_s.t', owner => 'privileges', name => 'privileges_t');
SELECT count(*) FROM steward.plan(steward.manifest());
SELECT count(*) > 0 AS some FROM steward.check();
SELECT steward.release('privileges_t');
SELECT steward.drop_service('privileges');
RESET search_path;
RESET ROLE;

-- cleanup
SET client_min_messages = error;
DROP SCHEMA privileges_s, privileges_evil CASCADE;
DROP OWNED BY privileges_nobody, privileges_admin, privileges_svc, privileges_owner;
DROP ROLE privileges_nobody, privileges_admin, privileges_svc, privileges_owner;
