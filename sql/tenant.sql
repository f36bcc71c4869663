/*
 * tenant.sql
 *    The tenant context of a transaction (src/tenant.c).
 *
 * The readers are STABLE, LEAKPROOF and PARALLEL SAFE with the column's own
 * type, so that a policy built on them becomes an index condition and prunes
 * partitions.
 */
CREATE FUNCTION steward.set_tenant(tenant text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_set_tenant_text';
CREATE FUNCTION steward.set_tenant(tenant uuid) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_set_tenant_uuid';
CREATE FUNCTION steward.set_tenant(tenant bigint) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'steward_set_tenant_bigint';
CREATE FUNCTION steward.tenant() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'steward_tenant';
CREATE FUNCTION steward.tenant_id_uuid() RETURNS uuid
    LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'steward_tenant_id_uuid';
CREATE FUNCTION steward.tenant_id_text() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'steward_tenant_id_text';
CREATE FUNCTION steward.tenant_id_bigint() RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'steward_tenant_id_bigint';

COMMENT ON FUNCTION steward.set_tenant(text) IS
    'acts for this tenant until the end of the transaction (or a rollback to an earlier savepoint); NULL: for none. Returns it. 22023 when empty or longer than 255 bytes';
COMMENT ON FUNCTION steward.set_tenant(uuid) IS 'acts for this tenant until the end of the transaction';
COMMENT ON FUNCTION steward.set_tenant(bigint) IS 'acts for this tenant until the end of the transaction';
COMMENT ON FUNCTION steward.tenant() IS 'the tenant that this transaction acts for; NULL when none is set';
COMMENT ON FUNCTION steward.tenant_id_uuid() IS 'the tenant as uuid, for row security; 22P02 when it is not one';
COMMENT ON FUNCTION steward.tenant_id_text() IS 'the tenant as text, for row security';
COMMENT ON FUNCTION steward.tenant_id_bigint() IS 'the tenant as bigint, for row security; 22P02 when it is not one';
