--
-- What a security review tried: each attack or slip, and what stops it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE review_svc;
CREATE ROLE review_two;
CREATE ROLE review_owner;
CREATE ROLE review_stranger;
CREATE ROLE review_app;
CREATE ROLE review_worker;
CREATE SCHEMA review_s;
GRANT USAGE ON SCHEMA review_s TO PUBLIC;
GRANT CREATE ON SCHEMA review_s TO review_owner, review_stranger;
GRANT review_svc, steward_cross_tenant TO review_worker;
SET search_path = review_s;
SELECT steward.create_service('review-one', role => 'review_svc'), steward.create_service('review-two', role => 'review_two');

-- the findings of this file: others may have tables here
CREATE FUNCTION found() RETURNS TABLE (severity text, rule text, object text, detail text, remedy text) LANGUAGE sql AS $$
    SELECT severity, rule, object, detail, remedy FROM steward.check() WHERE object ~ 'review' $$;
-- run every remedy until there is nothing left to mend
CREATE FUNCTION mend() RETURNS TABLE (remedies int, "left" bigint) LANGUAGE plpgsql AS $$
DECLARE
    r text;
BEGIN
    remedies := 0;
    FOR i IN 1 .. 3 LOOP
        FOR r IN SELECT DISTINCT f.remedy FROM review_s.found() f LOOP
            EXECUTE r;
            remedies := remedies + 1;
        END LOOP;
    END LOOP;
    "left" := (SELECT count(*) FROM review_s.found());
    RETURN NEXT;
