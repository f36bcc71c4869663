--
-- The tenant context: how long it holds, who sees it, and what cannot forge it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE tenant_svc;
CREATE SCHEMA tenant_s;
GRANT USAGE, CREATE ON SCHEMA tenant_s TO tenant_svc;
SET search_path = tenant_s;

-- three tables, one of each family of types
CREATE TABLE u (id int, tenant_id uuid, note text);
CREATE TABLE t (id int, tenant_id text, note text);
CREATE TABLE b (id int, tenant_id bigint, note text);
INSERT INTO u SELECT i, format('00000000-0000-0000-0000-%s', lpad((i % 2 + 1)::text, 12, '0'))::uuid FROM generate_series(1, 10) i;
INSERT INTO t SELECT i, 'tenant ' || (i % 2 + 1) FROM generate_series(1, 10) i;
INSERT INTO b SELECT i, i % 2 + 1 FROM generate_series(1, 10) i;
SELECT steward.create_service('tenant-svc', role => 'tenant_svc');
SELECT steward.govern('tenant_s.u', owner => 'tenant-svc', name => 'tenant_u');
SELECT steward.govern('tenant_s.t', owner => 'tenant-svc', name => 'tenant_t');
SELECT steward.govern('tenant_s.b', owner => 'tenant-svc', name => 'tenant_b');

SET ROLE tenant_svc;

-- none set
SELECT steward.tenant() IS NULL AS none, steward.tenant_id_text() IS NULL AS text_none,
       steward.tenant_id_uuid() IS NULL AS uuid_none, steward.tenant_id_bigint() IS NULL AS bigint_none;
SELECT count(*) FROM u;
INSERT INTO u VALUES (99, '00000000-0000-0000-0000-000000000001');

-- a statement of its own is a transaction of its own
SELECT steward.set_tenant('tenant 1');
SELECT steward.tenant();

-- to the end of the transaction, commit or not
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001'::uuid);
SELECT steward.tenant(), steward.tenant_id_uuid(), pg_typeof(steward.tenant_id_uuid());
SELECT count(*) FROM u;
COMMIT;
SELECT steward.tenant(), (SELECT count(*) FROM u) AS rows;
BEGIN;
SELECT steward.set_tenant(2::bigint);
SELECT steward.tenant(), steward.tenant_id_bigint(), pg_typeof(steward.tenant_id_bigint());
SELECT count(*) FROM b;
ROLLBACK;
SELECT steward.tenant(), (SELECT count(*) FROM b) AS rows;

-- the types of literals: unknown is text, an integer is bigint
BEGIN;
SELECT steward.set_tenant('tenant 1'), steward.set_tenant(7), steward.set_tenant('tenant 2'::varchar);
SELECT steward.tenant();
-- the same transaction may act for one tenant after the other
SELECT count(*), min(tenant_id), max(tenant_id) FROM t;
SELECT steward.set_tenant('tenant 1');
SELECT count(*), min(tenant_id), max(tenant_id) FROM t;
-- and for none
SELECT steward.set_tenant(NULL::text);
SELECT steward.tenant() IS NULL AS none, count(*) FROM t;
SELECT steward.set_tenant('tenant 1');
SELECT steward.set_tenant(NULL::uuid), steward.tenant();
SELECT steward.set_tenant('tenant 1');
SELECT steward.set_tenant(NULL::bigint), steward.tenant();
COMMIT;

-- one transaction and several statements in one message
SELECT steward.set_tenant('tenant 1') \; SELECT count(*) FROM t;

-- savepoints
BEGIN;
SELECT steward.set_tenant('tenant 1');
SAVEPOINT s1;
SELECT steward.set_tenant('tenant 2');
SELECT count(*) FILTER (WHERE tenant_id = 'tenant 2') AS two, count(*) FROM t;
ROLLBACK TO s1;
SELECT steward.tenant();
SELECT count(*) FILTER (WHERE tenant_id = 'tenant 1') AS one, count(*) FROM t;
SAVEPOINT s2;
SELECT steward.set_tenant('tenant 2');
RELEASE s2;
SELECT steward.tenant();
ROLLBACK TO s1;
SELECT steward.tenant();
COMMIT;
SELECT steward.tenant();
BEGIN;
SAVEPOINT s1;
SELECT steward.set_tenant('tenant 1');
ROLLBACK TO s1;
SELECT steward.tenant() IS NULL AS none, (SELECT count(*) FROM t) AS rows;
COMMIT;

