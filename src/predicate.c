/*
 * predicate.c
 *	  A condition on a table's rows that an operator wrote: parsed, judged and
 *	  written down so that it means the same in every session.
 *
 * It will run inside other users' statements, so it may ask only what cannot
 * act, look elsewhere or change its answer: columns, constants, and immutable
 * functions and operators that come with PostgreSQL or with this extension.
 * The parser is told that it reads a CHECK constraint, which keeps subqueries,
 * aggregates, window functions and set-returning functions out.
 *
 * Names are looked up in pg_catalog only, whatever the session's search_path
 * says.  What is stored is the deparsed expression, with dates and the like in
 * one style, and it is read back under the same settings: a constant written
 * in one session's DateStyle or TimeZone stays what it was.
 *
 * Memory: everything in the caller's context.  Locks: the caller's.
 */
#include "steward.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

PG_FUNCTION_INFO_V1(steward_check_predicate);

/* ---- settings ---------------------------------------------------------- */

static void
pin_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
pin_names(void)
{
	pin_setting("search_path", "pg_catalog, pg_temp");
}

/* How constants are written down, and read again */
static void
pin_styles(void)
{
	pin_setting("DateStyle", "ISO, MDY");
	pin_setting("IntervalStyle", "postgres");
	pin_setting("TimeZone", "UTC");
	pin_setting("bytea_output", "hex");
	pin_setting("extra_float_digits", "1");
}

/* ---- what a predicate may ask ------------------------------------------ */

static bool
is_foreign_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId &&
		get_func_namespace(funcid) != get_namespace_oid("steward", true);
}

static void
check_column(const Var *var, Relation rel)
{
	if (var->varattno <= 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				errmsg("a predicate asks for single columns, not for a whole row or a system column"));
	if (TupleDescAttr(RelationGetDescr(rel), var->varattno - 1)->attgenerated)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				errmsg("a predicate cannot ask for a generated column"),
				errhint("Ask for what the column is generated from."));
}

/*
 * Refuses what is not known to be harmless.  A node that is not listed may
 * call a function that check_functions_in_node() does not see.
 */
static bool
check_node(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			check_column((Var *) node, (Relation) context);
			break;
		case T_List:
		case T_Const:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_FuncExpr:
		case T_NamedArgExpr:
		case T_RowCompareExpr:
		case T_RelabelType:
		case T_CollateExpr:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_ArrayExpr:
		case T_SubscriptingRef:
		case T_FieldSelect:
			if (check_functions_in_node(node, is_foreign_function, NULL))
				ereport(ERROR,
						errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a predicate can use only functions and operators of PostgreSQL and pg_steward"),
						errdetail("It runs inside the statements of other users."));
			break;
		default:
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("a predicate cannot use this kind of expression"),
					errdetail("It consists of columns, constants, operators and functions."));
	}
	return expression_tree_walker(node, check_node, context);
}

/* ---- what the parser must not meet ---------------------------------------- */

/*
 * The parser runs code before there is a tree to judge: it makes constants with
 * the input function of their type, and that of a composite, a domain, or a
 * range or array of them comes to functions of whoever made the type.  Holds are
 * placed by the extension's owner and read back by whoever deletes, so what
 * could call such a type is refused as it is written.
 */
static bool
is_harmless_type(Oid type)
{
	Oid			element = get_element_type(type);
	char		typtype;

	if (OidIsValid(element))
		type = element;
	if (type < FirstNormalObjectId)
		return true;
	typtype = get_typtype(type);
	return typtype == TYPTYPE_BASE || typtype == TYPTYPE_ENUM;
}

static void
refuse_type(Oid type)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("a predicate cannot use type %s", format_type_be(type)),
			errdetail("Reading a value of it may call functions that do not come with PostgreSQL or pg_steward, and a predicate runs inside the statements of other users."));
}

/* Is the first of several names one of a schema that is not ours? */
static bool
is_foreign_name(List *names)
{
	return list_length(names) > 1 &&
		strcmp(strVal(linitial(names)), "pg_catalog") != 0 &&
		strcmp(strVal(linitial(names)), "steward") != 0;
}

static void
refuse_foreign(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("a predicate can use only functions and operators of PostgreSQL and pg_steward"),
			errdetail("It runs inside the statements of other users."));
}

