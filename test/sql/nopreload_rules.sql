--
-- Without shared_preload_libraries: what holds all the same, what does not, and
-- that steward.check() says so
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
\set VERBOSITY terse

-- a new session, which has not loaded the library yet
\c -
SET client_min_messages = warning;
CREATE ROLE nopreload_svc;
CREATE ROLE nopreload_other;
CREATE ROLE nopreload_owner;
CREATE SCHEMA nopreload_s;
GRANT USAGE ON SCHEMA nopreload_s TO PUBLIC;
GRANT CREATE ON SCHEMA nopreload_s TO nopreload_owner;
SET ROLE nopreload_owner;
CREATE TABLE nopreload_s.t (id int PRIMARY KEY, tenant_id uuid, note text);
CREATE TABLE nopreload_s.own (id int PRIMARY KEY, note text);
CREATE TABLE nopreload_s.log (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE nopreload_s.log_1 PARTITION OF nopreload_s.log FOR VALUES FROM (0) TO (10);
INSERT INTO nopreload_s.t VALUES (1, '00000000-0000-0000-0000-000000000001'), (2, '00000000-0000-0000-0000-000000000002');
INSERT INTO nopreload_s.own VALUES (1, 'a');
INSERT INTO nopreload_s.log VALUES (1, 'a');
GRANT ALL ON ALL TABLES IN SCHEMA nopreload_s TO nopreload_svc, nopreload_other;
RESET ROLE;
SELECT steward.create_service('nopreload', role => 'nopreload_svc');
SELECT steward.govern('nopreload_s.t', owner => 'nopreload', name => 'nopreload_t', retention => '{"until": "lifetime"}'),
       steward.govern('nopreload_s.own', owner => 'nopreload', scope => 'service', name => 'nopreload_own', retention => '{"until": "lifetime"}'),
       steward.govern('nopreload_s.log', owner => 'nopreload', scope => 'service', append_only => true, name => 'nopreload_log', retention => '{"until": "lifetime"}');
SELECT steward.preloaded();
\pset format unaligned
SELECT severity, rule, detail, remedy FROM steward.check() WHERE rule = 'not_preloaded' OR object ~ 'nopreload';
\pset format aligned

-- ==== a forged placeholder is not the tenant ==============================
\c -
SET client_min_messages = warning;
SET search_path = nopreload_s;
SET steward.tenant = '00000000-0000-0000-0000-000000000002';
SET ROLE nopreload_svc;
SELECT current_setting('steward.tenant');
SELECT count(*) FROM t;
SELECT steward.tenant();
RESET ROLE;
\c -
SET client_min_messages = warning;
SET search_path = nopreload_s;
SET steward.tenant = '00000000-0000-0000-0000-000000000002';
SET ROLE nopreload_svc;
INSERT INTO t VALUES (3, '00000000-0000-0000-0000-000000000002');
SELECT count(*) FROM t;
SET steward.tenant = '00000000-0000-0000-0000-000000000002';
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001');
SELECT id FROM t;
COMMIT;
SELECT count(*) FROM t;

-- ==== admission, guard and visibility hold ================================
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001');
SAVEPOINT s;
SELECT id FROM t;
INSERT INTO t VALUES (3, '00000000-0000-0000-0000-000000000001') RETURNING id;
INSERT INTO t VALUES (4, '00000000-0000-0000-0000-000000000002');
ROLLBACK TO s;
UPDATE t SET note = 'b' RETURNING id;
UPDATE t SET tenant_id = '00000000-0000-0000-0000-000000000002';
ROLLBACK TO s;
DELETE FROM t RETURNING id;
ROLLBACK TO s;
-- COPY FROM under row security is PostgreSQL's to refuse
COPY t (id, tenant_id) FROM STDIN;
\.
ROLLBACK TO s;
COPY t (id, tenant_id) TO STDOUT;
TRUNCATE t;
ROLLBACK;
COPY own FROM STDIN;
5	x
\.
DELETE FROM own WHERE id = 5;
-- BYPASSRLS
RESET ROLE;
CREATE ROLE nopreload_bypass BYPASSRLS IN ROLE nopreload_svc;
SET ROLE nopreload_bypass;
UPDATE t SET note = 'b' WHERE id = 2;
DELETE FROM t WHERE id = 2;

-- ==== the statement trigger holds: writes are the owner's alone ===========
SET ROLE nopreload_other;
INSERT INTO own VALUES (2);
UPDATE own SET note = 'b';
UPDATE own SET note = 'b' WHERE false;
DELETE FROM own;
MERGE INTO own USING (VALUES (1)) v (id) ON own.id = v.id WHEN MATCHED THEN DELETE;
COPY own FROM STDIN;
\.
TRUNCATE own;
UPDATE t SET note = 'b';
UPDATE log SET note = 'b';
SET ROLE nopreload_owner;
UPDATE own SET note = 'b';
TRUNCATE own;
RESET ROLE;
UPDATE own SET note = 'b';
DELETE FROM t;
TRUNCATE own;
SET session_replication_role = replica;
UPDATE own SET note = 'b';
TRUNCATE own;
RESET session_replication_role;
-- append-only
SET ROLE nopreload_svc;
INSERT INTO log VALUES (2, 'a');
UPDATE log SET note = 'b';
DELETE FROM log_1;
TRUNCATE log;
TRUNCATE log_1;
-- prepared before SET ROLE
PREPARE change AS UPDATE nopreload_s.own SET note = 'c' RETURNING id;
EXECUTE change;
SET ROLE nopreload_other;
EXECUTE change;
RESET ROLE;

-- ==== what does not hold, as check() says =================================
-- reads by a role that was granted them
SET ROLE nopreload_other;
SELECT count(*) FROM own;
-- but not of another tenant's rows
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001');
SELECT count(*) FROM t;
ROLLBACK;
-- a trigger that its table's owner disables
SET ROLE nopreload_owner;
ALTER TABLE own DISABLE TRIGGER steward_access;
UPDATE own SET note = 'not bound' RETURNING id;
RESET ROLE;
SELECT rule, object FROM steward.check() WHERE object ~ 'nopreload' ORDER BY object;
ALTER TABLE own ENABLE ALWAYS TRIGGER steward_access;
SET ROLE nopreload_owner;
UPDATE own SET note = 'bound' RETURNING id;
RESET ROLE;

-- loading it later makes no difference: the planes are the same in every session
LOAD 'pg_steward';
SELECT steward.preloaded();
SET ROLE nopreload_other;
SELECT count(*) FROM own;
RESET ROLE;

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'nopreload%' ORDER BY name;
SELECT steward.drop_service('nopreload');
DEALLOCATE ALL;
SET client_min_messages = error;
DROP SCHEMA nopreload_s CASCADE;
DROP OWNED BY nopreload_svc, nopreload_other, nopreload_owner, nopreload_bypass;
DROP ROLE nopreload_svc, nopreload_other, nopreload_owner, nopreload_bypass;
