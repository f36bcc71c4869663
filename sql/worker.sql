/*
 * worker.sql
 *    The worker as SQL sees it: waking it, what it is doing, and who calls
 *    enforce_retention() on time.
 */
CREATE FUNCTION steward.wake_worker() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_wake_worker';
COMMENT ON FUNCTION steward.wake_worker() IS
    'asks for a worker in this database when the transaction commits; false when none can come (pg_steward is not preloaded, or steward.max_workers is 0)';

CREATE FUNCTION steward.worker_progress(OUT pid integer, OUT datid oid, OUT started_at timestamptz, OUT phase text,
                                        OUT task bigint, OUT segment bigint, OUT rows bigint, OUT bytes bigint)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'steward_worker_progress';
COMMENT ON FUNCTION steward.worker_progress() IS 'the workers of all databases that run now, from shared memory';

CREATE VIEW steward.progress AS
    SELECT p.pid, t.store, t.kind, p.phase, g.relation_name AS relation, p.rows AS rows_done,
           coalesce(g.rows, nullif(c.reltuples, -1)::bigint) AS rows_total, p.bytes AS bytes_done,
           t.id AS task, nullif(p.segment, 0) AS segment, t.attempt, t.started_at, t.rows AS rows_purged
      FROM steward.worker_progress() p
      JOIN pg_catalog.pg_database d ON d.oid = p.datid AND d.datname = pg_catalog.current_database()
      LEFT JOIN steward.task t ON t.id = p.task
      LEFT JOIN steward.segment g ON g.id = p.segment
      LEFT JOIN pg_catalog.pg_class c ON c.oid = g.relation;
COMMENT ON VIEW steward.progress IS 'what the worker of this database is doing now; no row when it has nothing to do';
COMMENT ON COLUMN steward.progress.phase IS 'idle, planning, detaching, exporting, uploading, verifying, purging, sleeping (it leaves the services their share), removing';
COMMENT ON COLUMN steward.progress.rows_done IS 'rows of the current phase';
COMMENT ON COLUMN steward.progress.rows_total IS 'rows of the segment; an estimate until it is exported';
COMMENT ON COLUMN steward.progress.bytes_done IS 'bytes of the current phase: of lines, before compression';
COMMENT ON COLUMN steward.progress.rows_purged IS 'rows that the task has purged in all';

CREATE VIEW steward.history AS
    SELECT g.store, g.relation_name AS relation, g.kind, g.action, g.state, g.time_from, g.time_to, g.rows,
           (SELECT sum(a.bytes) FROM steward.archive a WHERE a.segment = g.id AND a.state IN ('uploaded', 'verified'))::bigint AS archive_bytes,
           g.created_at AS due_at, g.purged_at - g.created_at AS took,
           g.exported_at - g.created_at AS until_exported, g.verified_at - g.exported_at AS until_verified,
           g.error, g.id AS segment, g.task
      FROM steward.segment g
     ORDER BY g.id DESC;
COMMENT ON VIEW steward.history IS 'what retention has done, latest first: rows, bytes, durations, reasons of failure';

-- ---- who keeps time ----------------------------------------------------

CREATE TABLE steward.schedule_entry (
    job text PRIMARY KEY,
    cron_database name NOT NULL,
    schedule text NOT NULL
);
COMMENT ON TABLE steward.schedule_entry IS 'the pg_cron job that steward.schedule() made, and the database that pg_cron lives in';
GRANT SELECT ON steward.schedule_entry TO steward_admin, steward_pipeline, steward_operator, steward_auditor;

CREATE FUNCTION steward.cron_elsewhere(database text, job text, schedule text, command text, target text, role text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_cron_elsewhere';
COMMENT ON FUNCTION steward.cron_elsewhere(text, text, text, text, text, text) IS
    'makes (schedule NULL: removes) a job of pg_cron in the database that it lives in, by a short-lived background worker';

CREATE FUNCTION steward.schedule(schedule text DEFAULT '*/15 * * * *') RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job text := 'pg_steward retention of ' || current_database();
    role text := (SELECT pg_get_userbyid(e.extowner) FROM pg_extension e WHERE e.extname = 'pg_steward');
    home text := current_setting('cron.database_name', true);
BEGIN
    IF coalesce(home, '') = '' THEN
        RAISE EXCEPTION 'pg_cron is not loaded'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add pg_cron to shared_preload_libraries, or let the worker keep time: ALTER SYSTEM SET steward.retention_interval = ''15min'';';
    END IF;
    IF home = current_database() THEN
        -- anybody may make a schema of that name, and a setting of pg_cron's where it is not loaded
        IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
            RAISE EXCEPTION 'extension pg_cron is not installed in this database'
                USING ERRCODE = 'undefined_object', HINT = 'CREATE EXTENSION pg_cron;';
        END IF;
        EXECUTE format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L)', job, schedule.schedule,
                       'CALL steward.enforce_retention()', current_database(), role);
    ELSE
        PERFORM steward.cron_elsewhere(home, job, schedule.schedule, 'CALL steward.enforce_retention()', current_database(), role);
    END IF;
    INSERT INTO steward.schedule_entry VALUES (job, home, schedule.schedule)
        ON CONFLICT ON CONSTRAINT schedule_entry_pkey DO UPDATE SET cron_database = excluded.cron_database, schedule = excluded.schedule;
    RETURN job;
