/*
 * lifecycle.sql
 *    What retention does and has done, as tables that a DBA can read.
 *
 * segment is the state machine: what expires together walks
 *
 *    due -> exporting -> uploaded -> verified -> purged
 *
 * (a segment that is only purged: due -> purged), or rests in failed.  archive
 * holds the files that a segment became; there are several where one archive
 * never mixes tenants.  task is the worker's queue.  Every step is a transaction
 * of its own, and each one of the worker's demands the token under which it
 * claimed the task.
 *
 * src/registry.c reads the first columns of segment, and src/hold.c those of
 * legal_hold, by number: add columns at the end.
 *
 * None of these has a foreign key to another: pg_restore -j would load rows
 * before what they refer to (sql/registry.sql).
 */
CREATE TABLE steward.segment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store text NOT NULL,
    relation regclass,
    relation_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('partition', 'rows')),
    action text NOT NULL CHECK (action IN ('archive', 'purge')),
    state text NOT NULL DEFAULT 'due'
        CHECK (state IN ('due', 'exporting', 'uploaded', 'verified', 'purged', 'failed')),
    parent text,
    bound text,
    time_from timestamptz,
    time_to timestamptz,
    tenant text,
    condition text NOT NULL DEFAULT 'true',
    key text[],
    key_from text[],
    key_to text[],
    rows bigint,
    bytes bigint,
    shape text,
    lsn pg_lsn,
    task bigint,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    exported_at timestamptz,
    uploaded_at timestamptz,
    verified_at timestamptz,
    purged_at timestamptz
);
CREATE UNIQUE INDEX segment_relation ON steward.segment (relation)
    WHERE kind = 'partition' AND state IN ('due', 'exporting', 'uploaded', 'verified', 'failed');
CREATE INDEX segment_store ON steward.segment (store, created_at);
CREATE INDEX segment_task ON steward.segment (task);
COMMENT ON TABLE steward.segment IS 'what expires together, a partition or a batch of rows, and how far it has come';
COMMENT ON COLUMN steward.segment.relation IS 'the table that holds the rows; NULL once it is dropped';
COMMENT ON COLUMN steward.segment.relation_name IS 'its name when the segment became due';
COMMENT ON COLUMN steward.segment.kind IS 'partition: a whole table, detached and dropped; rows: a batch of one, deleted';
COMMENT ON COLUMN steward.segment.action IS 'archive: exported, verified, then purged; purge: only purged';
COMMENT ON COLUMN steward.segment.parent IS 'of a partition: the table it is or was attached to';
COMMENT ON COLUMN steward.segment.bound IS 'of a partition: FOR VALUES ...';
COMMENT ON COLUMN steward.segment.time_from IS 'lower bound of the retention clock, inclusive; NULL: none';
COMMENT ON COLUMN steward.segment.time_to IS 'upper bound of the retention clock, exclusive; NULL: none';
COMMENT ON COLUMN steward.segment.tenant IS 'the tenant, where all rows are one tenant''s by construction';
COMMENT ON COLUMN steward.segment.condition IS 'which rows of the relation belong to the segment, in SQL';
COMMENT ON COLUMN steward.segment.key IS 'of rows: the columns whose order cuts batches';
COMMENT ON COLUMN steward.segment.key_from IS 'of rows: the batch begins behind this key; NULL: at the first row';
COMMENT ON COLUMN steward.segment.key_to IS 'of rows: the batch ends with this key';
COMMENT ON COLUMN steward.segment.rows IS 'rows exported, or purged';
COMMENT ON COLUMN steward.segment.bytes IS 'bytes on disk, of a partition: with indexes and TOAST';
COMMENT ON COLUMN steward.segment.shape IS 'digest of the columns and types at the export; purge demands the same';
COMMENT ON COLUMN steward.segment.lsn IS 'of a partition: WAL position after its export, taken under a lock that keeps writers out; no page may be younger at purge';
COMMENT ON COLUMN steward.segment.task IS 'the task that drives it';
COMMENT ON COLUMN steward.segment.error IS 'why the last attempt failed';

CREATE FUNCTION steward.segment_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'steward_segment_changed';
COMMENT ON FUNCTION steward.segment_changed() IS
    'trigger on steward.segment: every session looks again whether the segment''s table is sealed';
