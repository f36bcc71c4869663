--
-- Manifests: what is refused and where, what apply does, and back again
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE manifest_a;
CREATE ROLE manifest_b;
CREATE ROLE "manifest C";
CREATE SCHEMA manifest_s;
CREATE SCHEMA manifest_t;
CREATE TABLE manifest_s.t (id int PRIMARY KEY, tenant_id uuid, at timestamptz, note text, doc jsonb, weird numeric);
CREATE TABLE manifest_s.other (id int, tenant_id text, at timestamptz);
CREATE TABLE manifest_t.other (id int, tenant_id text);
CREATE TABLE manifest_s.part (id int, tenant_id text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE manifest_s.part_1 PARTITION OF manifest_s.part FOR VALUES FROM (0) TO (10);
CREATE VIEW manifest_s.v AS SELECT * FROM manifest_s.t;
CREATE TEMP TABLE manifest_temp (tenant_id text);

-- ==== what is wrong, and where ============================================
-- the problems of one store, merged over a good one
CREATE FUNCTION manifest_s.wrong(change text) RETURNS TABLE (path text, problem text) LANGUAGE sql AS $$
    SELECT * FROM steward.manifest_problems(jsonb_build_object(
        'services', '[{"name": "Manifest A", "role": "manifest_a"}]'::jsonb,
        'stores', jsonb_build_array('{"name": "s", "relation": "manifest_s.t", "owner": "Manifest A"}'::jsonb || change::jsonb)))
$$;
\pset tuples_only on
\pset format unaligned
\pset fieldsep ' : '
-- the good one
SELECT * FROM manifest_s.wrong('{}');
-- the whole
SELECT * FROM steward.manifest_problems(NULL);
SELECT * FROM steward.manifest_problems('null');
SELECT * FROM steward.manifest_problems('[]');
SELECT * FROM steward.manifest_problems('"x"');
SELECT * FROM steward.manifest_problems('{}');
SELECT * FROM steward.manifest_problems('{"stores": {}, "services": "x"}');
SELECT * FROM steward.manifest_problems('{"stores": null, "services": null}');
SELECT * FROM steward.manifest_problems('{"tables": [], "Stores": [], "version": 1}');
-- services
SELECT * FROM steward.manifest_problems('{"services": [1, null, [], {}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": 1, "role": null}, {"name": "", "role": ""}]}');
SELECT * FROM steward.manifest_problems(jsonb_build_object('services', jsonb_build_array(jsonb_build_object('name', repeat('n', 64), 'role', repeat('r', 64)))));
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a", "owner": "x"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_none"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a"}, {"name": "A", "role": "manifest_b"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a"}, {"name": "B", "role": "manifest_a"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest C"}]}');
-- stores: shape
SELECT * FROM steward.manifest_problems('{"stores": [1, "x", null, []]}');
SELECT * FROM steward.manifest_problems('{"stores": [{}]}');
SELECT * FROM manifest_s.wrong('{"colour": "red", "Owner": "x"}');
SELECT * FROM manifest_s.wrong('{"name": ""}');
SELECT * FROM manifest_s.wrong('{"name": 7}');
SELECT * FROM manifest_s.wrong(format('{"name": "%s"}', repeat('n', 64)));
SELECT * FROM manifest_s.wrong('{"kind": "file"}');
SELECT * FROM manifest_s.wrong('{"scope": "public"}');
SELECT * FROM manifest_s.wrong('{"data": 1, "access": [], "notes": {}, "append_only": "yes", "write_once": 1, "keys": {}, "retention": "90 days", "words": [], "plaintext_exempt": "note"}');
SELECT * FROM manifest_s.wrong('{"scope": 1, "kind": true, "tenant": [], "row_owner": {}, "part_of": 3, "location": 4, "relation": 5}');
-- stores: exactly one owner
SELECT * FROM manifest_s.wrong('{"owner": ["Manifest A", "Manifest B"]}');
SELECT * FROM manifest_s.wrong('{"owner": {"name": "Manifest A"}}');
SELECT * FROM manifest_s.wrong('{"owner": "Nobody"}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a"}, {"name": "B", "role": "manifest_b"}], "stores": [
    {"name": "s", "relation": "manifest_s.t", "owner": "A"}, {"name": "s", "relation": "manifest_s.t", "owner": "B"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a"}, {"name": "B", "role": "manifest_b"}], "stores": [
    {"name": "s1", "relation": "manifest_s.t", "owner": "A"}, {"name": "s2", "relation": "t", "owner": "B"}]}');
SELECT * FROM steward.manifest_problems('{"services": [{"name": "A", "role": "manifest_a"}], "stores": [
    {"name": "s", "kind": "blob", "owner": "A"}, {"name": "s", "kind": "cache", "owner": "A"},
    {"name": "s1", "relation": "manifest_s.t", "owner": "A"}, {"name": "s2", "relation": "manifest_s.t", "owner": "A"}]}');
