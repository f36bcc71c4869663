/*
 * privileges.sql
 *    Who may call what.
 *
 * PUBLIC calls what is written in C: the tenant context, the types, and what
 * constraints and policies call.  The steward roles read the map and its
 * findings.  Only steward_admin changes the map: those functions run as the
 * extension's owner.  Trigger functions need no right to fire.
 */
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA steward FROM PUBLIC;

DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::pg_catalog.regprocedure AS id, l.lanname, p.prosecdef
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace = 'steward'::pg_catalog.regnamespace
           AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
           AND p.proname <> 'adopt_constraint'
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s', f.id,
            CASE WHEN f.lanname IN ('c', 'internal') THEN 'PUBLIC'
                 WHEN f.prosecdef THEN 'steward_admin'
                 ELSE 'steward_admin, steward_pipeline, steward_operator, steward_auditor' END);
    END LOOP;
END
$$;

GRANT SELECT ON steward.service, steward.store, steward.storage_map, steward.template_service, steward.template_store
    TO steward_admin, steward_pipeline, steward_operator, steward_auditor;
