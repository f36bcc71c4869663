--
-- The tenant rule: each attack works on a twin table that is not governed, and
-- fails on the governed one
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE isolation_svc;
CREATE ROLE isolation_owner;
CREATE ROLE isolation_worker;
CREATE ROLE isolation_migrator;
CREATE SCHEMA isolation_s;
GRANT USAGE ON SCHEMA isolation_s TO PUBLIC;
GRANT CREATE ON SCHEMA isolation_s TO isolation_owner, isolation_svc;
GRANT isolation_svc, steward_cross_tenant TO isolation_worker;
GRANT steward_pipeline, steward_cross_tenant TO isolation_migrator;
GRANT isolation_owner TO isolation_migrator;
SET search_path = isolation_s;
SELECT steward.create_service('isolation', role => 'isolation_svc');

-- "free" is the twin; tenants 1 and 2 have three rows each
SET ROLE isolation_owner;
CREATE TABLE free (id int PRIMARY KEY, tenant_id int, note text DEFAULT 'a', twice int GENERATED ALWAYS AS (tenant_id * 2) STORED);
CREATE TABLE gov (LIKE free INCLUDING ALL);
INSERT INTO free SELECT i, i % 2 + 1 FROM generate_series(1, 6) i;
INSERT INTO gov SELECT i, i % 2 + 1 FROM generate_series(1, 6) i;
GRANT ALL ON free TO isolation_svc;
RESET ROLE;
SELECT steward.govern('isolation_s.gov', owner => 'isolation', name => 'isolation_gov');