END $$;
-- who refused, and by which rule: the policy or the constraint
CREATE FUNCTION outcome(statement text) RETURNS TABLE (state text, "constraint" text, message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN QUERY SELECT '00000', '', 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, "constraint" = CONSTRAINT_NAME, message = MESSAGE_TEXT;
    RETURN NEXT;
END $$;

-- tenants 1 and 2 have three rows each
SET ROLE review_owner;
CREATE TABLE gov (id int PRIMARY KEY, tenant_id int, note text DEFAULT 'a', twice int GENERATED ALWAYS AS (tenant_id * 2) STORED);
INSERT INTO gov SELECT i, i % 2 + 1 FROM generate_series(1, 6) i;
RESET ROLE;
SELECT steward.govern('review_s.gov', owner => 'review-one', name => 'review_gov', retention => '{"until": "lifetime"}');
\set VERBOSITY terse
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on

-- ==== templates: a stranger's table under the template's name =============
CREATE SCHEMA vendor_api_client_registry AUTHORIZATION review_stranger;
-- (of the template's own shape: nothing else is wrong with it)
DO $$ BEGIN
    EXECUTE (SELECT replace(ddl, '{schema}', 'vendor_api_client_registry') FROM steward.template_store WHERE name = 'providers');
    ALTER TABLE vendor_api_client_registry.providers OWNER TO review_stranger;
END $$;
\set VERBOSITY default
SELECT count(*) FROM steward.install_template('integration_platform', 'VendorApiClientRegistryService');
\set VERBOSITY terse
-- nothing was done
SELECT count(*) FROM steward.service WHERE name = 'VendorApiClientRegistryService';
SELECT relowner::regrole, relrowsecurity FROM pg_class WHERE oid = 'vendor_api_client_registry.providers'::regclass;
-- nor a view that shows where the rows go
DROP TABLE vendor_api_client_registry.providers;
SET ROLE review_stranger;
CREATE VIEW vendor_api_client_registry.providers AS SELECT 1 AS tenant_id;
RESET ROLE;
SELECT count(*) FROM steward.install_template('integration_platform', 'VendorApiClientRegistryService');
DROP SCHEMA vendor_api_client_registry CASCADE;

-- ==== make_months never runs a partition key's function ===================
-- with a DEFAULT partition to look through, PostgreSQL would, as a superuser
CREATE SEQUENCE ran;
GRANT USAGE ON SEQUENCE ran TO PUBLIC;
SET ROLE review_stranger;
CREATE FUNCTION trap(timestamptz) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM nextval('review_s.ran'); RETURN $1; END $$;
CREATE TABLE by_call (at timestamptz) PARTITION BY RANGE (trap(at));
CREATE TABLE by_call_rest PARTITION OF by_call DEFAULT;
INSERT INTO by_call VALUES ('2020-01-01');
RESET ROLE;
SELECT setval('ran', 1, false);
SELECT steward.make_months('by_call', 1, 1);
SELECT is_called AS ran FROM ran;
-- nor what is not one timestamptz column in the order of its type
CREATE TABLE by_two (at timestamptz, id int) PARTITION BY RANGE (at, id);
CREATE TABLE by_list (at timestamptz) PARTITION BY LIST (at);
CREATE TABLE by_hash (at timestamptz) PARTITION BY HASH (at);
CREATE TABLE by_date (at date) PARTITION BY RANGE (at);
CREATE TABLE by_text (at text) PARTITION BY RANGE (at);
SELECT * FROM unnest(ARRAY['by_two', 'by_list', 'by_hash', 'by_date', 'by_text', 'gov']) t,
    LATERAL outcome(format('SELECT steward.make_months(%L, 1, 1)', 'review_s.' || t));
CREATE FUNCTION trap_cmp(timestamptz, timestamptz) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM nextval('review_s.ran'); RETURN timestamptz_cmp($1, $2); END $$;
CREATE OPERATOR CLASS trap_ops FOR TYPE timestamptz USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 trap_cmp(timestamptz, timestamptz);
CREATE TABLE by_ops (at timestamptz) PARTITION BY RANGE (at trap_ops);
SELECT steward.make_months('by_ops', 1, 1);
SELECT is_called AS ran FROM ran;
DROP TABLE by_call, by_two, by_list, by_hash, by_date, by_text, by_ops;
DROP OPERATOR FAMILY trap_ops USING btree;
DROP FUNCTION trap, trap_cmp;
DROP SEQUENCE ran;

-- ==== COPY … WHERE ========================================================
-- the same twice: analysis leaves nothing behind in the statement
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
COPY gov (id, tenant_id) FROM STDIN WHERE (note IS NULL) IS NOT TRUE AND tenant_id IS NOT NULL AND (id > 50) IS TRUE AND id IN (60, 61);
60	1
62	1
7	1
\.
COPY gov (id, tenant_id) FROM STDIN WHERE (note IS NULL) IS NOT TRUE AND tenant_id IS NOT NULL AND (id > 50) IS TRUE AND id IN (60, 61);
61	1
62	1
7	\N
\.
SELECT id, tenant_id, note FROM gov WHERE id >= 7 ORDER BY id;
-- a row that WHERE passes is judged
COPY gov (id, tenant_id) FROM STDIN WHERE (id > 50) IS TRUE;
63	2
\.
ROLLBACK TO s;
-- computed after WHERE was asked, or not there yet
COPY gov (id, tenant_id) FROM STDIN WHERE twice IS NOT NULL;
\.
\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN WHERE ctid IS NULL;
\.
\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN WHERE xmin IS NOT NULL OR id > 0;
\.
\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
ROLLBACK;
RESET ROLE;

-- ==== CREATE SCHEMA makes a partition =====================================
SET ROLE review_owner;
CREATE TABLE part (id int, tenant_id int, at timestamptz) PARTITION BY RANGE (id);
RESET ROLE;
SELECT steward.govern('review_s.part', owner => 'review-one', name => 'review_part', retention => '{"until": "lifetime", "clock": "at"}', keys => '[["id"]]');
CREATE INDEX ON part (tenant_id, id);
CREATE SCHEMA review_x
    CREATE TABLE p PARTITION OF review_s.part FOR VALUES FROM (0) TO (100)
    CREATE TABLE plain (id int);
SELECT relrowsecurity, relforcerowsecurity,
       (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies,
       (SELECT string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid AND tgname ~ '^steward') AS triggers
  FROM pg_class c WHERE oid = 'review_x.p'::regclass;
GRANT USAGE ON SCHEMA review_x TO review_svc;
GRANT ALL ON review_x.p TO review_svc;
DROP TABLE review_x.plain;
SELECT * FROM found();
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
INSERT INTO review_x.p VALUES (1, 1);
SELECT steward.set_tenant(2);
SELECT count(*) FROM review_x.p;
ROLLBACK;
RESET ROLE;

-- ==== a column is renamed by another statement than ALTER TABLE ============
ALTER VIEW part RENAME COLUMN tenant_id TO "Owner Tenant";
SELECT tenant, keys, retention FROM steward.store WHERE name = 'review_part';
ALTER MATERIALIZED VIEW part RENAME COLUMN id TO number;
ALTER FOREIGN TABLE part RENAME COLUMN at TO since;
SELECT tenant, keys, retention FROM steward.store WHERE name = 'review_part';
ALTER VIEW part RENAME COLUMN "Owner Tenant" TO tenant_id;
ALTER VIEW part RENAME COLUMN number TO id;
SELECT tenant, keys, retention FROM steward.store WHERE name = 'review_part';
BEGIN;
ALTER TYPE gov RENAME ATTRIBUTE tenant_id TO whose;
SELECT tenant FROM steward.store WHERE name = 'review_gov';
SET LOCAL ROLE review_svc;
SELECT steward.set_tenant(1);
SELECT * FROM outcome('DELETE FROM review_s.gov WHERE id = 2');
ROLLBACK;
SELECT * FROM found();
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
INSERT INTO part VALUES (1, 2);
ROLLBACK;
RESET ROLE;
-- by way of a parent that is not governed, or of a type
CREATE TABLE above (extra int, tenant_id int, at timestamptz);
CREATE TABLE below (id int, tenant_id int) INHERITS (above);
CREATE TYPE row_type AS (id int, tenant_id int, at timestamptz);
CREATE TABLE typed OF row_type;
SELECT steward.govern('review_s.below', owner => 'review-one', name => 'review_below', retention => '{"until": "lifetime", "clock": "at"}'),
       steward.govern('review_s.typed', owner => 'review-one', name => 'review_typed', retention => '{"until": "lifetime", "clock": "at"}');
ALTER TABLE above RENAME COLUMN tenant_id TO whose;
ALTER TABLE above RENAME COLUMN at TO since;
ALTER TYPE row_type RENAME ATTRIBUTE tenant_id TO whose CASCADE;
ALTER TYPE row_type RENAME ATTRIBUTE at TO since CASCADE;
SELECT name, tenant, retention FROM steward.store WHERE name IN ('review_below', 'review_typed') ORDER BY name;
SELECT rule, object, detail FROM found() WHERE rule <> 'ungoverned_table';
-- and dropped
SET client_min_messages = error;
ALTER TABLE above DROP COLUMN since;
ALTER TYPE row_type DROP ATTRIBUTE since CASCADE;
SET client_min_messages = warning;
SELECT name, tenant, retention FROM steward.store WHERE name IN ('review_below', 'review_typed') ORDER BY name;
SELECT steward.release('review_below'), steward.release('review_typed');
DROP TABLE above, below, typed;
DROP TYPE row_type;

-- ==== the map names a tenant column that is not there ======================
-- the guard holds the row back: it is nobody's
BEGIN;
UPDATE steward.store SET tenant = 'nope' WHERE name = 'review_gov';
SET LOCAL ROLE review_svc;
SELECT steward.set_tenant(1);
SELECT * FROM outcome('DELETE FROM review_s.gov WHERE id = 2');
SELECT * FROM outcome($$UPDATE review_s.gov SET note = 'b' WHERE id = 2$$);
SELECT * FROM outcome('INSERT INTO review_s.gov VALUES (10, 2)');
SET LOCAL ROLE review_worker;
SELECT * FROM outcome('DELETE FROM review_s.gov WHERE id = 2');
RESET ROLE;
SELECT rule, object, detail FROM found() WHERE rule = 'missing_column';
ROLLBACK;
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
DELETE FROM gov WHERE id = 2 RETURNING id;
ROLLBACK;
RESET ROLE;

-- ==== a remedy is SQL that a superuser runs ================================
-- names of columns and constraints that would be more than names
CREATE TABLE parent (tenant_id int, id int, "x) ON DELETE CASCADE; CREATE TABLE review_s.pwned (); --" int UNIQUE,
    "a""b" int, "c, d" int, PRIMARY KEY (tenant_id, id), UNIQUE ("a""b", "c, d"), UNIQUE (id));
CREATE TABLE child (tenant_id int NOT NULL, id int PRIMARY KEY, p int, q int NOT NULL, r int NOT NULL, s int, t int, "u) NOT VALID; CREATE TABLE review_s.pwned (); --" int,
    CONSTRAINT "k; CREATE TABLE review_s.pwned (); --" FOREIGN KEY (p)
        REFERENCES parent ("x) ON DELETE CASCADE; CREATE TABLE review_s.pwned (); --") ON DELETE SET NULL,
    CONSTRAINT of_match FOREIGN KEY (q, r) REFERENCES parent ("a""b", "c, d") MATCH FULL ON UPDATE CASCADE,
    CONSTRAINT of_null FOREIGN KEY (s, t) REFERENCES parent ("a""b", "c, d") ON DELETE SET NULL (t) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT of_default FOREIGN KEY ("u) NOT VALID; CREATE TABLE review_s.pwned (); --") REFERENCES parent (id) ON UPDATE RESTRICT ON DELETE SET DEFAULT DEFERRABLE);
SELECT steward.govern('review_s.parent', owner => 'review-one', name => 'review_parent', retention => '{"until": "lifetime"}'),
       steward.govern('review_s.child', part_of => 'review_parent', name => 'review_child');
SELECT rule, object, detail, remedy FROM found();
SELECT * FROM mend();
SELECT to_regclass('review_s.pwned') AS pwned;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass AND contype = 'f' ORDER BY conname COLLATE "C";
SELECT steward.release('review_parent');
DROP TABLE child, parent;
-- MATCH FULL of one column asks nothing more than MATCH SIMPLE; beside the
-- tenant it would refuse every row that refers to nothing
CREATE TABLE parent (tenant_id int, id int PRIMARY KEY);
CREATE TABLE child (tenant_id int NOT NULL, id int PRIMARY KEY, p int REFERENCES parent MATCH FULL ON DELETE SET NULL);
INSERT INTO parent VALUES (1, 1), (1, 2);
INSERT INTO child VALUES (1, 1, 1), (1, 2, NULL);
SELECT steward.govern('review_s.parent', owner => 'review-one', name => 'review_parent', retention => '{"until": "lifetime"}'),
       steward.govern('review_s.child', part_of => 'review_parent', name => 'review_child');
SELECT * FROM mend();
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
DELETE FROM parent WHERE id = 1;
SELECT * FROM child ORDER BY id;
ROLLBACK;
RESET ROLE;
SELECT steward.release('review_parent');
DROP TABLE child, parent;

-- ==== names that differ in blanks and parentheses only =====================
CREATE TABLE blanks (id int, "Tenant Id" int, "TenantId" int, "Tenant(Id)" int);
SELECT steward.govern('review_s.blanks', owner => 'review-one', tenant => 'Tenant Id', name => 'review_blanks', retention => '{"until": "lifetime"}');
SELECT * FROM found();
ALTER POLICY steward_tenant ON blanks USING ("TenantId" = steward.tenant_id_bigint());
SELECT * FROM found();
SELECT * FROM mend();
ALTER POLICY steward_tenant ON blanks WITH CHECK (steward.in_tenant("Tenant(Id)"));
SELECT rule, object, detail FROM found();
SELECT * FROM mend();
ALTER TABLE blanks DROP CONSTRAINT steward_tenant, ADD CONSTRAINT steward_tenant CHECK (steward.in_tenant("TenantId"));
SELECT rule, object, detail FROM found();
SELECT * FROM mend();
-- and no difference where there is none
SET quote_all_identifiers = on;
SELECT * FROM found();
SELECT * FROM steward.plan(steward.manifest());
SELECT steward.govern('review_s.blanks', data => 'Blanks');
RESET quote_all_identifiers;
SELECT * FROM found();
SELECT steward.release('review_blanks');
DROP TABLE blanks;

-- ==== something else under the name of the admission constraint ============
CREATE FUNCTION in_tenant(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
PREPARE foreign_row AS INSERT INTO gov VALUES (70, 2) RETURNING id;
-- (a plan that admission had covered is not used again)
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
EXECUTE foreign_row;
ROLLBACK;
RESET ROLE;
CREATE FUNCTION fake(definition text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'ALTER TABLE review_s.gov DROP CONSTRAINT steward_tenant, ADD CONSTRAINT steward_tenant CHECK ' || definition;
    RETURN definition;
END $$;
SELECT fake('(true) NOT VALID');
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
COPY gov (id, tenant_id) FROM STDIN;
\.
ROLLBACK TO s;
EXECUTE foreign_row;
ROLLBACK TO s;
INSERT INTO gov VALUES (70, 2);
ROLLBACK TO s;
INSERT INTO gov VALUES (70, 1) RETURNING id;
ROLLBACK;
RESET ROLE;
SELECT * FROM found();
SELECT * FROM mend();
-- half of it, of another column, of another function, and not for what is below
SELECT fake('(steward.in_tenant(tenant_id) OR true) NOT VALID');
SET ROLE review_svc;
COPY gov (id, tenant_id) FROM STDIN;
\.
RESET ROLE;
SELECT rule, detail FROM found();
SELECT fake('(steward.in_tenant(id)) NOT VALID');
SET ROLE review_svc;
COPY gov (id, tenant_id) FROM STDIN;
\.
RESET ROLE;
SELECT rule, detail FROM found();
SELECT fake('(review_s.in_tenant(tenant_id)) NOT VALID');
SET ROLE review_svc;
COPY gov (id, tenant_id) FROM STDIN;
\.
RESET ROLE;
SELECT rule, detail FROM found();
SELECT fake('(steward.in_tenant(tenant_id)) NO INHERIT NOT VALID');
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
COPY gov (id, tenant_id) FROM STDIN;
\.
ROLLBACK TO s;
SELECT * FROM outcome('INSERT INTO review_s.gov VALUES (70, 2) RETURNING id');
ROLLBACK;
RESET ROLE;
SELECT rule, detail FROM found();
-- mended, it covers again
SELECT * FROM mend();
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
COPY gov (id, tenant_id) FROM STDIN;
70	1
\.
EXECUTE foreign_row;
ROLLBACK;
RESET ROLE;
DEALLOCATE foreign_row;

-- ==== the refusal is ours, whatever the statement ==========================
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY[
    $$INSERT INTO review_s.gov VALUES (80, 2)$$,
    $$INSERT INTO review_s.gov VALUES (80, 2) RETURNING id$$,
    $$INSERT INTO review_s.gov VALUES (80, NULL) RETURNING id$$,
    $$UPDATE review_s.gov SET tenant_id = 2 WHERE id = 2$$,
    $$UPDATE review_s.gov SET tenant_id = 2 WHERE id = 2 RETURNING id$$,
    $$MERGE INTO review_s.gov g USING (VALUES (80, 2)) v (id, t) ON g.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.t)$$,
    $$MERGE INTO review_s.gov g USING (VALUES (2, 2)) v (id, t) ON g.id = v.id WHEN MATCHED THEN UPDATE SET tenant_id = v.t$$,
    $$INSERT INTO review_s.gov VALUES (2, 2) ON CONFLICT (id) DO NOTHING$$,
    $$INSERT INTO review_s.gov VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET note = 'b'$$,
    $$INSERT INTO review_s.gov VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET tenant_id = 2 RETURNING id$$,
    $$WITH w AS (INSERT INTO review_s.gov VALUES (80, 2) RETURNING id) SELECT * FROM w$$,
    $$WITH w AS (UPDATE review_s.gov SET tenant_id = 2 WHERE id = 2 RETURNING id) SELECT * FROM w$$,
    $$WITH w AS (DELETE FROM review_s.gov WHERE id = 2 RETURNING id) INSERT INTO review_s.gov SELECT id, 2 FROM w RETURNING id$$]) s,
    LATERAL outcome(s) o;
-- a conflict with another tenant's row: that there is one is PostgreSQL's to tell
SELECT * FROM outcome($$INSERT INTO review_s.gov VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET note = 'b'$$);
-- and one's own rows pass
INSERT INTO gov VALUES (80, 1) RETURNING id;
UPDATE gov SET note = 'b' WHERE id = 80 RETURNING id;
MERGE INTO gov g USING (VALUES (80, 1), (81, 1)) v (id, t) ON g.id = v.id WHEN MATCHED THEN UPDATE SET note = 'c' WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.t);
INSERT INTO gov VALUES (81, 1) ON CONFLICT (id) DO UPDATE SET note = 'd' RETURNING id, note;
WITH w AS (INSERT INTO gov VALUES (82, 1) RETURNING id) SELECT * FROM w;
ROLLBACK;
RESET ROLE;
-- of a partition, by its own name and by its root's
GRANT ALL ON review_x.p TO review_svc;
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY['INSERT INTO review_x.p VALUES (1, 2) RETURNING tenant_id', 'INSERT INTO review_s.part VALUES (1, 2) RETURNING 1']) s, LATERAL outcome(s) o;
ROLLBACK;
RESET ROLE;
-- a role whom no policy lets write: a member that does not inherit
CREATE ROLE review_bare NOINHERIT IN ROLE review_svc;
GRANT SELECT, INSERT, UPDATE, DELETE ON gov TO review_bare;
SET ROLE review_bare;
BEGIN;
SELECT steward.set_tenant(1);
SELECT count(*) FROM gov;
SELECT * FROM outcome('INSERT INTO review_s.gov VALUES (80, 1)');
SELECT * FROM outcome('INSERT INTO review_s.gov VALUES (80, 1) RETURNING id');
COPY gov (id, tenant_id) FROM STDIN;
80	1
\.
ROLLBACK;
RESET ROLE;
DROP OWNED BY review_bare;
DROP ROLE review_bare;
-- and one whom nothing makes a member
GRANT SELECT, INSERT ON gov TO review_app;
SET ROLE review_app;
BEGIN;
SELECT steward.set_tenant(1);
SELECT * FROM outcome('INSERT INTO review_s.gov VALUES (80, 1)');
ROLLBACK;
RESET ROLE;
REVOKE ALL ON gov FROM review_app;
-- WITH CHECK of the user's own policies is asked, beside admission
CREATE POLICY review_narrow ON gov AS RESTRICTIVE USING (true) WITH CHECK (id < 90);
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY[
    'INSERT INTO review_s.gov VALUES (90, 1)', 'INSERT INTO review_s.gov VALUES (90, 1) RETURNING id',
    'UPDATE review_s.gov SET id = 90 WHERE id = 2', 'INSERT INTO review_s.gov VALUES (89, 2)',
    'INSERT INTO review_s.gov VALUES (89, 1)']) s, LATERAL outcome(s) o;
