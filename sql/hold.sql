/*
 * hold.sql
 *    Legal holds: placed, released, and said in SQL.
 *
 * Enforced in C (src/hold.c, src/guard.c, src/access.c) and by the event
 * triggers (sql/events.sql).  What a hold promises begins when hold() has
 * committed: no delete that was under way commits after it.  For that it locks
 * the tables against writers, and gets them only when no writer is left.
 */
CREATE FUNCTION steward.check_predicate(relation regclass, predicate text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'steward_check_predicate';
COMMENT ON FUNCTION steward.check_predicate(regclass, text) IS
    'a predicate on a table''s columns as a hold stores it; an error when it cannot be one: only columns, constants, and immutable functions and operators of PostgreSQL and pg_steward';

-- Every spelling that the column's type takes (src/hold.c reads them alike)
-- Tenants are kept as text for columns of any type: a word that is no tenant of
-- the column's type must not become an error in somebody's condition
CREATE FUNCTION steward.tenant_text(tenant text, type text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE tenant_text.type
               WHEN 'uuid' THEN CASE WHEN translate(tenant, '{}-', '') ~* '^[0-9a-f]{32}$'
                                     THEN translate(tenant, '{}-', '')::uuid::text END
               WHEN 'bigint' THEN CASE WHEN tenant ~ '^-?[0-9]{1,19}$'
                                       THEN CASE WHEN tenant::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
                                                 THEN tenant::bigint::text END END
               WHEN 'text' THEN tenant
           END
$$;
COMMENT ON FUNCTION steward.tenant_text(text, text) IS
    'a tenant as a column of type uuid, text or bigint prints it; NULL when it can be no tenant of such a column';

CREATE FUNCTION steward.tenant_literal(type text, tenant text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%L::%s', t.word, type) FROM (SELECT steward.tenant_text(tenant, type)) t (word) WHERE t.word IS NOT NULL
$$;
COMMENT ON FUNCTION steward.tenant_literal(text, text) IS
    'a tenant as a constant of the type that tenant_type() names; NULL when it cannot be one';

CREATE FUNCTION steward.active_hold(store text) RETURNS SETOF steward.legal_hold
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.*
      FROM steward.legal_hold h, steward.store s
     WHERE s.name = active_hold.store
       AND h.released_at IS NULL AND coalesce(h.expires_at > now(), true)
       AND (h.store = s.name
            OR h.store IS NULL
               AND CASE WHEN steward.tenant_type(s.relation, s.tenant) IS NULL THEN s.scope = 'tenant' AND s.kind = 'table'
                        ELSE steward.tenant_literal(steward.tenant_type(s.relation, s.tenant), h.tenant) IS NOT NULL END)
     ORDER BY h.id
$$;
COMMENT ON FUNCTION steward.active_hold(text) IS
    'the holds that concern a store now: its own, and those on a tenant, where its rows have one';

CREATE FUNCTION steward.hold_condition(store text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN bool_or(c.condition = '') THEN 'true'
                ELSE string_agg(format('(%s)', c.condition), ' OR ' ORDER BY c.id) END
      FROM (SELECT h.id,
                   -- a tenant that the store cannot name any more: every row is held
                   CASE WHEN h.tenant IS NOT NULL AND l.tenant IS NULL THEN ''
                        ELSE concat_ws(' AND ', quote_ident(s.tenant) || ' = ' || l.tenant, '(' || h.predicate || ')') END AS condition
              FROM steward.store s, steward.active_hold(s.name) h,
                   steward.tenant_literal(steward.tenant_type(s.relation, s.tenant), h.tenant) l (tenant)
             WHERE s.name = hold_condition.store) c
$$;
COMMENT ON FUNCTION steward.hold_condition(text) IS
    'the condition, on the columns of a store''s table, that rows under a hold meet: true for the whole store, NULL for none. It can be NULL for a row that is not held: NOT coalesce((...), false). Read it under DateStyle ISO, IntervalStyle postgres';

CREATE VIEW steward.holds AS
    SELECT h.id, h.store, h.tenant, h.predicate, h.reason, h.actor, date_trunc('second', now() - h.placed_at) AS age, h.expires_at
      FROM steward.legal_hold h
     WHERE h.released_at IS NULL AND coalesce(h.expires_at > now(), true);
COMMENT ON VIEW steward.holds IS 'the legal holds that are in force; steward.legal_hold has those that were, too';

-- Locks are taken in short attempts and all given back between them: whoever
-- writes waits for us a moment, and never deadlocks with us.
CREATE FUNCTION steward.lock_for_hold(store text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    patience int := (SELECT g.setting FROM pg_settings g WHERE g.name = 'steward.lock_timeout');
    deadline timestamptz := clock_timestamp() + patience * interval '1 ms';
    target text;
BEGIN
    PERFORM set_config('lock_timeout', least(patience, 100)::text, true);
    LOOP
        BEGIN
            FOR target IN
                SELECT c.oid::regclass::text
                  FROM pg_class c
                 WHERE c.oid IN (SELECT s.relation FROM steward.store s
                                  WHERE s.name = lock_for_hold.store
                                     OR lock_for_hold.store IS NULL AND steward.tenant_type(s.relation, s.tenant) IS NOT NULL
                                 UNION ALL
                                 -- what is detached already is purged by itself
                                 SELECT g.relation FROM steward.segment g
                                  WHERE g.kind = 'partition' AND g.state IN ('due', 'exporting', 'uploaded', 'verified', 'failed')
                                    AND (g.store = lock_for_hold.store OR lock_for_hold.store IS NULL))
                 ORDER BY c.oid
            LOOP
                EXECUTE format('LOCK TABLE %s IN SHARE MODE', target);
            END LOOP;
            RETURN;
        EXCEPTION
            WHEN lock_not_available THEN
                IF clock_timestamp() >= deadline THEN
                    RAISE EXCEPTION 'could not lock % within %', target, current_setting('steward.lock_timeout')
                        USING ERRCODE = 'lock_not_available',
                              DETAIL = steward.lock_holders(target) || ' Nothing is held yet: their transactions may delete.',
                              HINT = 'Run it again when they are done, or wait longer: SET steward.lock_timeout = ''10s'';';
                END IF;
            WHEN undefined_table THEN
                NULL;           -- purged meanwhile
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.lock_for_hold(text) IS
    'waits until nobody writes a store (NULL: any store with a tenant), and keeps writers out to the end of the transaction; 55P03 when that takes longer than steward.lock_timeout';

CREATE FUNCTION steward.hold(store text DEFAULT NULL, tenant text DEFAULT NULL, predicate text DEFAULT NULL,
                             reason text DEFAULT NULL, expires timestamptz DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held steward.store;
    problem text;
    number bigint;
BEGIN
    problem := CASE
        WHEN hold.store IS NULL AND hold.tenant IS NULL THEN 'a hold is on a store, a tenant, or both'
        WHEN hold.tenant = '' THEN 'a tenant must not be empty'
        WHEN coalesce(btrim(hold.reason), '') = '' THEN 'a hold needs a reason'
        WHEN hold.predicate IS NOT NULL AND hold.store IS NULL THEN 'a predicate needs a store whose columns it asks for'
        WHEN hold.expires <= clock_timestamp() THEN 'a hold cannot expire in the past'
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT steward.hold(store => ''...'', tenant => ''...'', predicate => ''...'', reason => ''...'', expires => now() + interval ''1 year'');';
    END IF;

    PERFORM steward.lock_map();
    IF hold.store IS NOT NULL THEN
        SELECT s.* INTO held FROM steward.store s
         WHERE s.name = hold.store OR s.relation = steward.find_relation(hold.store)
         ORDER BY s.name = hold.store DESC LIMIT 1;
        IF held.name IS NULL THEN
            RAISE EXCEPTION 'store "%" does not exist', hold.store
                USING ERRCODE = 'undefined_object', HINT = 'SELECT name, relation FROM steward.store;';
        END IF;
        problem := CASE
            WHEN hold.predicate IS NOT NULL AND held.kind <> 'table' THEN format('store "%s" is not a table, so a predicate cannot ask for its columns', held.name)
            WHEN hold.tenant IS NULL THEN NULL
            WHEN held.kind <> 'table' THEN CASE WHEN held.scope <> 'tenant' THEN format('store "%s" belongs to no tenant', held.name) END
            WHEN steward.tenant_type(held.relation, held.tenant) IS NULL THEN format('store "%s" has no tenant column', held.name)
            WHEN steward.tenant_literal(steward.tenant_type(held.relation, held.tenant), hold.tenant) IS NULL
                THEN format('store "%s" has tenants of type %s, and this is none', held.name, steward.tenant_type(held.relation, held.tenant))
        END;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF hold.predicate IS NOT NULL THEN
            hold.predicate := steward.check_predicate(held.relation, hold.predicate);
        END IF;
    END IF;

    PERFORM steward.lock_for_hold(held.name);
    INSERT INTO steward.legal_hold AS h (store, tenant, predicate, reason, actor, expires_at)
    VALUES (held.name, hold.tenant, hold.predicate, btrim(hold.reason), session_user, hold.expires)
    RETURNING h.id INTO number;
    RETURN number;
END
$$;
COMMENT ON FUNCTION steward.hold(text, text, text, text, timestamptz) IS
    'places a legal hold: rows of a store, of a tenant in it or everywhere, or those that meet a predicate are not deleted, dropped or purged by anybody until it is released or expires. Returns its number. SHARE on the tables to the end of the transaction; 55P03 when writers leave no gap within steward.lock_timeout';

CREATE FUNCTION steward.release_hold(hold bigint, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(btrim(release_hold.reason), '') = '' THEN
        RAISE EXCEPTION 'the release of a hold needs a reason'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('SELECT steward.release_hold(%s, ''<reason>'');', release_hold.hold);
    END IF;
    UPDATE steward.legal_hold h
       SET released_at = now(), released_by = session_user, release_reason = btrim(release_hold.reason)
     WHERE h.id = release_hold.hold AND h.released_at IS NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM steward.legal_hold h WHERE h.id = release_hold.hold) THEN
        RAISE EXCEPTION 'legal hold % has been released already', release_hold.hold
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RAISE EXCEPTION 'legal hold % does not exist', release_hold.hold
        USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM steward.holds;';
END
$$;
COMMENT ON FUNCTION steward.release_hold(bigint, text) IS 'ends a legal hold; its row stays, with who released it and why';

-- The same error as src/hold.c's, for what the event triggers and release() find
CREATE FUNCTION steward.refuse_if_held(store text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held steward.legal_hold;
BEGIN
    SELECT h.* INTO held FROM steward.active_hold(refuse_if_held.store) h LIMIT 1;
    IF held.id IS NOT NULL THEN
        RAISE EXCEPTION 'store "%" is under a legal hold', refuse_if_held.store
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'steward_hold',
                  DETAIL = format('Legal hold %s%s: %s', held.id, ', until ' || held.expires_at, held.reason),
                  HINT = format('It stays until the hold ends: SELECT steward.release_hold(%s, ''<reason>'');', held.id);
    END IF;
END
$$;
COMMENT ON FUNCTION steward.refuse_if_held(text) IS 'an error, 42501, if a hold concerns the store';

CREATE FUNCTION steward.broken_hold(store text) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT h.id, h.predicate, s.relation,
               h.tenant IS NOT NULL
               AND steward.tenant_literal(steward.tenant_type(s.relation, s.tenant), h.tenant) IS NULL AS homeless
          FROM steward.store s, steward.active_hold(s.name) h
         WHERE s.name = broken_hold.store AND s.kind = 'table'
    LOOP
        IF held.homeless THEN
            RETURN NEXT held.id;
        ELSIF held.predicate IS NOT NULL THEN
            BEGIN
                PERFORM steward.check_predicate(held.relation, held.predicate);
            EXCEPTION
                WHEN syntax_error_or_access_rule_violation OR data_exception OR feature_not_supported THEN
                    RETURN NEXT held.id;
            END;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION steward.broken_hold(text) IS 'the holds on a store that its table, as it is, cannot be asked about: every row is held';

-- Called after DDL, and volatile: it is to see the map as follow_column() left it
CREATE FUNCTION steward.keep_holds(relation oid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken record;
BEGIN
    SELECT s.name, b.id INTO broken
      FROM steward.store s, steward.broken_hold(s.name) b (id) WHERE s.relation = keep_holds.relation LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a legal hold on store "%" asks for the column', broken.name
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'steward_hold',
                  DETAIL = format('Legal hold %s could not be applied any more.', broken.id),
                  HINT = format('Add the column beside the old one, or place the hold again so that it fits, then SELECT steward.release_hold(%s, ''<reason>'');', broken.id);
    END IF;
END
$$;
COMMENT ON FUNCTION steward.keep_holds(oid) IS 'an error, 42501, if a hold on the table''s store cannot be applied any more';

GRANT SELECT ON steward.holds TO steward_admin, steward_pipeline, steward_operator, steward_auditor;