static void
check_written_column(const ColumnRef *column, Relation rel)
{
	AttrNumber	attno = InvalidAttrNumber;
	ListCell   *lc;

	/* which of the names is the column's is not known yet */
	foreach(lc, column->fields)
	{
		if (IsA(lfirst(lc), String))
			attno = get_attnum(RelationGetRelid(rel), strVal(lfirst(lc)));
		if (attno > 0 && !is_harmless_type(getBaseType(get_atttype(RelationGetRelid(rel), attno))))
			refuse_type(get_atttype(RelationGetRelid(rel), attno));
	}
}

static bool
check_written(Node *node, void *rel)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_TypeName:
			{
				Oid			type = typenameTypeId(NULL, (TypeName *) node);

				if (!is_harmless_type(type))
					refuse_type(type);
				break;
			}
		case T_ColumnRef:
			check_written_column((ColumnRef *) node, (Relation) rel);
			break;
		case T_FuncCall:
			if (is_foreign_name(((FuncCall *) node)->funcname))
				refuse_foreign();
			break;
		case T_A_Expr:
			if (is_foreign_name(((A_Expr *) node)->name))
				refuse_foreign();
			break;
		default:
			break;
	}
	return raw_expression_tree_walker(node, check_written, rel);
}

/* ---- parsing ------------------------------------------------------------ */

/* The one expression that the text is; anything around it is refused */
static Node *
parse_text(const char *text)
{
	List	   *statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	ResTarget  *target;

	if (IsA(select, SelectStmt) && select->op == SETOP_NONE &&
		list_length(select->targetList) == 1 && !select->valuesLists &&
		!select->distinctClause && !select->intoClause &&
		!select->fromClause && !select->whereClause && !select->groupClause &&
		!select->havingClause && !select->windowClause &&
		!select->sortClause && !select->limitOffset && !select->limitCount &&
		!select->lockingClause && !select->withClause)
	{
		target = linitial_node(ResTarget, select->targetList);
		if (!target->name && !(IsA(target->val, ColumnRef) &&
							   IsA(llast(((ColumnRef *) target->val)->fields), A_Star)))
			return target->val;
	}
	ereport(ERROR,
			errcode(ERRCODE_SYNTAX_ERROR),
			errmsg("a predicate is one condition, as it would stand after WHERE"));
	return NULL;
}

/* Positions are the predicate's, not those of the statement that is running */
static void
parse_context(void *arg)
{
	if (geterrposition() > 0)
		errposition(0);
	errcontext("predicate on table \"%s\"",
			   RelationGetRelationName((Relation) arg));
}

static Node *
parse_predicate(Relation rel, const char *text)
{
	ErrorContextCallback callback;
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *node;

	callback.callback = parse_context;
	callback.arg = rel;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL,
										 false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	node = parse_text(text);
	(void) check_written(node, rel);
	node = transformExpr(pstate, node, EXPR_KIND_CHECK_CONSTRAINT);
	node = coerce_to_boolean(pstate, node, "predicate");
	assign_expr_collations(pstate, node);
	check_node(node, rel);
	if (contain_mutable_functions(node))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("functions in a predicate must be immutable"),
				errdetail("What is held today must be held tomorrow, and in every session."));

	error_context_stack = callback.previous;
	free_parsestate(pstate);
	return node;
}

/* A stored predicate, ready for ExecInitExpr(); the relation is open */
Expr *
predicate_plan(Relation rel, const char *text)
{
	int			level = NewGUCNestLevel();
	Node	   *node;

	pin_names();
	pin_styles();
	node = parse_predicate(rel, text);
	AtEOXact_GUC(false, level);
	return expression_planner((Expr *) node);
}

/* check_predicate(regclass, text) → text: the same, as it is to be stored */
Datum
steward_check_predicate(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *predicate = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int			level = NewGUCNestLevel();
	Relation	rel = relation_open(relid, AccessShareLock);
	Node	   *node;

	pin_names();
	node = parse_predicate(rel, predicate);
	pin_styles();
	predicate = deparse_expression(node,
								   deparse_context_for(RelationGetRelationName(rel),
													   relid),
								   false, false);
	AtEOXact_GUC(false, level);
	relation_close(rel, AccessShareLock);
	PG_RETURN_TEXT_P(cstring_to_text(predicate));
}
