/*
 * detach.c
 *	  Takes a partition out of its table, as a statement of its own.
 *
 * DETACH PARTITION … CONCURRENTLY locks the partitioned table SHARE UPDATE
 * EXCLUSIVE, so readers and writers go on; it cannot run in a function or a
 * transaction block, because it commits half-way.  The worker is neither, so it
 * runs the statement as a client's.  A run that
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
#include "tcop/pquery.h"
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
 * Run a utility statement at top level, through a portal as a client's would
 * be: it may commit and start transactions, and event triggers fire in it.
 */
static void
run_at_top(const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	Portal		portal;
	PlannedStmt *statement;
	QueryCompletion completion;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(caller);
	statement = makeNode(PlannedStmt);
	statement->commandType = CMD_UTILITY;
	statement->canSetTag = true;
	statement->utilityStmt = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT))->stmt;
	statement->stmt_len = strlen(sql);

	debug_query_string = sql;
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, CMDTAG_ALTER_TABLE,
					  list_make1(statement), NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	steward_portal_run(portal, &completion);
	PortalDrop(portal, false);
	debug_query_string = NULL;
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
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
