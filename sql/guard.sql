/*
 * guard.sql
 *    The trigger functions (src/guard.c, src/access.c).  steward.govern makes
 *    the triggers, ENABLE ALWAYS.
 */
CREATE FUNCTION steward.guard() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'steward_guard';
CREATE FUNCTION steward.access() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'steward_access';

COMMENT ON FUNCTION steward.guard() IS
    'judges the row that an UPDATE or DELETE is about to touch: its tenant, its owner, append-only';
COMMENT ON FUNCTION steward.access() IS
    'judges a statement that writes: single owner, append-only, TRUNCATE';