CREATE TRIGGER segment_changed AFTER INSERT OR UPDATE OF relation, state ON steward.segment
    FOR EACH ROW WHEN (NEW.kind = 'partition') EXECUTE FUNCTION steward.segment_changed();
CREATE TRIGGER segment_deleted AFTER DELETE ON steward.segment
    FOR EACH ROW WHEN (OLD.kind = 'partition') EXECUTE FUNCTION steward.segment_changed();
CREATE TRIGGER registry_changed AFTER TRUNCATE ON steward.segment
    FOR EACH STATEMENT EXECUTE FUNCTION steward.registry_changed();
ALTER TABLE steward.segment ENABLE ALWAYS TRIGGER segment_changed;
ALTER TABLE steward.segment ENABLE ALWAYS TRIGGER segment_deleted;
ALTER TABLE steward.segment ENABLE ALWAYS TRIGGER registry_changed;

CREATE TABLE steward.archive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    segment bigint NOT NULL,
    store text NOT NULL,
    tenant text,
    state text NOT NULL CHECK (state IN ('exported', 'uploaded', 'verified', 'discarded', 'expired', 'erased')),
    base text NOT NULL,
    path text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    raw_bytes bigint NOT NULL,
    digest bytea NOT NULL,
    rows_digest bytea,
    manifest_digest bytea NOT NULL,
    tenants text[],
    time_from timestamptz,
    time_to timestamptz,
    keep_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    uploaded_at timestamptz,
    verified_at timestamptz,
    removed_at timestamptz,
    CONSTRAINT archive_path_key UNIQUE (base, path)
);
CREATE INDEX archive_segment ON steward.archive (segment);
CREATE INDEX archive_store ON steward.archive (store, time_from);
COMMENT ON TABLE steward.archive IS 'a segment''s rows as files in an archive store: data.ndjson.zst, and manifest.json that proves it';
COMMENT ON COLUMN steward.archive.tenant IS 'the tenant, where the archive holds one tenant only';
COMMENT ON COLUMN steward.archive.state IS 'exported: written, not yet in the archive store; uploaded; verified: read back in full and equal; discarded: not needed, because the segment was exported again; expired: removed when its time was over; erased: removed with its tenant';
COMMENT ON COLUMN steward.archive.base IS 'the archive store, as steward.archive_store named it';
COMMENT ON COLUMN steward.archive.path IS 'the archive''s directory in it: service/store/tenant/date/number-token';
COMMENT ON COLUMN steward.archive.bytes IS 'size of data.ndjson.zst';
COMMENT ON COLUMN steward.archive.raw_bytes IS 'the same before compression';
COMMENT ON COLUMN steward.archive.digest IS 'SHA-256 over the SHA-256 of each frame''s lines, in order';
COMMENT ON COLUMN steward.archive.rows_digest IS 'of a batch of rows: SHA-256 over the sorted SHA-256 of its lines, which the DELETE must reproduce';
COMMENT ON COLUMN steward.archive.manifest_digest IS 'SHA-256 of manifest.json';
COMMENT ON COLUMN steward.archive.tenants IS 'the tenants whose rows it holds; NULL: unknown, or too many to list';
COMMENT ON COLUMN steward.archive.time_from IS 'the earliest value of the retention clock in it';
COMMENT ON COLUMN steward.archive.time_to IS 'the latest value of the retention clock in it';
COMMENT ON COLUMN steward.archive.keep_until IS 'when the archive itself is removed; NULL: never';

CREATE TABLE steward.task (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('partition', 'rows', 'expire', 'erase')),
    store text,
    target text NOT NULL,
    argument jsonb NOT NULL DEFAULT '{}',
    rank integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempt integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    token uuid,
    lease_until timestamptz,
    worker integer,
    rows bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    error text,
    sqlstate text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE UNIQUE INDEX task_target ON steward.task (kind, target) WHERE state IN ('queued', 'running');
