--
-- The shipped storage maps: installed whole, for one service, and twice
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_steward;
\set SHOW_CONTEXT never

-- everything that the templates make goes again
CREATE FUNCTION template_undo() RETURNS void LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
    v record;
BEGIN
    PERFORM steward.release(s.name) FROM steward.store s
      JOIN steward.template_service t ON t.name = s.owner WHERE s.part_of IS NULL;
    PERFORM steward.drop_service(s.name) FROM steward.service s JOIN (SELECT DISTINCT name FROM steward.template_service) t ON t.name = s.name;
    FOR v IN SELECT DISTINCT t.role FROM steward.template_service t JOIN pg_roles r ON r.rolname = t.role LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v.role);
        EXECUTE format('DROP OWNED BY %I', v.role);
        EXECUTE format('DROP ROLE %I', v.role);
    END LOOP;
END $$;
CREATE VIEW template_rows AS
    SELECT t.template, count(*) AS rows, count(*) FILTER (WHERE store ->> 'kind' = 'table') AS tables
      FROM steward.template_store t WHERE NOT t.store ? 'part_of' GROUP BY t.template;
CREATE FUNCTION template_findings() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', rule, object, detail) FROM steward.check()
     WHERE rule NOT IN ('not_preloaded', 'no_scheduler') AND NOT (rule = 'ungoverned_table' AND object !~ ALL (SELECT '^' || role || '\.' FROM steward.template_service)) $$;

-- ==== what ships ==========================================================
SELECT * FROM template_rows ORDER BY template;
SELECT template, name, role FROM steward.template_service ORDER BY template, position;
SELECT steward.template('nonesuch');
\echo :LAST_ERROR_SQLSTATE
SELECT steward.template('integration_platform', 'Nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM steward.install_template('nonesuch');
SELECT jsonb_typeof(steward.template('generated_saas')), jsonb_array_length(steward.template('generated_saas') -> 'services') AS services;
-- a template alone is a manifest whose tables do not exist yet
SELECT count(*) > 0 AS problems, bool_and(problem LIKE 'no such table%' OR problem LIKE 'role does not exist') AS only_those
  FROM steward.manifest_problems(steward.template('integration_platform'));

-- ==== the integration platform, whole =====================================
CREATE TEMP TABLE template_done AS SELECT * FROM steward.install_template('integration_platform');
SELECT action, count(*) > 0 AS some FROM template_done WHERE action IN ('create service', 'create table', 'create store', 'add constraint') GROUP BY 1 ORDER BY 1;
SELECT * FROM steward.install_template('integration_platform');
SELECT template_findings();
SELECT (SELECT count(*) FROM steward.storage_map) = (SELECT rows FROM template_rows WHERE template = 'integration_platform') AS as_many_rows;
SELECT data, store, owner_service, retention FROM steward.storage_map;
SELECT * FROM steward.plan(steward.template('integration_platform'));
SELECT count(*) FROM steward.plan(steward.manifest());
-- everything belongs to the pipeline, and to no service
SELECT DISTINCT pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN steward.template_service t ON t.role = n.nspname WHERE t.template = 'integration_platform';
-- ==== and the generated SaaS beside it ====================================
SELECT count(*) > 0 AS some FROM steward.install_template('generated_saas');
SELECT * FROM steward.install_template('generated_saas');
SELECT * FROM steward.install_template('integration_platform');
SELECT template_findings();
SELECT (SELECT count(*) FROM steward.storage_map) = (SELECT sum(rows) FROM template_rows) AS as_many_rows;
SELECT data, store, owner_service, retention FROM steward.storage_map OFFSET (SELECT rows FROM template_rows WHERE template = 'integration_platform');
SELECT * FROM steward.plan(steward.manifest());
-- no service reads or writes what is another's: tried with every table
CREATE FUNCTION template_try(relation regclass, who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        -- even where he was given every privilege
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = relation), who);
        EXECUTE format('GRANT ALL ON %s TO %I', relation, who);
        EXECUTE format('SET LOCAL ROLE %I', who);
        EXECUTE format(statement, relation);
        RAISE division_by_zero;
    EXCEPTION
        WHEN division_by_zero THEN RETURN 'allowed';
        WHEN insufficient_privilege THEN RETURN substring(SQLERRM FROM '^(only service|store|TRUNCATE)');
    END;
END $$;
SELECT s.scope, s.row_owner IS NOT NULL AS shared, s.append_only, s.owner = v.name AS own, 
       template_try(s.relation, v.role::text, 'SELECT count(*) FROM %s') AS read,
       template_try(s.relation, v.role::text, 'DELETE FROM %s') AS delete,
       template_try(s.relation, v.role::text, 'TRUNCATE %s CASCADE') AS truncate, count(*) > 0 AS some
  FROM steward.store s, steward.service v WHERE s.kind = 'table' GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7;
SELECT template_undo();
SELECT count(*) FROM steward.store;

-- ==== one service at a time, as in its own database =======================
CREATE FUNCTION template_each(which text) RETURNS TABLE (service text, rows bigint, again bigint, findings bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR service IN SELECT t.name FROM steward.template_service t WHERE t.template = which ORDER BY t.position LOOP
        PERFORM steward.install_template(which, service);
        again := (SELECT count(*) FROM steward.install_template(which, service));
        rows := (SELECT count(*) FROM steward.storage_map);
        findings := (SELECT count(*) FROM template_findings());
        RETURN NEXT;
        PERFORM template_undo();
    END LOOP;
END $$;
SELECT * FROM template_each('integration_platform');
SELECT * FROM template_each('generated_saas');

-- ==== only steward_admin installs =========================================
SET ROLE steward_pipeline;
SELECT * FROM steward.install_template('integration_platform');
RESET ROLE;
SET ROLE steward_admin;
SELECT count(*) > 0 AS some FROM steward.install_template('integration_platform', 'MassTransit');
RESET ROLE;
SELECT template_undo();

-- ==== make_months =========================================================
CREATE SCHEMA template_s;
CREATE TABLE template_s."by month" (at timestamptz) PARTITION BY RANGE (at);
SELECT count(*) FROM steward.make_months('template_s."by month"', 1, 2);
SELECT count(*) FROM steward.make_months('template_s."by month"', 1, 3);
SELECT count(*) FROM steward.make_months('template_s."by month"', 0, 0);
INSERT INTO template_s."by month" VALUES (now()), (date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
SELECT count(DISTINCT tableoid) FROM template_s."by month";

-- cleanup
DROP SCHEMA template_s CASCADE;
DROP TABLE template_done;
DROP VIEW template_rows;
DROP FUNCTION template_undo, template_findings, template_try, template_each;
