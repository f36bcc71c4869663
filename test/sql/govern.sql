--
-- create_service, govern, alter_store, release, drop_service
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE govern_a;
CREATE ROLE govern_b;
CREATE ROLE "Govern ""C""";
CREATE ROLE govern_owner;
CREATE SCHEMA govern_s AUTHORIZATION govern_owner;
CREATE SCHEMA "Govern Weird";

-- what pg_steward has put on the tables of these schemas
CREATE VIEW govern_s.objects AS
    SELECT c.oid::regclass AS relation, 'constraint' AS kind, k.conname AS name,
           concat_ws(' ', pg_get_expr(k.conbin, k.conrelid), CASE WHEN NOT k.convalidated THEN 'not valid' END) AS what
      FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.conname LIKE 'steward%'
    UNION ALL
    SELECT c.oid::regclass, 'trigger', t.tgname, format('%s %s', t.tgfoid::regproc, t.tgenabled)
      FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE t.tgname LIKE 'steward%'
    UNION ALL
    SELECT c.oid::regclass, 'policy', p.polname, concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), 'to', array_to_string(p.polroles::regrole[], ', '))
      FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
    UNION ALL
    SELECT c.oid::regclass, 'row security', NULL, format('%s, forced %s', c.relrowsecurity, c.relforcerowsecurity)
      FROM pg_class c WHERE c.relrowsecurity OR c.relforcerowsecurity;
CREATE FUNCTION govern_s.of(text) RETURNS TABLE (relation regclass, kind text, name name, what text) LANGUAGE sql STABLE AS
$$ SELECT * FROM govern_s.objects o WHERE o.relation::text ~ $1 ORDER BY o.relation::text COLLATE "C", o.kind, o.name $$;

-- ==== create_service ======================================================
SELECT steward.create_service('Govern A', role => 'govern_a');
SELECT steward.create_service('Govern A', role => 'govern_a');
SELECT steward.create_service('Govern C', role => 'Govern "C"');
-- a role that does not exist is made, and said
SET client_min_messages = notice;
SELECT steward.create_service('Govern D', role => 'govern_made');
SET client_min_messages = warning;
SELECT rolcanlogin, rolsuper, rolinherit FROM pg_roles WHERE rolname = 'govern_made';
SELECT name, role FROM steward.service WHERE name LIKE 'Govern%' ORDER BY name;
SELECT steward.create_service('Govern E', role => 'govern_a');
SELECT steward.create_service('', role => 'govern_b');
SELECT steward.create_service(repeat('x', 64), role => 'govern_b');
SELECT steward.create_service('Govern E', role => '');
SELECT steward.create_service('Govern E', role => NULL);
SELECT steward.create_service(NULL, role => 'govern_b');
-- a service moves to another role
SELECT steward.create_service('Govern D', role => 'govern_b');
SELECT name, role FROM steward.service WHERE name = 'Govern D';
SELECT steward.create_service('Govern D', role => 'govern_made');
SELECT steward.create_service('Govern B', role => 'govern_b');

-- ==== govern: the least ===================================================
SET ROLE govern_owner;
CREATE TABLE govern_s.t (id serial PRIMARY KEY, n bigserial, i int GENERATED ALWAYS AS IDENTITY, tenant_id uuid, other_tenant text, owner_of text,
                         at timestamptz, note text);
INSERT INTO govern_s.t (tenant_id) VALUES ('00000000-0000-0000-0000-000000000001'), (NULL);
RESET ROLE;
SELECT steward.govern('govern_s.t');
SELECT name, kind, relation, owner, scope, tenant, row_owner, append_only, retention FROM steward.store WHERE name = 't';
SELECT * FROM govern_s.of('govern_s.t');
SELECT steward.armed();
-- again: nothing
CREATE TEMP TABLE govern_before AS SELECT * FROM govern_s.of('govern_s.t');
SELECT steward.govern('govern_s.t');
SELECT count(*) FROM govern_s.of('govern_s.t') o WHERE NOT EXISTS (SELECT FROM govern_before b WHERE b.what = o.what);

