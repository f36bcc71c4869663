/*
 * privileges.sql
 *    Who may call what.
 *
 * PUBLIC calls what is written in C: the tenant context, the types, and what
 * constraints and policies call.  The steward roles read the map and its
 * findings.  Only steward_admin changes the map: those functions run as the
 * extension's owner, and the steps that they are made of are nobody's to call.
 * steward_operator places and releases holds.
 * Trigger functions need no right to fire, but PostgreSQL
 * clones a row trigger to a new partition as whoever makes the partition.
 */
REVOKE ALL ON ALL ROUTINES IN SCHEMA steward FROM PUBLIC;

DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::pg_catalog.regprocedure AS id, p.proname, l.lanname
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace = 'steward'::pg_catalog.regnamespace
           AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
           AND p.prokind = 'f'
           AND NOT (p.prosecdef OR p.proname IN ('adopt_constraint', 'cron_elsewhere', 'wake_worker', 'probe_archive_store', 'query_as_owner'))
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s', f.id,
            CASE WHEN f.lanname IN ('c', 'internal') AND f.proname NOT IN ('worker_progress', 'check_predicate') THEN 'PUBLIC'
                 ELSE 'steward_admin, steward_pipeline, steward_operator, steward_auditor' END);
    END LOOP;
END
$$;

-- Archived rows are of every tenant
REVOKE ALL ON FUNCTION
    steward.archive_rows(bigint, timestamptz, timestamptz, text), steward.archive_rows(anyelement, bigint, timestamptz, timestamptz, text),
    steward.readable_archive(text, timestamptz, timestamptz, text), steward.read_archive(text, timestamptz, timestamptz, text),
    steward.read_archive_as(anyelement, text, timestamptz, timestamptz, text), steward.verify_archive(bigint),
    steward.restore_rows(bigint, regclass, timestamptz, timestamptz, text[], text[], interval),
    steward.restore_partition(bigint), steward.restore_hold(bigint, interval)
    FROM PUBLIC, steward_admin, steward_pipeline, steward_operator, steward_auditor;
REVOKE ALL ON PROCEDURE steward.restore(bigint, regclass, timestamptz, timestamptz, text[], text[], interval, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    steward.archive_rows(bigint, timestamptz, timestamptz, text), steward.archive_rows(anyelement, bigint, timestamptz, timestamptz, text),
    steward.readable_archive(text, timestamptz, timestamptz, text), steward.read_archive(text, timestamptz, timestamptz, text),
    steward.read_archive_as(anyelement, text, timestamptz, timestamptz, text), steward.verify_archive(bigint)
    TO steward_operator, steward_auditor;
GRANT EXECUTE ON FUNCTION steward.restore_rows(bigint, regclass, timestamptz, timestamptz, text[], text[], interval)
    TO steward_operator, steward_admin;
GRANT EXECUTE ON PROCEDURE steward.restore(bigint, regclass, timestamptz, timestamptz, text[], text[], interval, bigint)
    TO steward_operator, steward_admin;

GRANT EXECUTE ON FUNCTION steward.guard() TO PUBLIC;

GRANT EXECUTE ON FUNCTION
    steward.create_service(text, text), steward.drop_service(text), steward.apply(jsonb),
    steward.govern(regclass, text, text, text, text, text, text, jsonb, jsonb, text, text, boolean, text, jsonb, jsonb),
    steward.alter_store(text, jsonb), steward.release(text), steward.arm(), steward.install_template(text, text)
    TO steward_admin;

GRANT EXECUTE ON FUNCTION steward.hold(text, text, text, text, timestamptz), steward.release_hold(bigint, text)
    TO steward_admin, steward_operator;

GRANT SELECT ON steward.service, steward.store, steward.storage_map, steward.template_service, steward.template_store
    TO steward_admin, steward_pipeline, steward_operator, steward_auditor;

GRANT EXECUTE ON FUNCTION steward.schedule(text), steward.unschedule() TO steward_operator, steward_admin;
GRANT EXECUTE ON FUNCTION steward.archive_store_problem(), steward.scheduler() TO steward_admin, steward_pipeline, steward_operator, steward_auditor;
GRANT SELECT ON steward.progress, steward.history TO steward_admin, steward_pipeline, steward_operator, steward_auditor;