END
$$;
COMMENT ON FUNCTION steward.schedule(text) IS
    'lets pg_cron call enforce_retention() in this database, wherever pg_cron lives; calling it again changes the schedule. Returns the job''s name. 55000 when pg_cron is not loaded';

CREATE FUNCTION steward.unschedule() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry steward.schedule_entry;
BEGIN
    DELETE FROM steward.schedule_entry RETURNING * INTO entry;
    IF entry.job IS NULL THEN
        RETURN false;
    END IF;
    -- with pg_cron's database gone, so is the job
    IF entry.cron_database = current_database() THEN
        IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
            EXECUTE format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L AND database = %L', entry.job, current_database());
        END IF;
    ELSIF EXISTS (SELECT FROM pg_database d WHERE d.datname = entry.cron_database) THEN
        PERFORM steward.cron_elsewhere(entry.cron_database, entry.job, NULL, '', current_database(), '');
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION steward.unschedule() IS 'removes the job that schedule() made; false when there is none';

CREATE FUNCTION steward.scheduler() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT format('pg_cron in database %I: %s', e.cron_database, e.schedule) FROM steward.schedule_entry e
          WHERE e.cron_database = current_setting('cron.database_name', true)
            AND EXISTS (SELECT FROM pg_database d WHERE d.datname = e.cron_database)),
        (SELECT format('the worker''s own timer: every %s s', s.setting) FROM pg_settings s
          WHERE s.name = 'steward.retention_interval' AND s.setting <> '0' AND steward.preloaded()))
$$;
COMMENT ON FUNCTION steward.scheduler() IS 'who calls enforce_retention() on time: pg_cron, or the worker''s own timer; NULL: nobody';

-- ---- findings ----------------------------------------------------------

CREATE FUNCTION steward.probe_archive_store() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_probe_archive_store';
COMMENT ON FUNCTION steward.probe_archive_store() IS
    'writes, reads and removes a small object in the archive store; the store''s own error when that fails';

CREATE FUNCTION steward.archive_store_problem() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    detail text;
BEGIN
    PERFORM steward.probe_archive_store();
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        RETURN concat_ws(': ', SQLERRM, nullif(detail, ''));
END
$$;
COMMENT ON FUNCTION steward.archive_store_problem() IS 'what is wrong with the archive store; NULL when it can be written and read';

CREATE FUNCTION steward.check_worker()
    RETURNS TABLE (severity text, rule text, object text, detail text, remedy text)
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH retained AS (
        SELECT count(*) AS n, bool_or(s.retention ->> 'then' = 'archive') AS archives
          FROM steward.store s
         WHERE s.kind = 'table' AND (s.retention ? 'hot' OR s.retention ->> 'until' IN ('expired', 'published', 'tenant_lifetime')
                                     OR s.retention ->> 'until' = 'lifetime' AND s.retention ? 'clock'))
    SELECT 'error', 'no_worker', current_database()::text,
           'no worker can archive or purge here: '
           || CASE WHEN steward.preloaded() THEN 'steward.max_workers is 0, or steward.worker is off' ELSE 'pg_steward is not in shared_preload_libraries' END,
           CASE WHEN steward.preloaded() AND current_setting('steward.max_workers', true)::integer > 0
                THEN format('ALTER DATABASE %I RESET steward.worker', current_database())
                WHEN steward.preloaded() THEN 'ALTER SYSTEM SET steward.max_workers = 2'
                ELSE 'ALTER SYSTEM SET shared_preload_libraries = ' || coalesce(nullif(current_setting('shared_preload_libraries'), '') || ', ', '') || 'pg_steward' END
      FROM retained r
     WHERE r.n > 0 AND NOT (steward.preloaded() AND current_setting('steward.max_workers', true)::integer > 0
                            AND current_setting('steward.worker')::boolean)
    UNION ALL
    SELECT 'warning', 'no_scheduler', current_database()::text,
           'nobody calls enforce_retention() on time: neither pg_cron nor the worker''s own timer', 'SELECT steward.schedule()'
      FROM retained r WHERE r.n > 0 AND steward.scheduler() IS NULL
    UNION ALL
    SELECT 'error', 'retention_not_running', current_database()::text,
           format('enforce_retention() ran last at %s, though %s is to call it', e.last, steward.scheduler()), 'CALL steward.enforce_retention()'
      FROM retained r, (SELECT max(n.started_at) AS last FROM steward.enforcement n) e
     WHERE r.n > 0 AND steward.scheduler() IS NOT NULL AND e.last < now() - interval '2 days'
    UNION ALL
    SELECT 'error', 'archive_store', current_setting('steward.archive_store'), p.problem, NULL
      FROM retained r, LATERAL (SELECT CASE WHEN r.archives THEN steward.archive_store_problem() END AS problem) p
     WHERE p.problem IS NOT NULL
    UNION ALL
    SELECT 'warning', 'archive_beside_data', current_setting('steward.archive_store'),
           'archives lie below the data directory: what takes the one takes the other',
           'ALTER SYSTEM SET steward.archive_store = ''file:/<directory on another disk>'''
      FROM retained r
     WHERE r.archives AND current_setting('steward.archive_store') ~ '^file:[^/]'
       AND EXISTS (SELECT FROM steward.archive a WHERE a.state = 'verified' AND a.base ~ '^file:[^/]')
$$;
COMMENT ON FUNCTION steward.check_worker() IS 'findings about who archives and purges, when, and where to';
