/*
 * registry.sql
 *    The storage map as data: services and stores.
 *
 * src/registry.c reads the first columns of both tables by number; add columns
 * at the end.  Roles and relations are held by OID, so they follow renames, and
 * are dumped by name.  A store's columns are held by name (attribute numbers do
 * not survive a dump) and follow renames through steward.follow_ddl().
 *
 * No foreign keys between them: pg_restore -j would load the rows before what
 * they refer to.  manifest_problems() judges what comes in, follow_name() keeps
 * it true, and neither runs in a restore.
 */
CREATE TABLE steward.service (
    name text PRIMARY KEY CHECK (name <> '' AND octet_length(name) < 64),
    role regrole NOT NULL UNIQUE
);
COMMENT ON TABLE steward.service IS 'a deployable that owns stores, and the database role whose members act for it';
COMMENT ON COLUMN steward.service.name IS 'the name that the storage map uses';
COMMENT ON COLUMN steward.service.role IS 'members of this role act for the service';

CREATE TABLE steward.store (
    name text PRIMARY KEY CHECK (name <> '' AND octet_length(name) < 64),
    position integer NOT NULL,
    data text,
    kind text NOT NULL CHECK (kind IN ('table', 'blob', 'cache', 'secret', 'transport')),
    relation regclass,
    location text,
    owner text,
    scope text NOT NULL DEFAULT 'tenant' CHECK (scope IN ('tenant', 'global', 'service')),
    tenant text,
    row_owner text,
    append_only boolean NOT NULL DEFAULT false,
    write_once boolean NOT NULL DEFAULT false,
    part_of text,
    access text,
    keys jsonb,
    retention jsonb,
    notes text,
    words jsonb,
    plaintext_exempt jsonb,
    registry boolean NOT NULL DEFAULT false,
    CONSTRAINT store_relation_key UNIQUE (relation),
    CONSTRAINT store_relation_kind CHECK ((kind = 'table') = (relation IS NOT NULL))
);
COMMENT ON TABLE steward.store IS 'one row of a storage map: a table, blob container, cache, secret namespace or transport; field by field in docs/manifest.md';
COMMENT ON COLUMN steward.store.name IS 'the key that manifests and findings use';
COMMENT ON COLUMN steward.store.position IS 'order of the rows in the storage map';
COMMENT ON COLUMN steward.store.data IS 'the map''s column Data';
COMMENT ON COLUMN steward.store.kind IS 'table, blob, cache, secret or transport';
COMMENT ON COLUMN steward.store.relation IS 'the governed table (the root, when partitioned); only for kind table';
COMMENT ON COLUMN steward.store.location IS 'where a store that is not a table lives, with placeholders in braces';
COMMENT ON COLUMN steward.store.owner IS 'the one service that writes the store';
COMMENT ON COLUMN steward.store.scope IS 'tenant: each row belongs to one tenant; global: shared, read-only for all but its owner; service: the owner''s own';
COMMENT ON COLUMN steward.store.tenant IS 'column that holds the tenant of a row; for a table of scope tenant';
COMMENT ON COLUMN steward.store.row_owner IS 'column that names the service a row belongs to: only its members write, change or delete that row';
COMMENT ON COLUMN steward.store.append_only IS 'no UPDATE, DELETE or TRUNCATE, for anyone';
COMMENT ON COLUMN steward.store.write_once IS 'an object is never overwritten; for kind blob';
COMMENT ON COLUMN steward.store.part_of IS 'the store whose row of the map this further table belongs to';
COMMENT ON COLUMN steward.store.access IS 'the map''s column Access pattern';
COMMENT ON COLUMN steward.store.keys IS 'lookup keys: an array of arrays of column names, without the tenant column';
COMMENT ON COLUMN steward.store.retention IS 'how long rows live; the grammar is in docs/manifest.md';
COMMENT ON COLUMN steward.store.notes IS 'the map''s column Notes';
COMMENT ON COLUMN steward.store.words IS 'the map''s own phrase for the columns store, owner_service and retention, shown in place of the derived one';
COMMENT ON COLUMN steward.store.plaintext_exempt IS 'columns that may hold what looks like a secret, each with its reason';
COMMENT ON COLUMN steward.store.registry IS 'true for the store that says which tenants have ended: its tenant column and retention clock; one a database at most';

CREATE FUNCTION steward.registry_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'steward_registry_changed';
COMMENT ON FUNCTION steward.registry_changed() IS
    'trigger on steward.service, steward.store and steward.legal_hold: every session forgets what it cached of them';
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON steward.service
    FOR EACH STATEMENT EXECUTE FUNCTION steward.registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON steward.store
    FOR EACH STATEMENT EXECUTE FUNCTION steward.registry_changed();
ALTER TABLE steward.service ENABLE ALWAYS TRIGGER registry_changed;
ALTER TABLE steward.store ENABLE ALWAYS TRIGGER registry_changed;

CREATE FUNCTION steward.follow_name() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID = 'steward.store'::regclass THEN
        UPDATE steward.store s SET part_of = NEW.name WHERE s.part_of = OLD.name;
        -- what has been done to a store is told of it even when it is gone
        IF TG_OP = 'UPDATE' THEN
            UPDATE steward.segment g SET store = NEW.name WHERE g.store = OLD.name;
            UPDATE steward.archive a SET store = NEW.name WHERE a.store = OLD.name;
            UPDATE steward.task t SET store = NEW.name WHERE t.store = OLD.name;
            UPDATE steward.legal_hold h SET store = NEW.name WHERE h.store = OLD.name;
            UPDATE steward.retention_override o SET store = NEW.name WHERE o.store = OLD.name;
            UPDATE steward.tenant_end e SET source = NEW.name WHERE e.source = OLD.name;
        ELSE
            DELETE FROM steward.retention_override o WHERE o.store = OLD.name;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE steward.store s SET owner = NEW.name WHERE s.owner = OLD.name;
    ELSIF EXISTS (SELECT FROM steward.store s WHERE s.owner = OLD.name) THEN
        RAISE EXCEPTION 'service "%" still owns stores', OLD.name
            USING ERRCODE = 'foreign_key_violation', HINT = 'Release the stores, or give them another owner, first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION steward.follow_name() IS
    'trigger on steward.service and steward.store: owner, part_of, holds and what retention knows follow a new name, a store''s parts stand alone when it goes, and a service that owns stores stays';
CREATE TRIGGER follow_name AFTER DELETE OR UPDATE OF name ON steward.service
    FOR EACH ROW EXECUTE FUNCTION steward.follow_name();
CREATE TRIGGER follow_name AFTER DELETE OR UPDATE OF name ON steward.store
    FOR EACH ROW EXECUTE FUNCTION steward.follow_name();
ALTER TABLE steward.service ENABLE ALWAYS TRIGGER follow_name;
ALTER TABLE steward.store ENABLE ALWAYS TRIGGER follow_name;

SELECT pg_catalog.pg_extension_config_dump('steward.service', '');
SELECT pg_catalog.pg_extension_config_dump('steward.store', '');

CREATE FUNCTION steward.armed() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'steward_armed';
COMMENT ON FUNCTION steward.armed() IS
    'true when the rules are in force: the event trigger steward_armed exists and is enabled. A dump restores it last';
