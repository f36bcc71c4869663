/*
 * fault.c
 *	  Named points at which a test makes the worker die, fail or wait.
 *
 * The setting steward.fault, which only a superuser sets, holds "action:point":
 *	 kill      SIGKILL to this process, as the kernel's OOM killer would
 *	 crash     SIGKILL to the postmaster and to this process
 *	 error     an error
 *	 wait      wait until the setting no longer says so
 * Crash safety is the product, so its points are in the code that ships; an
 * unset setting costs one comparison a state change.
 *
 * No locks, no memory.
 */
#include "steward.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "worker.h"

static char *fault = NULL;

void
fault_init(void)
{
	DefineCustomStringVariable("steward.fault",
							   "Makes the worker die, fail or wait at a named point; for tests.",
							   "kill, crash, error or wait, a colon, and the point.",
							   &fault, "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							   NULL, NULL, NULL);
}

static bool
armed(const char *action, const char *name)
{
	size_t		len = strlen(action);

	return strncmp(fault, action, len) == 0 && fault[len] == ':' &&
		strcmp(fault + len + 1, name) == 0;
}

void
fault_point(const char *name)
{
	if (!fault || !fault[0])
		return;
	if (armed("kill", name))
		kill(MyProcPid, SIGKILL);
	if (armed("crash", name))
	{
		kill(PostmasterPid, SIGKILL);
		kill(MyProcPid, SIGKILL);
	}
	if (armed("error", name))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("fault injected at \"%s\"", name));
	while (armed("wait", name))
		worker_sleep(10);
}