-- stores: relation and columns
SELECT * FROM manifest_s.wrong('{"relation": null}');
SELECT * FROM manifest_s.wrong('{"relation": ""}');
SELECT * FROM manifest_s.wrong('{"relation": "manifest_s.none"}');
SELECT * FROM manifest_s.wrong('{"relation": "none.t"}');
SELECT * FROM manifest_s.wrong('{"relation": "other"}');
SELECT * FROM manifest_s.wrong('{"relation": "a.b.c.d"}');
SELECT * FROM manifest_s.wrong('{"relation": "not a name; DROP TABLE t"}');
SELECT * FROM manifest_s.wrong('{"relation": "manifest_s.v"}');
SELECT * FROM manifest_s.wrong('{"relation": "manifest_s.part_1"}');
SELECT * FROM manifest_s.wrong('{"relation": "manifest_s.t_pkey"}');
SELECT * FROM manifest_s.wrong('{"relation": "manifest_temp"}');
SELECT * FROM manifest_s.wrong('{"relation": "steward.store", "scope": "service"}');
SELECT * FROM manifest_s.wrong('{"relation": "pg_catalog.pg_class", "scope": "service"}');
SELECT * FROM manifest_s.wrong('{"relation": "information_schema.sql_features", "scope": "service"}');
SELECT * FROM manifest_s.wrong('{"relation": "t"}');
SELECT * FROM manifest_s.wrong('{"tenant": "none"}');
SELECT * FROM manifest_s.wrong('{"tenant": "weird"}');
SELECT * FROM manifest_s.wrong('{"tenant": "at"}');
SELECT * FROM manifest_s.wrong('{"scope": "global", "tenant": "tenant_id"}');
SELECT * FROM manifest_s.wrong('{"scope": "service", "tenant": "tenant_id"}');
SELECT * FROM manifest_s.wrong('{"row_owner": "none"}');
SELECT * FROM manifest_s.wrong('{"row_owner": "tenant_id"}');
SELECT * FROM manifest_s.wrong('{"keys": []}');
SELECT * FROM manifest_s.wrong('{"keys": ["id"]}');
SELECT * FROM manifest_s.wrong('{"keys": [[], ["id", "none"], [1], null]}');
SELECT * FROM manifest_s.wrong('{"plaintext_exempt": {"none": "because", "note": "", "doc": 1}}');
SELECT * FROM manifest_s.wrong('{"words": {"store": 1, "data": "x", "retention": "y", "owner_service": "z"}}');
SELECT * FROM manifest_s.wrong('{"kind": "blob", "row_owner": "note", "append_only": true, "plaintext_exempt": {}}');
SELECT * FROM manifest_s.wrong('{"kind": "blob", "relation": null}');
-- stores: parts
SELECT * FROM manifest_s.wrong('{"part_of": "none"}');
SELECT * FROM manifest_s.wrong('{"part_of": "s"}');
SELECT * FROM manifest_s.wrong('{"parts": {}}');
SELECT * FROM manifest_s.wrong('{"parts": [1, {"name": "p"}, {"name": "s", "kind": "blob"}]}');
SELECT * FROM manifest_s.wrong('{"parts": [{"name": "p", "kind": "blob", "parts": []}]}');
SELECT * FROM manifest_s.wrong('{"parts": [{"name": "p", "kind": "blob", "part_of": "elsewhere", "colour": "red"}]}');
SELECT * FROM steward.manifest_problems('{"stores": [{"name": "a", "kind": "blob"}, {"name": "b", "kind": "blob", "part_of": "a"}, {"name": "c", "kind": "blob", "part_of": "b"}]}');
-- retention
SELECT * FROM manifest_s.wrong('{"retention": {}}');
SELECT * FROM manifest_s.wrong('{"retention": {"days": 90}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": 90, "then": true, "clock": 1}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "soon", "then": "archive", "keep": "-1 day", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "0", "then": "purge", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "forget", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "archive"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "archive", "clock": "none"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "archive", "clock": "note"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "archive", "clock": "at", "until": "lifetime"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "doomsday"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "expired"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "published"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "lifetime", "then": "archive", "keep": "1 year"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"ttl": "5 minutes", "plus": "1 day"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"ttl": "5 parsecs"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"keep": "7 years", "plus": "x"}}');
-- and each form that is right
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "archive", "keep": "7 years", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"hot": "90 days", "then": "purge", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "lifetime", "plus": "90 days", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "tenant_lifetime", "plus": "7 years"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "expired", "clock": "at"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"until": "rotated"}}');
SELECT * FROM manifest_s.wrong('{"retention": {"ttl": "5 minutes"}}');
SELECT * FROM manifest_s.wrong('{"retention": null, "owner": null, "tenant": null, "keys": null, "words": null, "row_owner": null}');
\pset tuples_only off
\pset format aligned

