/*
 * detach.c
 *	  Takes a partition out of its table, as a statement of its own.
 *
 * DETACH PARTITION … CONCURRENTLY locks the partitioned table SHARE UPDATE
 * EXCLUSIVE, so readers and writers go on; it cannot run in a function or a
 * transaction block, because it commits half-way.  The worker is neither, so it
 * gives the statement to ProcessUtility as a client's would arrive.  A run that
 * was interrupted leaves the detach pending, and the next one finalizes it.
 *
 * Where PostgreSQL refuses CONCURRENTLY (a DEFAULT partition stands beside it)
 * the plain form is used: ACCESS EXCLUSIVE for the time of a catalog change,
 * and not waited for longer than steward.lock_timeout.
 */
#include "steward.h"

#include "access/xact.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "query.h"
#include "worker.h"

/* The statement that detaches it; NULL when it is not attached (any more) */
static char *
detach_statement(Oid relid)
{
	char	   *sql = NULL;

	query_begin();
	if (query_run("SELECT pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s%s', i.inhparent::regclass, i.inhrelid::regclass,"
				  " CASE WHEN i.inhdetachpending THEN ' FINALIZE'"
				  "      WHEN p.partdefid = 0 THEN ' CONCURRENTLY' ELSE '' END)"
				  "  FROM pg_catalog.pg_inherits i"
				  "  JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent"
				  " WHERE i.inhrelid = $1", "o", relid) > 0)
		sql = query_text(0, 1);
	query_commit();
	return sql;
}

/*
 * Run a utility statement at top level.  It may commit and start transactions,
 * so what it is made of lives in the caller's context, which outlasts them.
 */
static void
run_at_top(const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_steward statement",
												  ALLOCSET_SMALL_SIZES);
	PlannedStmt *statement;
	QueryCompletion completion;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	statement = makeNode(PlannedStmt);
	statement->commandType = CMD_UTILITY;
	statement->utilityStmt = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT))->stmt;
	statement->stmt_len = strlen(sql);
	PortalContext = context;
	InitializeQueryCompletion(&completion);
	debug_query_string = sql;
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		ProcessUtility(statement, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL,
					   NULL, None_Receiver, &completion);
		if (ActiveSnapshotSet())
			PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_FINALLY();
	{
		debug_query_string = NULL;
		PortalContext = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Detach a partition; nothing to do when it is none.  Outside a transaction. */
void
detach_partition(Oid relid)
{
	char	   *sql = detach_statement(relid);
	Oid			before;

	if (!sql)
		return;
	before = actor_set_retention(relid);
	run_at_top(sql);
	actor_set_retention(before);
}
