/*
 * access.c
 *	  Access: who may read or write a store at all, and which statements an
 *	  append-only store takes.
 *
 * Three doors lead to one decision, access_judge():
 *	- ExecutorCheckPerms_hook sees every query, a superuser's included, but
 *	  neither TRUNCATE nor logical apply;
 *	- object_access_hook sees TRUNCATE, by relation, of a partition too;
 *	- the statement trigger steward_access sees both, and works without
 *	  shared_preload_libraries.
 * Hooks are chained: the next one is asked first, and its refusal stands.
 *
 * Reads are judged by the current user (through a view: by who asks, not by
 * the view's owner).  Writes are judged by the actor (actor.c), so a cascade is
 * judged as the act of the statement that caused it.  Nothing is decided when
 * a plan is made: a cached plan that is run after SET ROLE is judged anew.
 *
 * No locks of its own.
 */
#include "steward.h"

#include "catalog/objectaccess.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(steward_access);

static ExecutorCheckPerms_hook_type next_check_perms = NULL;
static object_access_hook_type next_object_access = NULL;

typedef enum AccessVerdict
{
	ACCESS_GRANTED,
	ACCESS_NOT_OWNER_READ,		/* reads are the owner's alone */
	ACCESS_NOT_OWNER_WRITE,
	ACCESS_APPEND_ONLY,
	ACCESS_ALL_TENANTS,			/* TRUNCATE of a tenant store */
	ACCESS_ALL_ROW_OWNERS		/* TRUNCATE of a store with a row owner */
} AccessVerdict;

/* What a statement wants of a relation */
typedef enum AccessKind
{
	ACCESS_READ,
	ACCESS_INSERT,
	ACCESS_CHANGE,				/* UPDATE, DELETE */
	ACCESS_TRUNCATE
} AccessKind;

/* ---- the decision ------------------------------------------------------ */

/*
 * A store that has no owner yet is open to whoever was granted it; one with a
 * row-owner column is written by every service, each its own rows (admit.c and
 * guard.c judge those).
 */
static bool
may_write(const StewardPolicy *policy)
{
	if (!OidIsValid(policy->owner_role) && NameStr(policy->owner)[0] == '\0')
		return true;
	if (actor_is_member(policy->owner_role))
		return true;
	if (policy->row_owner > 0 && registry_actor_serves())
		return true;
	return actor_is_migrator();
}

static bool
may_read(const StewardPolicy *policy)
{
	return policy->scope == SCOPE_GLOBAL ||
		may_write(policy) ||
		actor_reads_all() ||
		steward_owns_relation(policy->relid, GetUserId());
}

static AccessVerdict
access_judge(const StewardPolicy *policy, AccessKind kind)
{
	if (kind == ACCESS_READ)
		return may_read(policy) ? ACCESS_GRANTED : ACCESS_NOT_OWNER_READ;
	if (actor_is_retention(policy->relid))
		return ACCESS_GRANTED;
	if (!may_write(policy))
		return ACCESS_NOT_OWNER_WRITE;
	if (policy->append_only && kind != ACCESS_INSERT)
		return ACCESS_APPEND_ONLY;
	if (kind == ACCESS_TRUNCATE && policy->scope == SCOPE_TENANT &&
		!actor_is_cross_tenant())
		return ACCESS_ALL_TENANTS;
	if (kind == ACCESS_TRUNCATE && policy->row_owner > 0 &&
		!actor_is_migrator())
		return ACCESS_ALL_ROW_OWNERS;
	return ACCESS_GRANTED;
}

/* ---- the errors -------------------------------------------------------- */

/* Name the table in the error's fields, as core does for its constraints */
static int
err_relation(Oid relid)
{
	err_generic_string(PG_DIAG_SCHEMA_NAME,
					   get_namespace_name(get_rel_namespace(relid)));
	err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(relid));
	return 0;
}

static void
refuse_stranger(const StewardPolicy *policy, bool write)
{
	Oid			role = write ? actor_current() : GetUserId();
	const char *actor = GetUserNameFromId(role, false);
	const char *owner = GetUserNameFromId(policy->owner_role, true);

	steward_refuse(STEWARD_RULE_OWNER,
				   err_relation(policy->relid),
				   errmsg(write
						  ? "only service \"%s\" may write store \"%s\""
						  : "only service \"%s\" may read store \"%s\"",
						  NameStr(policy->owner), NameStr(policy->store)),
				   owner
				   ? errdetail("Role \"%s\" is not a member of the service's role \"%s\".",
							   actor, owner)
				   : errdetail("The service's role does not exist."),
				   owner
				   ? errhint("Use the owner's API or events. If \"%s\" acts for the service: GRANT %s TO %s;",
							 actor, quote_identifier(owner),
							 quote_identifier(actor))
				   : errhint("Run SELECT * FROM steward.check();"));
}

