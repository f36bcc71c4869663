/*
 * storage_map.sql
 *    The map, rendered back from the live catalog in the map's own words.
 *
 * A phrase is derived from what is enforced; a store's "words" replace it where
 * the map says the same thing in prose.
 */
CREATE FUNCTION steward.store_phrase(store steward.store) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(store.words ->> 'store',
                    CASE WHEN store.append_only THEN 'Append-only ' ELSE '' END
                    || CASE store.kind WHEN 'table' THEN 'PostgreSQL' WHEN 'blob' THEN 'Azure Blob' WHEN 'cache' THEN 'Redis'
                                       WHEN 'secret' THEN 'Azure Key Vault' WHEN 'transport' THEN 'Azure Service Bus' END)
$$;
COMMENT ON FUNCTION steward.store_phrase(steward.store) IS 'where a store lives, as the map says it';

CREATE FUNCTION steward.retention_phrase(store steward.store) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(store.words ->> 'retention',
                    CASE WHEN r ? 'hot' THEN r ->> 'hot' || CASE r ->> 'then' WHEN 'archive' THEN ' hot, then archive'
                                                                            WHEN 'tier' THEN ', then tiered/purged'
                                                                            ELSE '' END
                         WHEN r ? 'until' THEN CASE r ->> 'until' WHEN 'lifetime' THEN 'Lifetime'
                                                                  WHEN 'tenant_lifetime' THEN 'Tenant lifetime'
                                                                  ELSE 'Until ' || (r ->> 'until') END
                                               || coalesce(' + ' || (r ->> 'plus'), '')
                         WHEN r ? 'ttl' THEN 'TTL ' || (r ->> 'ttl') END)
      FROM (SELECT store.retention) x (r)
$$;
COMMENT ON FUNCTION steward.retention_phrase(steward.store) IS 'how long a store''s rows live, as the map says it';

CREATE VIEW steward.storage_map AS
    SELECT s.data,
           steward.store_phrase(s) AS store,
           coalesce(s.words ->> 'owner_service', s.owner) AS owner_service,
           s.access AS access_pattern,
           steward.retention_phrase(s) AS retention,
           s.notes
      FROM steward.store s
     WHERE s.part_of IS NULL
     ORDER BY s.position, s.name;
COMMENT ON VIEW steward.storage_map IS 'the storage map of this database, from the live catalog';
COMMENT ON COLUMN steward.storage_map.data IS 'what is stored';
COMMENT ON COLUMN steward.storage_map.store IS 'where it lives';
COMMENT ON COLUMN steward.storage_map.owner_service IS 'the one service that owns it';
COMMENT ON COLUMN steward.storage_map.access_pattern IS 'how it is read and written';
COMMENT ON COLUMN steward.storage_map.retention IS 'how long it is kept, and what happens then';
COMMENT ON COLUMN steward.storage_map.notes IS 'what else the map says';
