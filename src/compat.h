/*
 * compat.h
 *	  The one place that knows how PostgreSQL 15, 16, 17 and 18 differ.
 *
 * Every other file is written against the newest spelling; what an older
 * server spells differently is mapped here.  No other file tests
 * PG_VERSION_NUM.
 */
#ifndef STEWARD_COMPAT_H
#define STEWARD_COMPAT_H

#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/guc.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000
#error "pg_steward needs PostgreSQL 15 or newer"
#endif

/*
 * Soft errors came with 16.  On 15 an error in an input function is thrown;
 * the escontext argument is accepted and ignored.
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define STEWARD_ESCONTEXT(fcinfo)	((fcinfo)->context)
/* would ereturn() record the error instead of throwing it? */
#define steward_is_soft(escontext) \
	((escontext) != NULL && IsA(escontext, ErrorSaveContext))
#else
#define STEWARD_ESCONTEXT(fcinfo)	((struct Node *) NULL)
#define steward_is_soft(escontext)	false
#define ereturn(context, dummy_value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#endif

/*
 * 16 moved a relation's required permissions out of the range table entry.
 */
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
typedef RTEPermissionInfo StewardPermissions;

#define STEWARD_CHECK_PERMS_ARGS	List *rangeTable, List *perminfos, bool abort
#define STEWARD_CHECK_PERMS_PASS	rangeTable, perminfos, abort
#define STEWARD_PERMISSIONS_LIST	perminfos
#define steward_permissions_relid(p)	((p)->relid)
#define steward_nsitem_permissions(item)	((item)->p_perminfo)
#define steward_exec_check_perms(pstate) \
	ExecCheckPermissions((pstate)->p_rtable, (pstate)->p_rteperminfos, true)
#else
typedef RangeTblEntry StewardPermissions;

#define STEWARD_CHECK_PERMS_ARGS	List *rangeTable, bool abort
#define STEWARD_CHECK_PERMS_PASS	rangeTable, abort
#define STEWARD_PERMISSIONS_LIST	rangeTable
#define steward_permissions_relid(p) \
	((p)->rtekind == RTE_RELATION ? (p)->relid : InvalidOid)
#define steward_nsitem_permissions(item)	((item)->p_rte)
#define steward_exec_check_perms(pstate) \
	ExecCheckRTPerms((pstate)->p_rtable, true)
#endif

/*
 * 18 lets a CHECK constraint stand without being enforced, knows virtual
 * generated columns, and renamed the place of the prepared constraints.
 */
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#define steward_check_enforced(check)	((check)->ccenforced)
#define steward_check_exprs(target)		((target)->ri_CheckConstraintExprs)
#define steward_check_node(rel, check) \
	expand_generated_columns_in_expr(stringToNode((check)->ccbin), (rel), 1)
#else
#define steward_check_enforced(check)	true
#define steward_check_exprs(target)		((target)->ri_ConstraintExprs)
#define steward_check_node(rel, check)	stringToNode((check)->ccbin)
#endif
#define steward_prepare_check(rel, check, estate) \
	(steward_check_enforced(check) \
	 ? ExecPrepareExpr((Expr *) steward_check_node(rel, check), (estate)) : NULL)

/*
 * Since 16 the callbacks of core's JSON parser return a result, and since 17 a
 * lexer's memory may be the caller's.
 */
#if PG_VERSION_NUM >= 160000
#define STEWARD_JSON_RESULT		JsonParseErrorType
#define STEWARD_JSON_SUCCESS	JSON_SUCCESS
#else
#define STEWARD_JSON_RESULT		void
#define STEWARD_JSON_SUCCESS
#endif
#if PG_VERSION_NUM >= 170000
#define steward_json_lexer(text, length) \
	makeJsonLexContextCstringLen(NULL, (text), (length), PG_UTF8, true)
#else
#define steward_json_lexer(text, length) \
	makeJsonLexContextCstringLen((text), (length), PG_UTF8, true)
#endif

/* 18 spells it as the standard does: before the declaration */
#if PG_VERSION_NUM < 180000
#define pg_noreturn		pg_attribute_noreturn()
#endif

/* 17 numbers processes by themselves, no longer by a field of PGPROC */
#if PG_VERSION_NUM >= 170000
#define steward_my_proc()	MyProcNumber
#else
#define steward_my_proc()	(MyProc->pgprocno)
#endif
#define steward_proc(number)	GetPGProcByNumber(number)

/* 18 runs a portal once without being told */
#if PG_VERSION_NUM >= 180000
#define steward_portal_run(portal, completion) \
	PortalRun((portal), FETCH_ALL, true, None_Receiver, None_Receiver, (completion))
#else
#define steward_portal_run(portal, completion) \
	PortalRun((portal), FETCH_ALL, true, true, None_Receiver, None_Receiver, (completion))
#endif

/* 16 folded the many ownership tests into one. */
static inline bool
steward_owns_relation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

#endif							/* STEWARD_COMPAT_H */
