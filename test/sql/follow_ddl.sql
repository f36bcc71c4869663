--
-- The map follows DDL: renames, drops, new partitions and children
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE ROLE follow_svc;
CREATE ROLE follow_other;
CREATE ROLE follow_pipeline;            -- makes and changes tables; owns nothing of pg_steward's
GRANT steward_pipeline TO follow_pipeline;
CREATE SCHEMA follow_s AUTHORIZATION follow_pipeline;
SELECT steward.create_service('follow', role => 'follow_svc');

SET ROLE follow_pipeline;
CREATE TABLE follow_s.t (id int, tenant_id text, key_a int, key_b int, at timestamptz, service text, note text, loose int, PRIMARY KEY (tenant_id, id));
CREATE INDEX ON follow_s.t (tenant_id, key_a, key_b);
RESET ROLE;
SELECT steward.govern('follow_s.t', owner => 'follow', row_owner => 'service', keys => '[["key_a", "key_b"], ["id"]]',
                      retention => '{"hot": "1 day", "then": "purge", "clock": "at"}', plaintext_exempt => '{"note": "free text"}', name => 'follow_t');
CREATE FUNCTION follow_s.shown() RETURNS TABLE (relation text, tenant text, row_owner text, clock text, keys jsonb, exempt jsonb) LANGUAGE sql AS
$$ SELECT relation::text, tenant, row_owner, retention ->> 'clock', keys, plaintext_exempt FROM steward.store WHERE name = 'follow_t' $$;
CREATE FUNCTION follow_s.findings() RETURNS TABLE (rule text, object text, detail text) LANGUAGE sql AS
$$ SELECT rule, object, detail FROM steward.check() WHERE (object ~ 'follow' OR detail ~ 'follow') AND rule NOT IN ('ungoverned_table', 'no_retention') $$;
-- does the tenant rule hold? And the row owner's?
CREATE FUNCTION follow_s.holds(rel text, tenant text, service text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := '';
BEGIN
    SET LOCAL ROLE follow_svc;
    PERFORM steward.set_tenant('a');
    BEGIN
        EXECUTE format('INSERT INTO %s (id, %I, %I) VALUES (1, %L, %L)', rel, tenant, service, 'b', 'follow');
        answer := answer || 'another tenant let in; ';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    BEGIN
        EXECUTE format('INSERT INTO %s (id, %I, %I) VALUES (1, %L, %L)', rel, tenant, service, 'a', 'another');
        answer := answer || 'another service let in; ';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    EXECUTE format('INSERT INTO %s (id, %I, %I) VALUES (1, %L, %L)', rel, tenant, service, 'a', 'follow');
    PERFORM steward.set_tenant('b');
    EXECUTE format('SELECT %L || count(*) FROM %s', answer || 'seen by another tenant: ', rel) INTO answer;
    PERFORM steward.set_tenant('a');
    EXECUTE format('DELETE FROM %s', rel);
    RESET ROLE;
    RETURN answer;
END $$;
SELECT * FROM follow_s.shown();
SELECT follow_s.holds('follow_s.t', 'tenant_id', 'service');

-- ==== renames =============================================================
SET ROLE follow_pipeline;
ALTER TABLE follow_s.t RENAME TO "T renamed";
ALTER TABLE follow_s."T renamed" RENAME COLUMN tenant_id TO "the tenant";
ALTER TABLE follow_s."T renamed" RENAME COLUMN key_b TO "key ""b""";
ALTER TABLE follow_s."T renamed" RENAME COLUMN id TO number;
ALTER TABLE follow_s."T renamed" RENAME COLUMN at TO happened_at;
ALTER TABLE follow_s."T renamed" RENAME COLUMN service TO written_by;
ALTER TABLE follow_s."T renamed" RENAME COLUMN note TO remark;
ALTER TABLE follow_s."T renamed" RENAME COLUMN loose TO free;
RESET ROLE;
SELECT * FROM follow_s.shown();
SET ROLE follow_pipeline;
ALTER TABLE follow_s."T renamed" RENAME COLUMN number TO id;
RESET ROLE;
SELECT follow_s.holds('follow_s."T renamed"', 'the tenant', 'written_by');
SELECT * FROM follow_s.findings();
SELECT * FROM steward.plan(steward.manifest());
-- two columns exchange their names, through a third
ALTER TABLE follow_s."T renamed" RENAME COLUMN key_a TO third;
ALTER TABLE follow_s."T renamed" RENAME COLUMN "key ""b""" TO key_a;
ALTER TABLE follow_s."T renamed" RENAME COLUMN third TO key_b;
SELECT keys FROM follow_s.shown();
-- a schema, a role, a service
ALTER SCHEMA follow_s RENAME TO follow_r;
SELECT relation FROM follow_r.shown();
ALTER SCHEMA follow_r RENAME TO follow_s;
ALTER TABLE follow_s."T renamed" SET SCHEMA public;
SELECT relation FROM follow_s.shown();
SELECT follow_s.holds('public."T renamed"', 'the tenant', 'written_by');
ALTER TABLE public."T renamed" SET SCHEMA follow_s;
ALTER TABLE follow_s."T renamed" RENAME TO t;
ALTER ROLE follow_svc RENAME TO "follow svc";
SELECT name, role FROM steward.service WHERE name = 'follow';
SELECT * FROM follow_s.findings();
ALTER ROLE "follow svc" RENAME TO follow_svc;
UPDATE steward.service SET name = 'followed' WHERE name = 'follow';
SELECT name, owner FROM steward.store WHERE name = 'follow_t';
UPDATE steward.service SET name = 'follow' WHERE name = 'followed';
-- a column renamed and taken back in one transaction that is rolled back
BEGIN;
ALTER TABLE follow_s.t RENAME COLUMN "the tenant" TO x;
SELECT tenant FROM follow_s.shown();
ROLLBACK;
SELECT tenant FROM follow_s.shown();
ALTER TABLE follow_s.t RENAME COLUMN "the tenant" TO tenant_id;
ALTER TABLE follow_s.t RENAME COLUMN written_by TO service;
SELECT follow_s.holds('follow_s.t', 'tenant_id', 'service');

-- ==== the table is written anew ===========================================
ALTER TABLE follow_s.t ALTER COLUMN free TYPE bigint;
ALTER TABLE follow_s.t ADD COLUMN more int DEFAULT 7;
VACUUM FULL follow_s.t;
SELECT follow_s.holds('follow_s.t', 'tenant_id', 'service');
ALTER TABLE follow_s.t OWNER TO follow_other;
SELECT follow_s.holds('follow_s.t', 'tenant_id', 'service');
SELECT * FROM follow_s.findings();
ALTER TABLE follow_s.t OWNER TO follow_pipeline;

-- ==== columns go ==========================================================
SET ROLE follow_pipeline;
ALTER TABLE follow_s.t DROP COLUMN key_b;
ALTER TABLE follow_s.t DROP COLUMN happened_at;
ALTER TABLE follow_s.t DROP COLUMN remark;
RESET ROLE;
SELECT * FROM follow_s.shown();
SELECT steward.govern('follow_s.t', retention => '{"until": "lifetime"}');
SELECT * FROM follow_s.findings();
-- the row owner's: the constraint goes with it, and the rule with the constraint
BEGIN;
ALTER TABLE follow_s.t DROP COLUMN service;
SELECT tenant, row_owner FROM follow_s.shown();
SELECT * FROM follow_s.findings();
ROLLBACK;
-- the tenant's: only with what hangs on it, and then nothing is read or written
ALTER TABLE follow_s.t DROP COLUMN tenant_id;
BEGIN;
SET client_min_messages = error;
ALTER TABLE follow_s.t DROP COLUMN tenant_id CASCADE;
SET client_min_messages = warning;
SELECT tenant, row_owner FROM follow_s.shown();
SELECT * FROM follow_s.findings();
SET LOCAL ROLE follow_svc;
SELECT steward.set_tenant('a');
SELECT count(*) FROM follow_s.t;
SAVEPOINT s;
INSERT INTO follow_s.t (id, service) VALUES (1, 'follow');
ROLLBACK;
-- ALTER TYPE of the tenant column
ALTER TABLE follow_s.t ALTER COLUMN tenant_id TYPE uuid USING NULL;
SELECT * FROM follow_s.findings();

-- ==== tables go ===========================================================
CREATE TABLE follow_s.gone (tenant_id text);
SELECT steward.govern('follow_s.gone', owner => 'follow', name => 'follow_gone');
DROP TABLE follow_s.gone;
SELECT count(*) FROM steward.store WHERE name = 'follow_gone';
CREATE SCHEMA follow_gone;
CREATE TABLE follow_gone.a (tenant_id text);
CREATE TABLE follow_gone.b (tenant_id text);
SELECT steward.govern('follow_gone.a', owner => 'follow', name => 'follow_gone_a'), steward.govern('follow_gone.b', part_of => 'follow_gone_a', name => 'follow_gone_b');
SET client_min_messages = error;
DROP SCHEMA follow_gone CASCADE;
SET client_min_messages = warning;
SELECT count(*) FROM steward.store WHERE name LIKE 'follow_gone%';
CREATE TABLE follow_s.owned (tenant_id text);
ALTER TABLE follow_s.owned OWNER TO follow_other;
SELECT steward.govern('follow_s.owned', owner => 'follow', name => 'follow_owned');
DROP OWNED BY follow_other;
SELECT count(*) FROM steward.store WHERE name = 'follow_owned';
-- dropped and made again: not governed any more, and said
CREATE TABLE follow_s.again (tenant_id text);
SELECT steward.govern('follow_s.again', owner => 'follow', name => 'follow_again');
DROP TABLE follow_s.again;
CREATE TABLE follow_s.again (tenant_id text);
SELECT rule, object FROM steward.check() WHERE object = 'follow_s.again';
DROP TABLE follow_s.again;
-- by someone else
SET ROLE follow_pipeline;
CREATE TABLE follow_s.mine (tenant_id text);
RESET ROLE;
SELECT steward.govern('follow_s.mine', owner => 'follow', name => 'follow_mine');
SET ROLE follow_pipeline;
DROP TABLE follow_s.mine;
RESET ROLE;
SELECT count(*) FROM steward.store WHERE name = 'follow_mine';

-- ==== partitions and children, made by a pipeline =========================
SET ROLE follow_pipeline;
CREATE TABLE follow_s.p (id int, tenant_id text, service text) PARTITION BY RANGE (id);
RESET ROLE;
SELECT steward.govern('follow_s.p', owner => 'follow', row_owner => 'service', name => 'follow_p', retention => '{"until": "lifetime"}');
SET ROLE follow_pipeline;
CREATE TABLE follow_s.p1 PARTITION OF follow_s.p FOR VALUES FROM (0) TO (100);
CREATE TABLE follow_s.p2 PARTITION OF follow_s.p FOR VALUES FROM (100) TO (200) PARTITION BY LIST (tenant_id);
CREATE TABLE follow_s.p2a PARTITION OF follow_s.p2 FOR VALUES IN ('a');
CREATE TABLE follow_s.p2d PARTITION OF follow_s.p2 DEFAULT;
CREATE TABLE follow_s.p3 (LIKE follow_s.p INCLUDING CONSTRAINTS);
ALTER TABLE follow_s.p ATTACH PARTITION follow_s.p3 FOR VALUES FROM (200) TO (300);
CREATE TABLE follow_s.p4 (LIKE follow_s.p INCLUDING CONSTRAINTS) PARTITION BY LIST (tenant_id);
CREATE TABLE follow_s.p4a PARTITION OF follow_s.p4 FOR VALUES IN ('a');
ALTER TABLE follow_s.p ATTACH PARTITION follow_s.p4 FOR VALUES FROM (300) TO (400);
CREATE TABLE follow_s.base (id int, tenant_id text, service text);
RESET ROLE;
SELECT steward.govern('follow_s.base', owner => 'follow', row_owner => 'service', name => 'follow_base', retention => '{"until": "lifetime"}');
SET ROLE follow_pipeline;
CREATE TABLE follow_s.sub () INHERITS (follow_s.base);
CREATE TABLE follow_s.later (id int, tenant_id text, service text);
ALTER TABLE follow_s.later INHERIT follow_s.base;
ALTER TABLE follow_s.later ADD CONSTRAINT steward_tenant CHECK (steward.in_tenant(tenant_id)), ADD CONSTRAINT steward_row_owner CHECK (steward.is_row_owner(service));
ALTER TABLE follow_s.later INHERIT follow_s.base;
GRANT ALL ON ALL TABLES IN SCHEMA follow_s TO follow_svc;
RESET ROLE;
SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS secured,
       (SELECT string_agg(polname, ' ' ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies,
       (SELECT string_agg(format('%s %s', tgname, tgenabled), ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers,
       (SELECT string_agg(format('%s %s', conname, convalidated), ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c') AS constraints
  FROM pg_class c WHERE c.relnamespace = 'follow_s'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 't' ORDER BY 1;
SELECT * FROM follow_s.findings();
SELECT follow_s.holds('follow_s.p1', 'tenant_id', 'service'), follow_s.holds('follow_s.p', 'tenant_id', 'service');
SELECT follow_s.holds('follow_s.sub', 'tenant_id', 'service'), follow_s.holds('follow_s.later', 'tenant_id', 'service');
-- a table of the same shape that is nobody's partition is not touched
CREATE TABLE follow_s.alone (LIKE follow_s.p);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'follow_s.alone'::regclass;
DROP TABLE follow_s.alone;
-- a table that is detached is a table of its own, with the rules still on it
SET ROLE follow_pipeline;
ALTER TABLE follow_s.p DETACH PARTITION follow_s.p1;
ALTER TABLE follow_s.sub NO INHERIT follow_s.base;
RESET ROLE;
SELECT rule, object FROM steward.check() WHERE object IN ('follow_s.p1', 'follow_s.sub') ORDER BY object;
SELECT * FROM follow_s.findings();
SET ROLE follow_svc;
SELECT count(*) FROM follow_s.p1;
INSERT INTO follow_s.p1 VALUES (1, 'a', 'follow');
RESET ROLE;
-- and attached again
SET ROLE follow_pipeline;
ALTER TABLE follow_s.p ATTACH PARTITION follow_s.p1 FOR VALUES FROM (0) TO (100);
ALTER TABLE follow_s.sub INHERIT follow_s.base;
RESET ROLE;
SELECT * FROM follow_s.findings();
SELECT follow_s.holds('follow_s.p1', 'tenant_id', 'service'), follow_s.holds('follow_s.sub', 'tenant_id', 'service');
-- a renamed column of a partitioned table
ALTER TABLE follow_s.p RENAME COLUMN tenant_id TO tenant;
SELECT tenant FROM steward.store WHERE name = 'follow_p';
SELECT follow_s.holds('follow_s.p1', 'tenant', 'service');
SELECT * FROM follow_s.findings();
-- a partition that goes
DROP TABLE follow_s.p1;
SELECT count(*) FROM steward.store WHERE name = 'follow_p';

-- ==== a role goes =========================================================
-- DROP OWNED takes the policy that names the role: nothing is seen, and it is said
CREATE TABLE follow_s.single (tenant_id text);
SELECT steward.govern('follow_s.single', owner => 'follow', name => 'follow_single', retention => '{"until": "lifetime"}');
BEGIN;
DROP OWNED BY follow_svc;
SELECT rule, object, detail FROM follow_s.findings() WHERE object = 'follow_s.single';
ROLLBACK;
SELECT steward.release('follow_single');
SELECT steward.release('follow_t'), steward.release('follow_base'), steward.release('follow_p');
CREATE ROLE follow_short;
SELECT steward.create_service('follow-short', role => 'follow_short');
DROP ROLE follow_short;
SELECT severity, rule, object, detail, remedy FROM steward.check() WHERE object = 'follow-short';

-- cleanup
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'follow%' ORDER BY name;
DROP SCHEMA follow_s CASCADE;
DROP OWNED BY follow_svc, follow_other, follow_pipeline;
DROP ROLE follow_svc, follow_other, follow_pipeline;