-- what a refusal says: never the row, the rule in the constraint field
CREATE FUNCTION refusal(statement text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
    m text; d text; h text; s text; t text; c text;
BEGIN
    EXECUTE statement;
    RETURN QUERY VALUES ('nothing', 'was refused');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT,
                            s = SCHEMA_NAME, t = TABLE_NAME, c = CONSTRAINT_NAME;
    RETURN QUERY VALUES ('sqlstate', SQLSTATE), ('message', m), ('detail', d), ('hint', h),
                        ('schema', s), ('table', t), ('constraint', c);
END $$;
SET ROLE isolation_svc;
SELECT * FROM refusal($$INSERT INTO gov VALUES (99, 1, 'my secret')$$);
BEGIN;
SELECT steward.set_tenant(2);
SELECT * FROM refusal($$INSERT INTO gov VALUES (99, 1, 'my secret')$$);
ROLLBACK;
SET ROLE isolation_worker;
SELECT * FROM refusal($$INSERT INTO gov VALUES (99, NULL, 'my secret')$$);
\set VERBOSITY terse

-- ==== tenant 1 writes what it should ======================================
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
INSERT INTO gov VALUES (10, 1, 'x') RETURNING *;
INSERT INTO gov SELECT 11, tenant_id FROM gov WHERE id = 10;
UPDATE gov SET note = 'y' WHERE id = 10 RETURNING id, tenant_id, note;
DELETE FROM gov WHERE id = 11 RETURNING id;
SELECT id, tenant_id, note, twice FROM gov ORDER BY id;
ROLLBACK;

-- ==== INSERT ==============================================================
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
INSERT INTO free VALUES (20, 2) RETURNING id, tenant_id;
INSERT INTO gov VALUES (20, 2);
ROLLBACK TO s;
INSERT INTO free (id) VALUES (20) RETURNING id, tenant_id;
INSERT INTO gov (id) VALUES (20);
ROLLBACK TO s;
INSERT INTO free SELECT 20 + i, i FROM generate_series(1, 2) i;
INSERT INTO gov SELECT 20 + i, i FROM generate_series(1, 2) i;
ROLLBACK TO s;

-- ==== UPDATE: a row moved to another tenant; another tenant's row changed ==
UPDATE free SET tenant_id = 2 WHERE tenant_id = 1 AND id = 2 RETURNING id, tenant_id;
UPDATE gov SET tenant_id = 2 WHERE tenant_id = 1 AND id = 2;
ROLLBACK TO s;
UPDATE gov SET tenant_id = NULL WHERE id = 2;
ROLLBACK TO s;
UPDATE free SET note = 'b' WHERE tenant_id = 2 RETURNING id;
UPDATE gov SET note = 'b' WHERE tenant_id = 2 RETURNING id;
UPDATE gov SET note = 'b' RETURNING id;
ROLLBACK TO s;
UPDATE free SET tenant_id = 1 WHERE id = 1 RETURNING id, tenant_id;
UPDATE gov SET tenant_id = 1 WHERE id = 1 RETURNING id, tenant_id;
ROLLBACK TO s;

-- ==== DELETE ==============================================================
DELETE FROM free WHERE tenant_id = 2 RETURNING id;
DELETE FROM gov WHERE tenant_id = 2 RETURNING id;
ROLLBACK TO s;
DELETE FROM gov RETURNING id;
ROLLBACK TO s;

-- ==== ON CONFLICT =========================================================
-- a conflict with a row that is another tenant's
INSERT INTO free VALUES (1, 1, 'taken') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING *;
INSERT INTO gov VALUES (1, 1, 'taken') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING *;
ROLLBACK TO s;
INSERT INTO free VALUES (1, 1, 'taken') ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id RETURNING *;
INSERT INTO gov VALUES (1, 1, 'taken') ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id;
ROLLBACK TO s;
-- a conflict with one's own row, which moves it
INSERT INTO free VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET tenant_id = 2 RETURNING id, tenant_id;
INSERT INTO gov VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET tenant_id = 2;
ROLLBACK TO s;
INSERT INTO gov VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET note = 'mine' RETURNING id, tenant_id, note;
ROLLBACK TO s;
-- the proposed row is another tenant's, and is never stored
INSERT INTO free VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET note = 'b' RETURNING id, tenant_id;
INSERT INTO gov VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET note = 'b';
ROLLBACK TO s;
INSERT INTO free VALUES (30, 2) ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO gov VALUES (30, 2) ON CONFLICT DO NOTHING RETURNING id;
ROLLBACK TO s;
INSERT INTO gov VALUES (2, 1) ON CONFLICT DO NOTHING RETURNING id;

-- ==== MERGE, every branch =================================================
MERGE INTO free g USING (VALUES (40, 2)) v (id, t) ON g.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.t);
MERGE INTO gov g USING (VALUES (40, 2)) v (id, t) ON g.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.t);
ROLLBACK TO s;
MERGE INTO free g USING (VALUES (2)) v (id) ON g.id = v.id WHEN MATCHED THEN UPDATE SET tenant_id = 2;
MERGE INTO gov g USING (VALUES (2)) v (id) ON g.id = v.id WHEN MATCHED THEN UPDATE SET tenant_id = 2;
ROLLBACK TO s;
-- another tenant's row does not match
MERGE INTO free g USING (VALUES (1)) v (id) ON g.id = v.id WHEN MATCHED THEN UPDATE SET note = 'merged';
MERGE INTO gov g USING (VALUES (1)) v (id) ON g.id = v.id WHEN MATCHED THEN UPDATE SET note = 'merged';
MERGE INTO free g USING (VALUES (3)) v (id) ON g.id = v.id WHEN MATCHED THEN DELETE;
MERGE INTO gov g USING (VALUES (3)) v (id) ON g.id = v.id WHEN MATCHED THEN DELETE;
MERGE INTO gov g USING (VALUES (1), (2), (41)) v (id) ON g.id = v.id AND g.tenant_id = 1
    WHEN MATCHED AND v.id = 2 THEN UPDATE SET note = 'merged' WHEN NOT MATCHED AND v.id = 41 THEN INSERT VALUES (v.id, 1)
    WHEN NOT MATCHED THEN DO NOTHING;
MERGE INTO gov g USING (VALUES (4)) v (id) ON g.id = v.id WHEN MATCHED THEN DELETE;
RESET ROLE;
SELECT 'free' AS "table", id, tenant_id, note FROM free WHERE id IN (1, 2, 3, 4, 40, 41)
UNION ALL SELECT 'gov', id, tenant_id, note FROM gov WHERE id IN (1, 2, 3, 4, 40, 41) ORDER BY 1, 2;
SET ROLE isolation_svc;
ROLLBACK TO s;

-- ==== writable CTE ========================================================
WITH w AS (INSERT INTO free VALUES (50, 2) RETURNING tenant_id) SELECT * FROM w;
WITH w AS (INSERT INTO gov VALUES (50, 2) RETURNING tenant_id) SELECT * FROM w;
ROLLBACK TO s;
WITH d AS (DELETE FROM free RETURNING *), i AS (INSERT INTO free SELECT id + 100, 2 FROM d RETURNING id) SELECT count(*) FROM i;
WITH d AS (DELETE FROM gov RETURNING *) SELECT id, tenant_id FROM d ORDER BY id;
ROLLBACK TO s;
WITH d AS (DELETE FROM gov RETURNING *) INSERT INTO gov (id, tenant_id) SELECT id + 100, 2 FROM d;
ROLLBACK TO s;