-- ==== refused whole =======================================================
\set before 'SELECT (SELECT count(*) FROM steward.service WHERE name LIKE ''Manifest%'') AS services, (SELECT count(*) FROM steward.store WHERE name LIKE ''manifest%'') AS stores, (SELECT count(*) FROM pg_policy WHERE polrelid = ''manifest_s.t''::regclass) AS policies'
:before;
SELECT * FROM steward.apply('{"services": [{"name": "Manifest A", "role": "manifest_a"}], "stores": [
    {"name": "manifest_t", "relation": "manifest_s.t", "owner": "Manifest A", "colour": "red"}]}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM steward.apply('{"services": [{"name": "Manifest A", "role": "manifest_a"}], "stores": [
    {"name": "manifest_t", "relation": "manifest_s.t", "owner": "Manifest A"},
    {"name": "manifest_other", "relation": "manifest_s.none", "owner": "Manifest B"}]}');
SELECT * FROM steward.plan('{"stores": [{"name": "manifest_t", "relation": "manifest_s.t", "retention": {"hot": "soon"}}]}');
:before;
-- a value that is wrong is not repeated
SELECT * FROM steward.apply('{"stores": [{"name": "manifest_t", "kind": "blob", "retention": {"ttl": "AKIA-not-a-real-key"}, "scope": "AKIA-not-a-real-key"}]}');
-- a failure in the middle takes back what came before it
CREATE TABLE manifest_s.clash (id int, tenant_id text);
ALTER TABLE manifest_s.clash ADD CONSTRAINT steward_row_owner CHECK (id > 0);
CREATE FUNCTION manifest_s.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity ~ 'on manifest_s.clash') THEN
        RAISE EXCEPTION 'not this table';
    END IF;
END $$;
CREATE EVENT TRIGGER manifest_refuse ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER', 'CREATE POLICY') EXECUTE FUNCTION manifest_s.refuse();
SELECT * FROM steward.apply('{"services": [{"name": "Manifest A", "role": "manifest_a"}], "stores": [
    {"name": "manifest_t", "relation": "manifest_s.t", "owner": "Manifest A"},
    {"name": "manifest_clash", "relation": "manifest_s.clash", "owner": "Manifest A"}]}');
DROP EVENT TRIGGER manifest_refuse;
:before;
DROP TABLE manifest_s.clash;

-- ==== plan, apply, apply again ============================================
CREATE FUNCTION manifest_s.whole() RETURNS jsonb LANGUAGE sql AS $json$ SELECT $${
  "services": [{"name": "Manifest A", "role": "manifest_a"}, {"name": "Manifest B", "role": "manifest_b"}, {"name": "Manifest C", "role": "manifest C"}],
  "stores": [
    {"name": "manifest_t", "data": "The t's", "kind": "table", "relation": "t", "owner": "Manifest A", "access": "by id",
     "keys": [["id"]], "retention": {"hot": "90 days", "then": "archive", "keep": "7 years", "clock": "at"}, "notes": "noted",
     "words": {"store": "A store"}, "plaintext_exempt": {"note": "free text"},
     "parts": [{"name": "manifest_other", "relation": "manifest_s.other", "row_owner": "tenant_id"}]},
    {"name": "manifest_part", "relation": "manifest_s.part", "owner": "Manifest B", "append_only": true,
     "retention": {"until": "expired", "clock": "at", "plus": "1 day"}},
    {"name": "manifest_global", "relation": "manifest_t.other", "owner": "Manifest C", "scope": "global", "retention": {"until": "lifetime"}},
    {"name": "manifest_blob", "data": "Payloads", "kind": "blob", "location": "https://acct.blob.core.windows.net/{tenant_id}-payloads",
     "owner": "Manifest A", "write_once": true, "retention": {"hot": "30 days", "then": "tier", "keep": "1 year"}},
    {"name": "manifest_cache", "kind": "cache", "owner": "Manifest B", "scope": "service", "retention": {"ttl": "5 minutes"}},
    {"name": "manifest_secret", "kind": "secret", "owner": "Manifest B", "retention": {"until": "rotated"}},
    {"name": "manifest_bus", "kind": "transport", "owner": "Manifest C", "scope": "global", "retention": {"until": "published", "plus": "7 days"}}
  ]}$$::jsonb $json$;
