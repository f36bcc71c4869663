--
-- A tenant, erased: rows and archives, with a certificate; never what is held
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on
SELECT format('ALTER DATABASE %I SET steward.worker_share = 1', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET steward.batch_rows = 7', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET steward.archive_store = %L', current_database(), 'file:erase_archive') \gexec
SELECT format('ALTER DATABASE %I SET steward.worker = on', current_database()) \gexec
\c -
SET client_min_messages = warning;
SET timezone = 'UTC';

CREATE ROLE erase_svc;
CREATE ROLE erase_op IN ROLE steward_operator;
CREATE SCHEMA erase_s;
GRANT USAGE ON SCHEMA erase_s TO PUBLIC;
TRUNCATE steward.enforcement, steward.task, steward.segment, steward.archive, steward.erasure, steward.erasure_item RESTART IDENTITY;
SELECT steward.create_service('erase', role => 'erase_svc');
SET search_path = erase_s, public;
\set a '''aaaaaaaa-0000-4000-8000-000000000001'''
\set b '''bbbbbbbb-0000-4000-8000-000000000002'''

-- the worker is done with everything
CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        COMMIT;
        EXIT WHEN NOT EXISTS (SELECT FROM steward.task WHERE state IN ('queued', 'running'));
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
-- what is there before the map
CREATE FUNCTION put(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    ALTER EVENT TRIGGER steward_armed DISABLE;
    EXECUTE statement;
    ALTER EVENT TRIGGER steward_armed ENABLE ALWAYS;
END $$;
CREATE TABLE orders (tenant_id uuid, id int, word text, PRIMARY KEY (tenant_id, id));
CREATE TABLE lines (tenant_id uuid, id int, line int, PRIMARY KEY (tenant_id, id, line), FOREIGN KEY (tenant_id, id) REFERENCES orders);
CREATE TABLE tree (tenant_id text, id int PRIMARY KEY, above int REFERENCES tree DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE events (tenant_id uuid, id int, at timestamptz NOT NULL, body jsonb) PARTITION BY RANGE (at);
CREATE TABLE events_2001 PARTITION OF events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE events_2002 PARTITION OF events FOR VALUES FROM ('2002-01-01') TO ('2003-01-01');
CREATE TABLE events_hot PARTITION OF events FOR VALUES FROM ('2900-01-01') TO ('2901-01-01');
CREATE TABLE notes (tenant_id text, id int PRIMARY KEY, at date, "we""ird, ""key" text);
CREATE TABLE meters (tenant_id bigint, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);
CREATE TABLE meters_1 PARTITION OF meters FOR VALUES FROM (1) TO (10);
CREATE TABLE meters_other PARTITION OF meters DEFAULT;
CREATE TABLE own (tenant_id uuid, id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE own_2001 PARTITION OF own FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
-- every row, wherever it is
CREATE FUNCTION everything() RETURNS TABLE (store text, line text) LANGUAGE sql AS $$
    SELECT 'orders', o::text FROM erase_s.orders o UNION ALL
    SELECT 'lines', l::text FROM erase_s.lines l UNION ALL
    SELECT 'tree', t::text FROM erase_s.tree t UNION ALL
    SELECT 'events', e::text FROM erase_s.events e UNION ALL
    SELECT 'notes', n::text FROM erase_s.notes n UNION ALL
    SELECT 'meters', m::text FROM erase_s.meters m UNION ALL
    SELECT 'own', m::text FROM erase_s.own m UNION ALL
    SELECT x.store, r::text FROM (SELECT DISTINCT a.store FROM steward.archive a) x, steward.read_archive(x.store) r $$;
CREATE FUNCTION digest(mine text) RETURNS TABLE (store text, rows bigint, digest text) LANGUAGE sql AS $$
    SELECT store, count(*), md5(string_agg(line, E'\n' ORDER BY line)) FROM everything() WHERE line !~ mine GROUP BY 1 $$;
-- what lies in the archive store, as text, but certificates
CREATE FUNCTION stored() RETURNS TABLE (path text) LANGUAGE sql AS $$
    WITH RECURSIVE d AS (
        SELECT 'erase_archive' AS path
        UNION ALL
        SELECT d.path || '/' || f FROM d, pg_ls_dir(d.path, true, false) f WHERE (pg_stat_file(d.path)).isdir AND f <> 'certificates')
    SELECT path FROM d WHERE NOT (pg_stat_file(path)).isdir $$;

SELECT steward.govern('orders', owner => 'erase', name => 'erase_orders'), steward.govern('lines', owner => 'erase', name => 'erase_lines', append_only => true),
       steward.govern('tree', owner => 'erase', name => 'erase_tree'), steward.govern('meters', owner => 'erase', name => 'erase_meters'),
       steward.govern('events', owner => 'erase', name => 'erase_events', append_only => true, retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "700 years"}'),
       steward.govern('notes', owner => 'erase', name => 'erase_notes', retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "700 years"}'),
       steward.govern('own', owner => 'erase', name => 'erase_own', retention => '{"clock": "at", "hot": "1 year", "then": "archive", "keep": "700 years", "by_tenant": true}');
SELECT steward.apply('{"stores": [{"name": "erase_blobs", "kind": "blob", "owner": "erase", "location": "https://acct.blob.core.windows.net/{tenant_id}"},
                                  {"name": "erase_shared", "kind": "cache", "owner": "erase", "scope": "global"}]}') IS NOT NULL AS applied;
SELECT put(format($q$
    INSERT INTO erase_s.orders SELECT t, n, 'w' || n FROM unnest(ARRAY[%1$L, %2$L]::uuid[]) t, generate_series(1, 20) n;
    INSERT INTO erase_s.lines SELECT tenant_id, id, n FROM erase_s.orders, generate_series(1, 2) n;
    INSERT INTO erase_s.tree SELECT CASE WHEN n < 31 THEN %1$L ELSE %2$L END, n, CASE WHEN n NOT IN (30, 60) THEN n + 1 END FROM generate_series(1, 60) n;
    INSERT INTO erase_s.events SELECT t, n, d + n * interval '1 hour', jsonb_build_object('tenant_id', t, 'n', n)
      FROM unnest(ARRAY[%1$L, %2$L]::uuid[]) WITH ORDINALITY u (t, i), generate_series(1, 30) n,
           unnest(ARRAY['2001-05-05', '2002-05-05', '2900-05-05']::timestamptz[]) WITH ORDINALITY v (d, j) WHERE i <> 1 OR j <> 2;
    INSERT INTO erase_s.events VALUES (NULL, 0, '2001-06-06', NULL);
    INSERT INTO erase_s.notes SELECT CASE WHEN n %% 3 = 0 THEN '42' WHEN n %% 3 = 1 THEN %1$L ELSE %2$L END, n,
           CASE WHEN n < 30 THEN '2001-01-01'::date + n END, E'"tenant_id":"' || %2$L || E'"\n' FROM generate_series(1, 40) n;
    INSERT INTO erase_s.meters SELECT t, n FROM unnest(ARRAY[42, 7]) t, generate_series(1, 20) n;
    INSERT INTO erase_s.own SELECT t, n, '2001-05-05' FROM unnest(ARRAY[%1$L, %2$L]::uuid[]) t, generate_series(1, 5) n;
    INSERT INTO erase_s.tree VALUES (E'it''s "\\', 100)$q$, :a, :b));
CALL steward.enforce_retention();
CALL settle();
SELECT kind, state, error FROM steward.task WHERE state <> 'done';
SELECT store, state, count(*), sum(rows), bool_and(tenant IS NOT NULL) FROM steward.archive GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) FROM steward.segment WHERE key_to IS NOT NULL;
SELECT store, count(*) FROM everything() WHERE line ~ 'aaaaaaaa-0000' GROUP BY 1 ORDER BY 1;
-- nobody knows whose rows this one holds: there are too many tenants
UPDATE steward.archive SET tenants = NULL WHERE store = 'erase_events' AND time_from < '2002-01-01' RETURNING state;
CREATE TABLE before AS SELECT * FROM digest('aaaaaaaa-0000');

-- ==== what a service can do does not reach archives ==========================
GRANT ALL ON ALL TABLES IN SCHEMA erase_s TO erase_svc;
SET ROLE erase_svc;
CALL steward.erase_tenant(:a, 'x');
BEGIN;
SELECT steward.set_tenant(:a);
DELETE FROM orders WHERE tenant_id = :a;
ROLLBACK;
SELECT * FROM steward.erasure;
SELECT steward.erasure_outcome(1);
RESET ROLE;

-- ==== asked wrongly ============================================================
CALL steward.erase_tenant(:a, ' ');
CALL steward.erase_tenant('', 'x');
BEGIN;
CALL steward.erase_tenant(:a, 'x');
ROLLBACK;
SELECT count(*) FROM steward.erasure;

-- ==== a hold =====================================================================
SET ROLE erase_op;
SELECT steward.hold(tenant => upper(:a), reason => 'case 1') AS hold \gset
CALL steward.erase_tenant(:a, 'right to be forgotten');
SELECT steward.release_hold(:hold, 'x');
SELECT steward.hold(store => 'erase_own', reason => 'case 2') AS hold \gset
CALL steward.erase_tenant(:a, 'right to be forgotten');
SELECT steward.release_hold(:hold, 'x');
SELECT steward.hold(store => 'erase_orders', tenant => :a, reason => 'case 3') AS hold \gset
CALL steward.erase_tenant(:a, 'right to be forgotten');
SELECT steward.release_hold(:hold, 'x');
SELECT steward.hold(store => 'erase_lines', predicate => 'line = 2', reason => 'case 4') AS hold \gset
CALL steward.erase_tenant(:a, 'right to be forgotten');
SELECT steward.release_hold(:hold, 'x');
-- archived rows are not looked at: any predicate covers the archive
SELECT steward.hold(store => 'erase_own', predicate => 'id = 99', reason => 'case 5') AS hold \gset
CALL steward.erase_tenant(:a, 'right to be forgotten');
SELECT steward.release_hold(:hold, 'x');
RESET ROLE;
SELECT count(*) FROM steward.erasure;
-- on others' rows: none of these covers this tenant's
SELECT steward.hold(tenant => :b, reason => 'case 6') AS hold_b \gset
SELECT steward.hold(store => 'erase_orders', predicate => 'word = ''none''', reason => 'case 7') AS hold_none \gset
SELECT steward.hold(store => 'erase_meters', reason => 'case 8') AS hold_meters \gset

-- ==== erased =======================================================================
SET ROLE erase_op;
CALL steward.erase_tenant('{' || upper(:a) || '}', 'right to be forgotten') \gset
RESET ROLE;
SELECT jsonb_pretty(:'certificate'::jsonb - '{requested_at,finished_at,database,system_identifier,pg_steward,archives,stores}'::text[]);
SELECT x.* FROM jsonb_to_recordset(:'certificate'::jsonb -> 'stores') x (store text, relation text, rows bigint);
SELECT x.archive, x.store, x.rows_removed, x.action, x.new_archive, length(x.old_digest), length(x.new_digest), x.path ~ '^erase/erase_'
  FROM jsonb_to_recordset(:'certificate'::jsonb -> 'archives') x (archive bigint, store text, path text, rows_removed bigint, action text, old_digest text, new_archive bigint, new_digest text);
SELECT id, tenant, actor, state, error, certificate = :'certificate'::jsonb, digest = sha256(convert_to(certificate::text, 'UTF8')), steward.erasure_certificate(id) = certificate
  FROM steward.erasure;
-- nothing is left of it, and of the others nothing is missing
SELECT store, line FROM everything() WHERE line ~* 'aaaaaaaa-0000';
SELECT * FROM digest('aaaaaaaa-0000') EXCEPT TABLE before;
SELECT * FROM before EXCEPT SELECT * FROM digest('aaaaaaaa-0000');
SELECT state, count(*), count(removed_at), sum(rows) FROM steward.archive GROUP BY 1 ORDER BY 1;
SELECT a.id, steward.verify_archive(a.id), tenants FROM steward.archive a WHERE a.state = 'verified' AND a.id IN (SELECT new_archive FROM steward.erasure_item) ORDER BY 1;
SELECT count(*) FROM stored() s WHERE NOT EXISTS (SELECT FROM steward.archive a WHERE a.state = 'verified' AND s.path ~ ('/' || a.path || '/'));
SELECT path FROM stored() s WHERE path ~ 'json$' AND convert_from(pg_read_binary_file(path), 'UTF8') ~* 'aaaaaaaa-0000';
SELECT count(*) FROM pg_ls_dir('pgsql_tmp_steward', true, false);
SELECT x.id, x.key_from, x.key_to FROM steward.segment x WHERE x.key_to IS NOT NULL AND EXISTS (SELECT FROM steward.archive a JOIN steward.erasure_item i ON i.archive = a.id WHERE a.segment = x.id AND i.action <> 'searched');
-- the certificate lies beside the archives, too
CALL settle();
SELECT convert_from(pg_read_binary_file(format('erase_archive/certificates/%s/%s', steward.path_part(current_database()), f)), 'UTF8')::jsonb = :'certificate'::jsonb
  FROM pg_ls_dir('erase_archive/certificates/' || steward.path_part(current_database())) f;
-- rows come back from a rewritten archive
CREATE TABLE back (LIKE notes);
SELECT i.new_archive FROM steward.erasure_item i WHERE i.store = 'erase_notes' AND i.new_archive IS NOT NULL ORDER BY 1 LIMIT 1 \gset
CALL steward.restore(:new_archive, 'back');
SELECT * FROM back ORDER BY id;
-- the same once more: nothing is to be done, and an archive of unknown tenants is searched again
CALL steward.erase_tenant(:a, 'again') \gset
SELECT :'certificate'::jsonb -> 'remaining', :'certificate'::jsonb -> 'archives', :'certificate'::jsonb -> 'searched', (SELECT sum((x ->> 'rows')::int) FROM jsonb_array_elements(:'certificate'::jsonb -> 'stores') x);
-- a tenant that nobody knows; one whose name must be escaped
CALL steward.erase_tenant('nobody', 'never here') \gset
SELECT :'certificate'::jsonb -> 'stores', :'certificate'::jsonb -> 'archives';
CALL steward.erase_tenant(E'it''s "\\', 'odd') \gset
SELECT :'certificate'::jsonb -> 'stores';

-- ==== failing on the way ==============================================================
CALL steward.erase_tenant('042', 'x');
SELECT steward.release_hold(:hold_meters, 'x');
DELETE FROM before;
INSERT INTO before SELECT * FROM digest('"42"|\(42,');
CREATE PROCEDURE fail_at(point text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET steward.fault = %L', current_database(), 'error:' || point);
END $$;
SELECT format('ALTER DATABASE %I SET steward.max_attempts = 1', current_database()) \gexec
CALL fail_at('erased');
CALL steward.erase_tenant('42', 'x');
CALL fail_at('erasing');
CALL steward.erase_tenant('42', 'x');
CALL fail_at('rewriting');
CALL steward.erase_tenant('42', 'x');
SELECT count(*) FROM steward.archive WHERE state IN ('exported', 'uploaded') OR state <> 'verified' AND removed_at IS NULL;
CALL fail_at('rewritten');
CALL steward.erase_tenant('42', 'x');
CALL fail_at('replaced');
CALL steward.erase_tenant('42', 'x');
CALL fail_at('certifying');
CALL steward.erase_tenant('42', 'x');
SELECT id, state, sqlstate, continues FROM steward.erasure WHERE tenant = '42' ORDER BY 1;
SELECT format('ALTER DATABASE %I RESET steward.fault', current_database()) \gexec
SELECT steward.release_hold(:hold_b, 'x'), steward.release_hold(:hold_none, 'x');
CALL steward.erase_tenant('42', 'x') \gset
SELECT x.* FROM jsonb_to_recordset(:'certificate'::jsonb -> 'stores') x (store text, relation text, rows bigint);
SELECT :'certificate'::jsonb -> 'remaining', :'certificate'::jsonb -> 'continues', count(*), count(DISTINCT x.archive), sum(x.rows_removed)
  FROM jsonb_to_recordset(:'certificate'::jsonb -> 'archives') x (archive bigint, rows_removed bigint);
SELECT store, line FROM everything() WHERE line ~* '"42"|\(42,';
SELECT * FROM digest('"42"|\(42,') EXCEPT TABLE before;
SELECT * FROM before EXCEPT SELECT * FROM digest('"42"|\(42,');
SELECT count(*) FROM stored() s WHERE NOT EXISTS (SELECT FROM steward.archive a WHERE a.state = 'verified' AND s.path ~ ('/' || a.path || '/'));
SELECT count(*) FROM steward.archive WHERE state IN ('exported', 'uploaded') OR state <> 'verified' AND removed_at IS NULL;

-- ==== what retention has in hand =========================================================
CREATE TABLE events_2003 PARTITION OF events FOR VALUES FROM ('2003-01-01') TO ('2004-01-01');
SELECT put(format('INSERT INTO erase_s.events SELECT t, n, ''2003-05-05'', NULL FROM unnest(ARRAY[%L, %L]::uuid[]) t, generate_series(1, 3) n', :a, :b));
CALL fail_at('uploaded');
CALL steward.enforce_retention('erase_events');
CALL settle();
SELECT state FROM steward.segment WHERE relation_name ~ '2003';
UPDATE steward.segment SET state = 'uploaded' WHERE relation_name ~ '2003';
SELECT format('ALTER DATABASE %I RESET steward.fault', current_database()) \gexec
CALL steward.erase_tenant(:a, 'once more');
-- failed, and detached: its rows go, and so does what was made of them
UPDATE steward.segment SET state = 'failed' WHERE relation_name ~ '2003';
CALL steward.erase_tenant(:a, 'once more') \gset
SELECT x.* FROM jsonb_to_recordset(:'certificate'::jsonb -> 'stores') x (store text, relation text, rows bigint) WHERE x.rows > 0;
SELECT x.action, x.rows_removed FROM jsonb_to_recordset(:'certificate'::jsonb -> 'archives') x (action text, rows_removed bigint);
SELECT tenant_id, count(*) FROM events_2003 GROUP BY 1;
CALL steward.enforce_retention('erase_events');
CALL settle();
SELECT state, rows FROM steward.segment WHERE relation_name ~ '2003';

-- ==== what cannot be finished ============================================================
-- a hold that comes when it has begun
ALTER SYSTEM SET steward.fault = 'wait:erased';
SELECT pg_reload_conf();
CALL steward.erase_tenant(:b, 'x', wait => false) \gset
DO $$ BEGIN
    FOR n IN 1 .. 500 LOOP
        EXIT WHEN EXISTS (SELECT FROM steward.erasure_item i JOIN steward.erasure e ON e.id = i.erasure WHERE e.tenant ~ '^bbbb' AND i.rows > 0);
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
SELECT steward.hold(tenant => :b, reason => 'case 9') AS hold \gset
-- who asks for the same meanwhile is refused, too
CALL steward.erase_tenant(:b, 'x');
ALTER SYSTEM RESET steward.fault;
SELECT pg_reload_conf();
CALL settle();
SELECT state, sqlstate, error, certificate IS NULL FROM steward.erasure WHERE tenant = :b;
SELECT i.store, i.relation, i.rows FROM steward.erasure_item i JOIN steward.erasure e ON e.id = i.erasure WHERE e.tenant = :b;
SELECT steward.release_hold(:hold, 'x');
-- somebody keeps a row back
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN OLD.id = 9 THEN NULL ELSE OLD END; END $$;
CREATE TRIGGER a_keep BEFORE DELETE ON meters_1 FOR EACH ROW EXECUTE FUNCTION keep();
CALL steward.erase_tenant('7', 'x');
DROP TRIGGER a_keep ON meters_1;
CALL steward.erase_tenant('7', 'x') \gset
SELECT :'certificate'::jsonb -> 'remaining', x.* FROM jsonb_to_recordset(:'certificate'::jsonb -> 'stores') x (store text, relation text, rows bigint) WHERE x.rows > 0;

-- ==== what refers to it from outside the map ==================================================
CREATE TABLE outside (tenant_id uuid, id int, FOREIGN KEY (tenant_id, id) REFERENCES orders);
SELECT put(format('INSERT INTO erase_s.outside VALUES (%L, 1)', :b));
CALL steward.erase_tenant(:b, 'x');
SELECT state, left(error, 70) FROM steward.erasure WHERE tenant = :b;
DROP TABLE outside;
-- without waiting
CALL steward.erase_tenant(:b, 'x', wait => false) \gset
CALL settle();
SELECT steward.erasure_certificate((:'certificate'::jsonb ->> 'erasure')::bigint) -> 'remaining';
SELECT count(*) FROM everything() WHERE line ~* '-0000-4000-8000-' AND store <> 'notes';

-- the store is gone, its archives are not
SELECT store, count(*), sum(rows) FROM steward.archive WHERE state = 'verified' GROUP BY 1 ORDER BY 1;

SELECT steward.release(name) FROM steward.store WHERE name LIKE 'erase%' ORDER BY name;
SELECT steward.drop_service('erase');
DELETE FROM steward.legal_hold;
SELECT format('ALTER DATABASE %I RESET steward.%s', current_database(), s)
  FROM unnest('{worker_share,batch_rows,archive_store,worker,max_attempts}'::text[]) s \gexec
TRUNCATE steward.enforcement, steward.task, steward.segment, steward.archive, steward.erasure, steward.erasure_item RESTART IDENTITY;
SET client_min_messages = error;
RESET search_path;
DROP SCHEMA erase_s CASCADE;
DROP ROLE erase_svc, erase_op;