-- ==== one argument after the other ========================================
-- a name of its own
SELECT steward.govern('govern_s.t', name => 'govern_t');
SELECT count(*) FROM steward.store WHERE name = 't';
-- an owner: the policy is his, and so are the grants, sequences too
SELECT steward.govern('govern_s.t', owner => 'Govern A');
SELECT * FROM govern_s.of('govern_s.t') WHERE kind = 'policy';
SELECT has_table_privilege('govern_a', 'govern_s.t', 'SELECT, INSERT, UPDATE, DELETE') AS "table", has_schema_privilege('govern_a', 'govern_s', 'USAGE') AS schema,
       has_sequence_privilege('govern_a', 'govern_s.t_id_seq', 'USAGE') AS serial, has_sequence_privilege('govern_a', 'govern_s.t_n_seq', 'USAGE') AS bigserial;
SET ROLE govern_a;
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001');
INSERT INTO govern_s.t (tenant_id) VALUES ('00000000-0000-0000-0000-000000000001') RETURNING n, i;
COMMIT;
RESET ROLE;
-- another owner
SELECT steward.govern('govern_s.t', owner => 'Govern C');
SELECT * FROM govern_s.of('govern_s.t') WHERE kind = 'policy';
SELECT has_table_privilege('Govern "C"', 'govern_s.t', 'SELECT, INSERT, UPDATE, DELETE') AS "table";
SELECT steward.govern('govern_s.t', owner => 'Nobody');
-- another tenant column, of another type
SELECT steward.govern('govern_s.t', tenant => 'other_tenant');
SELECT * FROM govern_s.of('govern_s.t') WHERE what LIKE '%tenant%';
SELECT steward.govern('govern_s.t', tenant => 'at');
-- scope: tenant, global, service, tenant
SELECT steward.govern('govern_s.t', scope => 'global');
SELECT * FROM govern_s.of('govern_s.t');
SELECT scope, tenant FROM steward.store WHERE name = 'govern_t';
SELECT steward.govern('govern_s.t', scope => 'service');
SELECT * FROM govern_s.of('govern_s.t');
SELECT steward.govern('govern_s.t', scope => 'tenant');
SELECT * FROM govern_s.of('govern_s.t');
SELECT scope, tenant FROM steward.store WHERE name = 'govern_t';
SELECT steward.govern('govern_s.t', scope => 'universe');
SELECT steward.govern('govern_s.t', scope => 'global', tenant => 'tenant_id');
-- row_owner
SELECT steward.govern('govern_s.t', row_owner => 'owner_of');
SELECT * FROM govern_s.of('govern_s.t') WHERE kind IN ('constraint', 'policy');
SELECT steward.govern('govern_s.t', row_owner => 'id');
-- append_only, on and off
SELECT steward.govern('govern_s.t', append_only => true);
SELECT append_only, row_owner FROM steward.store WHERE name = 'govern_t';
SELECT steward.govern('govern_s.t', append_only => false);
SELECT append_only, row_owner FROM steward.store WHERE name = 'govern_t';
-- what the map says
SELECT steward.govern('govern_s.t', data => 'The t''s', access => 'by id', keys => '[["id"], ["n", "i"]]',
                      retention => '{"hot": "90 days", "then": "purge", "clock": "at"}', notes => 'noted',
                      words => '{"store": "A table"}', plaintext_exempt => '{"note": "free text"}');
SELECT steward.store_entry(s) FROM steward.store s WHERE name = 'govern_t';
-- every argument again, one that is not given stays
SELECT steward.govern('govern_s.t', notes => 'noted again');
SELECT data, access, keys, retention, notes, words, plaintext_exempt FROM steward.store WHERE name = 'govern_t';
SELECT steward.govern('govern_s.t', keys => '[["none"]]');
SELECT steward.govern('govern_s.t', retention => '{"hot": "90 days"}');
SELECT steward.govern('govern_s.none');
SELECT steward.govern('govern_s.objects');
SELECT steward.govern('pg_catalog.pg_class', scope => 'service');
SELECT steward.govern('steward.store', scope => 'service');