SELECT action, store, detail FROM steward.plan(manifest_s.whole()) WHERE action <> 'arm';
:before;
SELECT sql FROM steward.plan(manifest_s.whole()) WHERE store = 'manifest_other' OR action LIKE '%service';
-- what apply does is what plan showed
CREATE TEMP TABLE manifest_planned AS SELECT * FROM steward.plan(manifest_s.whole());
CREATE TEMP TABLE manifest_applied AS SELECT * FROM steward.apply(manifest_s.whole());
SELECT count(*) > 20 AS many FROM manifest_applied;
(SELECT 'only planned', * FROM manifest_planned EXCEPT SELECT 'only planned', * FROM manifest_applied)
UNION ALL (SELECT 'only applied', * FROM manifest_applied EXCEPT SELECT 'only applied', * FROM manifest_planned);
:before;
SELECT * FROM steward.plan(manifest_s.whole());
SELECT * FROM steward.apply(manifest_s.whole());
SELECT * FROM steward.plan(steward.manifest());
SELECT * FROM steward.apply(steward.manifest());
SELECT * FROM steward.apply('{}');
SELECT rule, object, detail FROM steward.check() WHERE object ~ 'manifest' AND rule <> 'ungoverned_table';
SELECT name, position - min(position) OVER () AS place, kind, relation, owner, scope, tenant, row_owner, append_only, write_once, part_of
  FROM steward.store WHERE name LIKE 'manifest%' ORDER BY position;
SELECT * FROM steward.storage_map WHERE data IN ('The t''s', 'Payloads');
SELECT jsonb_pretty(s) FROM jsonb_array_elements(steward.manifest() -> 'stores') s WHERE s ->> 'name' = 'manifest_t';

-- ==== changes =============================================================
SELECT action, store, detail FROM steward.plan('{"services": [{"name": "Manifest A", "role": "manifest_b"}]}');
SELECT path || ': ' || problem AS problem FROM steward.manifest_problems('{"services": [{"name": "Manifest A", "role": "manifest_b"}]}');
-- nor do two services exchange their roles
SELECT path || ': ' || problem AS problem FROM steward.manifest_problems('{"services": [{"name": "Manifest A", "role": "manifest_b"}, {"name": "Manifest B", "role": "manifest_a"}]}');
-- a field that is left out goes back to its default
SELECT action, store, detail FROM steward.apply('{"stores": [{"name": "manifest_part", "relation": "manifest_s.part", "owner": "Manifest B", "retention": {"ttl": "1 day"}}]}');
SELECT name, append_only, retention FROM steward.store WHERE name = 'manifest_part';
-- a store that exists keeps its table, its kind and its name
SELECT path || ': ' || problem AS problem FROM steward.manifest_problems('{"stores": [
    {"name": "manifest_part", "relation": "manifest_s.t"}, {"name": "manifest_blob", "kind": "cache"}, {"name": "manifest_new", "relation": "manifest_s.other"}]}');
SELECT action FROM steward.apply('{"stores": [{"name": "manifest_part", "relation": "manifest_s.part", "owner": "Manifest B", "append_only": true,
     "retention": {"until": "expired", "clock": "at", "plus": "1 day"}}]}');
SELECT * FROM steward.plan(manifest_s.whole());

-- ==== there and back ======================================================
CREATE TEMP TABLE manifest_saved AS SELECT steward.manifest() AS m;
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'manifest%' AND part_of IS NULL ORDER BY name;
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'Manifest%' ORDER BY name;
:before;
SELECT count(*) > 20 AS many FROM manifest_saved, steward.apply(m);
SELECT m = steward.manifest() AS same FROM manifest_saved;
SELECT * FROM steward.plan((SELECT m FROM manifest_saved));

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'manifest%' AND part_of IS NULL ORDER BY name;
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'Manifest%' ORDER BY name;
DROP TABLE manifest_temp, manifest_planned, manifest_applied, manifest_saved;
DROP SCHEMA manifest_s, manifest_t CASCADE;
DROP OWNED BY manifest_a, manifest_b, "manifest C";
DROP ROLE manifest_a, manifest_b, "manifest C";