COPY gov (id, tenant_id) FROM STDIN;
\.
ROLLBACK;
RESET ROLE;
DROP POLICY review_narrow ON gov;
CREATE POLICY review_wide ON gov WITH CHECK (id > 90);
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY[
    'INSERT INTO review_s.gov VALUES (91, 2)', 'INSERT INTO review_s.gov VALUES (89, 2)',
    'INSERT INTO review_s.gov VALUES (89, 1)']) s, LATERAL outcome(s) o;
ROLLBACK;
RESET ROLE;
SELECT rule, detail, remedy FROM found();
SELECT * FROM mend();
-- of an old row too: a policy for what may be changed
CREATE POLICY review_change ON gov AS RESTRICTIVE FOR UPDATE USING (id <> 2);
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY[
    $$INSERT INTO review_s.gov VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET note = 'b'$$,
    $$MERGE INTO review_s.gov g USING (VALUES (2)) v (id) ON g.id = v.id WHEN MATCHED THEN UPDATE SET note = 'b'$$]) s, LATERAL outcome(s) o;
ROLLBACK;
RESET ROLE;
DROP POLICY review_change ON gov;
-- and of a view
CREATE VIEW below_90 WITH (security_invoker) AS SELECT * FROM gov WHERE id < 90 WITH CHECK OPTION;
GRANT ALL ON below_90 TO review_svc;
SET ROLE review_svc;
BEGIN;
SELECT steward.set_tenant(1);
SELECT o.* FROM unnest(ARRAY['INSERT INTO review_s.below_90 VALUES (90, 1)', 'INSERT INTO review_s.below_90 VALUES (89, 2) RETURNING id',
    'INSERT INTO review_s.below_90 VALUES (89, 1) RETURNING id']) s, LATERAL outcome(s) o;