-- ==== part_of =============================================================
CREATE TABLE govern_s.line (id int, tenant_id uuid);
SELECT steward.govern('govern_s.line', part_of => 'govern_t', name => 'govern_line');
SELECT name, owner, part_of FROM steward.store WHERE name LIKE 'govern%' ORDER BY name;
SELECT steward.govern('govern_s.t', part_of => 'govern_line');
-- a new name for the whole is a new name for its parts
SELECT steward.govern('govern_s.t', name => 'govern_whole');
SELECT name, part_of FROM steward.store WHERE name LIKE 'govern%' ORDER BY name;
SELECT steward.govern('govern_s.t', name => 'govern_line');
SELECT steward.govern('govern_s.t', name => '');
SELECT steward.govern('govern_s.t', name => repeat('x', 64));
-- alter_store renames too, whatever the kind
SELECT count(*) FROM steward.apply('{"stores": [{"name": "govern_blob", "kind": "blob", "owner": "Govern A"}]}');
SELECT steward.alter_store('govern_blob', '{"name": "govern_cold"}');
SELECT steward.alter_store('govern_whole', '{"name": "govern_all"}');
SELECT steward.alter_store('govern_all', '{"name": "govern_cold"}');
SELECT name, part_of FROM steward.store WHERE name LIKE 'govern%' ORDER BY name;
SELECT steward.alter_store('govern_all', '{"name": "govern_whole"}');
SELECT steward.release('govern_cold');

-- ==== alter_store =========================================================
SELECT steward.alter_store('govern_whole', '{"notes": null, "row_owner": null, "data": "T"}');
SELECT data, notes, row_owner FROM steward.store WHERE name = 'govern_whole';
SELECT * FROM govern_s.of('govern_s.t') WHERE kind IN ('constraint', 'policy');
SELECT steward.alter_store('govern_whole', '{"colour": "red"}');
SELECT steward.alter_store('govern_none', '{}');
\echo :LAST_ERROR_SQLSTATE

-- ==== drop_service ========================================================
SELECT steward.drop_service('Govern C');
\echo :LAST_ERROR_SQLSTATE
SELECT steward.drop_service('Govern none');
\echo :LAST_ERROR_SQLSTATE
SELECT steward.drop_service('Govern D');
SELECT count(*) FROM pg_roles WHERE rolname = 'govern_made';
DROP ROLE govern_made;

-- ==== release =============================================================
-- by the store's name, with its parts
SELECT steward.release('govern_whole');
SELECT * FROM govern_s.of('govern_s');
SELECT count(*) FROM steward.store WHERE name LIKE 'govern%';
SELECT id, tenant_id FROM govern_s.t ORDER BY id;
SELECT has_table_privilege('Govern "C"', 'govern_s.t', 'SELECT') AS "grants stay";
-- ungoverned is ungoverned: without a tenant, by the table's owner
SET ROLE govern_owner;
INSERT INTO govern_s.t (tenant_id) VALUES (NULL);
UPDATE govern_s.t SET note = 'free';
DELETE FROM govern_s.t WHERE tenant_id IS NULL;
TRUNCATE govern_s.t;
RESET ROLE;
SELECT steward.release('govern_whole');
\echo :LAST_ERROR_SQLSTATE
SELECT steward.release('govern_s.t');
-- by the table's name
SELECT steward.govern('govern_s.t', name => 'govern_named');
SELECT steward.release('govern_s.t');
SELECT * FROM govern_s.of('govern_s');
-- row security that was there before
CREATE TABLE govern_s.had (id int, tenant_id text, who name);
ALTER TABLE govern_s.had ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON govern_s.had AS RESTRICTIVE USING (who = current_user);
SELECT steward.govern('govern_s.had', owner => 'Govern A');
SELECT * FROM govern_s.of('govern_s.had');
SELECT steward.release('had');
SELECT * FROM govern_s.of('govern_s.had');
DROP TABLE govern_s.had;

-- ==== partitions, sub-partitions, INHERITS ================================
CREATE TABLE govern_s.p (id int, tenant_id int, at date) PARTITION BY RANGE (id);
CREATE TABLE govern_s.p1 PARTITION OF govern_s.p FOR VALUES FROM (0) TO (100) PARTITION BY LIST (tenant_id);
CREATE TABLE govern_s.p1a PARTITION OF govern_s.p1 FOR VALUES IN (1);
CREATE TABLE govern_s.p1b PARTITION OF govern_s.p1 DEFAULT;
CREATE TABLE govern_s.pd PARTITION OF govern_s.p DEFAULT;
INSERT INTO govern_s.p VALUES (1, 1), (2, 2), (1000, 3);
CREATE TABLE govern_s.base (id int, tenant_id int);
CREATE TABLE govern_s.sub (extra text) INHERITS (govern_s.base);
CREATE TABLE govern_s.subsub () INHERITS (govern_s.sub);
INSERT INTO govern_s.sub VALUES (1, 1, 'a');
SELECT steward.govern('govern_s.p', owner => 'Govern A'), steward.govern('govern_s.base', owner => 'Govern A', append_only => true);
SELECT relation, kind, name, what FROM govern_s.of('govern_s.(p|base|sub)');
SELECT steward.govern('govern_s.p1', owner => 'Govern B');
GRANT ALL ON govern_s.p1a, govern_s.subsub TO govern_a;
SET ROLE govern_a;
BEGIN;
SELECT steward.set_tenant(1);
SELECT * FROM govern_s.p;
SELECT * FROM govern_s.p1a;
SELECT * FROM govern_s.base;
SAVEPOINT s;
INSERT INTO govern_s.p1a VALUES (3, 2);
ROLLBACK TO s;
INSERT INTO govern_s.subsub VALUES (3, 2);
ROLLBACK TO s;
INSERT INTO govern_s.subsub VALUES (3, 1);
UPDATE govern_s.subsub SET extra = 'b';
ROLLBACK TO s;
TRUNCATE govern_s.subsub;
ROLLBACK;
RESET ROLE;
SELECT steward.release('p'), steward.release('base');
SELECT * FROM govern_s.of('govern_s');
SELECT (SELECT count(*) FROM govern_s.p) AS p, (SELECT count(*) FROM govern_s.base) AS base;

