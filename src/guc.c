/*
 * guc.c
 *	  Every setting of pg_steward, except the tenant context, which is a
 *	  setting only so that PostgreSQL carries it across savepoints and into
 *	  parallel workers, and therefore lives in tenant.c.
 *
 * None of them weakens a rule, so all may be set by anyone.
 */
#include "steward.h"

#include <limits.h>

static int	lock_timeout_ms = 2000;

void
guc_init(void)
{
	/* read by the SQL functions that issue DDL: steward.apply and friends */
	DefineCustomIntVariable("steward.lock_timeout",
							"How long govern, apply and release wait for a lock on a user's table.",
							"They give up with nothing changed.",
							&lock_timeout_ms,
							2000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
}