-- ==== FOR UPDATE, TABLE, subqueries, joins: only one's own rows are there ==
SELECT id FROM free FOR UPDATE;
SELECT id FROM gov FOR UPDATE;
SELECT (SELECT count(*) FROM gov), EXISTS (SELECT FROM gov WHERE tenant_id = 2), (SELECT count(*) FROM gov a JOIN gov b ON true);
-- nor do statistics tell of other tenants' rows
RESET ROLE;
ANALYZE free, gov;
SELECT tablename, count(*) FROM pg_stats WHERE schemaname = 'isolation_s' AND tablename IN ('free', 'gov') GROUP BY 1 ORDER BY 1;
SET ROLE isolation_svc;
SELECT tablename, count(*) FROM pg_stats WHERE schemaname = 'isolation_s' AND tablename IN ('free', 'gov') GROUP BY 1 ORDER BY 1;
-- a function that leaks its argument is not shown other tenants' rows
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
SELECT count(*) FROM free WHERE leak(id || '/' || tenant_id) AND id < 4;
SELECT count(*) FROM gov WHERE leak(id || '/' || tenant_id) AND id < 4;
ROLLBACK;

-- ==== COPY ================================================================
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
COPY free (id, tenant_id, note) FROM STDIN;
60	1	x
61	2	y
\.
COPY gov (id, tenant_id, note) FROM STDIN;
60	1	x
61	2	my secret
\.
ROLLBACK TO s;
COPY gov (id, tenant_id, note) FROM STDIN;
60	1	x
61	1	\N
\.
COPY gov (tenant_id, id) FROM STDIN (FORMAT csv, HEADER);
tenant_id,id
1,62
"1",63
\.
COPY gov (id, tenant_id) FROM STDIN WHERE tenant_id = 1 AND id <> 65;
64	1
65	1
66	2
\.
COPY gov (id) FROM STDIN;
67
\.
ROLLBACK TO s;
COPY gov FROM STDIN (FORMAT csv, DELIMITER ';', NULL 'none');
68;1;none
\.
COPY gov FROM STDIN;
69	one	x
\.
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN WHERE twice = 2;
\.
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN WHERE tableoid > 0;
\.
ROLLBACK TO s;
COPY gov (id, nosuch) FROM STDIN;
\.
ROLLBACK TO s;
COPY free (id, tenant_id) TO STDOUT;
COPY gov (id, tenant_id) TO STDOUT;
COPY (SELECT id, tenant_id FROM gov ORDER BY id) TO STDOUT;
-- without privileges of COPY there is none, governed or not
RESET ROLE;
REVOKE INSERT ON gov FROM isolation_svc;
SET ROLE isolation_svc;
COPY gov (id, tenant_id) FROM STDIN;
\.
ROLLBACK;
-- without a tenant nothing comes in, and nothing goes out
COPY gov (id, tenant_id) FROM STDIN;
60	1
\.
COPY gov (id, tenant_id) TO STDOUT;
-- in a read-only transaction
BEGIN READ ONLY;
SELECT steward.set_tenant(1);
COPY gov (id, tenant_id) FROM STDIN;
\.
ROLLBACK;

-- ==== views ===============================================================
RESET ROLE;
CREATE VIEW free_view AS SELECT * FROM free;
CREATE VIEW definer_view AS SELECT * FROM gov;
CREATE VIEW invoker_view WITH (security_invoker) AS SELECT * FROM gov;
CREATE VIEW owners_view AS SELECT * FROM gov;
ALTER VIEW owners_view OWNER TO isolation_owner;
GRANT ALL ON free_view, definer_view, invoker_view, owners_view TO isolation_svc;
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
SELECT count(*) FROM free_view;
-- a superuser's view reads with his rights: steward.check() reports it
SELECT count(*) FROM definer_view;
SELECT count(*) FROM invoker_view;
-- the owner of the table is bound by FORCE ROW LEVEL SECURITY
SELECT count(*) FROM owners_view;
-- nothing is written through any of them
INSERT INTO free_view (id, tenant_id) VALUES (70, 2);
INSERT INTO definer_view (id, tenant_id) VALUES (70, 2);
ROLLBACK TO s;
UPDATE definer_view SET note = 'b' WHERE id = 1;
ROLLBACK TO s;
DELETE FROM definer_view WHERE id = 1;
ROLLBACK TO s;
INSERT INTO invoker_view (id, tenant_id) VALUES (70, 2);
ROLLBACK TO s;
UPDATE invoker_view SET note = 'b' RETURNING id;
ROLLBACK TO s;
UPDATE owners_view SET note = 'b' WHERE id = 1;
ROLLBACK;
RESET ROLE;
SELECT rule, object FROM steward.check() WHERE object ~ '^isolation_s\..*view' ORDER BY object;
DROP VIEW free_view, definer_view, invoker_view, owners_view;

