/*
 * admit.sql
 *    The functions that CHECK constraints call (src/admit.c).
 *
 * Not STRICT: a row without a tenant is refused.  STABLE, for the verdict
 * depends on the transaction: the planner then leaves the constraints alone.
 */
CREATE FUNCTION steward.in_tenant(tenant uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'steward_in_tenant_uuid';
CREATE FUNCTION steward.in_tenant(tenant text) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'steward_in_tenant_text';
CREATE FUNCTION steward.in_tenant(tenant bigint) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'steward_in_tenant_bigint';
CREATE FUNCTION steward.is_row_owner(service text) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'steward_is_row_owner';

COMMENT ON FUNCTION steward.in_tenant(uuid) IS
    'true when the row belongs to the tenant that the transaction acts for, or the actor is a member of steward_cross_tenant; else raises 42501, naming no value';
COMMENT ON FUNCTION steward.in_tenant(text) IS 'as in_tenant(uuid), for text';
COMMENT ON FUNCTION steward.in_tenant(bigint) IS 'as in_tenant(uuid), for bigint, integer and smallint';
COMMENT ON FUNCTION steward.is_row_owner(text) IS
    'true when the actor acts for the service that the row names; else raises 42501, naming no value';
