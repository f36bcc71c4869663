/*
 * retention.sql
 *    What is due: which partitions and which rows have outlived their store's
 *    retention, and the tasks that the worker is given for them.
 *
 * Everything here decides; nothing moves, deletes or drops a row.  There is one
 * statement of what is due, steward.plan_retention(); due() counts it,
 * enforce_retention() enqueues it, check() asks whether it was done.  It reads
 * the catalog and the real bounds of partitions (src/bounds.c), never a name,
 * and no row of a user's table but the tenant registry's.
 *
 * Time is reckoned in UTC.  A condition is SQL that stands alone: constants and
 * quoted columns, to be run with search_path pg_catalog.  JIT is off: it takes
 * seconds to compile what runs for milliseconds.
 */
CREATE FUNCTION steward.partition_bounds(relation regclass, clock text, tenant text)
    RETURNS TABLE (leaf regclass, parent regclass, bound text, lower timestamptz, upper timestamptz,
                   upper_inclusive boolean, tenants text[], is_default boolean)
    LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'steward_partition_bounds';
COMMENT ON FUNCTION steward.partition_bounds(regclass, text, text) IS
    'every table below a table that holds rows itself, with the bounds that the server enforces on the clock column (UTC; NULL: none, or unknown) and the tenants that it can hold (NULL: any). Foreign tables are left out';

-- ---- tenants -----------------------------------------------------------------

CREATE FUNCTION steward.ended_tenants() RETURNS TABLE (tenant text, ended_at timestamptz, source text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET row_security = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    r record;
    live jsonb;
BEGIN
    SELECT s.name, s.relation, s.tenant, s.retention ->> 'clock' AS clock INTO r
      FROM steward.store s
     WHERE s.registry AND steward.has_column(s.relation, s.tenant) AND steward.has_column(s.relation, s.retention ->> 'clock')
     ORDER BY s.position LIMIT 1;
    IF r.name IS NULL THEN
        RETURN QUERY SELECT e.tenant, e.ended_at, e.source FROM steward.tenant_end e;
        RETURN;
    END IF;
    live := steward.query_as_owner(r.relation, format($sql$
        SELECT coalesce(jsonb_agg(t), '[]') FROM (
            SELECT t.%1$I::text AS tenant, CASE WHEN bool_and(t.%2$I IS NOT NULL) THEN max(t.%2$I)::timestamptz END AS ended_at
              FROM %3$s t WHERE t.%1$I IS NOT NULL GROUP BY 1) t$sql$, r.tenant, r.clock, r.relation));
    RETURN QUERY
    WITH listed AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(live) x (tenant text, ended_at timestamptz))
    SELECT l.tenant, l.ended_at, r.name FROM listed l WHERE l.ended_at IS NOT NULL
    UNION ALL
    SELECT e.tenant, e.ended_at, e.source FROM steward.tenant_end e
     WHERE NOT EXISTS (SELECT FROM listed l WHERE l.tenant = e.tenant AND (l.ended_at IS NOT NULL OR e.source = r.name));
END
$$;
COMMENT ON FUNCTION steward.ended_tenants() IS
    'the tenants whose life has ended: what the tenant registry says now, and what steward.tenant_end remembers of tenants that it no longer lists';

CREATE FUNCTION steward.sync_tenant_ends() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(e), '[]') INTO ended FROM steward.ended_tenants() e;
    DELETE FROM steward.tenant_end e
     WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(ended) x (tenant text) WHERE x.tenant = e.tenant);
    INSERT INTO steward.tenant_end AS e
    SELECT x.tenant, x.ended_at, x.source FROM jsonb_to_recordset(ended) x (tenant text, ended_at timestamptz, source text)
        ON CONFLICT ON CONSTRAINT tenant_end_pkey DO UPDATE SET (ended_at, source) = (excluded.ended_at, excluded.source)
     WHERE (e.ended_at, e.source) IS DISTINCT FROM (excluded.ended_at, excluded.source);
END
$$;
COMMENT ON FUNCTION steward.sync_tenant_ends() IS
    'remembers in steward.tenant_end which tenants the tenant registry says have ended, and forgets those that it says live again; an end stays known when the registry''s row is gone';

CREATE FUNCTION steward.end_tenant(tenant text, ended_at timestamptz DEFAULT now()) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(end_tenant.tenant, '') = '' OR end_tenant.ended_at IS NULL THEN
        RAISE EXCEPTION 'a tenant and the time of its end are needed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO steward.tenant_end VALUES (end_tenant.tenant, end_tenant.ended_at, 'end_tenant()')
        ON CONFLICT ON CONSTRAINT tenant_end_pkey DO UPDATE SET (ended_at, source) = (excluded.ended_at, excluded.source);
END
$$;
COMMENT ON FUNCTION steward.end_tenant(text, timestamptz) IS
    'says that a tenant''s life has ended, in a database without a tenant registry: what is kept for the tenant''s lifetime counts from here';

