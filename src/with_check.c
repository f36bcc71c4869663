/*
 * with_check.c
 *	  Spares a plan the policies' WITH CHECK where admission judges the same.
 *
 * Row security tests a new row before the table's constraints do.  In a
 * governed table both ask in_tenant(), so each row would be judged twice, and
 * of INSERT … RETURNING the first verdict would be core's, without our rule and
 * hint and with the statement in the log.  A planner hook drops the tests of
 * new rows where admission covers the table (cover.c); the tests of old rows
 * (ON CONFLICT, MERGE) and of views stay.  A plan is made anew when a
 * constraint or policy of the table changes, and then judged anew.
 *
 * Without shared_preload_libraries the WITH CHECK simply stays.
 *
 * No locks of its own: the relations of a query are locked by then.
 */
#include "steward.h"

#include "optimizer/planner.h"
#include "parser/parsetree.h"

static planner_hook_type next_planner = NULL;

/* A constant is "no policy lets this role write": that stays in any case */
static bool
judges_new_row(const WithCheckOption *option)
{
	return (option->kind == WCO_RLS_INSERT_CHECK ||
			option->kind == WCO_RLS_UPDATE_CHECK) &&
		!IsA(option->qual, Const);
}

static bool
admission_covers_result(Query *query)
{
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
	StewardPolicy policy;

	return registry_policy(rte->relid, &policy) && policy.covers_with_check;
}

static void
spare_with_check(Query *query)
{
	ListCell   *lc;

	if (query->withCheckOptions != NIL && admission_covers_result(query))
	{
		foreach(lc, query->withCheckOptions)
		{
			if (judges_new_row(lfirst_node(WithCheckOption, lc)))
				query->withCheckOptions =
					foreach_delete_current(query->withCheckOptions, lc);
		}
	}

	/* a statement that writes can also stand in WITH, at the top only */
	foreach(lc, query->cteList)
	{
		Query	   *cte = (Query *) lfirst_node(CommonTableExpr, lc)->ctequery;

		if (cte->commandType != CMD_SELECT)
			spare_with_check(cte);
	}
}

static PlannedStmt *
with_check_planner(Query *parse, const char *query_string, int cursorOptions,
				   ParamListInfo boundParams)
{
	if (registry_armed())
		spare_with_check(parse);
	if (next_planner)
		return next_planner(parse, query_string, cursorOptions, boundParams);
	return standard_planner(parse, query_string, cursorOptions, boundParams);
}

void
with_check_init(void)
{
	next_planner = planner_hook;
	planner_hook = with_check_planner;
}
