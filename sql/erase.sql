/*
 * erase.sql
 *    A tenant, erased: every row that is his, hot and archived, with a
 *    certificate of what was removed.
 *
 * erase_tenant() only asks; the worker erases (src/erase.c), because archive
 * stores are not written in transactions.  The procedure waits for it between
 * transactions, and so is not SECURITY DEFINER and sets nothing: such procedures
 * cannot commit.  What it calls judges the caller and looks at the tables.
 *
 * Counts are kept from step to step in steward.erasure_item, in the transaction
 * that removes what they count.
 */
CREATE TABLE steward.erasure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'running', 'done', 'failed')),
    continues bigint[] NOT NULL DEFAULT '{}',
    error text,
    sqlstate text,
    certificate jsonb,
    digest bytea
);
COMMENT ON TABLE steward.erasure IS 'each tenant that was to be erased, and the certificate of what was removed';
COMMENT ON COLUMN steward.erasure.continues IS 'earlier erasures of the tenant that failed: what they removed counts in this certificate';
COMMENT ON COLUMN steward.erasure.error IS 'why the last attempt failed';
COMMENT ON COLUMN steward.erasure.digest IS 'SHA-256 of certificate::text';

CREATE TABLE steward.erasure_item (
    erasure bigint NOT NULL,
    store text NOT NULL,
    relation text,
    archive bigint,
    action text NOT NULL CHECK (action IN ('deleted', 'removed', 'rewriting', 'rewritten', 'searched')),
    rows bigint NOT NULL DEFAULT 0,
    path text,
    digest bytea,
    new_archive bigint,
    new_digest bytea,
    CHECK ((relation IS NULL) <> (archive IS NULL))
);
CREATE UNIQUE INDEX erasure_item_relation ON steward.erasure_item (erasure, store, relation) WHERE relation IS NOT NULL;
CREATE UNIQUE INDEX erasure_item_archive ON steward.erasure_item (erasure, archive) WHERE archive IS NOT NULL;
CREATE INDEX erasure_item_new_archive ON steward.erasure_item (new_archive) WHERE new_archive IS NOT NULL;
COMMENT ON TABLE steward.erasure_item IS 'what an erasure has done so far, table by table and archive by archive';
COMMENT ON COLUMN steward.erasure_item.action IS 'deleted: rows of a table; removed: an archive; rewriting, rewritten: an archive of several tenants, without this one''s rows; searched: an archive that held none';
COMMENT ON COLUMN steward.erasure_item.rows IS 'rows of the tenant''s that were removed';
COMMENT ON COLUMN steward.erasure_item.digest IS 'of the archive that is gone';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasure', 'erasure_item'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('steward.%I', name), '');
        EXECUTE pg_catalog.format('GRANT SELECT ON steward.%I TO steward_admin, steward_pipeline, steward_operator, steward_auditor', name);
    END LOOP;
    PERFORM pg_catalog.pg_extension_config_dump('steward.erasure_id_seq', '');
    COMMENT ON SEQUENCE steward.erasure_id_seq IS 'numbers the rows of steward.erasure';
END
$$;

-- The queue knows how an erasure goes, until it is done
CREATE FUNCTION steward.follow_erasure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE steward.erasure e
       SET state = CASE NEW.state WHEN 'running' THEN 'running' WHEN 'failed' THEN 'failed' ELSE 'requested' END,
           error = NEW.error, sqlstate = NEW.sqlstate,
           finished_at = CASE NEW.state WHEN 'failed' THEN clock_timestamp() END
     WHERE e.id = NEW.target::bigint AND e.state <> 'done';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION steward.follow_erasure() IS 'trigger on steward.task: steward.erasure says how far its task is, and why it failed';
CREATE TRIGGER follow_erasure AFTER UPDATE OF state ON steward.task
    FOR EACH ROW WHEN (NEW.kind = 'erase' AND NEW.state <> 'done') EXECUTE FUNCTION steward.follow_erasure();
ALTER TABLE steward.task ENABLE ALWAYS TRIGGER follow_erasure;

-- ---- what is the tenant's -----------------------------------------------------

