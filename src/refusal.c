/*
 * refusal.c
 *	  How pg_steward refuses a value without repeating it.
 *
 * A refused value must not reach a client or a log by a side door.  Three are
 * open in a plain ereport: the statement, which may hold the value as a
 * literal (errhidestmt closes it); the context callbacks of COPY, of bind
 * parameters and of PL/pgSQL, which print it; and the cursor position, which
 * points at it.  The last two hang on error_context_stack.
 *
 * No locks, no memory.
 */
#include "steward.h"

#include "utils/lsyscache.h"

/*
 * Unhook the context callbacks for the error that is about to be raised.
 * Whoever catches it restores the stack (PG_TRY does), so nothing is lost.
 */
void
steward_hush(void)
{
	error_context_stack = NULL;
}

/* Name the table in the error's fields, as core does for its constraints */
int
steward_err_relation(Oid relid)
{
	err_generic_string(PG_DIAG_SCHEMA_NAME,
					   get_namespace_name(get_rel_namespace(relid)));
	err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(relid));
	return 0;
}