-- refused values
BEGIN;
SELECT steward.set_tenant('tenant 1');
SAVEPOINT s;
SELECT steward.set_tenant('');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT steward.set_tenant(repeat('x', 256));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT steward.tenant();
SELECT length(steward.set_tenant(repeat('x', 255)));
SELECT length(steward.tenant()), length(steward.tenant_id_text());
-- not of the table's type: neither read nor written
SELECT steward.set_tenant('tenant 1');
SAVEPOINT s;
\set SHOW_CONTEXT always
SELECT count(*) FROM u;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
\set SHOW_CONTEXT never
SELECT count(*) FROM b;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO u VALUES (99, '00000000-0000-0000-0000-000000000001');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO b VALUES (99, 1);
ROLLBACK TO s;
-- a uuid in another spelling is the same tenant
SELECT steward.set_tenant('{00000000000000000000000000000001}');
SELECT count(*) FROM u;
-- text is compared by its bytes
SELECT steward.set_tenant('Tenant 1');
SELECT count(*) FROM t;
SELECT steward.set_tenant('tenant 1 ');
SELECT count(*) FROM t;
-- out of range for the column's type
SELECT steward.set_tenant('9223372036854775808');
SELECT count(*) FROM b;
ROLLBACK;

-- nested functions
CREATE FUNCTION set_in_plain() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM steward.set_tenant('tenant 2'); RETURN steward.tenant(); END $$;
CREATE FUNCTION set_in_path() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS
$$ BEGIN PERFORM steward.set_tenant('tenant 2'); RETURN steward.tenant(); END $$;
CREATE FUNCTION set_in_definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN PERFORM steward.set_tenant('tenant 2'); RETURN steward.tenant(); END $$;
CREATE FUNCTION set_in_exception() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN
    BEGIN PERFORM steward.set_tenant('tenant 2'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
    RETURN steward.tenant();
END $$;
CREATE FUNCTION set_in_block() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN
    BEGIN PERFORM steward.set_tenant('tenant 2'); EXCEPTION WHEN division_by_zero THEN NULL; END;
    RETURN steward.tenant();
END $$;
CREATE FUNCTION count_t() RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog AS
$$ SELECT count(*) FROM tenant_s.t $$;
BEGIN;
SELECT steward.set_tenant('tenant 1');
SELECT set_in_exception(), steward.tenant();
SELECT set_in_plain();
SELECT steward.tenant();
SELECT steward.set_tenant('tenant 1');
SELECT set_in_definer();
SELECT steward.tenant();
SELECT steward.set_tenant('tenant 1');
SELECT set_in_block();
SELECT steward.tenant();
SELECT steward.set_tenant('tenant 1');
-- a SET clause restores what it names itself, and no more
SELECT set_in_path();
SELECT steward.tenant();
SELECT steward.set_tenant('tenant 1'), count_t();
COMMIT;

-- forging
\set VERBOSITY terse
BEGIN;
SELECT steward.set_tenant('tenant 1');
SAVEPOINT s;
\set VERBOSITY default
SET steward.tenant = 'tenant 2';
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
ROLLBACK TO s;
SET LOCAL steward.tenant = 'tenant 2';
ROLLBACK TO s;
SET steward.tenant TO DEFAULT;
ROLLBACK TO s;
SELECT set_config('steward.tenant', 'tenant 2', true);
ROLLBACK TO s;
SELECT set_config('steward.tenant', NULL, false);
ROLLBACK TO s;
RESET steward.tenant;
ROLLBACK TO s;
UPDATE pg_settings SET setting = 'tenant 2' WHERE name = 'steward.tenant';
ROLLBACK TO s;
CREATE FUNCTION forge() RETURNS text LANGUAGE sql SET steward.tenant = 'tenant 2' AS 'SELECT steward.tenant()';
ROLLBACK TO s;
SET steward.other = 'x';
ROLLBACK TO s;
RESET ALL;
SELECT steward.tenant();
SET search_path = tenant_s;
-- what RESET ALL restores besides is put back for the rest of the file
RESET ROLE;
SELECT steward.tenant();
COMMIT;
SET client_min_messages = warning;
ALTER ROLE tenant_svc SET steward.tenant = 'tenant 2';
ALTER ROLE ALL SET steward.tenant = 'tenant 2';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET steward.tenant = ''tenant 2''', current_database()); END $$;
ALTER SYSTEM SET steward.tenant = 'tenant 2';
-- a superuser cannot either, nor give the right to
GRANT SET, ALTER SYSTEM ON PARAMETER steward.tenant TO tenant_svc;
SET ROLE tenant_svc;
SET steward.tenant = 'tenant 2';
ALTER SYSTEM SET steward.tenant = 'tenant 2';
RESET ROLE;
REVOKE ALL ON PARAMETER steward.tenant FROM tenant_svc;
SET steward.tenant = 'tenant 2';
SELECT set_config('steward.tenant', 'tenant 2', false);
SET SESSION AUTHORIZATION DEFAULT;
SELECT steward.tenant();
-- the setting shows the context, and that is all
BEGIN;
SELECT steward.set_tenant('tenant 1');
SELECT current_setting('steward.tenant');
SELECT setting, context, source FROM pg_settings WHERE name = 'steward.tenant';
SELECT count(*) FROM pg_file_settings WHERE name = 'steward.tenant';
COMMIT;
SELECT current_setting('steward.tenant') = '' AS empty;
-- DISCARD ALL outside a transaction has no context to discard
DISCARD ALL;
SET client_min_messages = warning;
SET search_path = tenant_s;
SELECT steward.tenant();
\set VERBOSITY default

-- parallel workers see it
CREATE TABLE big (id int, tenant_id uuid);
INSERT INTO big SELECT i, format('00000000-0000-0000-0000-%s', lpad((i % 4 + 1)::text, 12, '0'))::uuid FROM generate_series(1, 8000) i;
ALTER TABLE big SET (parallel_workers = 2);
SELECT steward.govern('tenant_s.big', owner => 'tenant-svc', name => 'tenant_big');
ANALYZE big;
CREATE FUNCTION workers() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    launched text := 'none';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*), min(id) FROM tenant_s.big' LOOP
        IF line ~ 'Workers Launched: [1-9]' THEN launched := 'some'; END IF;
    END LOOP;
    RETURN launched;
END $$;
SET ROLE tenant_svc;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_leader_participation = off;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000003');
SELECT workers();
SELECT count(*), min(id), count(DISTINCT tenant_id) FROM big;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000004');
SELECT count(*), min(id), count(DISTINCT tenant_id) FROM big;
SELECT steward.set_tenant(NULL::text);
SELECT count(*) FROM big;
COMMIT;

-- prepared statements: nothing of the context is in a plan
PREPARE rows_of (int) AS SELECT count(*), min(tenant_id) FROM t WHERE id > $1;
SET plan_cache_mode = force_generic_plan;
BEGIN;
SELECT steward.set_tenant('tenant 1');
EXECUTE rows_of (0);
SELECT steward.set_tenant('tenant 2');
EXECUTE rows_of (0);
COMMIT;
EXECUTE rows_of (0);
SET plan_cache_mode = force_custom_plan;
BEGIN;
SELECT steward.set_tenant('tenant 1');
EXECUTE rows_of (0);
SELECT steward.set_tenant('tenant 2');
EXECUTE rows_of (0);
COMMIT;
EXECUTE rows_of (0);
-- across SET ROLE: a superuser sees all, the service its tenant's
SET plan_cache_mode = force_generic_plan;
RESET ROLE;
EXECUTE rows_of (0);
SET ROLE tenant_svc;
EXECUTE rows_of (0);
BEGIN;
SELECT steward.set_tenant('tenant 1');
EXECUTE rows_of (0);
RESET ROLE;
EXECUTE rows_of (0);
SET ROLE tenant_svc;
EXECUTE rows_of (0);
COMMIT;
PREPARE bring (text) AS INSERT INTO t VALUES (50, $1) RETURNING tenant_id;
BEGIN;
SELECT steward.set_tenant('tenant 1');
EXECUTE bring ('tenant 1');
SELECT steward.set_tenant('tenant 2');
EXECUTE bring ('tenant 1');
ROLLBACK;
RESET plan_cache_mode;
DEALLOCATE ALL;

-- cursors
BEGIN;
SELECT steward.set_tenant('tenant 1');
DECLARE plain CURSOR FOR SELECT tenant_id, id FROM t ORDER BY id;
DECLARE held CURSOR WITH HOLD FOR SELECT tenant_id, id FROM t ORDER BY id;
FETCH 1 FROM plain;
SELECT steward.set_tenant('tenant 2');
FETCH 2 FROM plain;
COMMIT;
FETCH ALL FROM held;
SELECT steward.tenant() IS NULL AS none;
CLOSE held;
-- (its rows were read at COMMIT); a cursor that is declared and not begun reads
-- with what is set when it begins
BEGIN;
DECLARE late CURSOR FOR SELECT tenant_id, id FROM t ORDER BY id;
SELECT steward.set_tenant('tenant 1');
FETCH 1 FROM late;
COMMIT;

-- temporary tables and prepared plans carry rows out, never the context in
BEGIN;
SELECT steward.set_tenant('tenant 1');
SAVEPOINT s;
CREATE TEMP TABLE tenant_taken ON COMMIT DROP AS SELECT * FROM t;
SELECT steward.set_tenant('tenant 2');
INSERT INTO t SELECT * FROM tenant_taken;
ROLLBACK;
RESET ROLE;

-- two-phase commit ends the context; its second half does not bring it back
SELECT current_setting('max_prepared_transactions')::int > 0 AS two_phase \gset
\if :two_phase
SET ROLE tenant_svc;
BEGIN;
SELECT steward.set_tenant('tenant 1');
INSERT INTO t VALUES (60, 'tenant 1');
PREPARE TRANSACTION 'tenant_two_phase';
RESET ROLE;
SELECT steward.tenant() IS NULL AS none;
COMMIT PREPARED 'tenant_two_phase';
SELECT steward.tenant() IS NULL AS none;
SELECT id, tenant_id FROM t WHERE id = 60;
\else
\echo two-phase commit is off in this server
\endif

-- cleanup
SELECT steward.release('tenant_u'), steward.release('tenant_t'), steward.release('tenant_b'), steward.release('tenant_big');
SELECT steward.drop_service('tenant-svc');
DROP SCHEMA tenant_s CASCADE;
DROP OWNED BY tenant_svc;
DROP ROLE tenant_svc;