CREATE FUNCTION steward.same_tenant(a text, b text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a = b OR coalesce(steward.tenant_text(a, 'uuid') = steward.tenant_text(b, 'uuid'), false)
        OR coalesce(steward.tenant_text(a, 'bigint') = steward.tenant_text(b, 'bigint'), false)
$$;
COMMENT ON FUNCTION steward.same_tenant(text, text) IS 'may these be the same tenant, to a column of some type?';

-- An archive may be older than the column's type, and text holds what uuid would print
CREATE FUNCTION steward.tenant_spellings(tenant text, type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(DISTINCT s.word ORDER BY s.word)
      FROM (VALUES (tenant), (steward.tenant_text(tenant, CASE tenant_spellings.type WHEN 'bigint' THEN 'bigint' ELSE 'uuid' END))) s (word)
     WHERE s.word IS NOT NULL
$$;
COMMENT ON FUNCTION steward.tenant_spellings(text, text) IS
    'how rows of a store whose tenants have a type can spell a tenant: as it is given, and as the type prints it, or as uuid does; type NULL: the store is gone';

CREATE FUNCTION steward.tenant_tables(tenant text)
    RETURNS TABLE (store text, relation regclass, condition text, rank integer, refers_to_itself boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH kept AS MATERIALIZED (
        SELECT s.name, s.relation AS root,
               CASE y.type WHEN 'text' THEN format('%I = ANY (%L::text[])', s.tenant, steward.tenant_spellings(tenant_tables.tenant, 'text'))
                           ELSE format('%I = %s', s.tenant, steward.tenant_literal(y.type, tenant_tables.tenant)) END AS condition
          FROM steward.store s, LATERAL steward.tenant_type(s.relation, s.tenant) y (type)
         WHERE s.kind = 'table' AND s.scope = 'tenant' AND steward.tenant_literal(y.type, tenant_tables.tenant) IS NOT NULL),
    leaf AS (
        SELECT k.name, b.leaf FROM kept k, steward.partition_bounds(k.root, NULL, NULL) b
        UNION
        -- what retention has detached and could not archive
        SELECT k.name, g.relation FROM kept k JOIN steward.segment g ON g.store = k.name JOIN pg_class c ON c.oid = g.relation
         WHERE g.kind = 'partition' AND g.state <> 'purged')
    SELECT k.name, l.leaf, k.condition, coalesce(r.rank, 0),
           EXISTS (SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = k.root AND c.confrelid = k.root)
      FROM leaf l JOIN kept k ON k.name = l.name LEFT JOIN steward.retention_rank() r ON r.relation = k.root
     ORDER BY 4, 1, l.leaf::text
$$;
COMMENT ON FUNCTION steward.tenant_tables(text) IS
    'every table that can hold rows of a tenant, with the condition that they meet, in the order in which they can be deleted; detached partitions too. Foreign tables are left out';

CREATE FUNCTION steward.tenant_archives(tenant text) RETURNS SETOF steward.archive
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT a.*
      FROM steward.archive a LEFT JOIN steward.store s ON s.name = a.store,
           LATERAL steward.tenant_spellings(tenant_archives.tenant, steward.tenant_type(s.relation, s.tenant)) w (spelled)
     WHERE a.state IN ('exported', 'uploaded', 'verified')
       AND (a.tenant = ANY (w.spelled) OR a.tenants && w.spelled
            OR a.tenant IS NULL AND a.tenants IS NULL AND coalesce(s.scope = 'tenant', true))
     ORDER BY a.id
$$;
COMMENT ON FUNCTION steward.tenant_archives(text) IS
    'the archives that hold rows of a tenant, or of which nobody knows: a manifest lists 1000 tenants at most';

-- ---- may it be erased -----------------------------------------------------------

CREATE FUNCTION steward.erasure_hold(tenant text) RETURNS SETOF steward.legal_hold
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT h.*
      FROM steward.legal_hold h LEFT JOIN steward.store s ON s.name = h.store,
           -- a hold whose tenant the store cannot name any more is on every row
           LATERAL (SELECT h.tenant IS NULL OR steward.same_tenant(h.tenant, erasure_hold.tenant)
                           OR h.store IS NOT NULL AND steward.tenant_literal(steward.tenant_type(s.relation, s.tenant), h.tenant) IS NULL) t (concerns)
     WHERE h.released_at IS NULL AND coalesce(h.expires_at > now(), true) AND t.concerns
       AND (h.store IS NULL
            OR EXISTS (SELECT FROM steward.tenant_archives(erasure_hold.tenant) a WHERE a.store = h.store)
            OR EXISTS (SELECT FROM steward.tenant_tables(erasure_hold.tenant) x
                        WHERE x.store = h.store
                          AND steward.any_row(x.relation, x.condition || coalesce(format(' AND (%s)', h.predicate), ''))))
     ORDER BY h.id
$$;
COMMENT ON FUNCTION steward.erasure_hold(text) IS
    'the legal holds that cover anything of a tenant: those on the tenant; those on a store that has rows or archives of the tenant; those with a predicate, where the tenant has such rows, or any archive';

CREATE FUNCTION steward.refuse_erasure(tenant text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held steward.legal_hold;
BEGIN
    SELECT h.* INTO held FROM steward.erasure_hold(refuse_erasure.tenant) h LIMIT 1;
    IF held.id IS NOT NULL THEN
        RAISE EXCEPTION '%', 'the tenant is under a legal hold' || coalesce(' in store "' || held.store || '"', '')
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'steward_hold',
                  DETAIL = format('Legal hold %s%s: %s', held.id, ', until ' || held.expires_at, held.reason),
                  HINT = format('Nothing is erased until the hold ends: SELECT steward.release_hold(%s, ''<reason>'');', held.id);
    END IF;
END
$$;
COMMENT ON FUNCTION steward.refuse_erasure(text) IS 'an error, 42501, if a legal hold covers anything of the tenant';

-- Before each step of the worker's
CREATE FUNCTION steward.permit_erasure(tenant text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    busy record;
BEGIN
    PERFORM steward.refuse_erasure(permit_erasure.tenant);
    SELECT g.id, g.store, g.state INTO busy
      FROM steward.segment g LEFT JOIN steward.store s ON s.name = g.store
     WHERE g.kind = 'partition' AND g.state IN ('exporting', 'uploaded', 'verified') AND coalesce(s.scope = 'tenant', true)
     ORDER BY g.id LIMIT 1;
    IF busy.id IS NOT NULL THEN
        RAISE EXCEPTION 'segment % of store "%" is under way', busy.id, busy.store
            USING ERRCODE = 'object_in_use',
                  DETAIL = format('It is %s, and may hold rows of the tenant.', busy.state),
                  HINT = 'The erasure goes on when it is purged, or has failed.';
    END IF;
END
$$;
COMMENT ON FUNCTION steward.permit_erasure(text) IS
    'an error if a legal hold covers anything of the tenant, 42501, or if retention has a partition in hand, 55006';

-- ---- asking -----------------------------------------------------------------------

CREATE FUNCTION steward.request_erasure(tenant text, reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    number bigint;
BEGIN
    IF coalesce(request_erasure.tenant, '') = '' OR coalesce(btrim(request_erasure.reason), '') = '' THEN
        RAISE EXCEPTION '%', CASE WHEN coalesce(request_erasure.tenant, '') = '' THEN 'a tenant is needed' ELSE 'an erasure needs a reason' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'CALL steward.erase_tenant(''<tenant>'', reason => ''...'');';
    END IF;
    IF NOT steward.wake_worker() OR current_setting('steward.worker') = 'off' THEN
        RAISE EXCEPTION 'no worker can erase here'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN NOT steward.preloaded() THEN 'pg_steward is not in shared_preload_libraries.'
                                WHEN current_setting('steward.worker') = 'off' THEN 'steward.worker is off.'
                                ELSE 'steward.max_workers is 0.' END;
    END IF;
    PERFORM steward.refuse_erasure(request_erasure.tenant);

    -- who asks again while it is under way waits for the same
    LOCK TABLE steward.erasure IN SHARE ROW EXCLUSIVE MODE;
    SELECT e.id INTO number FROM steward.erasure e
     WHERE e.tenant = request_erasure.tenant AND e.state IN ('requested', 'running') ORDER BY e.id LIMIT 1;
    IF number IS NOT NULL THEN
        RETURN number;
    END IF;
    INSERT INTO steward.erasure AS e (tenant, reason, actor, continues)
    SELECT request_erasure.tenant, btrim(request_erasure.reason), session_user,
           ARRAY(SELECT f.id FROM steward.erasure f
                  WHERE f.tenant = request_erasure.tenant AND f.state = 'failed'
                    AND f.id > coalesce((SELECT max(d.id) FROM steward.erasure d
                                          WHERE d.tenant = request_erasure.tenant AND d.state = 'done'), 0) ORDER BY f.id)
    RETURNING e.id INTO number;
    INSERT INTO steward.task (kind, target) VALUES ('erase', number::text);
    RETURN number;
END
$$;
COMMENT ON FUNCTION steward.request_erasure(text, text) IS
    'what erase_tenant() enqueues: returns the number of the erasure, of the one that is under way if there is one. 42501 when a legal hold covers anything of the tenant';

CREATE FUNCTION steward.erasure_outcome(erasure bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    e steward.erasure;
BEGIN
    SELECT x.* INTO e FROM steward.erasure x WHERE x.id = erasure_outcome.erasure;
    IF e.state = 'failed' OR e.id IS NULL THEN
        RAISE EXCEPTION 'erasure % has failed', erasure_outcome.erasure
            USING ERRCODE = coalesce(e.sqlstate, 'P0001'), CONSTRAINT = CASE e.sqlstate WHEN '42501' THEN 'steward_hold' ELSE '' END,
                  DETAIL = coalesce(e.error, ''),
                  HINT = 'What it has removed is gone and is counted: call steward.erase_tenant() again when the reason is mended.';
    END IF;
    RETURN e.certificate;
END
$$;
COMMENT ON FUNCTION steward.erasure_outcome(bigint) IS 'the certificate of an erasure; NULL: not yet; an error when it has failed';

-- Nothing here can be spoilt by the caller's search_path
CREATE PROCEDURE steward.erase_tenant(tenant text, reason text, wait boolean DEFAULT true, INOUT certificate jsonb DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    number pg_catalog.int8 := steward.request_erasure(tenant, reason);
BEGIN
    certificate := pg_catalog.jsonb_build_object('erasure', number);
    IF wait THEN
        COMMIT;
        LOOP
            certificate := steward.erasure_outcome(number);
            EXIT WHEN certificate IS NOT NULL;
            COMMIT;
            PERFORM pg_catalog.pg_sleep(0.05);
        END LOOP;
    END IF;
END
$$;
COMMENT ON PROCEDURE steward.erase_tenant(text, text, boolean, jsonb) IS
    'erases everything of a tenant, rows and archives, and returns the certificate of what was removed. 42501, and nothing is erased, while a legal hold covers any of it. The worker does it: not to be called in a transaction block, unless wait is false, which returns the number of the erasure. Interrupted, the erasure goes on';

CREATE FUNCTION steward.erasure_certificate(erasure bigint) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.certificate FROM steward.erasure e WHERE e.id = erasure_certificate.erasure
$$;
COMMENT ON FUNCTION steward.erasure_certificate(bigint) IS 'the certificate of an erasure; NULL until it is done';

-- ---- the worker's steps ---------------------------------------------------------------

CREATE FUNCTION steward.count_erased(erasure bigint, store text, relation text, "rows" bigint) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO steward.erasure_item AS i (erasure, store, relation, action, rows)
    VALUES (count_erased.erasure, count_erased.store, count_erased.relation, 'deleted', count_erased."rows")
        ON CONFLICT (erasure, store, relation) WHERE relation IS NOT NULL DO UPDATE SET rows = i.rows + excluded.rows
$$;
COMMENT ON FUNCTION steward.count_erased(bigint, text, text, bigint) IS 'adds rows that were deleted to what an erasure has done';

-- What is still to be done: not what this erasure has made or searched
CREATE FUNCTION steward.erasable_archives(erasure bigint) RETURNS SETOF steward.archive
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT a.*
      FROM steward.erasure e, steward.tenant_archives(e.tenant) a
     WHERE e.id = erasable_archives.erasure
       AND NOT EXISTS (SELECT FROM steward.erasure_item i
                        WHERE i.erasure = e.id AND (i.archive = a.id AND i.action = 'searched' OR i.new_archive = a.id))
     ORDER BY a.id
$$;
COMMENT ON FUNCTION steward.erasable_archives(bigint) IS 'the archives that an erasure has still to remove, rewrite or search';

CREATE FUNCTION steward.remove_archive(erasure bigint, archive bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    a steward.archive;
    g steward.segment;
BEGIN
    SELECT x.* INTO a FROM steward.archive x WHERE x.id = remove_archive.archive FOR UPDATE;
    SELECT x.* INTO g FROM steward.segment x WHERE x.id = a.segment FOR UPDATE;
    -- rows that are still hot are archived anew, without the tenant's
    UPDATE steward.archive x SET state = CASE WHEN g.state <> 'purged' THEN 'discarded' ELSE 'erased' END WHERE x.id = a.id;
    UPDATE steward.segment x SET state = 'failed', error = coalesce(x.error, 'interrupted; its rows are in a later segment')
     WHERE x.id = g.id AND x.kind = 'rows' AND x.state <> 'purged';
    INSERT INTO steward.erasure_item (erasure, store, archive, action, rows, path, digest)
    SELECT remove_archive.erasure, a.store, a.id, 'removed',
           -- rows of the tenant's that an archive has twice are counted where they are deleted
           CASE WHEN g.state <> 'purged' THEN 0 ELSE a.rows END, a.path, a.digest
        ON CONFLICT (erasure, archive) WHERE archive IS NOT NULL
        DO UPDATE SET (action, rows, path, digest, new_archive, new_digest) = ('removed', excluded.rows, excluded.path, excluded.digest, NULL, NULL);
    PERFORM steward.forget_keys(a.segment);
END
$$;
COMMENT ON FUNCTION steward.remove_archive(bigint, bigint) IS 'gives an archive up for an erasure, and counts it; its files go next';

-- The keys between which a batch lay are keys of rows
CREATE FUNCTION steward.forget_keys(segment bigint) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE steward.segment g SET key_from = NULL, key_to = NULL WHERE g.id = forget_keys.segment AND g.kind = 'rows'
$$;
COMMENT ON FUNCTION steward.forget_keys(bigint) IS 'forgets between which keys a batch lay';

-- The manifest of an archive, less what is measured anew and what could be of the tenant's
CREATE FUNCTION steward.rewritten_head(manifest text, archive bigint) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT (m.j - ARRAY['rows', 'raw_bytes', 'bytes', 'digest', 'rows_digest', 'from', 'to', 'tenants', 'frames']
            || jsonb_build_object('rewritten_from', m.j -> 'archive', 'archive', rewritten_head.archive, 'rewritten_at', clock_timestamp(),
                                  'condition', NULL, 'key_from', NULL, 'key_to', NULL))::text
      FROM (SELECT manifest::jsonb) m (j)
$$;
COMMENT ON FUNCTION steward.rewritten_head(text, bigint) IS 'the head of the manifest of an archive that is made of another';

CREATE FUNCTION steward.not_covered(tenant text) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('store', n.store, 'kind', n.kind, 'location', n.location, 'reason', n.reason))
                              ORDER BY n.position, n.location), '[]')
      FROM (SELECT s.position, s.name AS store, s.kind, s.location, 'not in this database' AS reason
              FROM steward.store s WHERE s.kind <> 'table' AND s.scope = 'tenant'
            UNION ALL
            SELECT s.position, s.name, s.kind, s.relation::text, 'has no column that holds a tenant'
              FROM steward.store s WHERE s.kind = 'table' AND s.scope = 'tenant' AND steward.tenant_type(s.relation, s.tenant) IS NULL
            UNION ALL
            SELECT s.position, s.name, 'table', f.relid::text, 'a foreign table'
              FROM steward.store s,
                   LATERAL (WITH RECURSIVE below AS (
                                SELECT s.relation::oid AS oid
                                UNION
                                SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid)
                            SELECT c.oid::regclass AS relid FROM below b JOIN pg_class c ON c.oid = b.oid WHERE c.relkind = 'f') f
             WHERE s.kind = 'table' AND s.scope = 'tenant'
            UNION ALL
            SELECT NULL, NULL, w.kind, NULL, w.reason
              FROM (VALUES ('backup', 'base backups, dumps, the write-ahead log and its archive'),
                           ('database', 'other databases'),
                           ('table', 'tables that are no store of scope tenant')) w (kind, reason)) n
$$;
COMMENT ON FUNCTION steward.not_covered(text) IS 'what an erasure does not reach: stores of a tenant''s that are no tables here, and what no store names';

-- The last step: nothing is left, and this is what was there
CREATE FUNCTION steward.certify_erasure(erasure bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET jit = off AS $$
DECLARE
    e steward.erasure;
    t record;
    n bigint;
    rows_left bigint := 0;
    archives_left bigint;
    certified jsonb;
BEGIN
    SELECT x.* INTO e FROM steward.erasure x WHERE x.id = certify_erasure.erasure FOR UPDATE;
    FOR t IN SELECT x.* FROM steward.tenant_tables(e.tenant) x LOOP
        EXECUTE format('SELECT count(*) FROM ONLY %s WHERE %s', t.relation, t.condition) INTO n;
        rows_left := rows_left + n;
    END LOOP;
    SELECT (SELECT count(*) FROM steward.erasable_archives(e.id))
         + (SELECT count(*) FROM steward.erasure_item i JOIN steward.archive a ON a.id = i.archive
             WHERE i.erasure = e.id AND i.action <> 'searched' AND a.removed_at IS NULL)
      INTO archives_left;
    IF rows_left > 0 OR archives_left > 0 THEN
        RAISE EXCEPTION 'erasure % is not complete', e.id
            USING ERRCODE = 'serialization_failure',
                  DETAIL = format('%s rows and %s archives of the tenant are left, or have come meanwhile.', rows_left, archives_left);
    END IF;

    e.finished_at := clock_timestamp();
    certified := jsonb_build_object(
        'certificate', 'pg_steward erasure', 'erasure', e.id, 'continues', to_jsonb(e.continues), 'tenant', e.tenant, 'reason', e.reason,
        'requested_by', e.actor, 'requested_at', e.requested_at, 'finished_at', e.finished_at,
        'database', current_database(), 'system_identifier', (SELECT c.system_identifier::text FROM pg_control_system() c),
        'pg_steward', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_steward'),
        'stores', (SELECT coalesce(jsonb_agg(jsonb_build_object('store', i.store, 'relation', i.relation, 'rows', i.n) ORDER BY i.store), '[]')
                     FROM (SELECT x.store, coalesce(s.relation::text, min(x.relation)) AS relation, sum(x.rows)::bigint AS n
                             FROM steward.erasure_item x LEFT JOIN steward.store s ON s.name = x.store
                            WHERE x.erasure = ANY (e.id || e.continues) AND x.relation IS NOT NULL GROUP BY x.store, s.relation) i),
        'archives', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                                'archive', i.archive, 'store', i.store, 'path', i.path, 'rows_removed', i.rows, 'action', i.action,
                                'old_digest', encode(i.digest, 'hex'), 'new_archive', i.new_archive,
                                'new_digest', encode(i.new_digest, 'hex'))) ORDER BY i.archive), '[]')
                       FROM steward.erasure_item i
                      WHERE i.erasure = ANY (e.id || e.continues) AND i.action IN ('removed', 'rewritten')),
        'searched', (SELECT coalesce(jsonb_agg(i.archive ORDER BY i.archive), '[]')
                       FROM steward.erasure_item i WHERE i.erasure = e.id AND i.action = 'searched'),
        'remaining', jsonb_build_object('rows', rows_left, 'archives', archives_left),
        'not_covered', steward.not_covered(e.tenant));
    UPDATE steward.erasure x
       SET state = 'done', finished_at = e.finished_at, error = NULL, sqlstate = NULL,
           certificate = certified, digest = sha256(convert_to(certified::text, 'UTF8'))
     WHERE x.id = e.id;
END
$$;
COMMENT ON FUNCTION steward.certify_erasure(bigint) IS
    'counts once more what there is of the tenant, an error if there is anything, and writes the certificate';

-- ---- who may ----------------------------------------------------------------------------

-- (what is not SECURITY DEFINER is granted in sql/privileges.sql)
REVOKE ALL ON PROCEDURE steward.erase_tenant(text, text, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE steward.erase_tenant(text, text, boolean, jsonb) TO steward_admin, steward_operator;
GRANT EXECUTE ON FUNCTION steward.request_erasure(text, text), steward.erasure_outcome(bigint) TO steward_admin, steward_operator;
