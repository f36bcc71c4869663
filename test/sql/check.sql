--
-- Findings: each drift is found, and its remedy mends it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

CREATE ROLE check_svc;
CREATE ROLE check_two;
CREATE ROLE check_app;
CREATE ROLE check_owner;
CREATE SCHEMA check_s;
GRANT USAGE ON SCHEMA check_s TO PUBLIC;
GRANT CREATE ON SCHEMA check_s TO check_owner;
SELECT steward.create_service('check-one', role => 'check_svc'), steward.create_service('check-two', role => 'check_two');
CREATE TABLE check_s.t (id int, tenant_id uuid, service text, at timestamptz, PRIMARY KEY (tenant_id, id));
CREATE TABLE check_s.p (id int PRIMARY KEY, tenant_id text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE check_s.p1 PARTITION OF check_s.p FOR VALUES FROM (0) TO (10);
CREATE INDEX ON check_s.t (at);
CREATE INDEX ON check_s.p (at);
CREATE TABLE check_s.g (id int);
ALTER TABLE check_s.g OWNER TO check_owner;

-- the findings of this file: others may have tables here
CREATE FUNCTION check_s.found() RETURNS TABLE (severity text, rule text, object text, detail text, remedy text) LANGUAGE sql AS $$
    SELECT severity, rule, replace(object, current_database(), '(database)'), detail, remedy FROM steward.check()
     WHERE object ~ 'check_' OR object ~ '^check'
        OR object = current_database() AND rule NOT IN ('not_preloaded', 'no_scheduler', 'no_worker') $$;
-- run every remedy until there is nothing left to mend
CREATE FUNCTION check_s.mend() RETURNS TABLE (rounds int, remedies int, "left" bigint) LANGUAGE plpgsql AS $$
DECLARE
    r text;
BEGIN
    rounds := 0;
    remedies := 0;
    WHILE rounds < 3 AND EXISTS (SELECT FROM check_s.found()) LOOP
        rounds := rounds + 1;
        FOR r IN SELECT DISTINCT f.remedy FROM check_s.found() f LOOP
            EXECUTE r;
            remedies := remedies + 1;
        END LOOP;
    END LOOP;
    "left" := (SELECT count(*) FROM check_s.found());
    RETURN NEXT;
END $$;
\pset format unaligned
\pset fieldsep ' | '
\pset tuples_only on

-- a database without a store has nothing to find
SELECT * FROM check_s.found();

-- ==== the map =============================================================
-- neither owner nor retention, and other tables beside it
SELECT steward.govern('check_s.t', name => 'check_t');
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
SELECT name, relation, owner, scope, retention FROM steward.store WHERE relation::text ~ '^check_s' ORDER BY relation::text;
SELECT steward.release(name) FROM steward.store WHERE relation::text ~ '^check_s' ORDER BY relation::text;
SELECT steward.govern('check_s.t', owner => 'check-one', row_owner => 'service', name => 'check_t', retention => '{"until": "lifetime", "clock": "at"}', keys => '[["id"]]');
SELECT steward.govern('check_s.p', owner => 'check-one', append_only => true, name => 'check_p', retention => '{"hot": "1 day", "then": "purge", "clock": "at"}');
SELECT steward.govern('check_s.g', owner => 'check-two', scope => 'global', name => 'check_g', retention => '{"until": "lifetime"}');
SELECT * FROM check_s.found();
-- columns that the map names are gone (steward_drop would have told the map)
BEGIN;
ALTER EVENT TRIGGER steward_drop DISABLE;
ALTER TABLE check_s.t DROP COLUMN at, DROP COLUMN service, DROP COLUMN id CASCADE;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ROLLBACK;
BEGIN;
SET client_min_messages = error;
ALTER TABLE check_s.t DROP COLUMN tenant_id CASCADE;
SELECT rule, object, detail, remedy FROM check_s.found() WHERE rule LIKE 'missing%';
SELECT steward.release('check_t');
SELECT rule, object FROM check_s.found();
ROLLBACK;
SET client_min_messages = warning;
-- a table that is gone
BEGIN;
ALTER EVENT TRIGGER steward_drop DISABLE;
DROP TABLE check_s.g;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ROLLBACK;

-- ==== the foundation ======================================================
-- disarmed, in three ways
SELECT steward.armed();
ALTER EVENT TRIGGER steward_armed DISABLE;
SELECT steward.armed();
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER EVENT TRIGGER steward_armed ENABLE;
SELECT severity, rule FROM check_s.found();
SELECT * FROM check_s.mend();
DROP EVENT TRIGGER steward_armed;
SELECT severity, rule FROM check_s.found();
SELECT * FROM check_s.mend();
SELECT steward.armed();
-- a privileged role
ALTER ROLE check_svc SUPERUSER;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER ROLE check_svc BYPASSRLS;
SELECT * FROM check_s.found();
ALTER ROLE check_svc SUPERUSER;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- a member of another service, directly and through others
GRANT check_svc TO check_two;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
CREATE ROLE check_between IN ROLE check_svc;
CREATE ROLE "check between 2" IN ROLE check_between;
GRANT "check between 2" TO check_two;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
GRANT steward_cross_tenant TO check_svc;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
GRANT steward_cross_tenant TO check_between;
GRANT check_between TO check_two;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- and where no other service stands between
REVOKE check_svc FROM check_between;
GRANT check_between TO check_two;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
REVOKE steward_cross_tenant FROM check_between;
DROP ROLE check_between, "check between 2";
-- a role that is gone
CREATE ROLE check_gone;
SELECT steward.create_service('check_gone', role => 'check_gone');
DROP ROLE check_gone;
SELECT * FROM check_s.found();
SET client_min_messages = error;
SELECT * FROM check_s.mend();
SET client_min_messages = warning;
SELECT steward.drop_service('check_gone');
DROP ROLE check_gone;

-- ==== drift ===============================================================
ALTER TABLE check_s.t DROP CONSTRAINT steward_tenant;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t DROP CONSTRAINT steward_row_owner, ADD CONSTRAINT steward_row_owner CHECK (service IS NOT NULL) NOT VALID;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t DROP CONSTRAINT steward_tenant, ADD CONSTRAINT steward_tenant CHECK (steward.in_tenant(tenant_id)) NO INHERIT;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t DROP CONSTRAINT steward_tenant, ADD CONSTRAINT steward_tenant CHECK (steward.in_tenant(tenant_id)) NOT VALID;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t RENAME CONSTRAINT steward_tenant TO steward_mine;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.p DROP CONSTRAINT steward_tenant;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- triggers
ALTER TABLE check_s.t DISABLE TRIGGER steward_guard;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t ENABLE TRIGGER steward_access;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t ENABLE REPLICA TRIGGER steward_access, ENABLE REPLICA TRIGGER steward_guard;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.p1 DISABLE TRIGGER steward_guard;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.p1 DISABLE TRIGGER ALL;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP TRIGGER steward_access ON check_s.t;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP TRIGGER steward_access ON check_s.p1;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP TRIGGER steward_guard ON check_s.p;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TRIGGER steward_guard ON check_s.t RENAME TO steward_gone;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP TRIGGER steward_guard ON check_s.t;
CREATE TRIGGER steward_guard BEFORE UPDATE OR DELETE ON check_s.t FOR EACH ROW WHEN (OLD.id > 0) EXECUTE FUNCTION steward.guard();
ALTER TABLE check_s.t ENABLE ALWAYS TRIGGER steward_guard;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP TRIGGER steward_guard ON check_s.t;
CREATE TRIGGER steward_guard BEFORE UPDATE OR DELETE ON check_s.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE check_s.t ENABLE ALWAYS TRIGGER steward_guard;
DROP TRIGGER steward_guard ON check_s.t;
CREATE TRIGGER steward_guard BEFORE UPDATE ON check_s.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- row security
ALTER TABLE check_s.t DISABLE ROW LEVEL SECURITY;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.t NO FORCE ROW LEVEL SECURITY;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER TABLE check_s.p1 DISABLE ROW LEVEL SECURITY;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- policies
DROP POLICY steward_tenant ON check_s.t;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP POLICY steward_cross_tenant ON check_s.p1;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER POLICY steward_tenant ON check_s.t USING (true);
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER POLICY steward_tenant ON check_s.t WITH CHECK (true);
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
ALTER POLICY steward_cross_tenant ON check_s.t TO PUBLIC;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
CREATE POLICY "let all in" ON check_s.t USING (true);
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
CREATE POLICY let_all_in ON check_s.p1 FOR SELECT TO check_two USING (true);
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
CREATE POLICY steward_mine ON check_s.t USING (true);
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
-- one that narrows is welcome
CREATE POLICY narrower ON check_s.t AS RESTRICTIVE USING (id > 0);
SELECT * FROM check_s.found();
DROP POLICY narrower ON check_s.t;
-- grants
REVOKE INSERT ON check_s.t FROM check_svc;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
REVOKE USAGE ON SCHEMA check_s FROM PUBLIC, check_two;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
GRANT USAGE ON SCHEMA check_s TO PUBLIC;
-- row security of another scope than tenant is the user's own business
ALTER TABLE check_s.g ENABLE ROW LEVEL SECURITY;
CREATE POLICY theirs ON check_s.g USING (true);
SELECT * FROM check_s.found();
-- all at once
ALTER TABLE check_s.t DROP CONSTRAINT steward_tenant, DISABLE TRIGGER ALL, DISABLE ROW LEVEL SECURITY;
DROP POLICY steward_tenant ON check_s.t;
DROP TRIGGER steward_access ON check_s.g;
ALTER TABLE check_s.p NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER ALL;
ALTER EVENT TRIGGER steward_armed DISABLE;
SELECT severity, rule, object, detail FROM check_s.found();
SELECT * FROM check_s.mend();

-- ==== ways around =========================================================
-- an index for each key, the tenant first
SELECT steward.govern('check_s.t', keys => '[["id"], ["at"], ["service", "at"], ["tenant_id"]]');
SELECT * FROM check_s.found();
-- what does not help: another order of the first column, a partial index, an index on an expression
CREATE INDEX check_i1 ON check_s.t (at, tenant_id);
CREATE INDEX check_i2 ON check_s.t (tenant_id, at) WHERE at IS NOT NULL;
CREATE INDEX check_i3 ON check_s.t (tenant_id, (at AT TIME ZONE 'UTC'));
SELECT detail FROM check_s.found();
-- what does: more columns behind it, any order behind the tenant, unique without the tenant
CREATE INDEX check_i4 ON check_s.t (tenant_id, at, service);
SELECT detail FROM check_s.found();
DROP INDEX check_s.check_i4;
CREATE UNIQUE INDEX check_i5 ON check_s.t (at);
SELECT detail FROM check_s.found();
DROP INDEX check_s.check_i1, check_s.check_i2, check_s.check_i3, check_s.check_i5;
SELECT * FROM check_s.mend();
-- foreign keys that leave the tenant out
CREATE TABLE check_s.parent (tenant_id uuid NOT NULL, id int PRIMARY KEY, code int, mother int REFERENCES check_s.parent, UNIQUE (tenant_id, code));
CREATE TABLE check_s.child (tenant_id uuid, id int, a int REFERENCES check_s.parent, b int REFERENCES check_s.parent ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    c int, d int, code int, PRIMARY KEY (tenant_id, id),
    CONSTRAINT fine FOREIGN KEY (tenant_id, code) REFERENCES check_s.parent (tenant_id, code),
    CONSTRAINT "un fine" FOREIGN KEY (c) REFERENCES check_s.parent (id) ON DELETE CASCADE,
    CONSTRAINT zero FOREIGN KEY (d) REFERENCES check_s.parent (id) ON DELETE SET DEFAULT NOT VALID);
SELECT steward.govern('check_s.parent', owner => 'check-one', name => 'check_parent', retention => '{"until": "lifetime"}'),
       steward.govern('check_s.child', part_of => 'check_parent', name => 'check_child');
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('check_s.parent'::regclass, 'check_s.child'::regclass) AND contype = 'f' ORDER BY conname;
SELECT steward.release('check_parent');
DROP TABLE check_s.child, check_s.parent;
-- views
CREATE VIEW check_s.v AS SELECT * FROM check_s.t;
CREATE VIEW check_s.v_part AS SELECT * FROM check_s.p1;
CREATE VIEW check_s.v_join AS SELECT a.id FROM check_s.t a JOIN check_s.p b USING (id);
CREATE VIEW check_s.v_fine WITH (security_invoker) AS SELECT * FROM check_s.t;
CREATE VIEW check_s.v_off WITH (security_invoker = off, security_barrier = true) AS SELECT * FROM check_s.t;
CREATE VIEW check_s.v_global AS SELECT * FROM check_s.g;
CREATE VIEW check_s."v quoted" AS SELECT * FROM check_s.t;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
DROP VIEW check_s.v, check_s.v_part, check_s.v_join, check_s.v_fine, check_s.v_off, check_s.v_global, check_s."v quoted";
-- materialized views: of a superuser who grants them to nobody they are safe
CREATE MATERIALIZED VIEW check_s.mv AS SELECT * FROM check_s.t;
SELECT * FROM check_s.found();
GRANT SELECT ON check_s.mv TO check_two, check_app, PUBLIC;
SELECT * FROM check_s.found();
SELECT * FROM check_s.mend();
GRANT ALL ON check_s.t TO check_owner;
ALTER MATERIALIZED VIEW check_s.mv OWNER TO check_owner;
SELECT rule, object, detail, replace(remedy, current_user, '(superuser)') FROM check_s.found();
SELECT * FROM check_s.mend();
DROP MATERIALIZED VIEW check_s.mv;
REVOKE ALL ON check_s.t FROM check_owner;

-- ==== the order of the findings ===========================================
ALTER TABLE check_s.t DISABLE TRIGGER steward_guard;
CREATE VIEW check_s.v AS SELECT * FROM check_s.t;
REVOKE INSERT ON check_s.t FROM check_svc;
SELECT severity, rule FROM check_s.found();
SELECT * FROM check_s.mend();
SELECT * FROM check_s.found();
\pset tuples_only off
\pset format aligned

-- cleanup
SELECT steward.release(name) FROM steward.store WHERE name LIKE 'check%' AND part_of IS NULL ORDER BY name;
SELECT steward.drop_service(name) FROM steward.service WHERE name LIKE 'check%' ORDER BY name;
DROP SCHEMA check_s CASCADE;
DROP OWNED BY check_svc, check_two, check_app, check_owner;
DROP ROLE check_svc, check_two, check_app, check_owner;