void
access_refuse_change(const StewardPolicy *policy)
{
	steward_refuse(STEWARD_RULE_APPEND_ONLY,
				   err_relation(policy->relid),
				   errmsg("store \"%s\" is append-only",
						  NameStr(policy->store)),
				   errdetail("Its rows are inserted and read; UPDATE, DELETE and TRUNCATE are refused for everyone."),
				   errhint("Insert a row that corrects the earlier one."));
	pg_unreachable();
}

static void
refuse_all_tenants(const StewardPolicy *policy)
{
	steward_refuse(STEWARD_RULE_TENANT,
				   err_relation(policy->relid),
				   errmsg("TRUNCATE of store \"%s\" would remove rows of every tenant",
						  NameStr(policy->store)),
				   errhint("DELETE the tenant's rows, or run it as a member of steward_cross_tenant."));
}

static void
refuse_all_row_owners(const StewardPolicy *policy)
{
	steward_refuse(STEWARD_RULE_ROW_OWNER,
				   err_relation(policy->relid),
				   errmsg("TRUNCATE of store \"%s\" would remove rows of every service",
						  NameStr(policy->store)),
				   errhint("DELETE the service's rows, or run it as a pipeline that is a member of steward_cross_tenant."));
}

static void
access_refuse(const StewardPolicy *policy, AccessVerdict verdict)
{
	switch (verdict)
	{
		case ACCESS_GRANTED:
			break;
		case ACCESS_NOT_OWNER_READ:
		case ACCESS_NOT_OWNER_WRITE:
			refuse_stranger(policy, verdict == ACCESS_NOT_OWNER_WRITE);
			break;
		case ACCESS_APPEND_ONLY:
			access_refuse_change(policy);
			break;
		case ACCESS_ALL_TENANTS:
			refuse_all_tenants(policy);
			break;
		case ACCESS_ALL_ROW_OWNERS:
			refuse_all_row_owners(policy);
			break;
	}
}

/* ---- door one: every query --------------------------------------------- */

/*
 * The gravest thing that a statement wants of a relation.  SELECT FOR UPDATE
 * and referential checks carry ACL_UPDATE too: a real update names columns.
 */
static AccessKind
wanted_access(const StewardPermissions *p)
{
	if ((p->requiredPerms & ACL_DELETE) ||
		((p->requiredPerms & ACL_UPDATE) && !bms_is_empty(p->updatedCols)))
		return ACCESS_CHANGE;
	return (p->requiredPerms & ACL_INSERT) ? ACCESS_INSERT : ACCESS_READ;
}

static bool
check_one(const StewardPermissions *p, bool abort)
{
	StewardPolicy policy;
	AccessKind	kind;
	AccessVerdict verdict;

	if (p->requiredPerms == 0 ||
		!registry_policy(steward_permissions_relid(p), &policy))
		return true;

	kind = wanted_access(p);
	verdict = access_judge(&policy, kind);
	if (verdict == ACCESS_GRANTED && kind != ACCESS_READ &&
		(p->requiredPerms & ACL_SELECT))
		verdict = access_judge(&policy, ACCESS_READ);
	if (verdict != ACCESS_GRANTED && abort)
		access_refuse(&policy, verdict);
	return verdict == ACCESS_GRANTED;
}

static bool
access_check_perms(STEWARD_CHECK_PERMS_ARGS)
{
	ListCell   *lc;

	if (next_check_perms && !next_check_perms(STEWARD_CHECK_PERMS_PASS))
		return false;
	if (!registry_armed())
		return true;

	foreach(lc, STEWARD_PERMISSIONS_LIST)
	{
		if (!check_one((StewardPermissions *) lfirst(lc), abort))
			return false;
	}
	return true;
}

/* ---- door two: TRUNCATE ------------------------------------------------ */

static void
judge_relation(Oid relid, AccessKind kind)
{
	StewardPolicy policy;

	if (registry_policy(relid, &policy))
		access_refuse(&policy, access_judge(&policy, kind));
}

static void
access_object(ObjectAccessType access, Oid classId, Oid objectId, int subId,
			  void *arg)
{
	if (next_object_access)
		next_object_access(access, classId, objectId, subId, arg);
	if (access == OAT_TRUNCATE && classId == RelationRelationId)
		judge_relation(objectId, ACCESS_TRUNCATE);
}

void
access_init(void)
{
	next_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = access_check_perms;
	next_object_access = object_access_hook;
	object_access_hook = access_object;
}

/* ---- door three: the statement trigger --------------------------------- */

/* access(): trigger, before each statement that writes, enabled always */
Datum
steward_access(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	AccessKind	kind;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("steward.access() is a trigger function before each statement"));

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		kind = ACCESS_INSERT;
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		kind = ACCESS_TRUNCATE;
	else
		kind = ACCESS_CHANGE;
	judge_relation(RelationGetRelid(trigger->tg_relation), kind);
	return PointerGetDatum(NULL);
}