ROLLBACK;
RESET ROLE;
DROP VIEW below_90;

-- ==== findings: roles ======================================================
ALTER ROLE review_svc REPLICATION CREATEROLE;
SELECT * FROM found();
SELECT * FROM mend();
ALTER ROLE review_two CREATEROLE BYPASSRLS;
SELECT * FROM found();
SELECT * FROM mend();
SELECT rolname FROM pg_roles WHERE rolname ~ '^review' AND (rolsuper OR rolreplication OR rolcreaterole OR rolbypassrls);
-- who is no service, but acts for one, directly or through others
CREATE ROLE review_login LOGIN BYPASSRLS;
SELECT count(*) FROM found();
GRANT review_svc TO review_login;
SELECT * FROM found();
SELECT * FROM mend();
ALTER ROLE review_login BYPASSRLS;
REVOKE review_svc FROM review_login;
GRANT review_svc TO review_app;
GRANT review_app TO review_login;
SELECT * FROM found();
SELECT * FROM mend();
REVOKE review_app FROM review_login;
REVOKE review_svc FROM review_app;
DROP ROLE review_login;

-- ==== findings: a foreign table below a governed one =======================
CREATE FOREIGN DATA WRAPPER review_fdw;
CREATE SERVER review_server FOREIGN DATA WRAPPER review_fdw;
CREATE TABLE plain (id int, tenant_id int);
SELECT steward.govern('review_s.plain', owner => 'review-one', name => 'review_plain', retention => '{"until": "lifetime"}');
CREATE FOREIGN TABLE far PARTITION OF part FOR VALUES FROM (100) TO (200) SERVER review_server;
CREATE FOREIGN TABLE far_child () INHERITS (plain) SERVER review_server;
CREATE FOREIGN TABLE far_away (id int, tenant_id int) SERVER review_server;
SELECT * FROM found();
SELECT * FROM mend();
DROP FOREIGN DATA WRAPPER review_fdw CASCADE;
SELECT steward.release('review_plain');
DROP TABLE plain;

