/*
 * prepare.c
 *	  Prepares the admission constraint of the tables that a statement writes,
 *	  without parsing it.
 *
 * The executor parses and compiles a table's CHECK constraints anew for each
 * statement, at the first row; for a single-row INSERT that is most of what a
 * constraint costs.  What the admission constraint asks is known (cover.c), so
 * its place in the executor's array is filled here with an expression that
 * calls admit_tenant() on the tenant column.  The array has to be whole, so the
 * table's other constraints are prepared as the executor would.
 *
 * Partitions that rows are routed to, and COPY, go the executor's own way.
 * There the constraint is parsed once and judges many rows.
 *
 * A DELETE of retention's is spared the guard where the guard has nothing to
 * judge.
 *
 * Memory: the statement's own context.  No locks.
 */
#include "steward.h"

#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

/* An expression that the executor evaluates like any other */
typedef struct AdmissionExpr
{
	ExprState	state;			/* must be first */
	AttrNumber	tenant;
	Oid			type;
} AdmissionExpr;

static ExecutorStart_hook_type next_executor_start = NULL;

static Datum
eval_admission(ExprState *state, ExprContext *econtext, bool *isnull)
{
	AdmissionExpr *admission = (AdmissionExpr *) state;
	bool		no_tenant;
	Datum		tenant = slot_getattr(econtext->ecxt_scantuple,
									  admission->tenant, &no_tenant);

	admit_tenant(admission->type, tenant, no_tenant);
	*isnull = false;
	return BoolGetDatum(true);
}

static ExprState *
make_admission(const StewardPolicy *policy)
{
	AdmissionExpr *admission = palloc0(sizeof(AdmissionExpr));

	NodeSetTag(admission, T_ExprState);
	admission->state.evalfunc = eval_admission;
	admission->tenant = policy->tenant;
	admission->type = policy->tenant_type;
	return &admission->state;
}

static void
prepare_target(ResultRelInfo *target, EState *estate)
{
	Relation	rel = target->ri_RelationDesc;
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	StewardPolicy policy;
	MemoryContext old;
	ExprState **exprs;
	int			i;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		steward_check_exprs(target) != NULL ||
		!registry_policy(RelationGetRelid(rel), &policy) ||
		policy.admission == NO_ADMISSION)
		return;

	old = MemoryContextSwitchTo(estate->es_query_cxt);
	exprs = palloc0(constr->num_check * sizeof(ExprState *));
	for (i = 0; i < constr->num_check; i++)
		exprs[i] = i == policy.admission ? make_admission(&policy)
			: steward_prepare_check(rel, &constr->check[i], estate);
	steward_check_exprs(target) = exprs;
	MemoryContextSwitchTo(old);
}

/*
 * Retention is exempt from the guard, but for holds; and where none concerns
 * the store, none can come while the statement runs, because hold() waits for
 * the lock that it has.  Core would fetch and lock each row for a trigger that
 * then says yes, which costs more than the deletion.
 */
static void
spare_guard(ResultRelInfo *target)
{
	Oid			relid = RelationGetRelid(target->ri_RelationDesc);
	TriggerDesc *triggers = target->ri_TrigDesc;
	StewardPolicy policy;
	int			i;

	if (!triggers || !actor_is_retention(relid) ||
		!registry_policy(relid, &policy) || policy.held)
		return;
	for (i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW,
								 TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_DELETE) &&
			strcmp(trigger->tgname, "steward_guard") != 0)
			return;
	}
	/* the executor's own copy */
	triggers->trig_delete_before_row = false;
}

static void
prepare_executor_start(QueryDesc *queryDesc, int eflags)
{
	ListCell   *lc;

	if (next_executor_start)
		next_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);

	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) || !registry_armed())
		return;
	foreach(lc, queryDesc->estate->es_opened_result_relations)
	{
		if (queryDesc->operation == CMD_DELETE)
			spare_guard(lfirst(lc));
		else
			prepare_target(lfirst(lc), queryDesc->estate);
	}
}

void
prepare_init(void)
{
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = prepare_executor_start;
}