CREATE INDEX task_open ON steward.task (rank, not_before, id) WHERE state IN ('queued', 'running');
COMMENT ON TABLE steward.task IS 'the worker''s queue and its history';
COMMENT ON COLUMN steward.task.kind IS 'partition: archive or purge one; rows: in batches; expire: remove an archive whose time is over; erase: a tenant';
COMMENT ON COLUMN steward.task.target IS 'what the task is about; no two open tasks of a kind have the same';
COMMENT ON COLUMN steward.task.argument IS 'what the worker needs to know, per kind';
COMMENT ON COLUMN steward.task.rank IS 'lower goes first: rows that refer to others go before those';
COMMENT ON COLUMN steward.task.attempt IS 'how often it was begun';
COMMENT ON COLUMN steward.task.not_before IS 'when it may be tried next';
COMMENT ON COLUMN steward.task.token IS 'fencing token of the running attempt: whoever does not hold it changes nothing';
COMMENT ON COLUMN steward.task.lease_until IS 'when another worker may take it over';
COMMENT ON COLUMN steward.task.worker IS 'process that runs it';
COMMENT ON COLUMN steward.task.error IS 'why the last attempt failed';

CREATE TABLE steward.legal_hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store text,
    tenant text,
    predicate text,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL DEFAULT session_user,
    placed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    released_at timestamptz,
    released_by text,
    release_reason text,
    CHECK (store IS NOT NULL OR predicate IS NULL),
    CHECK (store IS NOT NULL OR tenant IS NOT NULL)
);
COMMENT ON TABLE steward.legal_hold IS 'what is never deleted or purged while the hold lasts: a store, a tenant, or the rows of a store that match a predicate';
COMMENT ON COLUMN steward.legal_hold.store IS 'NULL: every store that has the tenant';
COMMENT ON COLUMN steward.legal_hold.tenant IS 'NULL: every tenant';
COMMENT ON COLUMN steward.legal_hold.predicate IS 'a condition on the store''s columns, as steward.hold() wrote it down; NULL: every row';
COMMENT ON COLUMN steward.legal_hold.expires_at IS 'when it ends by itself; NULL: when it is released';

CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON steward.legal_hold
    FOR EACH STATEMENT EXECUTE FUNCTION steward.registry_changed();
ALTER TABLE steward.legal_hold ENABLE ALWAYS TRIGGER registry_changed;

CREATE TABLE steward.tenant_end (
    tenant text PRIMARY KEY,
    ended_at timestamptz NOT NULL,
    source text NOT NULL
);
COMMENT ON TABLE steward.tenant_end IS 'tenants whose life has ended, kept when the registry''s own row is gone: what is kept for the tenant''s lifetime plus years counts from here';
COMMENT ON COLUMN steward.tenant_end.source IS 'the store that is the tenant registry here, or end_tenant()';

CREATE TABLE steward.retention_override (
    store text,
    tenant text,
    retention jsonb NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (store, tenant)
);
COMMENT ON TABLE steward.retention_override IS 'tenants whose contract is longer or shorter than the map says, by store';
COMMENT ON COLUMN steward.retention_override.retention IS 'the fields of the store''s retention that differ: hot, keep or plus';

CREATE TABLE steward.enforcement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL DEFAULT session_user,
    segments integer NOT NULL DEFAULT 0,
    tasks integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE steward.enforcement IS 'each run of enforce_retention() and what it enqueued';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['segment', 'archive', 'task', 'legal_hold', 'tenant_end', 'retention_override', 'enforcement'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('steward.%I', name), '');
        IF EXISTS (SELECT FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = ('steward.' || name)::pg_catalog.regclass AND a.attidentity <> '') THEN
            PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.pg_get_serial_sequence('steward.' || name, 'id'), '');
            EXECUTE pg_catalog.format('COMMENT ON SEQUENCE %s IS %L', pg_catalog.pg_get_serial_sequence('steward.' || name, 'id'),
                                      'numbers of steward.' || name);
        END IF;
        EXECUTE pg_catalog.format('GRANT SELECT ON steward.%I TO steward_admin, steward_pipeline, steward_operator, steward_auditor', name);
    END LOOP;
END
$$;

DO $$
DECLARE
    named record;
BEGIN
    FOR named IN
        SELECT c.oid::pg_catalog.regclass AS id, pg_catalog.regexp_replace(c.relname, '_id_seq$', '') AS name FROM pg_catalog.pg_class c
         WHERE c.relnamespace = 'steward'::pg_catalog.regnamespace AND c.relkind = 'S'
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON SEQUENCE %s IS %L', named.id, 'numbers the rows of steward.' || named.name);
    END LOOP;
END
$$;
