--
-- Legal holds: what is held stays, whoever wants it gone and by whatever way;
-- and segments that are being archived, which nobody writes
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE hold_svc;
CREATE ROLE hold_owner;
CREATE ROLE hold_op;
CREATE ROLE hold_super SUPERUSER;
GRANT steward_operator TO hold_op;
GRANT hold_svc, steward_pipeline, steward_cross_tenant TO hold_super, hold_owner;
CREATE SCHEMA hold_s;
GRANT ALL ON SCHEMA hold_s TO PUBLIC;
SET search_path = hold_s;
SELECT steward.create_service('hold', role => 'hold_svc');

SET ROLE hold_owner;
-- each attack is first made on the twin, which is not governed
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE docs (id int PRIMARY KEY, tenant_id text, status text, at timestamptz, parent int REFERENCES parent ON DELETE CASCADE,
                   twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE twin (LIKE docs INCLUDING ALL);
ALTER TABLE twin ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE;
-- the partition's columns are numbered otherwise than its parent's
CREATE TABLE part (id int, tenant_id uuid, status text) PARTITION BY LIST (status);
CREATE TABLE part_open (gone int, status text, tenant_id uuid, id int);
ALTER TABLE part_open DROP gone;
ALTER TABLE part ATTACH PARTITION part_open FOR VALUES IN ('open');
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE TABLE num (id int, tenant_id int);
CREATE TABLE shared (id int, n int);
RESET ROLE;
INSERT INTO parent SELECT generate_series(1, 20);
INSERT INTO docs SELECT i, 't' || i % 3, CASE WHEN i % 2 = 0 THEN 'open' END, '2026-01-01', i FROM generate_series(1, 12) i;
INSERT INTO twin SELECT i, 't' || i % 3, CASE WHEN i % 2 = 0 THEN 'open' END, '2026-01-01', i FROM generate_series(1, 12) i;
INSERT INTO part SELECT i, '00000000-0000-0000-0000-00000000000a', CASE WHEN i % 2 = 0 THEN 'open' END FROM generate_series(1, 6) i;
INSERT INTO part VALUES (10, '00000000-0000-0000-0000-00000000000b', 'open'), (11, '00000000-0000-0000-0000-00000000000b', 'new');
INSERT INTO num VALUES (1, 7), (2, 8);
INSERT INTO shared VALUES (1, 1), (2, 2);
SELECT steward.govern('hold_s.docs', owner => 'hold', name => 'hold_docs'),
       steward.govern('hold_s.part', owner => 'hold', name => 'hold_part'),
       steward.govern('hold_s.num', owner => 'hold', name => 'hold_num'),
       steward.govern('hold_s.shared', owner => 'hold', name => 'hold_shared', scope => 'global');
GRANT ALL ON ALL TABLES IN SCHEMA hold_s TO hold_svc;
-- numbers of holds depend on what ran before
CREATE TABLE placed (label text PRIMARY KEY, id bigint);
GRANT ALL ON placed TO PUBLIC;
CREATE FUNCTION masked(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '(hold |release_hold\(|segment )\d+', '\1N', 'g') $$;
CREATE FUNCTION refusal(statement text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
    d text; h text; t text; c text;
BEGIN
    EXECUTE statement;
    RETURN QUERY VALUES ('nothing', 'was refused');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = CONSTRAINT_NAME, t = TABLE_NAME;
    RETURN QUERY VALUES ('sqlstate', SQLSTATE), ('message', SQLERRM), ('detail', hold_s.masked(d)), ('hint', hold_s.masked(h)), ('rule', c), ('table', t);
END $$;

-- ==== who may place one, and what it must say =============================
SET ROLE hold_svc;
SELECT steward.hold('hold_docs', reason => 'r');
RESET ROLE;
SET ROLE hold_op;
SELECT * FROM refusal('SELECT steward.hold(reason => ''r'')');
\set VERBOSITY terse
SELECT steward.hold('hold_docs');
SELECT steward.hold('hold_docs', reason => ' ');
SELECT steward.hold('hold_nowhere', reason => 'r');
SELECT steward.hold('hold_docs', tenant => '', reason => 'r');
SELECT steward.hold(tenant => 't1', predicate => 'id = 1', reason => 'r');
SELECT steward.hold('hold_docs', reason => 'r', expires => now() - interval '1 s');
SELECT steward.hold('hold_shared', tenant => 't1', reason => 'r');
SELECT steward.hold('hold_num', tenant => 't1', reason => 'r');
SELECT steward.hold('hold_part', tenant => 't1', reason => 'r');
-- a predicate runs inside other users' statements
RESET ROLE;
CREATE FUNCTION mine(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE DOMAIN mine AS int CHECK (hold_s.mine(VALUE));
CREATE FUNCTION less(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR < (LEFTARG = int, RIGHTARG = int, FUNCTION = less);
CREATE FUNCTION try(predicate text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN steward.check_predicate('hold_s.docs', predicate);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SET search_path = hold_s, pg_catalog;
SELECT p AS predicate, try(p) AS answer FROM unnest(ARRAY[
    'status = ''open''', 'id < 3', 'at >= ''2026-01-01 00:00+02''', 'status IN (''open'', ''new'') AND NOT (id > 2)', 'status IS NULL',
    'at > timestamptz ''2026-01-01 10:00 UTC'' AND status LIKE ''o%''', 'CASE WHEN id = 1 THEN true END', 'lower(status) = ''open''',
    'hold_s.mine(id)', 'id OPERATOR(hold_s.<) 3', 'id = 1::hold_s.mine', '''{1}''::hold_s.mine[] IS NOT NULL', 'id = int4 ''1''', 'id', 'nothing = 1', 'id =', '', '*', 'docs.*', 'docs IS NULL',
    'ctid = ''(0,1)''', 'tableoid = 1', 'twice = 2', 'at < now()', 'random() < 1', 'to_char(at, ''YYYY'') = ''2026''', 'current_user = ''x''',
    '(SELECT true)', 'EXISTS (SELECT 1)', 'count(*) > 1', 'rank() OVER () = 1', 'generate_series(1, 2) = 1', '$1', 'true; DELETE FROM docs',
    'true FROM docs', 'true AS x', 'true, false', 'true LIMIT 1', 'GREATEST(id, 1) = 1', 'id = ANY (ARRAY[1, 2])', '(id, status) = (1, ''x'')']) p;
SET search_path = hold_s;
-- a date is what it was where the hold was placed
BEGIN;
SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT try('at > ''03.02.2026 01:00''');
ROLLBACK;
DROP OPERATOR hold_s.< (int, int);
DROP FUNCTION less;
DROP DOMAIN mine;

-- ==== by predicate ========================================================
SET ROLE hold_op;
INSERT INTO placed SELECT 'open', steward.hold('hold_docs', predicate => 'status = ''open''', reason => 'case 7');
SELECT store, tenant, predicate, reason, actor = session_user AS by_me, expires_at FROM steward.holds;
SELECT steward.hold_condition('hold_docs'), steward.hold_condition('hold_part') IS NULL AS free;
RESET ROLE;

CREATE FUNCTION rows_left() RETURNS text LANGUAGE sql AS $$
    SELECT format('docs %s, twin %s', (SELECT count(*) FROM hold_s.docs), (SELECT count(*) FROM hold_s.twin)) $$;
SET ROLE hold_svc;
BEGIN;
SELECT steward.set_tenant('t2');
DELETE FROM twin WHERE id = 2;
SAVEPOINT s;
DELETE FROM docs WHERE id = 2;
ROLLBACK TO s;
-- NULL is not covered, nor is another row
DELETE FROM docs WHERE id = 5 RETURNING status;
UPDATE docs SET status = 'open' WHERE id = 11 RETURNING id;
-- out of the hold; within it
SAVEPOINT s;
UPDATE docs SET status = 'done' WHERE id = 2;
ROLLBACK TO s;
UPDATE docs SET status = NULL WHERE id = 2;
ROLLBACK TO s;
UPDATE docs SET at = NULL WHERE id = 2 RETURNING status;
MERGE INTO docs d USING (VALUES (2)) v (id) ON d.id = v.id WHEN MATCHED THEN DELETE;
ROLLBACK TO s;
MERGE INTO docs d USING (VALUES (2)) v (id) ON d.id = v.id WHEN MATCHED THEN UPDATE SET status = 'x';
ROLLBACK TO s;
INSERT INTO docs VALUES (2, 't2') ON CONFLICT (id) DO UPDATE SET status = 'x';
ROLLBACK TO s;
WITH d AS (DELETE FROM docs WHERE id = 2 RETURNING id) SELECT * FROM d;
ROLLBACK;
RESET ROLE;

-- the table's owner, a superuser, a replica
SELECT rows_left();
SET ROLE hold_owner;
SELECT * FROM refusal('DELETE FROM docs WHERE id = 2');
DELETE FROM docs;
DELETE FROM parent WHERE id = 1;
DELETE FROM parent WHERE id = 4;
TRUNCATE docs;
TRUNCATE parent CASCADE;
SET ROLE hold_super;
DELETE FROM docs WHERE id = 2;
DELETE FROM parent WHERE id = 2;
SET session_replication_role = replica;
DELETE FROM docs WHERE id = 2;
UPDATE docs SET status = 'done' WHERE id = 2;
TRUNCATE docs;
RESET session_replication_role;
SELECT rows_left();
TRUNCATE docs;
TRUNCATE parent CASCADE;
BEGIN;
ALTER TABLE docs DROP CONSTRAINT docs_parent_fkey;
TRUNCATE parent CASCADE;
SELECT rows_left();
DROP TABLE twin;
ROLLBACK;
SELECT * FROM refusal('DROP TABLE docs');
DROP TABLE docs CASCADE;
DROP TABLE parent CASCADE;
SELECT count(*) FROM docs;
ALTER TABLE docs ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE;
DROP SCHEMA hold_s CASCADE;
DROP OWNED BY hold_owner CASCADE;
ALTER TABLE docs DROP COLUMN status;
ALTER TABLE docs RENAME COLUMN status TO state;
ALTER TABLE docs ALTER COLUMN status TYPE int USING 1;
ALTER TABLE docs ADD COLUMN note text, ALTER COLUMN at TYPE timestamp;
SELECT steward.release('hold_docs');
RESET ROLE;
-- its name may change, and the hold goes along
ALTER TABLE docs RENAME TO papers;
SELECT steward.alter_store('hold_docs', '{"name": "hold_papers"}');
SELECT store FROM steward.holds;
DELETE FROM papers WHERE id = 6;
SET ROLE hold_super;
DELETE FROM papers WHERE id = 6;
RESET ROLE;
ALTER TABLE papers RENAME TO docs;
SELECT steward.alter_store('hold_papers', '{"name": "hold_docs"}');

-- a predicate that stumbles, and one that does not fit any more: held
SET ROLE hold_op;
INSERT INTO placed SELECT 'stumbles', steward.hold('hold_shared', predicate => '10 / (n - 1) > 100', reason => 'r');
SET ROLE hold_super;
DELETE FROM shared WHERE n = 2;
SELECT * FROM refusal('DELETE FROM shared');
UPDATE steward.legal_hold SET predicate = 'nothing = 1' WHERE id = (SELECT id FROM placed WHERE label = 'stumbles');
INSERT INTO shared VALUES (2, 2);
DELETE FROM shared WHERE n = 2;
UPDATE shared SET n = 3 WHERE n = 2;
SELECT severity, rule, object, masked(detail) AS detail, masked(remedy) AS remedy FROM steward.check() WHERE rule = 'broken_hold';

-- ==== expiry and release ===================================================
UPDATE steward.legal_hold SET expires_at = clock_timestamp() + interval '400 ms' WHERE id = (SELECT id FROM placed WHERE label = 'stumbles');
BEGIN;
SAVEPOINT s;
DELETE FROM shared WHERE n = 2;
ROLLBACK TO s;
SELECT pg_sleep(0.5);
-- by the clock, in the same transaction
DELETE FROM shared WHERE n = 2 RETURNING n;
COMMIT;
SELECT steward.hold_condition('hold_shared') IS NULL AS free;
SET ROLE hold_svc;
SELECT steward.release_hold(1, 'r');
SET ROLE hold_op;
SELECT steward.release_hold(id, ' ') FROM placed WHERE label = 'open';
SELECT steward.release_hold(-1, 'r');
BEGIN;
SELECT steward.release_hold(id, 'case closed') FROM placed WHERE label = 'open';
SET LOCAL ROLE hold_super;
DELETE FROM docs WHERE id = 2 RETURNING id;
ROLLBACK;
SET ROLE hold_super;
DELETE FROM docs WHERE id = 2 RETURNING id;
SET ROLE hold_op;
SELECT steward.release_hold(id, 'case closed') FROM placed WHERE label = 'open';
DO $$
BEGIN
    PERFORM steward.release_hold(id, 'again') FROM hold_s.placed WHERE label = 'open';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RAISE WARNING '%', hold_s.masked(SQLERRM);
END $$;
SELECT h.reason, h.released_by = session_user AS by_me, h.release_reason FROM steward.legal_hold h JOIN placed USING (id) WHERE label = 'open';
SET ROLE hold_super;
DELETE FROM docs WHERE id = 2 RETURNING id;
RESET ROLE;

-- ==== partitions ===========================================================
SET ROLE hold_op;
INSERT INTO placed SELECT 'a', steward.hold('hold_s.part', tenant => '{00000000-0000-0000-0000-00000000000A}', reason => 'case 8');
INSERT INTO placed SELECT 'even', steward.hold('hold_part', predicate => 'id % 2 = 0', reason => 'case 9');
SELECT steward.hold_condition('hold_part');
SET ROLE hold_super;
DELETE FROM part WHERE id = 2;
DELETE FROM part_open WHERE id = 2;
DELETE FROM part WHERE id = 10;
DELETE FROM part_rest WHERE id = 3;
DELETE FROM part WHERE id = 11 RETURNING id;
-- to another partition and back: still held
UPDATE part SET status = 'done' WHERE id = 2 RETURNING tableoid::regclass;
UPDATE part SET status = 'open' WHERE id = 2 RETURNING tableoid::regclass;
MERGE INTO part p USING (VALUES (2)) v (id) ON p.id = v.id WHEN MATCHED THEN UPDATE SET status = 'done';
UPDATE part SET status = 'open', id = 1 WHERE id = 2;
UPDATE part SET status = 'open', tenant_id = '00000000-0000-0000-0000-00000000000b' WHERE id = 3;
-- a move is one statement: what a trigger deletes meanwhile is not moved
CREATE FUNCTION and_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM part_open WHERE id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER z BEFORE UPDATE ON part_open FOR EACH ROW EXECUTE FUNCTION and_delete();
UPDATE part SET id = id WHERE id = 4;
DROP TRIGGER z ON part_open;
TRUNCATE part;
TRUNCATE part_rest;
DROP TABLE part_rest;
DROP TABLE part;
ALTER TABLE part DETACH PARTITION part_rest;
CREATE TABLE part_new PARTITION OF part FOR VALUES IN ('new');
SELECT id, tableoid::regclass FROM part ORDER BY id;
SET ROLE hold_op;
SELECT steward.release_hold(id, 'r') FROM placed WHERE label IN ('a', 'even') ORDER BY label;
SET ROLE hold_super;
ALTER TABLE part DETACH PARTITION part_new;
DROP TABLE part_new;
RESET ROLE;

-- ==== a tenant, wherever it is =============================================
SET ROLE hold_op;
INSERT INTO placed SELECT 'seven', steward.hold(tenant => '7', reason => 'case 10');
SELECT s.name, steward.hold_condition(s.name) FROM steward.store s WHERE s.name LIKE 'hold\_%' ORDER BY 1;
SET ROLE hold_super;
DELETE FROM num WHERE tenant_id = 8 RETURNING id;
DELETE FROM num WHERE tenant_id = 7;
INSERT INTO docs VALUES (70, '7');
DELETE FROM docs WHERE id = 70;
TRUNCATE num;
ALTER TABLE num DROP COLUMN tenant_id CASCADE;
ALTER TABLE num RENAME COLUMN tenant_id TO tenant;
DELETE FROM num WHERE tenant = 7;
SELECT steward.hold_condition('hold_num');
SELECT steward.release('hold_num');
-- the type cannot be such a tenant's
DELETE FROM part WHERE id = 10 RETURNING id;
RESET ROLE;
SELECT steward.release_hold(id, 'r') FROM placed WHERE label = 'seven';
SET ROLE hold_super;
DELETE FROM num RETURNING id;

-- ==== segments that are being archived =====================================
RESET ROLE;
INSERT INTO steward.segment (store, relation, relation_name, kind, action) VALUES ('hold_part', 'part_rest', 'part_rest', 'partition', 'archive');
SET ROLE hold_super;
INSERT INTO part_rest (id, tenant_id) VALUES (20, '00000000-0000-0000-0000-00000000000c') RETURNING id;
UPDATE steward.segment SET state = 'exporting' WHERE relation = 'part_rest'::regclass;
SELECT * FROM refusal('INSERT INTO part_rest (id, tenant_id) VALUES (21, ''00000000-0000-0000-0000-00000000000c'')');
UPDATE part_rest SET id = 0;
DELETE FROM part_rest;
DELETE FROM part;
TRUNCATE part_rest;
TRUNCATE part;
DROP TABLE part_rest;
SELECT count(*) FROM part_rest;
INSERT INTO part VALUES (21, '00000000-0000-0000-0000-00000000000c', 'open') RETURNING id;
-- detached it stays what it was: its store's, hidden from others, sealed
ALTER TABLE part DETACH PARTITION part_rest;
UPDATE part_rest SET id = 0;
DELETE FROM part_rest;
TRUNCATE part_rest;
DROP TABLE part_rest;
DROP SCHEMA hold_s CASCADE;
SET session_replication_role = replica;
DELETE FROM part_rest;
RESET session_replication_role;
SELECT object FROM steward.check() WHERE rule = 'ungoverned_table' AND object LIKE '%part\_%';
SET ROLE hold_svc;
SELECT count(*) FROM part_rest;
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-00000000000c');
SELECT count(*) FROM part_rest;
INSERT INTO part_rest (id, tenant_id) VALUES (22, '00000000-0000-0000-0000-00000000000c');
ROLLBACK;
SET ROLE hold_op;
SELECT count(*) FROM part_rest;
RESET ROLE;
GRANT SELECT ON part_rest TO hold_op;
SET ROLE hold_op;
SELECT count(*) FROM part_rest;
SET ROLE hold_super;
UPDATE steward.segment SET state = 'failed' WHERE relation = 'part_rest'::regclass;
DELETE FROM part_rest;
-- attached again, after a failure, it is the store's
ALTER TABLE part ATTACH PARTITION part_rest DEFAULT;
DELETE FROM part_rest WHERE id = 20 RETURNING id;
ALTER TABLE part DETACH PARTITION part_rest;
DELETE FROM part_rest;
DELETE FROM steward.segment WHERE relation = 'part_rest'::regclass;
DELETE FROM part_rest WHERE id = 1 RETURNING id;
DROP TABLE part_rest;
RESET ROLE;

-- cleanup
SELECT count(*) FROM steward.holds WHERE store LIKE 'hold\_%';
DELETE FROM steward.legal_hold WHERE store LIKE 'hold\_%' OR reason = 'case 10';
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'hold\_%' ORDER BY name;
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('docs'::regclass, 'part'::regclass, 'part_open'::regclass) AND tgname LIKE 'steward%';
SELECT steward.drop_service('hold');
DROP SCHEMA hold_s CASCADE;
DROP OWNED BY hold_svc, hold_owner, hold_op, hold_super;
DROP ROLE hold_svc, hold_owner, hold_op, hold_super;