-- ==== names that need quotes ==============================================
CREATE TABLE "Govern Weird"."Weird; Table" (id int, "tenant id" uuid, "ro""w" text, "the 'clock'" timestamptz, "%s" text) PARTITION BY RANGE (id);
CREATE TABLE "Govern Weird"."Part 1" PARTITION OF "Govern Weird"."Weird; Table" FOR VALUES FROM (0) TO (10);
SELECT steward.govern('"Govern Weird"."Weird; Table"', owner => 'Govern C', tenant => 'tenant id', row_owner => 'ro"w', name => 'govern "weird"',
                      keys => '[["%s"]]', retention => $${"hot": "1 day", "then": "purge", "clock": "the 'clock'"}$$);
SELECT * FROM govern_s.of('Govern Weird');
SELECT severity, rule, object, detail, remedy FROM steward.check() WHERE object ~ 'Govern Weird';
SELECT * FROM steward.plan(steward.manifest());
-- a partition that comes later
CREATE TABLE "Govern Weird"."Part 2" PARTITION OF "Govern Weird"."Weird; Table" FOR VALUES FROM (10) TO (20);
SELECT * FROM govern_s.of('Part 2');
GRANT ALL ON "Govern Weird"."Part 2" TO "Govern ""C""";
SET ROLE "Govern ""C""";
BEGIN;
SELECT steward.set_tenant('00000000-0000-0000-0000-000000000001');
INSERT INTO "Govern Weird"."Weird; Table" VALUES (1, '00000000-0000-0000-0000-000000000001', 'Govern C'), (11, '00000000-0000-0000-0000-000000000001', 'Govern C');
SELECT id FROM "Govern Weird"."Weird; Table" ORDER BY id;
INSERT INTO "Govern Weird"."Part 2" VALUES (12, '00000000-0000-0000-0000-000000000002', 'Govern C');
ROLLBACK;
RESET ROLE;
SELECT steward.release('"Govern Weird"."Weird; Table"');
SELECT * FROM govern_s.of('Govern Weird');
-- the same name in two schemas
CREATE TABLE "Govern Weird".line (id int, tenant_id uuid);
SELECT steward.govern('govern_s.line'), steward.govern('"Govern Weird".line');
SELECT steward.release('line'), steward.release('"Govern Weird".line');

-- ==== the extension goes, and comes back ==================================
SELECT steward.govern('govern_s.line', owner => 'Govern A', name => 'govern_line');
\set VERBOSITY terse
DROP EXTENSION pg_steward;
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION pg_steward CASCADE;
INSERT INTO govern_s.line VALUES (1, NULL);
CREATE EXTENSION pg_steward;
SELECT steward.armed();
INSERT INTO govern_s.line VALUES (1, NULL);
ROLLBACK;
INSERT INTO govern_s.line VALUES (1, NULL);
SET ROLE govern_a;
INSERT INTO govern_s.line VALUES (1, NULL);
RESET ROLE;
\set VERBOSITY default
SELECT steward.release('govern_line');

