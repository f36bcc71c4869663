/*
 * actor.c
 *	  Whose act is this?  And what is he a member of?
 *
 * The current user is nearly always the actor.  The exception is referential
 * integrity: its queries run as the owner of the table, so a cascade would be
 * judged as the table owner's act.  They run inside ExecutorFinish of the
 * statement that caused them, so a hook there remembers that statement's user.
 * InNoForceRLSOperation() tells that we are below such a query; it stays true
 * in a user's trigger inside a cascade, and so does our answer, which is the
 * right one: the act is still the statement's.
 *
 * Membership is asked without regard to superuser: rules bind superusers.
 * Core caches the memberships of one role at a time, which costs microseconds
 * when roles alternate, so answers are kept here until pg_auth_members or
 * pg_authid changes.
 *
 * Memory: one hash table in TopMemoryContext, emptied by invalidation.
 */
#include "steward.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct Membership
{
	struct
	{
		Oid			member;
		Oid			role;
	}			key;
	bool		holds;
} Membership;

static HTAB *memberships = NULL;

/* The roles of DESIGN's section 9 that C code asks about; 0 = look up again */
static Oid	cross_tenant_role = InvalidOid;
static Oid	pipeline_role = InvalidOid;

/* The user of the statement whose ExecutorFinish is running; 0 = none */
static Oid	finishing_user = InvalidOid;

/* The table that retention is working on in this process; 0 = none */
static Oid	retention_table = InvalidOid;

static ExecutorFinish_hook_type next_executor_finish = NULL;

static void
forget_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	cross_tenant_role = InvalidOid;
	pipeline_role = InvalidOid;
	if (memberships)
	{
		hash_destroy(memberships);
		memberships = NULL;
	}
}

/*
 * Remember who runs the statement whose AFTER triggers are about to fire.
 * Below a referential action the user is the table's owner: keep the outer.
 */
static void
actor_executor_finish(QueryDesc *queryDesc)
{
	Oid			outer = finishing_user;

	if (!InNoForceRLSOperation())
		finishing_user = GetUserId();
	PG_TRY();
	{
		if (next_executor_finish)
			next_executor_finish(queryDesc);
		else
			standard_ExecutorFinish(queryDesc);
	}
	PG_FINALLY();
	{
		finishing_user = outer;
	}
	PG_END_TRY();
}

/*
 * The user whose act this is.  A deferred constraint fires at commit, outside
 * every statement: then it is the session's own role.
 */
Oid
actor_current(void)
{
	if (!InNoForceRLSOperation())
		return GetUserId();
	return OidIsValid(finishing_user) ? finishing_user : GetOuterUserId();
}

static bool
is_member(Oid member, Oid role)
{
	Membership	probe;
	Membership *entry;
	bool		found;
	bool		holds;

	if (!OidIsValid(role))
		return false;
	if (member == role)
		return true;

	memset(&probe, 0, sizeof(probe));
	probe.key.member = member;
	probe.key.role = role;
	if (memberships)
	{
		entry = hash_search(memberships, &probe.key, HASH_FIND, NULL);
		if (entry)
			return entry->holds;
	}

	/* the lookup may itself invalidate, so only then make room for it */
	holds = is_member_of_role_nosuper(member, role);
	if (!memberships)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(probe.key);
		ctl.entrysize = sizeof(Membership);
		ctl.hcxt = TopMemoryContext;
		memberships = hash_create("pg_steward memberships", 64, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(memberships, &probe.key, HASH_ENTER, &found);
	entry->holds = holds;
	return holds;
}

/* Does the actor act for this role (a service's, or one of our own)? */
bool
actor_is_member(Oid role)
{
	return is_member(actor_current(), role);
}

static Oid
named_role(Oid *cached, const char *name)
{
	if (!OidIsValid(*cached))
		*cached = get_role_oid(name, true);
	return *cached;
}

/* May the actor touch every tenant's rows? */
bool
actor_is_cross_tenant(void)
{
	return actor_is_member(named_role(&cross_tenant_role,
									  "steward_cross_tenant"));
}

/*
 * Is the actor a pipeline that was given steward_cross_tenant?  Migrations
 * that rewrite rows of every tenant and service run as such a role.
 */
bool
actor_is_migrator(void)
{
	return actor_is_cross_tenant() &&
		actor_is_member(named_role(&pipeline_role, "steward_pipeline"));
}

/*
 * Does the current user read everything anyway?  Reads are judged by the
 * current user, not by the actor: a foreign key's check is the table owner's.
 */
bool
actor_reads_all(void)
{
	return superuser() || is_member(GetUserId(), ROLE_PG_READ_ALL_DATA);
}

/* An error takes the exemption away, whoever catches it */
static void
forget_retention(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		retention_table = InvalidOid;
}

static void
forget_retention_sub(SubXactEvent event, SubTransactionId mySubid,
					 SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		retention_table = InvalidOid;
}

/*
 * Retention is about to delete from, drop or fill this table, and from nothing
 * else: neither a cascade nor a trigger of the table's shares the exemption.
 * Returns what was set before, to be set again when it is done.
 */
Oid
actor_set_retention(Oid relid)
{
	Oid			before = retention_table;

	retention_table = relid;
	return before;
}

/* Is this the table that retention is working on? */
bool
actor_is_retention(Oid relid)
{
	return OidIsValid(relid) && retention_table == relid;
}

/*
 * Is retention working on any table?  For admission, which judges a row and
 * does not know its table: the access plane has judged the statement by then.
 */
bool
actor_is_retention_active(void)
{
	return OidIsValid(retention_table);
}

/*
 * Act as the owner of a table, past its own row security, as referential
 * integrity does: whatever code of the owner's comes to run, in a trigger or in
 * an index, runs with his rights.  An error takes it back by itself, when the
 * transaction aborts.
 */
Actor
actor_enter_owner(Oid relid)
{
	Actor		before;
	HeapTuple	tuple;
	Oid			owner;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(owner, before.context | SECURITY_RESTRICTED_OPERATION |
						   SECURITY_NOFORCE_RLS);
	return before;
}

void
actor_leave_owner(Actor before)
{
	SetUserIdAndSecContext(before.user, before.context);
}

/*
 * A deferred trigger would fire at commit, when we are not the owner any more;
 * core refuses that (CVE-2020-25695), and with it every table that a deferrable
 * foreign key refers to.
 */
void
actor_defer_nothing(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(statement);	/* all, immediate */
}

void
actor_init(void)
{
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget_roles, (Datum) 0);

	RegisterXactCallback(forget_retention, NULL);
	RegisterSubXactCallback(forget_retention_sub, NULL);

	next_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = actor_executor_finish;
}
