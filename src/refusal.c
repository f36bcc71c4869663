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

/*
 * Unhook the context callbacks for the error that is about to be raised.
 * Whoever catches it restores the stack (PG_TRY does), so nothing is lost.
 */
void
steward_hush(void)
{
	error_context_stack = NULL;
}
