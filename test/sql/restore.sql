--
-- Restoring and reading archives, as SQL: who may, what is refused, what the
-- user is told.  That rows come back as they were is for t/013_round_trip.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

CREATE ROLE restore_svc;
CREATE ROLE restore_other;
CREATE ROLE restore_owner;
CREATE ROLE restore_op;
CREATE ROLE restore_auditor;
CREATE ROLE restore_nobody;
GRANT steward_operator TO restore_op;
GRANT steward_auditor TO restore_auditor;
CREATE SCHEMA restore_s;
GRANT ALL ON SCHEMA restore_s TO restore_owner, restore_op;
GRANT USAGE ON SCHEMA restore_s TO PUBLIC;
SET search_path = restore_s;
SELECT steward.create_service('restore', role => 'restore_svc'), steward.create_service('restore other', role => 'restore_other');

-- numbers depend on what ran before
CREATE FUNCTION outcome(statement text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
    d text; h text;
BEGIN
    EXECUTE statement;
    RETURN QUERY VALUES ('nothing', 'was refused');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN QUERY SELECT f.field, regexp_replace(f.value, '(archive |restore\(|hold |release_hold\()\d+', '\1N', 'g')
      FROM (VALUES ('sqlstate', SQLSTATE), ('message', SQLERRM), ('detail', d), ('hint', h)) f (field, value) WHERE f.value <> '';
END $$;
-- The worker does what is due, and nothing is left under way.  (Not inside the
-- transaction that waits: it would hold up a detach.)
CREATE PROCEDURE retain() LANGUAGE plpgsql AS $$
BEGIN
    CALL steward.enforce_retention();
    COMMIT;
    FOR i IN 1 .. 1200 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM steward.task WHERE store LIKE 'restore\_%' AND state IN ('queued', 'running'));
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END $$;
-- an archive by its store, and by its first clock
CREATE FUNCTION archive(text, integer DEFAULT 1) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
    SELECT id FROM steward.archive WHERE store = $1 AND state IN ('uploaded', 'verified') ORDER BY id OFFSET $2 - 1 LIMIT 1 $$;

-- ==== something to restore ================================================
SET ROLE restore_owner;
CREATE TABLE ev (tenant_id text, id int, at timestamptz, body text, PRIMARY KEY (tenant_id, id));
CREATE TABLE part (tenant_id text, id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2002-01-01') TO ('2003-01-01');
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE plain (tenant_id text, id int, at timestamptz, body text);
CREATE TABLE op_only (LIKE plain);
CREATE VIEW seen AS SELECT id FROM plain;
CREATE SEQUENCE numbers;
GRANT SELECT ON ev TO restore_svc;
RESET ROLE;
INSERT INTO ev SELECT 't' || g % 2, g, timestamptz '2001-01-01' + g * interval '1 day', 'secret ' || g FROM generate_series(1, 8) g;
INSERT INTO part SELECT 't', g, date '2001-06-01' + 365 * (g % 2) FROM generate_series(1, 6) g;
SELECT steward.govern('restore_s.ev', owner => 'restore', name => 'restore_ev', retention => '{"clock": "at", "hot": "1 day", "then": "archive"}'),
       steward.govern('restore_s.part', owner => 'restore', name => 'restore_part', append_only => true, retention => '{"clock": "at", "hot": "1 day", "then": "archive"}'),
       steward.govern('restore_s.other', owner => 'restore other', name => 'restore_other', scope => 'service');
CALL retain();
SELECT store, state, rows, tenants, time_from, time_to FROM steward.archive WHERE store LIKE 'restore\_%' ORDER BY store, time_from;
SELECT (SELECT count(*) FROM ev) AS ev, (SELECT count(*) FROM part) AS part, to_regclass('part_1') AS part_1;

-- ==== who may =============================================================
SET ROLE restore_nobody;
SELECT * FROM outcome('CALL steward.restore(1)');
SELECT * FROM outcome('SELECT steward.read_archive(''restore_ev'')');
SELECT * FROM outcome('SELECT steward.read_archive_as(NULL::restore_s.plain, ''restore_ev'')');
SELECT * FROM outcome('SELECT steward.verify_archive(1)');
SELECT * FROM outcome('SELECT steward.restore_rows(1, NULL, NULL, NULL, NULL, NULL, NULL)');
SET ROLE restore_svc;
SELECT * FROM outcome('CALL steward.restore(1)');
SET ROLE restore_auditor;
SELECT * FROM outcome('CALL steward.restore(1)');
SELECT count(*) FROM steward.read_archive('restore_ev');
SELECT steward.verify_archive(archive('restore_ev'));
SELECT * FROM outcome('SELECT steward.restore_hold(1, ''1 day'')');
SELECT * FROM outcome('SELECT steward.restore_partition(1)');

-- ==== which archive, into what ============================================
SET ROLE restore_op;
SELECT * FROM outcome('CALL steward.restore(0)');
SELECT * FROM outcome('CALL steward.restore(NULL)');
SELECT * FROM outcome('SELECT steward.verify_archive(0)');
SELECT * FROM outcome('SELECT steward.archive_rows(0, NULL, NULL, NULL)');
SELECT count(*) FROM steward.read_archive('restore_nix');
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.seen'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.numbers'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, ''pg_catalog.pg_class'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, ''steward.archive'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.nix'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.op_only'')', archive('restore_ev')));
RESET ROLE;
GRANT INSERT ON other, plain TO restore_op;
SET ROLE restore_op;
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.other'')', archive('restore_ev')));

