/*
 * guard.c
 *	  Guard: the outgoing row, judged by a row trigger before UPDATE and
 *	  DELETE.
 *
 * Row security hides other tenants' rows from ordinary statements.  What it
 * does not see comes here: the cascade of a foreign key (which deletes as the
 * table's owner), a superuser, a role with BYPASSRLS, replication.  The
 * trigger is ENABLE ALWAYS and is not on the INSERT path, so COPY keeps its
 * speed.  The incoming row is admit.c's.
 *
 * No locks; no allocation.
 */
#include "steward.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(steward_guard);

static void
guard_tenant(const StewardPolicy *policy, TupleDesc desc, HeapTuple row)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	/* a column that the map names and the table lacks holds nobody's tenant */
	if (policy->tenant > 0)
		value = heap_getattr(row, policy->tenant, desc, &isnull);

	/* rows from before the table was governed may lack one: not for services */
	if (isnull && actor_is_cross_tenant())
		return;
	admit_tenant(policy->tenant_type, value, isnull);
}

static void
guard_row_owner(const StewardPolicy *policy, TupleDesc desc, HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, policy->row_owner, desc, &isnull);

	admit_row_owner(value, isnull);
}

/* guard(): trigger, before update or delete, for each row, enabled always */
Datum
steward_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StewardPolicy policy;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("steward.guard() is a trigger function for each row before update or delete"));

	if (registry_policy(RelationGetRelid(trigger->tg_relation), &policy))
	{
		desc = RelationGetDescr(trigger->tg_relation);
		if (policy.append_only)
			access_refuse_change(&policy);
		if (policy.scope == SCOPE_TENANT)
			guard_tenant(&policy, desc, trigger->tg_trigtuple);
		if (policy.row_owner > 0)
			guard_row_owner(&policy, desc, trigger->tg_trigtuple);
	}
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}