-- ==== findings: a materialized view over a view that is safe itself ========
CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM gov;
CREATE VIEW "invoker of invoker" WITH (security_invoker) AS SELECT * FROM invoker;
CREATE MATERIALIZED VIEW copied AS SELECT id, tenant_id FROM "invoker of invoker";
SELECT * FROM found();
GRANT SELECT ON copied TO review_app WITH GRANT OPTION;
SET ROLE review_app;
GRANT SELECT ON copied TO review_two;
RESET ROLE;
SELECT * FROM found();
SELECT * FROM mend();
SELECT has_table_privilege('review_app', 'copied', 'SELECT') OR has_table_privilege('review_two', 'copied', 'SELECT') AS readable;
DROP MATERIALIZED VIEW copied;
DROP VIEW "invoker of invoker", invoker;

-- ==== one table, one store: not below a governed one too ===================
CREATE TABLE mother (id int, tenant_id int);
CREATE TABLE daughter () INHERITS (mother);
SELECT steward.govern('review_s.mother', owner => 'review-one', name => 'review_mother', retention => '{"until": "lifetime"}');
\set VERBOSITY default
SELECT steward.govern('review_s.daughter', owner => 'review-two', name => 'review_daughter');
\set VERBOSITY terse
SELECT steward.release('review_mother');
SELECT steward.apply('{"stores": [{"name": "review_mother", "relation": "review_s.mother", "owner": "review-one"},
                                  {"name": "review_daughter", "relation": "review_s.daughter", "owner": "review-two"}]}');