-- ==== types of the tenant column ==========================================
CREATE DOMAIN govern_s.tenant_uuid AS uuid;
CREATE DOMAIN govern_s.tenant_uuid_2 AS govern_s.tenant_uuid NOT NULL;
CREATE DOMAIN govern_s.tenant_text AS varchar(20);
CREATE DOMAIN govern_s.tenant_int AS int CHECK (value > 0);
CREATE TABLE govern_s.types (id int, uuid uuid, uuid_d govern_s.tenant_uuid_2, text text, varchar varchar(10), text_d govern_s.tenant_text,
                             smallint smallint, int int, int_d govern_s.tenant_int, bigint bigint, bpchar char(10), name name, num numeric, bool boolean, arr text[]);
GRANT ALL ON govern_s.types TO govern_a;
CREATE FUNCTION govern_s.try_type(attribute text, mine text, theirs text) RETURNS TABLE (step text, result text) LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    BEGIN
        PERFORM steward.govern('govern_s.types', owner => 'Govern A', tenant => attribute);
    EXCEPTION WHEN invalid_parameter_value THEN
        RETURN QUERY SELECT attribute, SQLERRM;
        RETURN;
    END;
    SET LOCAL ROLE govern_a;
    PERFORM steward.set_tenant(mine);
    EXECUTE format('INSERT INTO govern_s.types (id, uuid_d, %I) VALUES (1, %L, %L)', attribute, '00000000-0000-0000-0000-000000000001', mine);
    EXECUTE format('UPDATE govern_s.types SET id = 2 WHERE %I = %L', attribute, mine);
    GET DIAGNOSTICS n = ROW_COUNT;
    BEGIN
        EXECUTE format('INSERT INTO govern_s.types (id, uuid_d, %I) VALUES (1, %L, %L)', attribute, '00000000-0000-0000-0000-000000000001', theirs);
        RETURN QUERY SELECT attribute, 'let in';
    EXCEPTION WHEN insufficient_privilege THEN
        RETURN QUERY SELECT attribute, format('%s updated; other tenant: %s', n, SQLERRM);
    END;
    PERFORM steward.set_tenant(theirs);
    SELECT count(*) INTO n FROM govern_s.types;
    RETURN QUERY SELECT attribute, format('other tenant sees %s', n);
    PERFORM steward.set_tenant(mine);
    DELETE FROM govern_s.types;
    RESET ROLE;
END $$;
SELECT * FROM govern_s.try_type('text', 'a', 'b');
SELECT * FROM govern_s.try_type('varchar', 'a', 'b');
SELECT * FROM govern_s.try_type('text_d', 'a', 'b');
SELECT * FROM govern_s.try_type('smallint', '1', '2');
SELECT * FROM govern_s.try_type('int', '1', '2');
SELECT * FROM govern_s.try_type('int_d', '1', '2');
SELECT * FROM govern_s.try_type('bigint', '1', '2');
SELECT * FROM govern_s.try_type('bpchar', 'a', 'b');
SELECT * FROM govern_s.try_type('name', 'a', 'b');
SELECT * FROM govern_s.try_type('num', '1', '2');
SELECT * FROM govern_s.try_type('bool', 't', 'f');
SELECT * FROM govern_s.try_type('arr', '{a}', '{b}');
SELECT * FROM govern_s.try_type('uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
ALTER TABLE govern_s.types ALTER uuid DROP NOT NULL, ALTER uuid_d TYPE govern_s.tenant_uuid;
SELECT steward.govern('govern_s.types', tenant => 'uuid_d');
SELECT * FROM govern_s.of('govern_s.types') WHERE kind IN ('policy', 'constraint');
SELECT rule, object, detail FROM steward.check() WHERE object ~ 'govern_s.types' AND rule <> 'no_retention';
SELECT steward.release('types');

-- ==== constraints are valid, and were adopted without a look at the rows ===
CREATE TABLE govern_s.rows (tenant_id text);
INSERT INTO govern_s.rows VALUES ('a'), (NULL);
SELECT steward.govern('govern_s.rows', owner => 'Govern A');
SELECT convalidated FROM pg_constraint WHERE conrelid = 'govern_s.rows'::regclass;
SELECT steward.adopt_constraint('govern_s.rows', 'mine');
SELECT steward.adopt_constraint('govern_s.rows', 'steward_none');
SELECT steward.release('rows');

-- cleanup
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'Govern%' ORDER BY name;
DROP TABLE govern_before;
DROP SCHEMA govern_s, "Govern Weird" CASCADE;
DROP OWNED BY govern_a, govern_b, "Govern ""C""", govern_owner;
DROP ROLE govern_a, govern_b, "Govern ""C""", govern_owner;
