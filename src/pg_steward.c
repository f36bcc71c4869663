/*
 * pg_steward.c
 *	  Loads the library: calls each room's init, in layer order.
 *
 * Loaded by shared_preload_libraries, every plane is in force in every
 * session.  Loaded later, by the first call of one of the functions, only the
 * access plane's hooks are left out: a rule that held in some sessions and not
 * in others would be worse than one that steward.check() reports as absent.
 */
#include "steward.h"

#include "worker.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(steward_preloaded);

void		_PG_init(void);

static bool preloaded = false;

void
_PG_init(void)
{
	preloaded = process_shared_preload_libraries_in_progress;

	guc_init();
	hold_init();
	registry_init();
	actor_init();
	tenant_init();
	fault_init();
	MarkGUCPrefixReserved("steward");
	if (preloaded)
	{
		access_init();
		prepare_init();
		with_check_init();
		copy_init();
		worker_init();
	}
}

/* preloaded() → boolean: are the access plane's hooks in force? */
Datum
steward_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(preloaded);
}
