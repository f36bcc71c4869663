/*
 * schema.sql
 *    What bench/run measures on: the same tables in four schemas, filled alike.
 *
 *    ungoverned   nothing
 *    governed     pg_steward (bench/run applies the manifest afterwards)
 *    rls          the tenant rule by hand, as a row security policy
 *    trigger      the tenant rule by hand, as a PL/pgSQL row trigger
 *
 * ingest and event have a primary key that begins with the tenant, as every
 * tenant store of the shipped maps.  bare has no index, so that next to nothing
 * hides what governance adds to a row: the worst case.  delivery has the indexes
 * of a service that asks for its tenant's rows.  All unlogged: writing WAL would
 * hide what is to be seen, and measure the disk.
 *
 * psql variables: copy_rows, insert_rows, scan_rows, tenant.
 */
CREATE SCHEMA ungoverned;
CREATE SCHEMA governed;
CREATE SCHEMA rls;
CREATE SCHEMA trigger;

CREATE ROLE bench_service LOGIN;
CREATE ROLE bench_truncate LOGIN IN ROLE bench_service, steward_cross_tenant;

CREATE FUNCTION tenant(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('5eed0000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

CREATE UNLOGGED TABLE ungoverned.ingest (
    tenant_id uuid NOT NULL,
    id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    status text NOT NULL,
    payload text NOT NULL
);

-- one tenant's rows, to COPY and to INSERT … SELECT
CREATE UNLOGGED TABLE ungoverned.staging AS
SELECT :'tenant'::uuid AS tenant_id, i::bigint AS id,
       '2026-01-01Z'::timestamptz + i * interval '1 second' AS received_at,
       (ARRAY['received', 'delivered', 'failed'])[1 + i % 3] AS status,
       repeat(md5(i::text), 3) AS payload
  FROM generate_series(1, greatest(:copy_rows, :insert_rows)) i;

-- 1,000 tenants, one of them with a tenth of all rows, in order of arrival
CREATE UNLOGGED TABLE ungoverned.delivery (LIKE ungoverned.ingest);
INSERT INTO ungoverned.delivery
SELECT CASE WHEN i % 10 = 0 THEN :'tenant' ELSE tenant(2 + i % 999) END, i,
       '2026-01-01Z'::timestamptz + i * interval '1 second',
       (ARRAY['received', 'delivered', 'failed'])[1 + i % 3], repeat(md5(i::text), 3)
  FROM generate_series(1, :scan_rows) i;

SELECT format('CREATE UNLOGGED TABLE %s.%s (LIKE ungoverned.ingest)', s, t)
  FROM unnest(ARRAY['ungoverned', 'governed', 'rls', 'trigger']) s, unnest(ARRAY['ingest', 'event', 'bare']) t
 WHERE (s, t) <> ('ungoverned', 'ingest')
\gexec
SELECT format('CREATE UNLOGGED TABLE %s.delivery AS TABLE ungoverned.delivery', s)
  FROM unnest(ARRAY['governed', 'rls']) s
\gexec

SELECT format('ALTER TABLE %s.%s ADD PRIMARY KEY (tenant_id, id)', s, t)
  FROM unnest(ARRAY['ungoverned', 'governed', 'rls', 'trigger']) s, unnest(ARRAY['ingest', 'event']) t
\gexec
SELECT format('ALTER TABLE %1$s.delivery ADD PRIMARY KEY (tenant_id, id)', s),
       format('CREATE INDEX ON %s.delivery (tenant_id, received_at)', s)
  FROM unnest(ARRAY['ungoverned', 'governed', 'rls']) s
\gexec

-- by hand, as row security …
SELECT format('ALTER TABLE rls.%I ENABLE ROW LEVEL SECURITY', t),
       format($$CREATE POLICY tenant ON rls.%I USING (tenant_id = current_setting('app.tenant')::uuid)
                WITH CHECK (tenant_id = current_setting('app.tenant')::uuid)$$, t)
  FROM unnest(ARRAY['ingest', 'event', 'bare', 'delivery']) t
\gexec

-- … and as a trigger
CREATE FUNCTION trigger.judge_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id IS DISTINCT FROM current_setting('app.tenant')::uuid THEN
        RAISE EXCEPTION 'row belongs to another tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
SELECT format('CREATE TRIGGER tenant BEFORE INSERT OR UPDATE ON trigger.%I FOR EACH ROW EXECUTE FUNCTION trigger.judge_tenant()', t)
  FROM unnest(ARRAY['ingest', 'event', 'bare']) t
\gexec

SELECT format('GRANT USAGE ON SCHEMA %s TO bench_service', s),
       format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %s TO bench_service', s)
  FROM unnest(ARRAY['ungoverned', 'governed', 'rls', 'trigger']) s
\gexec

VACUUM ANALYZE;
