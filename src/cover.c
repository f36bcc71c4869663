/*
 * cover.c
 *	  What a governed table itself carries of the admission plane: the
 *	  constraint, recognised by what it asks and not by its name alone, and
 *	  whether row security adds anything to it.
 *
 * The registry keeps the answers with the policy: whatever changes them also
 * invalidates the relation.
 *
 * Memory: a parsed constraint, in the caller's context.
 */
#include "steward.h"

#include "access/sysattr.h"
#include "access/tupdesc.h"
#include "catalog/namespace.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rowsecurity.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Is this steward.in_tenant() of the tenant column, and nothing else? */
static bool
asks_in_tenant(Node *expression, AttrNumber tenant)
{
	FuncExpr   *call = (FuncExpr *) expression;
	Bitmapset  *columns = NULL;
	const char *name;

	if (!IsA(expression, FuncExpr))
		return false;
	name = get_func_name(call->funcid);
	if (!name || strcmp(name, "in_tenant") != 0 ||
		get_func_namespace(call->funcid) != get_namespace_oid("steward", true))
		return false;
	pull_varattnos((Node *) call->args, 1, &columns);
	return bms_membership(columns) == BMS_SINGLETON &&
		bms_is_member(tenant - FirstLowInvalidHeapAttributeNumber, columns);
}

/* Which of the table's CHECK constraints is the admission of its tenant? */
static int
find_admission(Relation rel, AttrNumber tenant)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	int			i;

	for (i = 0; constr && i < constr->num_check; i++)
	{
		ConstrCheck *check = &constr->check[i];

		if (strcmp(check->ccname, STEWARD_RULE_TENANT) == 0 &&
			steward_check_enforced(check) && !check->ccnoinherit &&
			asks_in_tenant(stringToNode(check->ccbin), tenant))
			return i;
	}
	return NO_ADMISSION;
}

static bool
has_only_our_policies(Relation rel)
{
	ListCell   *lc;

	if (!rel->rd_rsdesc)
		return false;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);

		if (strcmp(policy->policy_name, STEWARD_RULE_TENANT) != 0 &&
			strcmp(policy->policy_name, "steward_cross_tenant") != 0)
			return false;
	}
	return true;
}

/* Complete a policy with what its relation, which is open, carries */
void
cover_inspect(Relation rel, StewardPolicy *policy)
{
	if (policy->scope != SCOPE_TENANT || policy->tenant <= 0)
		return;
	policy->tenant_type =
		getBaseType(TupleDescAttr(RelationGetDescr(rel),
								  policy->tenant - 1)->atttypid);
	policy->admission = find_admission(rel, policy->tenant);

	/* then both ask in_tenant(), and WITH CHECK adds nothing */
	policy->covers_with_check =
		policy->admission != NO_ADMISSION && has_only_our_policies(rel);
}
