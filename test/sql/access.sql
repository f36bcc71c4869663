--
-- Single ownership: who reads and who writes a store at all
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE access_a;           -- the owner's role
CREATE ROLE access_a_app;       -- a member of it
CREATE ROLE access_b;           -- another service
CREATE ROLE access_table_owner;
CREATE ROLE access_reader;      -- pg_read_all_data and pg_write_all_data
CREATE ROLE access_stranger;
CREATE ROLE access_migrator;
CREATE ROLE access_super SUPERUSER;
GRANT access_a TO access_a_app;
GRANT pg_read_all_data, pg_write_all_data TO access_reader;
GRANT steward_pipeline, steward_cross_tenant TO access_migrator;
CREATE SCHEMA access_s;
GRANT USAGE ON SCHEMA access_s TO PUBLIC;
GRANT CREATE ON SCHEMA access_s TO access_table_owner;
SET search_path = access_s;
SELECT steward.create_service('Access A', role => 'access_a'), steward.create_service('Access B', role => 'access_b');

-- Twins: every role has every privilege on both, and one is governed
SET ROLE access_table_owner;
CREATE TABLE free (id int PRIMARY KEY, note text);
CREATE TABLE own (id int PRIMARY KEY, note text);        -- service scope
CREATE TABLE shared (id int PRIMARY KEY, note text);     -- global scope
CREATE TABLE rows (id int PRIMARY KEY, service text, note text);  -- each service its own rows
CREATE TABLE nobodys (id int PRIMARY KEY, note text);    -- a store without an owner
INSERT INTO free VALUES (1, 'a'), (2, 'a');
INSERT INTO own VALUES (1, 'a'), (2, 'a');
INSERT INTO shared VALUES (1, 'a'), (2, 'a');
INSERT INTO rows VALUES (1, 'Access A', 'a'), (2, 'Access B', 'a');
INSERT INTO nobodys VALUES (1, 'a');
GRANT ALL ON ALL TABLES IN SCHEMA access_s TO access_a, access_b, access_stranger, access_migrator;
RESET ROLE;
SELECT steward.govern('access_s.own', owner => 'Access A', scope => 'service', name => 'access_own'),
       steward.govern('access_s.shared', owner => 'Access A', scope => 'global', name => 'access_shared'),
       steward.govern('access_s.rows', owner => 'Access A', scope => 'service', row_owner => 'service', name => 'access_rows'),
       steward.govern('access_s.nobodys', scope => 'service', name => 'access_nobodys');

-- what a refusal says
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
SET ROLE access_b;
SELECT * FROM refusal('SELECT * FROM own');
SELECT * FROM refusal('INSERT INTO own VALUES (9, ''my secret'')');
SELECT * FROM refusal('INSERT INTO rows VALUES (9, ''Access A'', ''my secret'')');
RESET ROLE;

