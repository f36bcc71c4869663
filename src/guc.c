/*
 * guc.c
 *	  Every setting of pg_steward, except the tenant context, which is a
 *	  setting only so that PostgreSQL carries it across savepoints and into
 *	  parallel workers, and therefore lives in tenant.c.
 *
 * None of them weakens a rule.  What the worker does with other people's data
 * is set by superusers only (ALTER DATABASE ... SET reaches the worker too).
 */
#include "steward.h"

#include <limits.h>

#include "miscadmin.h"

static int	lock_timeout_ms = 2000;

char	   *guc_archive_store = NULL;
int			guc_batch_rows = 10000;
double		guc_worker_share = 0.25;
int			guc_archive_threads = 2;
int			guc_max_attempts = 8;
int			guc_max_workers = 2;
int			guc_naptime = 60;
int			guc_retention_interval = 0;
bool		guc_worker = true;

void
guc_init(void)
{
	/* read by the SQL functions that issue DDL: steward.apply and friends */
	DefineCustomIntVariable("steward.lock_timeout",
							"How long govern, apply, release, hold and the worker wait for a lock on a user's table.",
							"They give up with nothing changed.",
							&lock_timeout_ms,
							2000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomStringVariable("steward.archive_store",
							   "Where archives are kept: file: and a directory.",
							   "A relative directory is below the data directory.",
							   &guc_archive_store, "file:steward_archive",
							   PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("steward.batch_rows",
							"How many rows of a table without expiring partitions are archived or deleted at once.",
							NULL,
							&guc_batch_rows,
							10000, 1, 1000000,
							PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("steward.worker",
							 "Whether the worker archives and purges.",
							 "ALTER DATABASE ... SET steward.worker = off pauses it there; what is under way is finished.",
							 &guc_worker, true,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomRealVariable("steward.worker_share",
							 "Share of the time that the worker works while it deletes batches of rows.",
							 "It sleeps the rest, so that the services keep theirs. 1: it never sleeps.",
							 &guc_worker_share,
							 0.25, 0.01, 1,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("steward.archive_threads",
							"How many threads write an archive: 2, one of which compresses, or 1.",
							"For measurements, and for a machine that has one processor to spare.",
							&guc_archive_threads,
							2, 1, 2,
							PGC_SUSET, GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("steward.max_attempts",
							"How often a task is tried before it rests in state failed.",
							NULL,
							&guc_max_attempts,
							8, 1, 1000,
							PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("steward.retention_interval",
							"How often the worker calls enforce_retention() by itself.",
							"0: never; pg_cron does (steward.schedule()), or you.",
							&guc_retention_interval,
							0, 0, INT_MAX / 1000,
							PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("steward.naptime",
							"How often the launcher looks for databases that have work, beside being woken.",
							NULL,
							&guc_naptime,
							60, 1, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("steward.max_workers",
								"How many databases are worked on at the same time.",
								"0: none; nothing is archived or purged.",
								&guc_max_workers,
								2, 0, 64,
								PGC_POSTMASTER, 0,
								NULL, NULL, NULL);
}
