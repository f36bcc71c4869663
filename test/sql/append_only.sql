--
-- Append-only stores: rows come in, are read, and stay as they are, whoever asks
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE append_only_svc;
CREATE ROLE append_only_owner;
CREATE ROLE append_only_migrator;
GRANT steward_pipeline, steward_cross_tenant, append_only_svc TO append_only_migrator;
CREATE SCHEMA append_only_s;
GRANT USAGE ON SCHEMA append_only_s TO PUBLIC;
GRANT CREATE ON SCHEMA append_only_s TO append_only_owner;
SET search_path = append_only_s;
SELECT steward.create_service('append-only', role => 'append_only_svc');

SET ROLE append_only_owner;
CREATE TABLE topic (id int PRIMARY KEY, tenant_id text);
CREATE TABLE free (id int PRIMARY KEY, tenant_id text, topic int REFERENCES topic ON DELETE CASCADE ON UPDATE CASCADE, note text);
CREATE TABLE log (id int PRIMARY KEY, tenant_id text, topic int REFERENCES topic ON DELETE CASCADE ON UPDATE CASCADE, note text);
CREATE TABLE nulled (id int PRIMARY KEY, tenant_id text, topic int REFERENCES topic ON DELETE SET NULL);
CREATE TABLE log_part (id int, tenant_id text, note text) PARTITION BY RANGE (id);
CREATE TABLE log_part_1 PARTITION OF log_part FOR VALUES FROM (0) TO (100);
INSERT INTO topic VALUES (1, 't1'), (2, 't1'), (3, 't1'), (4, 't1');
INSERT INTO free VALUES (1, 't1', 1, 'a'), (2, 't2', NULL, 'a');
INSERT INTO log VALUES (1, 't1', 2, 'a'), (2, 't2', NULL, 'a');
INSERT INTO nulled VALUES (1, 't1', 3);
INSERT INTO log_part VALUES (1, 't1', 'a'), (2, 't1', 'a');
-- more than the service needs: the privileges are not what holds
GRANT ALL ON ALL TABLES IN SCHEMA append_only_s TO append_only_svc, append_only_migrator;
RESET ROLE;
SELECT steward.govern('append_only_s.log', owner => 'append-only', append_only => true, name => 'append_only_log'),
       steward.govern('append_only_s.nulled', owner => 'append-only', append_only => true, name => 'append_only_nulled'),
       steward.govern('append_only_s.log_part', owner => 'append-only', append_only => true, name => 'append_only_log_part');

CREATE FUNCTION refusal(statement text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
    m text; d text; h text; s text; t text; c text;
BEGIN
    EXECUTE statement;
    RETURN QUERY VALUES ('nothing', 'was refused');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = CONSTRAINT_NAME;
    RETURN QUERY VALUES ('sqlstate', SQLSTATE), ('message', m), ('detail', d), ('hint', h), ('constraint', c);
END $$;
SET ROLE append_only_svc;
SELECT * FROM refusal('UPDATE log SET note = ''my secret''');
\set VERBOSITY terse

-- ==== the service =========================================================
BEGIN;
SELECT steward.set_tenant('t1');
INSERT INTO log VALUES (10, 't1', 1, 'new') RETURNING id;
COPY log (id, tenant_id) FROM STDIN;
11	t1
\.
SELECT id FROM log ORDER BY id;
SELECT id FROM log ORDER BY id FOR UPDATE;
SELECT id FROM log ORDER BY id FOR NO KEY UPDATE;
SELECT id FROM log ORDER BY id FOR KEY SHARE;
INSERT INTO log VALUES (10, 't1') ON CONFLICT DO NOTHING RETURNING id;
LOCK TABLE log IN ROW EXCLUSIVE MODE;
SAVEPOINT s;
UPDATE free SET note = 'b' RETURNING id;
UPDATE log SET note = 'b';
ROLLBACK TO s;
-- not even where there is nothing to change
UPDATE log SET note = 'b' WHERE false;
ROLLBACK TO s;
DELETE FROM log WHERE id = 99;
ROLLBACK TO s;
DELETE FROM free RETURNING id;
DELETE FROM log;
ROLLBACK TO s;
INSERT INTO free VALUES (1, 't1') ON CONFLICT (id) DO UPDATE SET note = 'b' RETURNING note;
INSERT INTO log VALUES (1, 't1') ON CONFLICT (id) DO UPDATE SET note = 'b';
ROLLBACK TO s;
MERGE INTO free l USING (VALUES (1)) v (id) ON l.id = v.id WHEN MATCHED THEN UPDATE SET note = 'c';
MERGE INTO log l USING (VALUES (1)) v (id) ON l.id = v.id WHEN MATCHED THEN UPDATE SET note = 'c';
ROLLBACK TO s;
MERGE INTO log l USING (VALUES (1)) v (id) ON l.id = v.id WHEN MATCHED THEN DELETE;
ROLLBACK TO s;
MERGE INTO log l USING (VALUES (12)) v (id) ON l.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, 't1');
MERGE INTO log l USING (VALUES (12)) v (id) ON l.id = v.id WHEN MATCHED THEN DO NOTHING;
SELECT id FROM log WHERE id = 12;
WITH d AS (DELETE FROM log RETURNING id) SELECT * FROM d;
ROLLBACK TO s;
TRUNCATE free;
TRUNCATE log;
ROLLBACK TO s;
SELECT count(*) FROM log_part_1;
UPDATE log_part_1 SET note = 'b';
ROLLBACK TO s;
DELETE FROM log_part_1;
ROLLBACK TO s;
UPDATE log_part SET id = 2 WHERE id = 1;
ROLLBACK TO s;
TRUNCATE log_part;
ROLLBACK TO s;
TRUNCATE log_part_1;
ROLLBACK;