-- ==== arguments ===========================================================
\set VERBOSITY default
SELECT * FROM outcome(format('CALL steward.restore(%s, key_from => ''{t0}'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, key_from => ''{t0,NULL}'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, key_to => ''{}'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, key_from => ''{t0,x}'')', archive('restore_ev')));
SELECT * FROM outcome(format('CALL steward.restore(%s, "from" => ''x'')', archive('restore_ev')));
SELECT * FROM outcome('SELECT * FROM steward.read_archive_as(1, ''restore_ev'')');
BEGIN READ ONLY;
SELECT * FROM outcome(format('CALL steward.restore(%s)', archive('restore_ev')));
ROLLBACK;
-- a column is missing; an archive whose state is not readable
RESET ROLE;
ALTER TABLE plain DROP body;
SET ROLE restore_op;
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.plain'')', archive('restore_ev')));
RESET ROLE;
ALTER TABLE plain ADD body int;
SET ROLE restore_op;
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.plain'')', archive('restore_ev')));
RESET ROLE;
ALTER TABLE plain DROP body, ADD body text CHECK (body <> 'secret 3');
SET ROLE restore_op;
SELECT * FROM outcome(format('CALL steward.restore(%s, ''restore_s.plain'')', archive('restore_ev')));
RESET ROLE;
ALTER TABLE plain DROP body, ADD body text, ADD added int DEFAULT 7;
BEGIN;
UPDATE steward.archive SET state = 'expired' WHERE id = archive('restore_ev');
SELECT * FROM outcome(format('CALL steward.restore(%s)', (SELECT id FROM steward.archive WHERE store = 'restore_ev')));
SELECT count(*) FROM steward.read_archive('restore_ev');
ROLLBACK;

-- ==== restored ============================================================
SET ROLE restore_op;
CREATE TEMP TABLE called (archive bigint, rows bigint);
DO $$
DECLARE
    n bigint;
BEGIN
    CALL steward.restore(archive('restore_ev'), 'restore_s.plain', rows => n);
    INSERT INTO called VALUES (1, n);
    CALL steward.restore(archive('restore_ev'), 'restore_s.plain', '2001-01-03', '2001-01-05', rows => n);
    INSERT INTO called VALUES (2, n);
    CALL steward.restore(archive('restore_ev'), 'restore_s.plain', key_from => '{t1,3}', key_to => '{t1,5}', rows => n);
    INSERT INTO called VALUES (3, n);
    CALL steward.restore(archive('restore_ev'), 'restore_s.plain', "from" => '2030-01-01', rows => n);
    INSERT INTO called VALUES (4, n);