-- ==== a SECURITY DEFINER function of the table's owner, of a superuser ====
CREATE FUNCTION as_super(statement text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
$$ DECLARE n bigint; BEGIN EXECUTE statement; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
CREATE FUNCTION as_owner(statement text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
$$ DECLARE n bigint; BEGIN EXECUTE statement; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
ALTER FUNCTION as_owner OWNER TO isolation_owner;
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
SELECT as_super('UPDATE free SET note = note WHERE tenant_id = 2'), as_owner('UPDATE free SET note = note WHERE tenant_id = 2');
SELECT as_super('UPDATE gov SET note = note WHERE tenant_id = 2');
ROLLBACK TO s;
SELECT as_owner('SELECT * FROM gov');
SELECT as_owner('UPDATE gov SET note = note WHERE tenant_id = 2');
ROLLBACK;

-- ==== triggers that rewrite the row after others have seen it =============
RESET ROLE;
CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.tenant_id := 2; RETURN NEW; END $$;
CREATE TRIGGER zz_last BEFORE INSERT OR UPDATE ON free FOR EACH ROW EXECUTE FUNCTION rewrite();
CREATE TRIGGER zz_last BEFORE INSERT OR UPDATE ON gov FOR EACH ROW EXECUTE FUNCTION rewrite();
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
INSERT INTO free VALUES (80, 1) RETURNING id, tenant_id;
INSERT INTO gov VALUES (80, 1);
ROLLBACK TO s;
UPDATE gov SET note = 'b' WHERE id = 2;
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN;
80	1
\.
ROLLBACK;
RESET ROLE;
DROP TRIGGER zz_last ON free;
DROP TRIGGER zz_last ON gov;

-- ==== foreign keys: a cascade reaches rows of another tenant ==============
SET ROLE isolation_owner;
CREATE TABLE free_parent (id int PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE free_child (id int PRIMARY KEY, tenant_id int, parent_id int REFERENCES free_parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE gov_parent (id int PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE gov_child (id int PRIMARY KEY, tenant_id int, parent_id int REFERENCES gov_parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE gov_null (id int PRIMARY KEY, tenant_id int, parent_id int REFERENCES gov_parent ON DELETE SET NULL);
INSERT INTO free_parent VALUES (1, 1), (2, 1), (3, 1);
INSERT INTO gov_parent VALUES (1, 1), (2, 1), (3, 1);
INSERT INTO free_child VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO gov_child VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO gov_null VALUES (3, 2, 3);
GRANT ALL ON free_parent, free_child TO isolation_svc;
RESET ROLE;
SELECT steward.govern('isolation_s.gov_parent', owner => 'isolation', name => 'isolation_gov_parent'),
       steward.govern('isolation_s.gov_child', owner => 'isolation', name => 'isolation_gov_child'),
       steward.govern('isolation_s.gov_null', owner => 'isolation', name => 'isolation_gov_null');
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
-- one's own child goes with its parent
DELETE FROM gov_parent WHERE id = 1;
SELECT count(*) FROM gov_child WHERE id = 1;
ROLLBACK TO s;
DELETE FROM free_parent WHERE id = 2;
RESET ROLE;
SELECT count(*) AS free_children FROM free_child WHERE tenant_id = 2;
SET ROLE isolation_svc;
ROLLBACK TO s;
DELETE FROM gov_parent WHERE id = 2;
ROLLBACK TO s;
UPDATE gov_parent SET id = 20 WHERE id = 2;
ROLLBACK TO s;
DELETE FROM gov_parent WHERE id = 3;
ROLLBACK TO s;
-- cross-tenant members cascade across tenants
SET ROLE isolation_worker;
DELETE FROM gov_parent WHERE id IN (2, 3);
SELECT (SELECT count(*) FROM gov_child WHERE id = 2) AS children, (SELECT count(*) FROM gov_null WHERE parent_id IS NULL) AS nulls;
ROLLBACK;

-- ==== partitions ==========================================================
RESET ROLE;
SET ROLE isolation_owner;
CREATE TABLE free_part (id int, tenant_id int, note text) PARTITION BY RANGE (id);
CREATE TABLE free_part_1 PARTITION OF free_part FOR VALUES FROM (0) TO (100);
CREATE TABLE gov_part (id int, tenant_id int, note text) PARTITION BY RANGE (id);
CREATE TABLE gov_part_1 PARTITION OF gov_part FOR VALUES FROM (0) TO (100);
INSERT INTO free_part SELECT i, i % 2 + 1 FROM generate_series(1, 4) i;
INSERT INTO gov_part SELECT i, i % 2 + 1 FROM generate_series(1, 4) i;
GRANT ALL ON free_part, free_part_1, gov_part_1 TO isolation_svc;
RESET ROLE;
SELECT steward.govern('isolation_s.gov_part', owner => 'isolation', name => 'isolation_gov_part');
-- created later, by another role, and granted
SET ROLE isolation_owner;
CREATE TABLE gov_part_2 PARTITION OF gov_part FOR VALUES FROM (100) TO (200);
GRANT ALL ON gov_part_2 TO isolation_svc;
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
INSERT INTO free_part_1 VALUES (5, 2);
INSERT INTO gov_part_1 VALUES (5, 2);
ROLLBACK TO s;
INSERT INTO gov_part VALUES (5, 2);
ROLLBACK TO s;
INSERT INTO gov_part_2 VALUES (105, 2);
ROLLBACK TO s;
INSERT INTO gov_part_2 VALUES (105, 1);
SELECT count(*) FROM free_part_1;
SELECT count(*) FROM gov_part_1;
UPDATE gov_part_1 SET note = 'b' RETURNING id, tenant_id;
DELETE FROM gov_part_1 RETURNING id, tenant_id;
ROLLBACK TO s;
-- a row that moves to another partition, and to another tenant
UPDATE gov_part SET id = 150 WHERE id = 2 RETURNING id, tenant_id, tableoid::regclass;
UPDATE gov_part SET id = 151, tenant_id = 2 WHERE id = 150;
ROLLBACK TO s;
COPY gov_part_1 (id, tenant_id) FROM STDIN;
6	2
\.
ROLLBACK TO s;
COPY gov_part (id, tenant_id) FROM STDIN;
6	1
106	1
107	2
\.
ROLLBACK;
-- ATTACH of a table that holds another tenant's rows
SET ROLE isolation_owner;
CREATE TABLE free_foreign (id int, tenant_id int, note text);
CREATE TABLE gov_foreign (id int, tenant_id int, note text);
INSERT INTO free_foreign VALUES (201, 2);
INSERT INTO gov_foreign VALUES (201, 2);
ALTER TABLE free_part ATTACH PARTITION free_foreign FOR VALUES FROM (200) TO (300);
\set VERBOSITY default
ALTER TABLE gov_part ATTACH PARTITION gov_foreign FOR VALUES FROM (200) TO (300);
\set VERBOSITY terse

-- ==== session_replication_role = replica ==================================
RESET ROLE;
GRANT SET ON PARAMETER session_replication_role TO isolation_svc;
SET ROLE isolation_svc;
SET session_replication_role = replica;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
INSERT INTO free VALUES (90, 2);
INSERT INTO gov VALUES (90, 2);
ROLLBACK TO s;
RESET ROLE;
SAVEPOINT s;
UPDATE gov SET note = 'b' WHERE tenant_id = 2;
ROLLBACK TO s;
DELETE FROM gov WHERE tenant_id = 2;
ROLLBACK;
RESET session_replication_role;
RESET ROLE;
REVOKE SET ON PARAMETER session_replication_role FROM isolation_svc;

-- ==== plan-time constants: the planner must not prove the rule away =======
SET ROLE isolation_svc;
SET constraint_exclusion = on;
BEGIN;
SELECT steward.set_tenant(1);
SELECT count(*) FROM gov WHERE tenant_id = 2 OR true;
SELECT count(*) FROM gov WHERE tenant_id = 1;
SELECT count(*) FROM gov WHERE tenant_id IS NULL;
SELECT count(*) FROM gov WHERE NOT steward.in_tenant(tenant_id);
COMMIT;
RESET constraint_exclusion;
SET row_security = off;
SELECT count(*) FROM gov;
SET row_security = on;

-- ==== the table's owner, a superuser, BYPASSRLS ===========================
SET ROLE isolation_owner;
SELECT count(*) FROM free;
SELECT count(*) FROM gov;
BEGIN;
SELECT steward.set_tenant(1);
-- he may ask (the table is his), and sees nothing: the policy is the service's
SELECT count(*) FROM gov;
ROLLBACK;
INSERT INTO gov VALUES (91, 2);
UPDATE gov SET note = 'b';
DELETE FROM gov;
RESET ROLE;
-- a superuser reads everything and writes nothing
SELECT count(*) FROM free;
SELECT count(*) FROM gov;
INSERT INTO gov VALUES (91, 2);
UPDATE gov SET note = 'b' WHERE id = 1;
DELETE FROM gov WHERE id = 1;
CREATE ROLE isolation_bypass BYPASSRLS;
GRANT isolation_svc TO isolation_bypass;
SET ROLE isolation_bypass;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
SELECT count(*) FROM gov;
UPDATE gov SET note = 'b' WHERE tenant_id = 2;
ROLLBACK TO s;
DELETE FROM gov WHERE tenant_id = 2;
ROLLBACK TO s;
INSERT INTO gov VALUES (92, 2);
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN;
92	2
\.
ROLLBACK;

-- ==== TRUNCATE ============================================================
RESET ROLE;
GRANT TRUNCATE ON gov, gov_part, gov_part_1 TO isolation_svc;
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant(1);
SAVEPOINT s;
TRUNCATE free;
SELECT count(*) FROM free;
\set VERBOSITY default
TRUNCATE gov;
\set VERBOSITY terse
ROLLBACK TO s;
TRUNCATE gov_part;
ROLLBACK TO s;
TRUNCATE gov_part_1;
ROLLBACK;
SET ROLE isolation_owner;
TRUNCATE gov_part_1;
RESET ROLE;
TRUNCATE gov;

-- ==== members of steward_cross_tenant =====================================
SET ROLE isolation_worker;
SELECT count(*) FROM gov;
BEGIN;
UPDATE gov SET note = 'b' RETURNING id;
INSERT INTO gov VALUES (93, 7) RETURNING tenant_id;
UPDATE gov SET tenant_id = 8 WHERE id = 93 RETURNING tenant_id;
SAVEPOINT s;
UPDATE gov SET tenant_id = NULL WHERE id = 93;
ROLLBACK TO s;
COPY gov (id, tenant_id) FROM STDIN;
94	7
95	8
\.
DELETE FROM gov WHERE tenant_id > 6 RETURNING id;
-- the context that is set does not narrow what he sees
SELECT steward.set_tenant(1);
SELECT count(*) FROM gov;
ROLLBACK;
-- through SET ROLE to the service he is bound again
SET ROLE isolation_svc;
SELECT count(*) FROM gov;

-- ==== a pipeline with steward_cross_tenant migrates rows of every tenant ===
SET ROLE isolation_migrator;
BEGIN;
SELECT count(*) FROM gov;
UPDATE gov SET note = 'migrated';
ALTER TABLE gov ADD COLUMN extra int DEFAULT 1;
UPDATE gov SET extra = tenant_id;
SELECT count(*), sum(extra) FROM gov WHERE note = 'migrated';
ROLLBACK;
-- a pipeline without it does not
CREATE TEMP TABLE isolation_none ();
RESET ROLE;
CREATE ROLE isolation_pipeline IN ROLE steward_pipeline, isolation_owner;
SET ROLE isolation_pipeline;
SELECT count(*) FROM gov;
UPDATE gov SET note = 'migrated';
RESET ROLE;

-- ==== a row from before the table was governed, without a tenant ==========
CREATE TABLE old (id int, tenant_id text);
INSERT INTO old VALUES (1, NULL), (2, 'a');
SELECT steward.govern('isolation_s.old', owner => 'isolation', name => 'isolation_old');
SET ROLE isolation_svc;
BEGIN;
SELECT steward.set_tenant('a');
SELECT id FROM old;
UPDATE old SET tenant_id = 'a' RETURNING id;
ROLLBACK;
SET ROLE isolation_worker;
SELECT id FROM old ORDER BY id;
UPDATE old SET tenant_id = 'b' WHERE tenant_id IS NULL RETURNING id;
RESET ROLE;

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'isolation%' ORDER BY name;
SELECT steward.drop_service('isolation');
DROP TABLE isolation_none;
DROP SCHEMA isolation_s CASCADE;
DROP OWNED BY isolation_svc, isolation_owner, isolation_worker, isolation_migrator, isolation_bypass, isolation_pipeline;
DROP ROLE isolation_svc, isolation_owner, isolation_worker, isolation_migrator, isolation_bypass, isolation_pipeline;