-- ==== a pipeline with steward_cross_tenant ================================
SET ROLE append_only_migrator;
UPDATE free SET note = note WHERE id = 1 RETURNING id;
UPDATE log SET note = 'b';
DELETE FROM log;
TRUNCATE log;
TRUNCATE log_part_1;

-- ==== the owner of the table, a superuser =================================
SET ROLE append_only_owner;
UPDATE log SET note = 'b';
DELETE FROM log;
TRUNCATE log;
RESET ROLE;
UPDATE log SET note = 'b';
DELETE FROM log;
TRUNCATE log;
TRUNCATE log_part;
TRUNCATE log_part_1;
-- a superuser who acts for the service: the rule itself
CREATE ROLE append_only_super SUPERUSER;
GRANT append_only_svc TO append_only_super;
SET ROLE append_only_super;
UPDATE log SET note = 'b';
DELETE FROM log_part_1;
TRUNCATE log;
SET session_replication_role = replica;
UPDATE log SET note = 'b';
DELETE FROM log;
TRUNCATE log;
TRUNCATE log_part_1;
RESET session_replication_role;
RESET ROLE;

-- ==== cascades from tables that are not governed ==========================
-- TRUNCATE … CASCADE
BEGIN;
ALTER TABLE log DROP CONSTRAINT log_topic_fkey;
ALTER TABLE nulled DROP CONSTRAINT nulled_topic_fkey;
TRUNCATE topic CASCADE;
SELECT count(*) AS free FROM free;
ROLLBACK;
TRUNCATE topic CASCADE;
SET ROLE append_only_owner;
TRUNCATE topic CASCADE;
-- DELETE, UPDATE, SET NULL
DELETE FROM topic WHERE id = 1;
DELETE FROM topic WHERE id = 2;
UPDATE topic SET id = 20 WHERE id = 2;
DELETE FROM topic WHERE id = 3;
DELETE FROM topic WHERE id = 4;
RESET ROLE;
DELETE FROM topic WHERE id = 2;
SET ROLE append_only_super;
DELETE FROM topic WHERE id = 2;
DELETE FROM topic WHERE id = 3;
SET session_replication_role = replica;
DELETE FROM topic WHERE id = 2;
RESET session_replication_role;
RESET ROLE;
INSERT INTO topic VALUES (2, 't1');

-- ==== through a view, a rule, a function ==================================
CREATE VIEW v AS SELECT * FROM log;
GRANT ALL ON v TO append_only_svc;
CREATE RULE r AS ON INSERT TO topic WHERE NEW.id = 0 DO INSTEAD DELETE FROM log;
CREATE FUNCTION f() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM append_only_s.log';
ALTER FUNCTION f OWNER TO append_only_svc;
SET ROLE append_only_svc;
UPDATE v SET note = 'b';
DELETE FROM v;
SELECT f();
SET ROLE append_only_super;
INSERT INTO topic VALUES (0, 't1');
RESET ROLE;

-- nothing was lost, nothing was changed
SELECT id, topic, note FROM log ORDER BY id;
SELECT id, topic FROM nulled;
SELECT id, note FROM log_part ORDER BY id;

-- ==== the rule is off again when it is taken back =========================
SELECT steward.govern('append_only_s.log', append_only => false);
SET ROLE append_only_svc;
BEGIN;
SELECT steward.set_tenant('t1');
UPDATE log SET note = 'b' WHERE id = 1 RETURNING id;
ROLLBACK;
RESET ROLE;
SELECT steward.govern('append_only_s.log', append_only => true);
SET ROLE append_only_svc;
UPDATE log SET note = 'b' WHERE id = 1;
RESET ROLE;

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'append_only%' ORDER BY name;
SELECT steward.drop_service('append-only');
DROP SCHEMA append_only_s CASCADE;
DROP OWNED BY append_only_svc, append_only_owner, append_only_migrator, append_only_super;
DROP ROLE append_only_svc, append_only_owner, append_only_migrator, append_only_super;
