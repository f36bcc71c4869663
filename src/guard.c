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
 * No locks; no allocation, except where a hold's predicate needs it.
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

/* Whose row is it, and may it change at all? */
static void
guard_row(const StewardPolicy *policy, TupleDesc desc, HeapTuple row)
{
	if (policy->segment != 0)
		access_refuse_sealed(policy);
	if (policy->append_only)
		access_refuse_change(policy);
	if (policy->scope == SCOPE_TENANT)
		guard_tenant(policy, desc, row);
	if (policy->row_owner > 0)
		guard_row_owner(policy, desc, row);
}

/* guard(): trigger, before update or delete, for each row, enabled always */
Datum
steward_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	rel;
	StewardPolicy policy;
	bool		update;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("steward.guard() is a trigger function for each row before update or delete"));

	rel = trigger->tg_relation;
	update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	if (registry_policy(RelationGetRelid(rel), &policy))
	{
		/* retention acts for no tenant and no service; but holds bind it */
		if (!actor_is_retention(policy.relid))
			guard_row(&policy, RelationGetDescr(rel), trigger->tg_trigtuple);
		if (policy.held)
			hold_judge(&policy, rel, trigger->tg_trigtuple,
					   update ? trigger->tg_newtuple : NULL);
	}
	return PointerGetDatum(update ? trigger->tg_newtuple
						   : trigger->tg_trigtuple);
}