-- the matrix: what each role can do with each table
CREATE FUNCTION can(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        RAISE division_by_zero;         -- undo it
    EXCEPTION
        WHEN division_by_zero THEN RETURN 'yes';
        WHEN insufficient_privilege THEN RETURN 'no';
    END;
END $$;
CREATE FUNCTION can_do(rel text) RETURNS TABLE (who name, "select" text, "for update" text, "insert" text, "update" text, "delete" text,
                                   "conflict" text, "merge" text, cte text, "truncate" text) LANGUAGE sql VOLATILE AS $$
    SELECT current_user,
           can(format('SELECT * FROM access_s.%I', rel)),
           can(format('SELECT * FROM access_s.%I FOR UPDATE', rel)),
           can(format('INSERT INTO access_s.%I (id) VALUES (9)', rel)),
           can(format('UPDATE access_s.%I SET note = ''b''', rel)),
           can(format('DELETE FROM access_s.%I', rel)),
           can(format('INSERT INTO access_s.%I (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = ''b''', rel)),
           can(format('MERGE INTO access_s.%I x USING (VALUES (1)) v (id) ON x.id = v.id WHEN MATCHED THEN UPDATE SET note = ''b''', rel)),
           can(format('WITH w AS (DELETE FROM access_s.%I RETURNING id) SELECT * FROM w', rel)),
           can(format('TRUNCATE access_s.%I', rel))
$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA access_s TO PUBLIC;
\pset tuples_only on
\pset format unaligned
\echo who|select|for update|insert|update|delete|conflict|merge|cte|truncate
SET ROLE access_a_app; \echo ---- a member of the role that owns
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_b; \echo ---- another service
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_stranger; \echo ---- a role of no service
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_table_owner; \echo ---- the owner of the tables
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_reader; \echo ---- pg_read_all_data and pg_write_all_data
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_super; \echo ---- a superuser
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
SET ROLE access_migrator; \echo ---- a pipeline with steward_cross_tenant
SELECT can_do('free'); SELECT can_do('own'); SELECT can_do('shared'); SELECT can_do('nobodys');
\pset tuples_only off
\pset format aligned
\set VERBOSITY terse

-- ==== COPY, LOCK, views, TABLE, subqueries ================================
SET ROLE access_b;
COPY free TO STDOUT;
COPY own TO STDOUT;
COPY (SELECT * FROM own) TO STDOUT;
COPY (DELETE FROM free WHERE false RETURNING id) TO STDOUT;
COPY (DELETE FROM own WHERE false RETURNING id) TO STDOUT;
COPY shared TO STDOUT;
COPY free FROM STDIN;
3	x
\.
COPY own FROM STDIN;
\.
COPY shared FROM STDIN;
\.
TABLE own;
SELECT (SELECT note FROM own LIMIT 1);
SELECT 1 WHERE EXISTS (SELECT FROM own);
EXPLAIN (COSTS OFF) SELECT * FROM own;
CREATE TEMP TABLE access_taken AS SELECT * FROM own;
RESET ROLE;
CREATE VIEW free_view AS SELECT * FROM free;
CREATE VIEW own_view AS SELECT * FROM own;
CREATE VIEW own_invoker WITH (security_invoker) AS SELECT * FROM own;
GRANT ALL ON free_view, own_view, own_invoker TO access_b, access_a;
SET ROLE access_b;
SELECT count(*) FROM free_view;
SELECT count(*) FROM own_view;
SELECT count(*) FROM own_invoker;
INSERT INTO free_view VALUES (4);
INSERT INTO own_view VALUES (4);
UPDATE own_view SET note = 'b';
DELETE FROM own_view;
SET ROLE access_a_app;
SELECT count(*) FROM own_view;
INSERT INTO own_view VALUES (4);
DELETE FROM own_view WHERE id = 4;
RESET ROLE;

-- ==== without its triggers: the hooks hold, and check() says so ===========
SET ROLE access_table_owner;
ALTER TABLE own DISABLE TRIGGER ALL;
UPDATE own SET note = 'b';
DELETE FROM own;
TRUNCATE own;
COPY own FROM STDIN;
\.
RESET ROLE;
UPDATE own SET note = 'b';
SELECT rule, object FROM steward.check() WHERE object = 'access_s.own';
SELECT count(*) FROM steward.apply(steward.manifest());

-- ==== SECURITY DEFINER: a function acts as its owner ======================
CREATE FUNCTION api(i int) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = access_s AS
$$ UPDATE own SET note = 'by api' WHERE id = i RETURNING note $$;
CREATE FUNCTION theirs(i int) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = access_s AS
$$ UPDATE own SET note = 'stolen' WHERE id = i RETURNING note $$;
ALTER FUNCTION api OWNER TO access_a;
ALTER FUNCTION theirs OWNER TO access_b;
SET ROLE access_stranger;
SELECT api(1);
SELECT theirs(1);
RESET ROLE;
SELECT theirs(1);

-- ==== plans: nothing of the role is in them ===============================
PREPARE read_own AS SELECT count(*) FROM own;
PREPARE write_own (int) AS UPDATE own SET note = 'prepared' WHERE id = $1 RETURNING id;
SET plan_cache_mode = force_generic_plan;
SET ROLE access_a_app;
EXECUTE read_own;
EXECUTE write_own (1);
SET ROLE access_b;
EXECUTE read_own;
EXECUTE write_own (1);
SET ROLE access_a_app;
EXECUTE read_own;
SET plan_cache_mode = force_custom_plan;
EXECUTE write_own (1);
SET ROLE access_b;
EXECUTE read_own;
EXECUTE write_own (1);
RESET plan_cache_mode;
RESET ROLE;
DEALLOCATE ALL;
-- membership is looked up again when it changes
SET ROLE access_b;
SELECT count(*) FROM own;
RESET ROLE;
GRANT access_a TO access_b;
SET ROLE access_b;
SELECT count(*) FROM own;
RESET ROLE;
REVOKE access_a FROM access_b;
SET ROLE access_b;
SELECT count(*) FROM own;
RESET ROLE;
-- and so is the map
SELECT steward.govern('access_s.own', owner => 'Access B');
SET ROLE access_b;
SELECT count(*) FROM own;
SET ROLE access_a_app;
SELECT count(*) FROM own;
RESET ROLE;
SELECT steward.govern('access_s.own', owner => 'Access A');
-- a cursor that was opened by the owner goes on under another role: it is his
BEGIN;
SET LOCAL ROLE access_a_app;
DECLARE c CURSOR FOR SELECT id FROM own ORDER BY id;
SET LOCAL ROLE access_b;
FETCH 1 FROM c;
COMMIT;

-- ==== referential integrity between stores of two owners ==================
SET ROLE access_table_owner;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (1, 1);
GRANT SELECT, REFERENCES ON parent TO access_b;
RESET ROLE;
SELECT steward.govern('access_s.parent', owner => 'Access A', scope => 'service', name => 'access_parent'),
       steward.govern('access_s.child', owner => 'Access B', scope => 'service', name => 'access_child');
-- a check of the key needs no right to the parent: it is the table owner's
SET ROLE access_b;
SELECT count(*) FROM parent;
INSERT INTO child VALUES (2, 2);
INSERT INTO child VALUES (3, 3);
UPDATE child SET parent = 1 WHERE id = 2;
-- a cascade is the act of the statement that caused it: A may not delete B's
SET ROLE access_a;
DELETE FROM parent WHERE id = 1;
DELETE FROM parent WHERE id = 2;
-- nor the table's owner, nor a superuser
RESET ROLE;
DELETE FROM parent;
SET ROLE access_table_owner;
DELETE FROM parent;
RESET ROLE;
-- both of one owner: the cascade is his too
SELECT steward.govern('access_s.child', owner => 'Access A');
SET ROLE access_a_app;
INSERT INTO parent VALUES (5);
INSERT INTO child VALUES (5, 5), (6, 5);
DELETE FROM parent WHERE id = 5;
SELECT id FROM child ORDER BY id;
-- deferred to the end of the transaction
RESET ROLE;
ALTER TABLE child ALTER CONSTRAINT child_parent_fkey DEFERRABLE INITIALLY DEFERRED;
SELECT steward.govern('access_s.child', owner => 'Access B');
SET ROLE access_b;
BEGIN;
INSERT INTO child VALUES (7, 70);
SET ROLE access_a;
INSERT INTO parent VALUES (70);
COMMIT;
RESET ROLE;
-- a trigger in a cascade is still the act of the statement
CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE access_s.own SET note = 'stolen'; RETURN OLD; END $$;
SELECT steward.govern('access_s.parent', owner => 'Access B');
CREATE TRIGGER steal BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION steal();
SET ROLE access_b;
DELETE FROM parent WHERE id = 70;
RESET ROLE;
DROP TRIGGER steal ON child;
SET ROLE access_b;
DELETE FROM parent WHERE id = 70;
SELECT count(*) FROM child WHERE id = 7;
RESET ROLE;

-- ==== rules and triggers that redirect ====================================
CREATE RULE redirect AS ON INSERT TO free DO INSTEAD INSERT INTO own VALUES (NEW.id, NEW.note);
SET ROLE access_b;
INSERT INTO free VALUES (8, 'through a rule');
SET ROLE access_a;
INSERT INTO free VALUES (8, 'through a rule');
RESET ROLE;
DROP RULE redirect ON free;
SELECT id, note FROM own ORDER BY id;

-- ==== row_owner: each service its own rows in a shared store ==============
SET ROLE access_b;
SELECT id, service FROM rows ORDER BY id;
INSERT INTO rows VALUES (10, 'Access B', 'mine');
INSERT INTO rows VALUES (11, 'Access A', 'in another''s name');
INSERT INTO rows VALUES (11, 'access b', 'no such service');
INSERT INTO rows VALUES (11, 'Access', 'a part of a name');
INSERT INTO rows VALUES (11, '', 'none');
INSERT INTO rows VALUES (11, NULL, 'none');
UPDATE rows SET note = 'b' WHERE id = 10 RETURNING id;
UPDATE rows SET note = 'b' WHERE id = 1;
UPDATE rows SET service = 'Access B' WHERE id = 1;
UPDATE rows SET service = 'Access A' WHERE id = 10;
UPDATE rows SET note = 'all of them';
DELETE FROM rows WHERE id = 1;
DELETE FROM rows WHERE id = 10 RETURNING id;
INSERT INTO rows VALUES (1, 'Access B') ON CONFLICT (id) DO UPDATE SET note = 'b';
INSERT INTO rows VALUES (1, 'Access B') ON CONFLICT (id) DO UPDATE SET service = excluded.service;
MERGE INTO rows r USING (VALUES (1)) v (id) ON r.id = v.id WHEN MATCHED THEN DELETE;
MERGE INTO rows r USING (VALUES (12)) v (id) ON r.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'Access A');
COPY rows FROM STDIN;
13	Access A	x
\.
COPY rows FROM STDIN;
13	Access B	x
\.
-- the owner of the store writes its own rows too, and no others
SET ROLE access_a_app;
INSERT INTO rows VALUES (14, 'Access A');
UPDATE rows SET note = 'b' WHERE id = 2;
DELETE FROM rows WHERE id = 2;
INSERT INTO rows VALUES (15, 'Access B');
-- TRUNCATE would take the rows of every service
\set VERBOSITY default
TRUNCATE rows;
\set VERBOSITY terse
SET ROLE access_b;
TRUNCATE rows;
SET ROLE access_migrator;
BEGIN;
TRUNCATE rows;
ROLLBACK;
-- others do not write at all
SET ROLE access_stranger;
SELECT count(*) FROM rows;
INSERT INTO rows VALUES (16, 'Access B');
SET ROLE access_table_owner;
INSERT INTO rows VALUES (16, 'Access B');
RESET ROLE;
INSERT INTO rows VALUES (16, 'Access B');
UPDATE rows SET note = 'b';
SET ROLE access_migrator;
UPDATE rows SET note = 'migrated' WHERE id IN (1, 2) RETURNING id;
RESET ROLE;
SELECT * FROM rows ORDER BY id;

