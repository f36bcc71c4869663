/*
 * copy.c
 *	  COPY … FROM STDIN into a tenant store by a role that is bound by row
 *	  security.
 *
 * Core refuses COPY FROM wherever row security applies, because it does not
 * evaluate a policy's WITH CHECK there.  In a governed table the admission
 * constraint judges each row anyway, so the COPY is run here, by core's own
 * machinery and after core's own permission check, provided that admission
 * covers the table (cover.c).  Otherwise the next hook, and finally core,
 * decides.
 *
 * Locks: ROW EXCLUSIVE on the table to the end of the transaction, as COPY.
 */
#include "steward.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "rewrite/rowsecurity.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/rls.h"

static ProcessUtility_hook_type next_process_utility = NULL;

/* Is there a policy by which the current user may insert at all? */
static bool
policy_lets_insert(Relation rel)
{
	ListCell   *lc;

	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);
		Oid		   *roles = (Oid *) ARR_DATA_PTR(policy->roles);
		int			i;

		if (policy->polcmd != '*' && policy->polcmd != ACL_INSERT_CHR)
			continue;
		for (i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
		{
			if (roles[i] == ACL_ID_PUBLIC ||
				has_privs_of_role(GetUserId(), roles[i]))
				return true;
		}
	}
	return false;
}

/*
 * The table of a COPY that core would refuse and that admission can judge,
 * locked; else InvalidOid.  The name is looked up once, so that what was
 * judged is what is written.
 */
static Oid
our_table(CopyStmt *stmt)
{
	StewardPolicy policy;
	Relation	rel;
	bool		ours;
	Oid			relid;

	if (!stmt->is_from || !stmt->relation || stmt->filename ||
		!row_security || !registry_armed())
		return InvalidOid;
	relid = RangeVarGetRelid(stmt->relation, RowExclusiveLock, true);
	if (!OidIsValid(relid) || !registry_policy(relid, &policy) ||
		!policy.covers_with_check ||
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
		return InvalidOid;

	rel = table_open(relid, NoLock);
	ours = policy_lets_insert(rel);
	table_close(rel, NoLock);
	return ours ? relid : InvalidOid;
}

/*
 * Generated columns are computed after WHERE has been evaluated, and system
 * columns do not exist yet: neither can be asked for.
 */
static void
check_where_columns(Relation rel, Node *where)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	pull_varattnos(where, 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attno = column + FirstLowInvalidHeapAttributeNumber;

		if (attno < 0 ||
			(attno > 0 &&
			 TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					errmsg("COPY FROM cannot ask for a system or generated column in WHERE"));
	}
}

/* The WHERE clause as COPY plans it: an implicitly ANDed list of quals */
Node *
copy_where(ParseState *pstate, ParseNamespaceItem *nsitem, Relation rel,
		   Node *clause)
{
	Node	   *where;

	if (!clause)
		return NULL;
	addNSItemToQuery(pstate, nsitem, false, true, true);
	where = transformExpr(pstate, clause, EXPR_KIND_COPY_WHERE);
	where = coerce_to_boolean(pstate, where, "WHERE");
	assign_expr_collations(pstate, where);
	check_where_columns(rel, where);
	where = eval_const_expressions(NULL, where);
	where = (Node *) canonicalize_qual((Expr *) where, false);
	return (Node *) make_ands_implicit((Expr *) where);
}

static uint64
copy_from_stdin(CopyStmt *stmt, Oid relid, const char *source)
{
	Relation	rel = table_open(relid, NoLock);
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;
	StewardPermissions *permissions;
	Node	   *where;
	CopyFromState state;
	ListCell   *lc;
	uint64		processed;

	pstate->p_sourcetext = source;
	nsitem = addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock,
										   NULL, false, false);
	permissions = steward_nsitem_permissions(nsitem);
	permissions->requiredPerms = ACL_INSERT;
	where = copy_where(pstate, nsitem, rel, stmt->whereClause);
	foreach(lc, CopyGetAttnums(RelationGetDescr(rel), rel, stmt->attlist))
		permissions->insertedCols =
		bms_add_member(permissions->insertedCols,
					   lfirst_int(lc) - FirstLowInvalidHeapAttributeNumber);
	steward_exec_check_perms(pstate);

	if (XactReadOnly && !rel->rd_islocaltemp)
		PreventCommandIfReadOnly("COPY FROM");

	state = BeginCopyFrom(pstate, rel, where, NULL, false, NULL,
						  stmt->attlist, stmt->options);
	processed = CopyFrom(state);
	EndCopyFrom(state);
	free_parsestate(pstate);
	table_close(rel, NoLock);
	return processed;
}

static void
copy_process_utility(PlannedStmt *pstmt, const char *queryString,
					 bool readOnlyTree, ProcessUtilityContext context,
					 ParamListInfo params, QueryEnvironment *queryEnv,
					 DestReceiver *dest, QueryCompletion *qc)
{
	Oid			relid = InvalidOid;

	if (IsA(pstmt->utilityStmt, CopyStmt) && IsTransactionState())
		relid = our_table((CopyStmt *) pstmt->utilityStmt);
	if (OidIsValid(relid))
	{
		CopyStmt   *stmt = (CopyStmt *) pstmt->utilityStmt;
		uint64		processed;

		/* analysis scribbles on WHERE; a prepared statement's is used again */
		if (readOnlyTree)
			stmt = copyObject(stmt);
		processed = copy_from_stdin(stmt, relid, queryString);
		if (qc)
			SetQueryCompletion(qc, CMDTAG_COPY, processed);
		return;
	}
	if (next_process_utility)
		next_process_utility(pstmt, queryString, readOnlyTree, context,
							 params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);
}

void
copy_init(void)
{
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = copy_process_utility;
}
