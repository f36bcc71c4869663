/*
 * schema.sql
 *    The roles that everything below grants to, and the schema's own rights.
 *
 * Roles belong to the cluster, so another database may have made them, or may
 * be making them at this moment: created if absent, without a clash.
 */
DO $$
DECLARE
    wanted text;
BEGIN
    IF (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'steward')
       <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        RAISE EXCEPTION 'schema steward exists and belongs to another role'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Its owner could replace what the extension relies on.',
                  HINT = 'ALTER SCHEMA steward OWNER TO CURRENT_USER;';
    END IF;

    FOREACH wanted IN ARRAY ARRAY['steward_admin', 'steward_pipeline', 'steward_operator',
                                  'steward_auditor', 'steward_cross_tenant'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;       -- another database was faster
            END;
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA steward TO PUBLIC;

CREATE FUNCTION steward.preloaded() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'steward_preloaded';
COMMENT ON FUNCTION steward.preloaded() IS
    'true when pg_steward stands in shared_preload_libraries, so that the access plane binds superusers and table owners in every session';