-- ==== row_owner and tenant together =======================================
CREATE TABLE doubly (id int, tenant_id text, service text);
SELECT steward.govern('access_s.doubly', owner => 'Access A', row_owner => 'service', name => 'access_doubly');
GRANT SELECT, INSERT, UPDATE, DELETE ON doubly TO access_b;
SET ROLE access_b;
INSERT INTO doubly VALUES (1, 't1', 'Access B');
BEGIN;
SELECT steward.set_tenant('t1');
SAVEPOINT s;
INSERT INTO doubly VALUES (1, 't1', 'Access B'), (2, 't1', 'Access B');
INSERT INTO doubly VALUES (3, 't2', 'Access B');
ROLLBACK TO s;
INSERT INTO doubly VALUES (3, 't1', 'Access A');
ROLLBACK TO s;
INSERT INTO doubly VALUES (1, 't1', 'Access B');
COMMIT;
SET ROLE access_a;
BEGIN;
SELECT steward.set_tenant('t1');
SELECT * FROM doubly;
DELETE FROM doubly;
ROLLBACK;
RESET ROLE;

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'access%' ORDER BY name;
SELECT steward.drop_service('Access A'), steward.drop_service('Access B');
DROP SCHEMA access_s CASCADE;
DROP OWNED BY access_a, access_a_app, access_b, access_table_owner, access_reader, access_stranger, access_migrator, access_super;
DROP ROLE access_a, access_a_app, access_b, access_table_owner, access_reader, access_stranger, access_migrator, access_super;