SELECT count(*) FROM steward.store WHERE name IN ('review_mother', 'review_daughter');
-- the other way round: the child first, then the parent
SELECT steward.govern('review_s.daughter', owner => 'review-two', name => 'review_daughter');
SELECT steward.govern('review_s.mother', owner => 'review-one', name => 'review_mother');
SELECT steward.release('review_daughter');
-- and further down, where what is between is no store
CREATE TABLE granddaughter () INHERITS (daughter);
SELECT steward.govern('review_s.mother', owner => 'review-one', name => 'review_mother', retention => '{"until": "lifetime"}');
SELECT steward.govern('review_s.granddaughter', owner => 'review-two', name => 'review_daughter');
SELECT steward.release('review_mother');
SELECT steward.govern('review_s.granddaughter', owner => 'review-two', name => 'review_daughter');
SELECT steward.govern('review_s.mother', owner => 'review-one', name => 'review_mother');
SELECT steward.release('review_daughter');
DROP TABLE mother, daughter, granddaughter;

-- ==== a tenant column by which acme and ACME are one =======================
-- (the library that compares may be missing: then as if it had been refused)
SELECT count(*) > 0 AS icu FROM pg_collation WHERE collprovider = 'i' AND collname = 'und-x-icu' \gset
\if :icu
CREATE COLLATION review_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE alike (id int, tenant_id text COLLATE review_ci);
SELECT problem FROM steward.manifest_problems('{"stores": [{"name": "review_alike", "relation": "review_s.alike", "owner": "review-one"}]}');
DROP TABLE alike;
DROP COLLATION review_ci;
\else
\echo 'must be of type uuid, text or bigint, with a deterministic collation'
\endif