END $$;
SELECT * FROM called;
RESET ROLE;
SELECT id, tenant_id, at, body, added, count(*) FROM plain GROUP BY 1, 2, 3, 4, 5 ORDER BY id;
SELECT count(*) FROM steward.holds WHERE store LIKE 'restore\_%';
-- home, without a right on the table; a hold keeps the rows
SET ROLE restore_op;
BEGIN;
DO $$ DECLARE n bigint; BEGIN CALL steward.restore(archive('restore_ev'), rows => n); RAISE WARNING '% rows', n; END $$;
SELECT store, tenant, predicate, regexp_replace(reason, '\d+', 'N') AS reason, expires_at = now() + interval '7 days' AS a_week FROM steward.holds WHERE store = 'restore_ev';
SELECT * FROM outcome(format('CALL steward.restore(%s)', archive('restore_ev')));
COMMIT;
RESET ROLE;
SELECT * FROM ev ORDER BY id;
CALL retain();
SELECT count(*) FROM ev;
SELECT count(steward.release_hold(id, 'done')) FROM steward.holds WHERE store = 'restore_ev';
CALL retain();
SELECT count(*) FROM ev;
SELECT rows, state FROM steward.archive WHERE store = 'restore_ev' ORDER BY id;
-- into a partition that is there, and into one that is not
SET ROLE restore_op;
DO $$ DECLARE n bigint; BEGIN CALL steward.restore(archive('restore_part', 1), rows => n, keep => '1 hour'); RAISE WARNING '% rows', n; END $$;
RESET ROLE;
SELECT c.oid::regclass, pg_get_userbyid(c.relowner) AS owner, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'part'::regclass;
SELECT tableoid::regclass, * FROM part ORDER BY id;
SELECT predicate, expires_at < now() + interval '61 minutes' AS an_hour FROM steward.holds WHERE store = 'restore_part';
CREATE TABLE whatever PARTITION OF part FOR VALUES FROM ('2002-01-01') TO ('2005-01-01');
CREATE TEMP TABLE part_2 (x int);
DO $$ DECLARE n bigint; BEGIN CALL steward.restore(archive('restore_part', 2), keep => NULL, rows => n); RAISE WARNING '% rows', n; END $$;
SELECT tableoid::regclass, * FROM part ORDER BY id;
-- read in place
SET ROLE restore_auditor;
SELECT * FROM steward.read_archive('restore_part', "from" => '2001-01-01', "to" => '2001-12-31') ORDER BY 1;
SELECT * FROM steward.read_archive_as(NULL::restore_s.ev, 'restore_ev', '2001-01-05', tenant => 't1') ORDER BY at, id;
SELECT * FROM steward.read_archive('restore_ev', "to" => '2001-01-04', tenant => 't1') ORDER BY 1;
SELECT * FROM outcome('SELECT steward.read_archive(''restore_ev'', tenant => ''nobody'')');
RESET ROLE;
-- rows that are still there
BEGIN;
UPDATE steward.segment SET state = 'verified' WHERE id = (SELECT segment FROM steward.archive WHERE id = archive('restore_ev'));
SELECT * FROM outcome(format('CALL steward.restore(%s)', archive('restore_ev')));
ROLLBACK;
-- a store that has no table any more
SELECT steward.release('restore_ev');
SELECT * FROM outcome(format('CALL steward.restore(%s)', archive('restore_ev')));
SELECT count(*) FROM steward.read_archive('restore_ev', "from" => '2001-01-08');

SELECT count(steward.release_hold(id, 'done')) FROM steward.holds WHERE store LIKE 'restore\_%';
SELECT steward.release('restore_part'), steward.release('restore_other');
SELECT steward.drop_service('restore'), steward.drop_service('restore other');
SET client_min_messages = error;
RESET search_path;
DROP SCHEMA restore_s CASCADE;
DROP OWNED BY restore_op, restore_svc, restore_other, restore_owner, restore_auditor, restore_nobody;
DROP ROLE restore_svc, restore_other, restore_owner, restore_op, restore_auditor, restore_nobody;
