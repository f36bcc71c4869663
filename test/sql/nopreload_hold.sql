--
-- Without shared_preload_libraries: legal holds and sealed segments, by triggers
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT steward.preloaded();
CREATE ROLE nopreload_hold_svc;
GRANT nopreload_hold_svc, steward_cross_tenant TO CURRENT_USER;
SELECT steward.create_service('nopreload_hold', role => 'nopreload_hold_svc');
CREATE SCHEMA nopreload_hold_s;
SET search_path = nopreload_hold_s;
CREATE TABLE t (id int, tenant_id text) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 PARTITION OF t DEFAULT;
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (11, 'a');
SELECT steward.govern('nopreload_hold_s.t', owner => 'nopreload_hold', name => 'nopreload_hold');
SELECT steward.hold('nopreload_hold', tenant => 'a', reason => 'r') > 0 AS held;
DELETE FROM t WHERE id = 1;
DELETE FROM t1;
DELETE FROM t WHERE id = 2 RETURNING id;
UPDATE t SET tenant_id = 'b' WHERE id = 1;
UPDATE t SET id = 12 WHERE id = 1 RETURNING tableoid::regclass;
TRUNCATE t;
TRUNCATE t1;
DROP TABLE t;
DROP SCHEMA nopreload_hold_s CASCADE;
ALTER TABLE t DROP COLUMN tenant_id CASCADE;
SELECT steward.release('nopreload_hold');
SELECT id FROM t ORDER BY id;
SELECT count(steward.release_hold(id, 'r')) FROM steward.holds WHERE store = 'nopreload_hold';
INSERT INTO steward.segment (store, relation, relation_name, kind, action, state)
VALUES ('nopreload_hold', 't2', 't2', 'partition', 'archive', 'exporting');
INSERT INTO t2 VALUES (13, 'a');
DELETE FROM t;
TRUNCATE t2;
ALTER TABLE t DETACH PARTITION t2;
UPDATE t2 SET id = 13;
DELETE FROM t2;
TRUNCATE t2;
DELETE FROM steward.segment WHERE store = 'nopreload_hold';
DELETE FROM t2 RETURNING id;
DELETE FROM steward.legal_hold WHERE store = 'nopreload_hold';
SELECT steward.release('nopreload_hold');
SELECT steward.drop_service('nopreload_hold');
DROP SCHEMA nopreload_hold_s CASCADE;
REVOKE nopreload_hold_svc, steward_cross_tenant FROM CURRENT_USER;
DROP ROLE nopreload_hold_svc;