-- ==== who holds a lock, of a table with any name ===========================
CREATE TABLE "q:z" (id int, tenant_id int);
CREATE TABLE "q: z'; --" (id int, tenant_id int);
SELECT steward.lock_holders('review_s."q:z"');
SELECT steward.lock_holders('review_s."q: z''; --"');
SELECT steward.lock_holders('q:z');
-- (a prepared transaction holds locks, and has no process)
BEGIN;
LOCK TABLE "q:z", "q: z'; --" IN ACCESS SHARE MODE;
PREPARE TRANSACTION 'review_two_phase';
\set VERBOSITY default
SET steward.lock_timeout = '10ms';
SELECT steward.govern('review_s."q:z"', owner => 'review-one', name => 'review_q');
SELECT steward.govern('review_s."q: z''; --"', owner => 'review-one', name => 'review_q');
RESET steward.lock_timeout;
\set VERBOSITY terse
ROLLBACK PREPARED 'review_two_phase';
SELECT steward.govern('review_s."q:z"', owner => 'review-one', name => 'review_q', retention => '{"until": "lifetime"}');
SELECT steward.release('review_q');
DROP TABLE "q:z", "q: z'; --";
SELECT * FROM found();
\pset tuples_only off
\pset format aligned

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'review%' AND part_of IS NULL ORDER BY name;
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'review%' ORDER BY name;
DROP SCHEMA review_x, review_s CASCADE;
DROP OWNED BY review_svc, review_two, review_owner, review_stranger, review_app, review_worker;
DROP ROLE review_svc, review_two, review_owner, review_stranger, review_app, review_worker;
