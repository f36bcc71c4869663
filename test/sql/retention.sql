--
-- What is due: real bounds, the plan, a dry run, and what is enqueued
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
-- nobody acts on what is enqueued here
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET steward.worker = off', current_database()); END $$;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

CREATE ROLE retention_svc;
CREATE ROLE retention_nobody;
CREATE SCHEMA retention_s;
GRANT USAGE ON SCHEMA retention_s TO PUBLIC;
SELECT steward.create_service('retention', role => 'retention_svc');
SET search_path = retention_s, public;

-- times that move are shown as T
CREATE FUNCTION masked(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '''[0-9]{4}-[0-9:.+ -]*''', '''T''', 'g') $$;
CREATE FUNCTION plan(store text DEFAULT NULL) RETURNS TABLE (store text, kind text, action text, relation regclass, condition text, key text, tenant text, rank int, blocked text)
LANGUAGE sql AS $$
    SELECT p.store, p.kind, p.action, p.relation, masked(p.condition), array_to_string(p.key, ','), p.tenant, p.rank, p.blocked
      FROM steward.plan_retention($1) p WHERE p.store LIKE 'retention%' $$;
-- a row, past every rule: what was there before the map
CREATE FUNCTION put(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    ALTER EVENT TRIGGER steward_armed DISABLE;
    EXECUTE statement;
    ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS;
END $$;
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on

-- ==== bounds ================================================================
CREATE FUNCTION bounds(relation regclass, clock text DEFAULT 'at', tenant text DEFAULT 'tenant_id')
RETURNS TABLE (leaf regclass, parent regclass, bound text, lower timestamptz, upper timestamptz, inclusive boolean, tenants text[], is_default boolean)
LANGUAGE sql AS $$ SELECT * FROM steward.partition_bounds($1, $2, $3) ORDER BY leaf::text $$;

-- several levels; a name that lies; open ends; a subpartition narrower than its parent, and one that seems wider
CREATE TABLE b_range (tenant_id int, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE b_range_p2030 PARTITION OF b_range FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE b_range_first PARTITION OF b_range FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
CREATE TABLE b_range_last PARTITION OF b_range FOR VALUES FROM ('2100-01-01') TO (MAXVALUE);
CREATE TABLE b_range_inf PARTITION OF b_range FOR VALUES FROM ('2099-01-01') TO ('2100-01-01') PARTITION BY RANGE (at);
CREATE TABLE b_range_inf1 PARTITION OF b_range_inf FOR VALUES FROM ('-infinity') TO ('infinity');
CREATE TABLE b_range_list PARTITION OF b_range FOR VALUES FROM ('2003-01-01') TO ('2004-01-01') PARTITION BY LIST (tenant_id);
CREATE TABLE b_range_list_1 PARTITION OF b_range_list FOR VALUES IN (1, 2);
CREATE TABLE b_range_list_null PARTITION OF b_range_list FOR VALUES IN (3, NULL);
CREATE TABLE b_range_list_default PARTITION OF b_range_list DEFAULT;
CREATE TABLE b_range_hash PARTITION OF b_range FOR VALUES FROM ('2004-01-01') TO ('2005-01-01') PARTITION BY HASH (tenant_id);
CREATE TABLE b_range_hash_0 PARTITION OF b_range_hash FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE b_range_default PARTITION OF b_range DEFAULT;
SELECT * FROM bounds('b_range');
-- without a clock, and from the middle
SELECT leaf, lower, upper, tenants FROM bounds('b_range', NULL, NULL);
SELECT leaf, lower, upper, tenants FROM bounds('b_range_list');
-- the clock and more; more and the clock; an expression; the clock's list; other types
CREATE TABLE b_two (tenant_id uuid, at timestamp, id int) PARTITION BY RANGE (at, id);
CREATE TABLE b_two_1 PARTITION OF b_two FOR VALUES FROM ('2001-01-01', 1) TO ('2002-01-01', 5);
CREATE TABLE b_two_2 PARTITION OF b_two FOR VALUES FROM ('2003-01-01', MINVALUE) TO ('2004-01-01', MINVALUE);
CREATE TABLE b_two_3 PARTITION OF b_two FOR VALUES FROM ('2005-01-01', MAXVALUE) TO ('2006-01-01', MAXVALUE);
SELECT leaf, lower, upper, inclusive FROM bounds('b_two');
CREATE TABLE b_second (id int, at date) PARTITION BY RANGE (id, at);
CREATE TABLE b_second_1 PARTITION OF b_second FOR VALUES FROM (1, '2001-01-01') TO (1, '2002-01-01');
CREATE TABLE b_expr (at timestamptz) PARTITION BY RANGE (date_part('year', at AT TIME ZONE 'UTC'));
CREATE TABLE b_expr_1 PARTITION OF b_expr FOR VALUES FROM (2001) TO (2002);
CREATE TABLE b_days (at date) PARTITION BY LIST (at);
CREATE TABLE b_days_1 PARTITION OF b_days FOR VALUES IN ('2001-05-02', '2001-05-01');
CREATE TABLE b_days_2 PARTITION OF b_days FOR VALUES IN ('2001-06-01', NULL);
CREATE TABLE b_date (at date) PARTITION BY RANGE (at);
CREATE TABLE b_date_1 PARTITION OF b_date FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE b_date_2 PARTITION OF b_date FOR VALUES FROM ('2002-01-01') TO ('400000-01-01');
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE b_domain (at moment) PARTITION BY RANGE (at);
CREATE TABLE b_domain_1 PARTITION OF b_domain FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
-- time runs backwards in this one
CREATE FUNCTION backwards(timestamptz, timestamptz) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT -timestamptz_cmp($1, $2) $$;
CREATE OPERATOR CLASS backwards FOR TYPE timestamptz USING btree AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 backwards(timestamptz, timestamptz);
CREATE TABLE b_back (at timestamptz) PARTITION BY RANGE (at backwards);
CREATE TABLE b_back_1 PARTITION OF b_back FOR VALUES FROM ('2002-01-01') TO ('2001-01-01');
SELECT b.leaf, b.lower, b.upper, b.inclusive
  FROM (VALUES ('b_second'), ('b_expr'), ('b_days'), ('b_date'), ('b_domain'), ('b_back')) v (t), bounds(v.t::regclass) b;
-- inheritance, a plain table, and no table at all
CREATE TABLE b_parent (tenant_id int, at timestamptz);
CREATE TABLE b_child (CHECK (at < '2001-01-01')) INHERITS (b_parent);
CREATE TABLE b_mother (tenant_id int, at timestamptz);
CREATE TABLE b_both () INHERITS (b_parent, b_mother);
CREATE TABLE b_grandchild () INHERITS (b_child, b_both);
SELECT leaf, parent, bound, lower, upper FROM bounds('b_parent');
SELECT leaf, parent, bound, lower, upper, tenants FROM bounds('b_mother', 'nix', 'nix');
SELECT * FROM bounds(0::regclass);
CREATE VIEW b_view AS SELECT 1 AS at;
SELECT * FROM bounds('b_view');
DROP TABLE b_range, b_two, b_second, b_expr, b_days, b_date, b_domain, b_back, b_parent, b_mother CASCADE;

-- ==== the manifest ==========================================================
CREATE TABLE tenants (tenant_id uuid PRIMARY KEY, ended_at timestamptz);
CREATE TABLE plain (tenant_id uuid, id int, at timestamptz, PRIMARY KEY (tenant_id, id));
SELECT p.* FROM steward.manifest_problems(jsonb_build_object('stores', jsonb_build_array(
    '{"name": "a", "relation": "retention_s.tenants", "owner": "retention", "retention": {"until": "lifetime", "clock": "ended_at"}, "registry": true}'::jsonb,
    '{"name": "b", "relation": "retention_s.plain", "owner": "retention", "retention": {"until": "lifetime"}, "registry": true}'::jsonb,
    '{"name": "c", "kind": "cache", "owner": "retention", "retention": {"ttl": "1 day"}, "registry": true}'::jsonb,
    '{"name": "d", "kind": "cache", "owner": "retention", "retention": {"ttl": "1 day", "by_tenant": true}, "registry": "yes"}'::jsonb,
    '{"name": "e", "kind": "blob", "owner": "retention", "scope": "service", "retention": {"hot": "1 day", "then": "archive", "by_tenant": true}}'::jsonb,
    '{"name": "f", "kind": "blob", "owner": "retention", "retention": {"hot": "1 day", "then": "archive", "by_tenant": "1"}}'::jsonb))) p;
SELECT steward.govern('tenants', owner => 'retention', name => 'retention_tenants', retention => '{"until": "lifetime", "clock": "ended_at"}');
SELECT steward.alter_store('retention_tenants', '{"registry": true}');
SELECT registry, steward.store_entry(s) ->> 'registry' FROM steward.store s WHERE name = 'retention_tenants';
SELECT count(*) FROM steward.plan(steward.manifest());
SELECT steward.govern('plain', owner => 'retention', name => 'retention_plain',
                      retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "2 years", "by_tenant": true}');
SELECT steward.alter_store('retention_plain', '{"registry": true}');

-- ==== rows ==================================================================
\set a '''aaaaaaaa-0000-4000-8000-000000000001'''
\set b '''bbbbbbbb-0000-4000-8000-000000000002'''
\set c '''cccccccc-0000-4000-8000-000000000003'''
SELECT put(format('INSERT INTO retention_s.plain VALUES (%1$L, 1, now() - interval ''2 years''), (%1$L, 2, now() - interval ''11 months''), (%1$L, 3, NULL),
                   (%2$L, 1, now() - interval ''2 years''), (%2$L, 2, now() - interval ''1 year 1 second'')', :a, :b));
SELECT * FROM plan('retention_plain');
SELECT store, action, segment, rows, tenants, time_to < now(), held, locks, blocked FROM steward.due('retention_plain');
-- the key: an index that begins with the clock, a partial one too, but not any partial one
CREATE INDEX ON plain (at) WHERE id > 0;
SELECT key FROM plan('retention_plain');
CREATE INDEX ON plain (at DESC) WHERE at IS NOT NULL;
SELECT key FROM plan('retention_plain');
ALTER TABLE plain DROP CONSTRAINT plain_pkey;
SELECT key, blocked FROM plan('retention_plain');
SELECT severity, rule, object, remedy FROM steward.check_retention() WHERE object ~ 'retention_s.plain';
CREATE UNIQUE INDEX ON plain (id, tenant_id) WHERE id > 0;
CREATE UNIQUE INDEX ON plain (id, tenant_id, (1));
SELECT key, blocked FROM plan('retention_plain');
ALTER TABLE plain ALTER id SET NOT NULL, ALTER tenant_id SET NOT NULL;
CREATE UNIQUE INDEX ON plain (id, tenant_id) INCLUDE (at);
SELECT key, blocked FROM plan('retention_plain');
-- what others are kept until
CREATE TABLE until_t ("Tenant" text, id int PRIMARY KEY, day date, "when" timestamp, word text);
SELECT steward.govern('until_t', owner => 'retention', tenant => 'Tenant', name => 'retention_until', retention => r.j)
  FROM (SELECT '{"until": "lifetime", "clock": "day", "plus": "1 month"}'::jsonb AS j) r;
SELECT kind, action, condition FROM plan('retention_until');
SELECT steward.alter_store('retention_until', '{"retention": {"until": "expired", "clock": "when"}}');
SELECT kind, action, condition FROM plan('retention_until');
SELECT steward.alter_store('retention_until', '{"retention": {"until": "published", "clock": "when"}}');
SELECT kind, action, condition FROM plan('retention_until');
SELECT steward.alter_store('retention_until', '{"retention": {"until": "lifetime"}}');
SELECT count(*) FROM plan('retention_until');
SELECT steward.alter_store('retention_until', '{"retention": {"until": "lifetime", "clock": "day", "plus": "300000 years"}}');
SELECT condition FROM plan('retention_until');
-- a day is over when the next begins
SELECT steward.alter_store('retention_until', '{"retention": {"until": "expired", "clock": "day"}}');
SELECT put('INSERT INTO retention_s.until_t SELECT ''it''''s'', n, (now() AT TIME ZONE ''UTC'')::date + n FROM generate_series(-1, 1) n');
SELECT rows, tenants FROM steward.due('retention_until');
SELECT steward.due('retention_nix');
SELECT steward.release('retention_until');

-- ==== partitions ============================================================
CREATE TABLE ev (tenant_id uuid, id int, at timestamptz NOT NULL, PRIMARY KEY (tenant_id, id, at)) PARTITION BY RANGE (at);
CREATE TABLE ev_future PARTITION OF ev FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE ev_old PARTITION OF ev FOR VALUES FROM ('2002-01-01') TO ('2003-01-01');
DO $$ BEGIN
    EXECUTE format('CREATE TABLE retention_s.ev_straddles PARTITION OF retention_s.ev FOR VALUES FROM (%L) TO (%L)', now() - interval '2 years', now() - interval '1 month');
END $$;
CREATE TABLE ev_2001 PARTITION OF ev FOR VALUES FROM ('2900-01-01') TO ('2901-01-01');
SELECT steward.govern('ev', owner => 'retention', name => 'retention_ev', append_only => true, retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "7 years"}');
SELECT put(format('INSERT INTO retention_s.ev VALUES (%1$L, 1, ''2001-05-05''), (%2$L, 1, ''2001-05-05''), (%1$L, 2, ''2002-05-05''), (%1$L, 3, now() - interval ''18 months''),
                   (%1$L, 4, ''2900-05-05'')', :a, :b));
SELECT * FROM plan('retention_ev');
SELECT parent, bound, time_from, time_to FROM steward.plan_retention('retention_ev');
SELECT action, segment, rows, tenants, bytes > 0, time_from, time_to, held, locks, blocked FROM steward.due('retention_ev');
-- a hold on some rows: by rows, without those.  (hold.sql says which)
BEGIN;
CREATE OR REPLACE FUNCTION steward.hold_clause(store text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE store WHEN 'retention_ev' THEN ' AND NOT coalesce((id = 1), false)' ELSE '' END $$;
SELECT kind, relation, condition, key FROM plan('retention_ev');
SELECT segment, rows, tenants, held, locks FROM steward.due('retention_ev');
ROLLBACK;
-- a DEFAULT partition is done by rows, and its siblings are detached under a harder lock
CREATE TABLE ev_default PARTITION OF ev DEFAULT;
SELECT kind, relation, condition FROM plan('retention_ev');
SELECT segment, rows, locks FROM steward.due('retention_ev');

-- a partition that was enqueued and is not due any more stays; one that is dropped is nobody's
BEGIN;
INSERT INTO steward.segment (store, relation, relation_name, kind, action) VALUES ('retention_ev', 'ev_old', 'ev_old', 'partition', 'archive');
SELECT steward.partition_stays(id) FROM steward.segment WHERE relation = 'ev_old'::regclass;
SELECT steward.alter_store('retention_ev', '{"retention": {"clock": "at", "hot": "500 years", "then": "archive", "keep": "7 years"}}');
SELECT steward.partition_stays(id) FROM steward.segment WHERE relation = 'ev_old'::regclass;
ALTER EVENT TRIGGER steward_armed DISABLE;
DROP TABLE ev_old;
SELECT relation, state, error FROM steward.segment WHERE relation_name = 'ev_old';
ROLLBACK;

-- ==== exceptions ============================================================
SELECT steward.override_retention('retention_nix', :a, '{"hot": "1 day"}', 'x');
SELECT steward.override_retention('retention_ev', 'acme', '{"hot": "1 day"}', 'x');
SELECT steward.override_retention('retention_ev', :a, '{"hot": "sometimes"}', 'x');
SELECT steward.override_retention('retention_ev', :a, '{"plus": "1 day"}', 'x');
SELECT steward.override_retention('retention_ev', :a, '{"then": "purge"}', 'x');
SELECT steward.override_retention('retention_ev', :a, '{}', 'x');
SELECT steward.override_retention('retention_ev', :a, '{"hot": "1 day"}', NULL);
SELECT steward.override_retention('retention_ev', :a, NULL, NULL);
-- a longer contract: the others' rows go
SELECT steward.override_retention('retention_ev', upper(:a), '{"hot": "500 years"}', 'contract 7');
SELECT * FROM steward.retention_override WHERE store = 'retention_ev';
SELECT kind, relation, condition, tenant FROM plan('retention_ev');
SELECT segment, rows, tenants FROM steward.due('retention_ev');
-- a shorter one: its rows go
SELECT steward.override_retention('retention_ev', :a, '{"hot": "1 month"}', 'contract 8');
SELECT kind, relation, condition, tenant FROM plan('retention_ev');
SELECT segment, rows, tenants FROM steward.due('retention_ev');
-- a name follows, and the store's end is the exception's
SELECT steward.rename_store('retention_ev', 'retention_events');
SELECT store FROM steward.retention_override WHERE tenant = :a;
SELECT steward.rename_store('retention_events', 'retention_ev');
SELECT steward.override_retention('retention_ev', :a, NULL, NULL);
DROP TABLE ev_default;
SELECT kind, relation FROM plan('retention_ev');
-- by list of tenants: whole partitions again
CREATE TABLE li (tenant_id bigint, id int, at timestamptz, PRIMARY KEY (tenant_id, id, at)) PARTITION BY RANGE (at);
CREATE TABLE li_2001 PARTITION OF li FOR VALUES FROM ('2001-01-01') TO ('2002-01-01') PARTITION BY LIST (tenant_id);
CREATE TABLE li_2001_1 PARTITION OF li_2001 FOR VALUES IN (1);
CREATE TABLE li_2001_2 PARTITION OF li_2001 FOR VALUES IN (2, 3);
CREATE TABLE li_2001_other PARTITION OF li_2001 DEFAULT;
SELECT steward.govern('li', owner => 'retention', name => 'retention_li', retention => '{"clock": "at", "hot": "1 year", "then": "purge"}');
SELECT kind, relation, tenant FROM plan('retention_li');
SELECT steward.override_retention('retention_li', '+1', '{"hot": "500 years"}', 'x');
SELECT steward.override_retention('retention_li', '0001', '{"hot": "500 years"}', 'x'), steward.override_retention('retention_li', '3', '{"hot": "500 years"}', 'x');
SELECT kind, relation, condition, tenant FROM plan('retention_li');
SELECT steward.release('retention_li');
SELECT count(*) FROM steward.retention_override;

-- ==== the life of a tenant ==================================================
CREATE TABLE orders (tenant_id uuid, id int, PRIMARY KEY (tenant_id, id));
CREATE TABLE lines (tenant_id uuid, id int, line int, PRIMARY KEY (tenant_id, id, line), FOREIGN KEY (tenant_id, id) REFERENCES orders);
CREATE TABLE parts (tenant_id uuid, id int, line int, PRIMARY KEY (tenant_id, id, line), FOREIGN KEY (tenant_id, id, line) REFERENCES lines);
ALTER TABLE orders ADD above int, ADD FOREIGN KEY (tenant_id, above) REFERENCES orders;
CREATE TABLE words (tenant_id text, id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE words_1 PARTITION OF words DEFAULT;
CREATE TABLE catalog (id int PRIMARY KEY);
CREATE TABLE homes (tenant_id uuid, id int) PARTITION BY LIST (tenant_id);
SELECT format('CREATE TABLE homes_a PARTITION OF homes FOR VALUES IN (%L)', :a) \gexec
SELECT format('CREATE TABLE homes_bc PARTITION OF homes FOR VALUES IN (%L, %L)', :b, :c) \gexec
SELECT steward.govern('orders', owner => 'retention', name => 'retention_orders', retention => '{"until": "tenant_lifetime"}');
SELECT steward.govern('lines', name => 'retention_lines', part_of => 'retention_orders'), steward.govern('parts', name => 'retention_parts', part_of => 'retention_orders'),
       steward.govern('catalog', scope => 'global', name => 'retention_catalog', part_of => 'retention_orders');
SELECT steward.govern('words', owner => 'retention', name => 'retention_words', retention => '{"until": "tenant_lifetime"}'),
       steward.govern('homes', owner => 'retention', name => 'retention_homes', retention => '{"until": "tenant_lifetime", "plus": "7 years"}');
SELECT put(format('INSERT INTO retention_s.tenants VALUES (%1$L, NULL), (%2$L, now() - interval ''8 years''), (%3$L, now() + interval ''1 day'');
                   INSERT INTO retention_s.orders SELECT t, n FROM unnest(ARRAY[%1$L, %2$L, %3$L]::uuid[]) t, generate_series(1, 2) n;
                   INSERT INTO retention_s.lines SELECT tenant_id, id, 1 FROM retention_s.orders;
                   INSERT INTO retention_s.homes SELECT tenant_id, id FROM retention_s.orders', :a, :b, :c));
-- what the registry says holds at once, before anybody has synchronised
SELECT tenant, source FROM steward.ended_tenants() ORDER BY 1;
SELECT * FROM plan('retention_orders');
SELECT store, segment, rows, tenants FROM steward.due('retention_orders');
SELECT * FROM plan('retention_homes');
-- what no registry lists; a word that is no tenant of the column's type harms nobody
SELECT steward.end_tenant('acme'), steward.end_tenant(:a, now() - interval '8 years'), steward.end_tenant('');
SELECT steward.end_tenant('acme'), steward.end_tenant(:a, now() - interval '8 years');
SELECT kind, relation, condition FROM plan('retention_words');
SELECT kind, relation, condition, tenant, blocked FROM plan('retention_homes');
SELECT severity, rule, object, remedy FROM steward.check_retention() WHERE object ~ 'homes';
SELECT steward.override_retention('retention_homes', :a, '{"plus": "20 years"}', 'a contract');
SELECT kind, relation, tenant FROM plan('retention_homes');
SELECT steward.sync_tenant_ends();
SELECT tenant, source FROM steward.tenant_end ORDER BY 1;
-- the registry's row goes, the end stays; it comes back alive, the end goes
SELECT put(format('DELETE FROM retention_s.tenants WHERE tenant_id = %L', :b));
SELECT steward.sync_tenant_ends();
SELECT tenant, source FROM steward.tenant_end ORDER BY 1;
SELECT put(format('INSERT INTO retention_s.tenants VALUES (%L)', :b));
SELECT steward.sync_tenant_ends();
SELECT tenant, source FROM steward.tenant_end ORDER BY 1;
SELECT steward.revive_tenant(:a), steward.revive_tenant('acme');
SELECT steward.revive_tenant('acme');
SELECT steward.revive_tenant(:c);
SELECT tenant, source FROM steward.tenant_end ORDER BY 1;
-- a part whose main store counts from a column that it lacks
SELECT steward.govern('retention_s.catalog', part_of => 'retention_ev');
SELECT severity, rule, object, detail, remedy FROM steward.check_retention() WHERE object ~ 'catalog';
SELECT steward.release('retention_catalog'), steward.release('retention_homes'), steward.release('retention_words');
DROP TABLE catalog, homes, words;

-- ==== the run ===============================================================
TRUNCATE steward.enforcement, steward.task, steward.segment, steward.archive RESTART IDENTITY;
CREATE FUNCTION queue() RETURNS TABLE (kind text, store text, target text, argument text, rank int, state text) LANGUAGE sql AS $$
    SELECT t.kind, t.store, t.target, masked(t.argument::text), t.rank, t.state FROM steward.task t ORDER BY t.id $$;
SELECT put(format('UPDATE retention_s.tenants SET ended_at = now() - interval ''8 years'' WHERE tenant_id = %L', :b));
CALL steward.enforce_retention('retention_nix');
CALL steward.enforce_retention();
SELECT id, store, relation, relation_name, kind, action, state, parent, bound, time_from, time_to, tenant, condition, bytes > 0, task FROM steward.segment ORDER BY id;
SELECT * FROM queue() WHERE store LIKE 'retention%';
SELECT by = session_user, segments, tasks FROM steward.enforcement;
-- again: nothing is enqueued twice, and nothing is left to plan but open work
CALL steward.enforce_retention();
SELECT segments, tasks FROM steward.enforcement ORDER BY id;
SELECT kind, relation, blocked FROM plan('retention_ev');
-- what failed is tried again, what was done is not
UPDATE steward.task SET state = 'failed', error = 'the disk is full', attempt = 5 WHERE store = 'retention_plain' OR target = '1';
UPDATE steward.task SET state = 'done' WHERE state = 'queued';
UPDATE steward.segment SET state = CASE id WHEN 1 THEN 'failed' ELSE 'purged' END, relation = CASE id WHEN 1 THEN relation END;
SELECT severity, rule, object, detail, remedy FROM steward.check_retention() WHERE object ~ 'retention_s' AND rule NOT LIKE 'un%';
CALL steward.enforce_retention('retention_ev');
SELECT kind, store, target, state FROM queue() WHERE state = 'queued';
SELECT id, task FROM steward.segment ORDER BY id;
SELECT count(*) FROM steward.check_retention() WHERE rule = 'failed_retention';
-- rows of it on their way: not as a whole
UPDATE steward.task SET state = 'done';
UPDATE steward.segment SET state = 'purged', relation = NULL;
INSERT INTO steward.task (kind, store, target, argument) VALUES ('rows', 'retention_ev', 'x', '{"relation": "retention_s.ev_old"}');
SELECT kind, relation, blocked FROM plan('retention_ev');
-- late, and nobody does anything
SELECT rule, object, detail, remedy FROM steward.check_retention() WHERE object ~ 'retention_s.ev';
-- a table that cannot be asked is left to the worker, who says why
SELECT steward.any_row('plain', 'nix'), steward.any_row('plain', 'false');

-- archives: when their time is over, but under a hold
INSERT INTO steward.segment (store, relation_name, kind, action, state) SELECT 'retention_ev', 'x', 'rows', 'archive', s FROM unnest(ARRAY['purged', 'verified']) s;
INSERT INTO steward.archive (segment, store, tenants, state, base, path, rows, bytes, raw_bytes, digest, manifest_digest, keep_until)
SELECT g.id, 'retention_ev', ARRAY[:a], 'verified', 'file:/nowhere', format('%s/%s', g.state, k.n), 7, 70, 700, '', '', k.until
  FROM steward.segment g, (VALUES (1, now() - interval '3 days'), (2, now() + interval '1 day'), (3, NULL)) k (n, until)
 WHERE g.relation_name = 'x' ORDER BY g.id, k.n;
SELECT action, segment, rows, bytes, tenants FROM steward.due('retention_ev') WHERE action NOT IN ('archive', 'purge');
SELECT rule, object, left(detail, -10) FROM steward.check_retention() WHERE object ~ 'file';
INSERT INTO steward.legal_hold (tenant, reason) VALUES (upper(:a), 'x');
SELECT count(*) FROM steward.expired_archives();
UPDATE steward.legal_hold SET tenant = :b;
SELECT count(*) FROM steward.expired_archives();
UPDATE steward.legal_hold SET store = 'retention_ev', tenant = NULL;
SELECT count(*) FROM steward.expired_archives();
UPDATE steward.legal_hold SET expires_at = now() - interval '1 second';
CALL steward.enforce_retention('retention_ev');
CALL steward.enforce_retention('retention_ev');
SELECT kind, store, state FROM queue() WHERE kind = 'expire';
DELETE FROM steward.legal_hold;

-- the registry's row goes only when its tenant's end is remembered
SELECT put(format('DELETE FROM retention_s.orders WHERE false; UPDATE retention_s.tenants SET ended_at = now() - interval ''1 day'' WHERE tenant_id = %L', :a));
UPDATE steward.task SET state = 'done';
CALL steward.enforce_retention('retention_tenants');
SELECT argument FROM queue() WHERE state = 'queued' AND store = 'retention_tenants';
-- what the worker asks when it begins
SELECT masked(steward.due_condition('retention_tenants', 'tenants', NULL));
SELECT steward.due_condition('retention_orders', 'orders', :b), steward.due_condition('retention_orders', 'orders', :c), steward.due_condition('retention_orders', 'orders', NULL);

-- a clock that jumps
UPDATE steward.enforcement SET started_at = now() - interval '91 days';
SELECT severity, rule, detail, remedy FROM steward.check_retention() WHERE rule = 'clock_jump';
CALL steward.enforce_retention();
\set VERBOSITY sqlstate
UPDATE steward.enforcement SET started_at = now() + interval '3 days';
CALL steward.enforce_retention();
\set VERBOSITY default
CALL steward.enforce_retention(clock_checked => true);
CALL steward.enforce_retention();

-- ==== who may ===============================================================
SET ROLE retention_nobody;
SELECT steward.due();
CALL steward.enforce_retention();
SELECT steward.override_retention('retention_ev', :a, '{"hot": "1 day"}', 'x');
SELECT steward.any_row('plain', 'true');
SET ROLE retention_svc;
CALL steward.enforce_retention();
SET ROLE steward_auditor;
SELECT count(*) > 0 FROM steward.due();
SELECT count(*) > 0 FROM steward.plan_retention();
SELECT count(*) FROM steward.check_retention() WHERE rule = 'nix';
CALL steward.enforce_retention();
SET ROLE steward_operator;
SELECT count(*) > 0 FROM steward.due();
CALL steward.enforce_retention();
SELECT steward.end_tenant('x');
RESET ROLE;

-- ==== many ==================================================================
CREATE TABLE many (tenant_id int, at timestamptz) PARTITION BY RANGE (at);
DO $$
BEGIN
    FOR n IN 1 .. 100 LOOP
        EXECUTE format('CREATE TABLE retention_s.many_%s PARTITION OF retention_s.many FOR VALUES FROM (%L) TO (%L)', n, '2001-01-01'::date + n, '2001-01-02'::date + n);
    END LOOP;
END $$;
SELECT count(*), min(lower), max(upper) FROM bounds('many');

SELECT steward.release(name) FROM steward.store WHERE name LIKE 'retention%' AND part_of IS NULL ORDER BY name;
SELECT steward.drop_service('retention');
DELETE FROM steward.tenant_end;
TRUNCATE steward.enforcement, steward.task, steward.segment, steward.archive RESTART IDENTITY;
SET client_min_messages = error;
RESET search_path;
DROP SCHEMA retention_s CASCADE;
DROP ROLE retention_svc, retention_nobody;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET steward.worker', current_database()); END $$;