CREATE FUNCTION steward.revive_tenant(tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said text;
BEGIN
    SELECT e.source INTO said FROM steward.ended_tenants() e WHERE e.tenant = revive_tenant.tenant;
    IF said IS NULL THEN
        RAISE EXCEPTION 'the tenant''s life has not ended' USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM steward.tenant_end;';
    END IF;
    DELETE FROM steward.tenant_end e WHERE e.tenant = revive_tenant.tenant;
    IF EXISTS (SELECT FROM steward.ended_tenants() e WHERE e.tenant = revive_tenant.tenant) THEN
        RAISE EXCEPTION 'store "%" says that the tenant''s life has ended', said
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Clear the clock of its row there.';
    END IF;
END
$$;
COMMENT ON FUNCTION steward.revive_tenant(text) IS 'takes back end_tenant(), or an end that the tenant registry does not list any more';

-- ---- what the map says --------------------------------------------------------

CREATE FUNCTION steward.require_store(store text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF require_store.store IS NOT NULL AND NOT EXISTS (SELECT FROM steward.store s WHERE s.name = require_store.store) THEN
        RAISE EXCEPTION 'store "%" does not exist', require_store.store
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name, relation FROM steward.store;';
    END IF;
END
$$;
COMMENT ON FUNCTION steward.require_store(text) IS '42704 when there is no such store; NULL passes';

-- The retention of each table, a part's main store's where it has none of its own
CREATE FUNCTION steward.retention_rule(store text DEFAULT NULL)
    RETURNS TABLE (store text, relation regclass, tenant text, tenant_type text, until text, clock text, clock_type text,
                   period interval, action text, by_tenant boolean, inherited_from text, registry boolean, problem text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH own AS (
        SELECT s.name, s.relation, s.registry, coalesce(s.retention, main.retention) AS r, main.name AS inherited_from,
               CASE WHEN s.scope = 'tenant' THEN s.tenant END AS tenant
          FROM steward.store s
          LEFT JOIN steward.store main ON main.name = s.part_of AND s.retention IS NULL
         WHERE s.kind = 'table' AND coalesce(s.retention, main.retention) IS NOT NULL
           AND (retention_rule.store IS NULL OR retention_rule.store IN (s.name, s.part_of))
           AND EXISTS (SELECT FROM pg_class c WHERE c.oid = s.relation)),
    rule AS (
        SELECT o.*, CASE WHEN o.r ? 'hot' THEN 'hot' ELSE o.r ->> 'until' END AS until, o.r ->> 'clock' AS clock,
               coalesce(o.r ->> 'hot', o.r ->> 'plus', '0')::interval AS period,
               CASE WHEN o.r ? 'hot' THEN o.r ->> 'then' ELSE 'purge' END AS action,
               steward.tenant_type(o.relation, o.tenant) AS tenant_type,
               (SELECT steward.base_type(a.atttypid)::regtype::text FROM pg_attribute a
                 WHERE a.attrelid = o.relation AND a.attname = o.r ->> 'clock' AND a.attnum > 0 AND NOT a.attisdropped) AS clock_type
          FROM own o)
    SELECT r.name, r.relation, r.tenant, r.tenant_type, r.until,
           CASE WHEN r.until <> 'tenant_lifetime' THEN r.clock END,
           CASE WHEN r.until <> 'tenant_lifetime' THEN r.clock_type END,
           r.period, r.action, coalesce((r.r ->> 'by_tenant')::boolean, false), r.inherited_from, r.registry,
           CASE WHEN r.until = 'tenant_lifetime' THEN
                    CASE WHEN r.tenant_type IS NULL THEN 'has no column that holds a tenant' END
                WHEN r.clock_type IS NULL THEN format('has no column %I, from which its retention counts', r.clock)
                WHEN r.clock_type NOT IN ('timestamp with time zone', 'timestamp without time zone', 'date')
                THEN format('column %I, from which its retention counts, holds no time', r.clock) END
      FROM rule r
     WHERE r.action IN ('archive', 'purge')
       AND (r.until = 'tenant_lifetime' AND NOT (r.tenant IS NULL AND r.inherited_from IS NOT NULL)
            OR r.until IN ('hot', 'lifetime', 'expired', 'published') AND r.clock IS NOT NULL)
$$;
COMMENT ON FUNCTION steward.retention_rule(text) IS
    'the retention of each table that has one which time can end: until when, by which clock, and what then. A part without one has its main store''s. problem: why it cannot be enforced';

CREATE FUNCTION steward.time_before(period interval, clock_type text) RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT CASE WHEN period > interval '5000 years' THEN '-infinity'
                -- a day is over when the next begins
                WHEN clock_type = 'date' THEN date_trunc('day', now() - period)
                ELSE now() - period END
$$;
COMMENT ON FUNCTION steward.time_before(interval, text) IS
    'now minus a period, in UTC; for a clock of type date, the beginning of that day';

-- Children first: how far up a table stands in the foreign keys
CREATE FUNCTION steward.retention_rank() RETURNS TABLE (relation oid, rank integer)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH RECURSIVE edge AS MATERIALIZED (
        SELECT DISTINCT c.conrelid AS child, c.confrelid AS parent
          FROM pg_constraint c JOIN steward.store a ON a.relation = c.conrelid JOIN steward.store b ON b.relation = c.confrelid
         WHERE c.contype = 'f' AND c.conrelid <> c.confrelid),
    depth AS (
        SELECT s.relation::oid AS relid, 0 AS n FROM steward.store s WHERE s.kind = 'table'
        UNION
        -- foreign keys in a circle end somewhere
        SELECT e.parent, d.n + 1 FROM depth d JOIN edge e ON e.child = d.relid WHERE d.n < 32)
    SELECT d.relid, max(d.n) FROM depth d GROUP BY d.relid
$$;
COMMENT ON FUNCTION steward.retention_rank() IS
    'the order in which tables lose rows: those that refer to others before those that they refer to';

-- What a condition ends with, where a legal hold covers rows of the store
CREATE FUNCTION steward.hold_clause(store text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN h.condition IS NULL THEN '' ELSE format(' AND NOT coalesce((%s), false)', h.condition) END
      FROM (SELECT steward.hold_condition(hold_clause.store)) h (condition)
$$;
COMMENT ON FUNCTION steward.hold_clause(text) IS
    'what to add to a condition so that it spares the rows of a store that are under a legal hold; empty when none are';

-- Rows of another table that would go, or change, with the rows of this one:
-- nobody has archived those
CREATE FUNCTION steward.would_cascade(relation regclass) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT format('rows of %s would go with them (%s)', min(c.conrelid::regclass::text),
                  CASE min(c.confdeltype) WHEN 'c' THEN 'ON DELETE CASCADE' WHEN 'n' THEN 'ON DELETE SET NULL' ELSE 'ON DELETE SET DEFAULT' END)
      FROM pg_constraint c
     WHERE c.contype = 'f' AND c.confrelid = would_cascade.relation AND c.confdeltype IN ('c', 'n', 'd')
       AND c.conrelid <> c.confrelid
    HAVING count(*) > 0
$$;
COMMENT ON FUNCTION steward.would_cascade(regclass) IS
    'why rows of a table are not deleted by retention: a foreign key would take rows of another table along, or change them. NULL: none would';

/*
 * A leaf whose rows are all due goes as a whole; one whose range has passed but
 * which holds rows that stay (under a hold, or of tenants with another contract)
 * is done by rows; one whose range is not known is done by rows always; one that
 * the cutoff divides waits.
 *
 * Tenants with an override are parties of their own beside everybody else, who
 * are party NULL.
 */
CREATE FUNCTION steward.plan_retention(store text DEFAULT NULL, anew bigint DEFAULT NULL)
    RETURNS TABLE (store text, kind text, action text, relation regclass, parent regclass, bound text, condition text,
                   key text[], tenant text, time_from timestamptz, time_to timestamptz, rank integer, blocked text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET quote_all_identifiers = off SET jit = off AS $$
    WITH rule AS MATERIALIZED (
        SELECT r.*, steward.time_before(r.period, r.clock_type) AS cutoff, steward.hold_clause(r.store) AS hold
          FROM steward.retention_rule(plan_retention.store) r WHERE r.problem IS NULL),
    exception AS MATERIALIZED (
        SELECT DISTINCT ON (r.store, l.tenant) r.store, l.tenant, o.retention
          FROM rule r JOIN steward.retention_override o ON o.store IN (r.store, r.inherited_from),
               LATERAL (SELECT steward.tenant_text(o.tenant, r.tenant_type) AS tenant) l
         WHERE l.tenant IS NOT NULL
         ORDER BY r.store, l.tenant, o.store = r.store DESC),
    party AS MATERIALIZED (
        SELECT r.store, NULL::text AS tenant, r.cutoff FROM rule r WHERE r.until <> 'tenant_lifetime'
        UNION ALL
        SELECT r.store, x.tenant,
               steward.time_before(coalesce((x.retention ->> CASE r.until WHEN 'hot' THEN 'hot' ELSE 'plus' END)::interval, r.period), r.clock_type)
          FROM rule r JOIN exception x ON x.store = r.store WHERE r.until <> 'tenant_lifetime'),
    everybody_else AS MATERIALIZED (
        SELECT x.store, array_agg(x.tenant ORDER BY x.tenant) AS but FROM exception x GROUP BY x.store),
    leaf AS MATERIALIZED (
        SELECT r.store, b.* FROM rule r, steward.partition_bounds(r.relation, r.clock, r.tenant) b
         WHERE NOT EXISTS (SELECT FROM steward.segment g
                            WHERE g.relation = b.leaf AND g.kind = 'partition' AND g.id IS DISTINCT FROM plan_retention.anew
                              AND g.state IN ('due', 'exporting', 'uploaded', 'verified', 'failed'))),
    fate AS (
        SELECT l.*, p.tenant AS party, p.cutoff,
               CASE WHEN l.upper IS NULL THEN CASE WHEN l.lower >= p.cutoff THEN 'fresh' ELSE 'by rows' END
                    WHEN l.upper < p.cutoff OR l.upper = p.cutoff AND NOT l.upper_inclusive THEN 'over'
                    ELSE 'fresh' END AS fate
          FROM leaf l JOIN party p ON p.store = l.store LEFT JOIN everybody_else e ON e.store = l.store
         WHERE l.tenants IS NULL
            OR CASE WHEN p.tenant IS NULL THEN NOT l.tenants <@ coalesce(e.but, '{}') ELSE p.tenant = ANY (l.tenants) END),
    whole AS MATERIALIZED (
        SELECT f.*, bool_and(f.fate = 'over') OVER (PARTITION BY f.leaf) AND f.bound IS NOT NULL AND r.hold = '' AS whole
          FROM fate f JOIN rule r ON r.store = f.store),
    -- spelled once for each type, not for each store
    ended_as AS MATERIALIZED (
        SELECT t.type, e.ended_at, steward.tenant_text(e.tenant, t.type) AS tenant
          FROM (SELECT DISTINCT r.tenant_type AS type FROM rule r WHERE r.until = 'tenant_lifetime') t, steward.ended_tenants() e),
    ended AS MATERIALIZED (
        SELECT r.store, l.tenant
          FROM rule r JOIN ended_as l ON l.type = r.tenant_type AND l.tenant IS NOT NULL
          LEFT JOIN exception x ON x.store = r.store AND x.tenant = l.tenant AND x.retention ? 'plus'
         WHERE r.until = 'tenant_lifetime'
           AND l.ended_at < CASE WHEN x.tenant IS NULL THEN r.cutoff ELSE steward.time_before((x.retention ->> 'plus')::interval, NULL) END),
    line AS (
        -- partitions that go as a whole
        SELECT DISTINCT ON (w.leaf) w.store, 'partition' AS kind, w.leaf, w.parent, w.bound, 'true' AS condition,
               CASE WHEN cardinality(w.tenants) = 1 THEN w.tenants[1] END AS tenant, w.lower AS time_from, w.upper AS time_to
          FROM whole w WHERE w.whole
        UNION ALL
        -- rows whose time is over
        SELECT w.store, 'rows', w.leaf, w.parent, w.bound,
               CASE WHEN w.party IS NOT NULL THEN format('%I = %L::%s AND ', r.tenant, w.party, r.tenant_type) ELSE '' END
               || format('%I %s %L::%s', r.clock, CASE r.until WHEN 'published' THEN '<=' ELSE '<' END,
                         CASE r.clock_type WHEN 'date' THEN w.cutoff::date::text
                                           WHEN 'timestamp without time zone' THEN w.cutoff::timestamp::text
                                           ELSE w.cutoff::text END,
                         CASE r.clock_type WHEN 'date' THEN 'date' WHEN 'timestamp without time zone' THEN 'timestamp' ELSE 'timestamptz' END)
               || CASE WHEN w.party IS NULL AND e.but IS NOT NULL
                       THEN format(' AND NOT coalesce(%I = ANY (%L::%s[]), false)', r.tenant, e.but, r.tenant_type) ELSE '' END
               || r.hold,
               w.party, w.lower, w.cutoff
          FROM whole w JOIN rule r ON r.store = w.store LEFT JOIN everybody_else e ON e.store = w.store
         WHERE NOT w.whole AND w.fate <> 'fresh'
        UNION ALL
        -- what is left of tenants whose life is over
        SELECT l.store, CASE WHEN l.bound IS NOT NULL AND l.tenants = ARRAY[d.tenant] AND r.hold = '' THEN 'partition' ELSE 'rows' END,
               l.leaf, l.parent, l.bound,
               CASE WHEN l.bound IS NOT NULL AND l.tenants = ARRAY[d.tenant] AND r.hold = '' THEN 'true'
                    ELSE format('%I = %L::%s', r.tenant, d.tenant, r.tenant_type) || r.hold END,
               d.tenant, NULL, NULL
          FROM ended d JOIN leaf l ON l.store = d.store JOIN rule r ON r.store = d.store
         WHERE l.tenants IS NULL OR d.tenant = ANY (l.tenants)),
    keyed AS MATERIALIZED (
        SELECT x.leaf, k.columns, x.clock IS NOT NULL AND EXISTS (
                   SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                    WHERE i.indrelid = x.leaf AND i.indisvalid AND a.attname = x.clock
                      AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', x.clock))) AS by_clock
          FROM (SELECT DISTINCT n.leaf, r.clock FROM line n JOIN rule r ON r.store = n.store WHERE n.kind = 'rows') x
          LEFT JOIN LATERAL (
                   SELECT array_agg(a.attname::text ORDER BY n.i) AS columns
                     FROM pg_index i, unnest((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts]) WITH ORDINALITY n (attnum, i)
                     LEFT JOIN pg_attribute a ON a.attrelid = x.leaf AND a.attnum = n.attnum
                    WHERE i.indrelid = x.leaf AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
                    GROUP BY i.indexrelid, i.indisprimary HAVING bool_and(a.attnotnull)
                    ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) k ON true)
    SELECT n.store, n.kind, r.action, n.leaf, n.parent, n.bound, n.condition,
           CASE WHEN n.kind = 'rows' THEN CASE WHEN k.by_clock AND k.columns IS NOT NULL THEN r.clock || array_remove(k.columns, r.clock) ELSE k.columns END END,
           n.tenant, n.time_from, n.time_to, o.rank,
           CASE WHEN n.kind = 'rows' THEN CASE WHEN k.columns IS NULL THEN 'no primary key' ELSE steward.would_cascade(n.leaf) END
                WHEN EXISTS (SELECT FROM steward.task t WHERE t.kind = 'rows' AND t.state IN ('queued', 'running')
                                AND t.argument ->> 'relation' = n.leaf::text) THEN 'its rows are being worked on' END
      FROM line n JOIN rule r ON r.store = n.store
      LEFT JOIN keyed k ON k.leaf = n.leaf AND n.kind = 'rows'
      LEFT JOIN steward.retention_rank() o ON o.relation = r.relation
     ORDER BY o.rank, n.store, n.time_to NULLS FIRST, n.leaf::text, n.tenant NULLS FIRST
$$;
COMMENT ON FUNCTION steward.plan_retention(text, bigint) IS
    'what retention has to do now, for a store and its parts or for all: whole partitions, and tables with the condition of the rows. Changes nothing, and reads no rows but the tenant registry''s. key: the columns whose order cuts batches; rank: lower goes first; blocked: why it cannot be done; anew: a segment that is planned as if it were not there';

-- A segment may wait while its store's retention becomes longer, or a hold is placed
CREATE FUNCTION steward.partition_stays(segment bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT NOT EXISTS (SELECT FROM steward.plan_retention(g.store, g.id) p
                        WHERE p.store = g.store AND p.kind = 'partition' AND p.relation = g.relation AND p.action = g.action)
      FROM steward.segment g
     WHERE g.id = partition_stays.segment AND g.kind = 'partition' AND g.state <> 'purged'
       AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = g.relation AND NOT i.inhdetachpending)
$$;
COMMENT ON FUNCTION steward.partition_stays(bigint) IS
    'true when a partition that a segment was made of is attached and not due as a whole any more, for the worker that begins a task';

-- The registry's row must not go before its tenant's end is remembered
CREATE FUNCTION steward.registry_clause(store text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off AS $$
    SELECT coalesce((SELECT format(' AND %I = ANY (%L::%s[])', r.tenant,
                                   ARRAY(SELECT e.tenant FROM steward.tenant_end e WHERE e.source = r.store AND e.ended_at <= now() ORDER BY e.tenant),
                                   r.tenant_type)
                       FROM steward.retention_rule(registry_clause.store) r
                      WHERE r.store = registry_clause.store AND r.registry AND r.tenant_type IS NOT NULL), '')
$$;
COMMENT ON FUNCTION steward.registry_clause(text) IS
    'what to add to a condition on the tenant registry, so that it covers only rows whose tenant''s end steward.tenant_end remembers; empty for other stores';

-- A task may wait while a hold is placed or a tenant comes back to life
CREATE FUNCTION steward.due_condition(store text, relation regclass, tenant text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT p.condition || steward.registry_clause(p.store)
      FROM steward.plan_retention(due_condition.store) p
     WHERE p.store = due_condition.store AND p.kind = 'rows' AND p.blocked IS NULL AND p.relation = due_condition.relation
       AND p.tenant IS NOT DISTINCT FROM due_condition.tenant
$$;
COMMENT ON FUNCTION steward.due_condition(text, regclass, text) IS
    'which rows of a table are due now, for the worker that begins a task: what a line of the plan says at this moment; NULL: none any more';

-- ---- exceptions ----------------------------------------------------------------

CREATE FUNCTION steward.override_retention(store text, tenant text, retention jsonb, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s steward.store;
    r jsonb;
    type text;
    problem text;
BEGIN
    PERFORM steward.require_store(override_retention.store);
    SELECT x.* INTO s FROM steward.store x WHERE x.name = override_retention.store;
    r := coalesce(s.retention, (SELECT m.retention FROM steward.store m WHERE m.name = s.part_of), '{}');
    type := CASE WHEN s.scope = 'tenant' THEN steward.tenant_type(s.relation, s.tenant) END;
    IF s.name IS NULL THEN
        RAISE EXCEPTION 'a store is needed' USING ERRCODE = 'invalid_parameter_value';
    ELSIF type IS NULL THEN
        RAISE EXCEPTION 'store "%" has no column that holds a tenant', s.name USING ERRCODE = 'invalid_parameter_value';
    ELSIF steward.tenant_text(override_retention.tenant, type) IS NULL THEN
        RAISE EXCEPTION 'a tenant of store "%" is of type %', s.name, type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    tenant := steward.tenant_text(override_retention.tenant, type);

    IF override_retention.retention IS NULL THEN
        DELETE FROM steward.retention_override o WHERE o.store = s.name AND o.tenant = override_retention.tenant;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the tenant has no retention of its own in store "%"', s.name USING ERRCODE = 'undefined_object';
        END IF;
        RETURN;
    END IF;

    IF jsonb_typeof(override_retention.retention) <> 'object' OR override_retention.retention = '{}' THEN
        RAISE EXCEPTION 'the retention must be an object with hot, keep or plus' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT format('%s: %s', f.key,
                  CASE WHEN f.key NOT IN ('hot', 'keep', 'plus') THEN 'unknown field'
                       WHEN jsonb_typeof(f.value) <> 'string' OR NOT steward.is_period(f.value #>> '{}') THEN 'is not a period such as "90 days"'
                       WHEN f.key = 'plus' THEN 'goes only with a store that is kept until a time'
                       ELSE 'goes only with a store that has a hot period' END)
      INTO problem
      FROM jsonb_each(override_retention.retention) f
     WHERE f.key NOT IN ('hot', 'keep', 'plus')
        OR jsonb_typeof(f.value) <> 'string' OR NOT steward.is_period(f.value #>> '{}')
        OR NOT r ? CASE f.key WHEN 'plus' THEN 'until' ELSE 'hot' END
     ORDER BY f.key LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'retention refused at %', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF coalesce(override_retention.reason, '') = '' THEN
        RAISE EXCEPTION 'a reason is needed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO steward.retention_override VALUES (s.name, override_retention.tenant, override_retention.retention, override_retention.reason)
        ON CONFLICT ON CONSTRAINT retention_override_pkey DO UPDATE SET (retention, reason) = (excluded.retention, excluded.reason);
END
$$;
COMMENT ON FUNCTION steward.override_retention(text, text, jsonb, text) IS
    'gives one tenant another retention in a store: hot, keep or plus, longer or shorter than the map has it; NULL takes it back. Parts without a retention of their own follow';

-- ---- archives whose time is over ---------------------------------------------------

CREATE FUNCTION steward.expired_archives(store text DEFAULT NULL) RETURNS SETOF steward.archive
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT a.*
      FROM steward.archive a JOIN steward.segment g ON g.id = a.segment
     WHERE a.state = 'verified' AND g.state = 'purged' AND a.keep_until < now()
       AND (expired_archives.store IS NULL OR a.store = expired_archives.store
            OR a.store IN (SELECT s.name FROM steward.store s WHERE s.part_of = expired_archives.store))
       AND NOT EXISTS (
            -- a tenant is spelled in many ways; a hold too many does no harm
            SELECT FROM steward.legal_hold h
             WHERE h.released_at IS NULL AND (h.expires_at IS NULL OR h.expires_at > now())
               AND (h.store IS NULL OR h.store = a.store)
               AND (h.tenant IS NULL OR a.tenants IS NULL
                    OR EXISTS (SELECT FROM unnest(a.tenants || a.tenant) t
                                WHERE translate(lower(t), '{}-', '') = translate(lower(h.tenant), '{}-', ''))))
     ORDER BY a.keep_until, a.id
$$;
COMMENT ON FUNCTION steward.expired_archives(text) IS
    'the archives that have been kept long enough and that no legal hold covers, of a store and its parts or of all';

-- ---- a dry run ---------------------------------------------------------------------

CREATE FUNCTION steward.due_locks(kind text, relation regclass, parent regclass) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN due_locks.kind = 'rows'
                THEN format('ROW EXCLUSIVE on %s, row locks, %s rows a transaction', relation,
                            coalesce(nullif(current_setting('steward.batch_rows', true), ''), '10000'))
                WHEN p.partdefid <> 0
                THEN format('ACCESS EXCLUSIVE on %1$s for milliseconds (DETACH beside a DEFAULT partition), then ACCESS EXCLUSIVE on the detached %2$s', parent, relation)
                ELSE format('SHARE UPDATE EXCLUSIVE on %1$s (DETACH ... CONCURRENTLY), then ACCESS EXCLUSIVE on the detached %2$s', parent, relation) END
      FROM (SELECT) one LEFT JOIN pg_partitioned_table p ON p.partrelid = due_locks.parent
$$;
COMMENT ON FUNCTION steward.due_locks(text, regclass, regclass) IS 'the locks that the worker will take for a line of the plan, in words';

CREATE FUNCTION steward.count_due(only_store text)
    RETURNS TABLE (store text, action text, segment text, rows bigint, bytes bigint, tenants bigint,
                   time_from timestamptz, time_to timestamptz, held bigint, locks text, blocked text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET row_security = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    n record;
    spared text;
    counts bigint[];
    size numeric;
BEGIN
    PERFORM steward.require_store(only_store);
    FOR n IN
        SELECT p.*, CASE WHEN s.scope = 'tenant' AND steward.has_column(s.relation, s.tenant) THEN s.tenant END AS tenant_column, steward.hold_clause(p.store) AS hold,
               c.reltuples
          FROM steward.plan_retention(only_store) p JOIN steward.store s ON s.name = p.store JOIN pg_class c ON c.oid = p.relation
         ORDER BY p.rank, p.store, p.time_to NULLS FIRST, p.relation::text, p.tenant NULLS FIRST
    LOOP
        -- counted with the held rows, which the clause tells apart
        spared := CASE WHEN n.kind = 'rows' AND n.hold <> '' THEN substr(n.hold, 6) ELSE 'true' END;
        counts := steward.query_as_owner(n.relation, format(
                      'SELECT ARRAY[count(*) FILTER (WHERE %2$s), count(*) FILTER (WHERE NOT %2$s), %3$s] FROM %1$s WHERE %4$s',
                      n.relation, spared,
                      CASE WHEN n.tenant_column IS NULL THEN 'NULL::bigint'
                           ELSE format('count(DISTINCT %I) FILTER (WHERE %s)', n.tenant_column, spared) END,
                      CASE WHEN spared = 'true' THEN n.condition ELSE left(n.condition, -length(n.hold)) END));
        rows := counts[1];
        held := counts[2];
        tenants := counts[3];
        CONTINUE WHEN n.kind = 'rows' AND rows = 0 AND held = 0;
        store := n.store;
        action := n.action;
        segment := n.relation::text || coalesce(' (tenant ' || n.tenant || ')', '');
        time_from := n.time_from;
        time_to := n.time_to;
        size := pg_total_relation_size(n.relation);
        bytes := CASE WHEN n.kind = 'partition' THEN size
                      WHEN n.reltuples > 0 THEN round(size * least(1, rows / n.reltuples::numeric)) END;
        locks := steward.due_locks(n.kind, n.relation, n.parent);
        blocked := n.blocked;
        RETURN NEXT;
    END LOOP;
    RETURN QUERY
    SELECT a.store, 'remove archive', a.path, a.rows, a.bytes, cardinality(a.tenants)::bigint, a.time_from, a.time_to, 0::bigint, NULL::text, NULL::text
      FROM steward.expired_archives(only_store) a;
END
$$;
COMMENT ON FUNCTION steward.count_due(text) IS 'steward.due(), for whoever may read the tables';

CREATE FUNCTION steward.due(store text DEFAULT NULL)
    RETURNS TABLE (store text, action text, segment text, rows bigint, bytes bigint, tenants bigint,
                   time_from timestamptz, time_to timestamptz, held bigint, locks text, blocked text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM steward.count_due(due.store)
$$;
COMMENT ON FUNCTION steward.due(text) IS
    'what retention would do now, for a store and its parts or for all, counted row by row: archive, purge or remove archive; held: rows that are due but for a legal hold. bytes of rows are estimated. Changes nothing; ACCESS SHARE on the tables that it counts';

-- ---- the run -----------------------------------------------------------------------

/*
 * A clock that jumps makes everything look old.  Retention has no other clock,
 * so it stops and asks when the last run is further away than a run ever is.
 */
CREATE FUNCTION steward.clock_problem() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN now() < e.started_at - interval '1 minute'
                THEN format('the clock stands %s minutes before the last enforcement', ceil(extract(epoch FROM e.started_at - now()) / 60))
                WHEN now() > e.started_at + interval '90 days'
                THEN format('the last enforcement was %s days ago', extract(day FROM now() - e.started_at)) END
      FROM (SELECT x.started_at FROM steward.enforcement x ORDER BY x.id DESC LIMIT 1) e
$$;
COMMENT ON FUNCTION steward.clock_problem() IS
    'why the server''s clock is not to be believed without asking: it stands before the last enforcement, or 90 days and more after it; NULL when it is in order';

-- Is there such a row?  What cannot be found out is for the worker to report.
CREATE FUNCTION steward.any_row(relation regclass, condition text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET row_security = off SET jit = off AS $$
DECLARE
    found boolean;
BEGIN
    found := steward.query_as_owner(any_row.relation, format('SELECT EXISTS (SELECT FROM %s WHERE %s)', any_row.relation, any_row.condition));
    RETURN found;
EXCEPTION
    WHEN OTHERS THEN
        RETURN true;
END
$$;
COMMENT ON FUNCTION steward.any_row(regclass, text) IS 'true when the table has a row that meets a condition, or when that cannot be found out';

CREATE PROCEDURE steward.enforce_retention(store text DEFAULT NULL, clock_checked boolean DEFAULT false)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET row_security = off SET jit = off SET lock_timeout = '2s' AS $$
DECLARE
    run bigint;
    n record;
    enqueued integer := 0;
    found integer := 0;
    more integer;
    idle text[] := '{}';
BEGIN
    PERFORM steward.require_store(enforce_retention.store);
    LOCK TABLE steward.enforcement IN EXCLUSIVE MODE;
    IF steward.clock_problem() IS NOT NULL AND NOT coalesce(clock_checked, false) THEN
        RAISE EXCEPTION '%', steward.clock_problem()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'With a wrong clock, rows would be purged that are not due. Nothing was enqueued.',
                  HINT = 'If the clock is right: CALL steward.enforce_retention(clock_checked => true);';
    END IF;
    INSERT INTO steward.enforcement DEFAULT VALUES RETURNING id INTO run;
    PERFORM steward.sync_tenant_ends();

    FOR n IN
        SELECT p.*, r.by_tenant, CASE WHEN r.registry THEN steward.registry_clause(r.store) ELSE '' END AS registry_clause
          FROM steward.plan_retention(enforce_retention.store) p JOIN steward.retention_rule(enforce_retention.store) r ON r.store = p.store
         WHERE p.blocked IS NULL
         ORDER BY p.rank, p.store, p.time_to NULLS FIRST, p.relation::text, p.tenant NULLS FIRST
    LOOP
        IF n.kind = 'partition' THEN
            INSERT INTO steward.segment (store, relation, relation_name, kind, action, parent, bound, time_from, time_to, tenant, bytes)
            VALUES (n.store, n.relation, n.relation::text, n.kind, n.action, n.parent::text, n.bound, n.time_from, n.time_to, n.tenant,
                    pg_total_relation_size(n.relation))
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS more = ROW_COUNT;
            found := found + more;
            CONTINUE;
        END IF;
        n.condition := n.condition || n.registry_clause;
        IF NOT steward.any_row(n.relation, n.condition) THEN
            idle := idle || concat_ws(':', n.store, n.relation, CASE WHEN octet_length(n.tenant) > 200 THEN md5(n.tenant) ELSE n.tenant END);
            CONTINUE;
        END IF;
        INSERT INTO steward.task (kind, store, target, argument, rank)
        VALUES ('rows', n.store, concat_ws(':', n.store, n.relation, CASE WHEN octet_length(n.tenant) > 200 THEN md5(n.tenant) ELSE n.tenant END),
                jsonb_build_object('relation', n.relation::text, 'condition', n.condition, 'key', n.key, 'action', n.action,
                                   'tenant', n.tenant, 'by_tenant', n.by_tenant), coalesce(n.rank, 0))
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS more = ROW_COUNT;
        enqueued := enqueued + more;
    END LOOP;

    -- a task that failed when no row was left, at its last batch or since
    UPDATE steward.task t SET state = 'done'
     WHERE t.kind = 'rows' AND t.state = 'failed' AND t.target = ANY (idle)
       AND t.id = (SELECT max(x.id) FROM steward.task x WHERE x.kind = 'rows' AND x.target = t.target);

    -- every partition that is on its way has a task, those too whose last one failed
    WITH task AS (
        INSERT INTO steward.task (kind, store, target, argument, rank)
        SELECT 'partition', g.store, g.id::text, jsonb_build_object('segment', g.id), coalesce(o.rank, 0)
          FROM steward.segment g LEFT JOIN steward.store s ON s.name = g.store
          LEFT JOIN steward.retention_rank() o ON o.relation = s.relation
         WHERE g.kind = 'partition' AND g.state <> 'purged' AND g.relation IS NOT NULL
           AND (enforce_retention.store IS NULL OR enforce_retention.store IN (g.store, s.part_of))
         ORDER BY o.rank, g.time_to, g.id
            ON CONFLICT DO NOTHING
        RETURNING id, (argument ->> 'segment')::bigint AS segment),
    driven AS (
        UPDATE steward.segment g SET task = task.id FROM task WHERE g.id = task.segment)
    SELECT enqueued + count(*) INTO enqueued FROM task;

    INSERT INTO steward.task (kind, store, target, argument)
    SELECT 'expire', a.store, a.id::text, jsonb_build_object('archive', a.id) FROM steward.expired_archives(enforce_retention.store) a
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS more = ROW_COUNT;

    UPDATE steward.enforcement e SET segments = found, tasks = enqueued + more WHERE e.id = run;
    -- what was archived and purged is kept in segment and archive; this is the way there
    DELETE FROM steward.enforcement e WHERE e.started_at < now() - interval '1 year' AND e.id <> run;
    DELETE FROM steward.task t WHERE t.state = 'done' AND t.finished_at < now() - interval '1 year';
    PERFORM steward.wake_worker();
END
$$;
COMMENT ON PROCEDURE steward.enforce_retention(text, boolean) IS
    'enqueues what is due, for a store and its parts or for all, and wakes the worker; moves nothing itself. One at a time. 55000 when the clock stands before the last run or 90 days after it, unless clock_checked';

-- ---- who may ----------------------------------------------------------------------

-- (what is not SECURITY DEFINER is granted in sql/privileges.sql)
REVOKE ALL ON PROCEDURE steward.enforce_retention(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE steward.enforce_retention(text, boolean) TO steward_admin, steward_operator;
GRANT EXECUTE ON FUNCTION steward.due(text), steward.ended_tenants() TO steward_admin, steward_pipeline, steward_operator, steward_auditor;
GRANT EXECUTE ON FUNCTION steward.override_retention(text, text, jsonb, text), steward.end_tenant(text, timestamptz),
    steward.revive_tenant(text), steward.sync_tenant_ends() TO steward_admin;
