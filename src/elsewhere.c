/*
 * elsewhere.c
 *	  A call of pg_cron's in the database that pg_cron lives in.
 *
 * pg_cron takes jobs for any database, but only from a session in its own
 * (cron.database_name).  A short-lived background worker connects there and
 * makes the one call, with values that are passed through dynamic shared
 * memory; what went wrong comes back the same way, because an error in a
 * background worker reaches only the log.
 *
 * It connects as a superuser: the SQL functions that call this are for
 * steward_admin, and what it can call is fixed here.
 *
 * Locks: none held while it waits.
 */
#include "steward.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "query.h"

PG_FUNCTION_INFO_V1(steward_cron_elsewhere);

PGDLLEXPORT void steward_elsewhere_main(Datum arg);

#define MAX_FIELD	1024

typedef struct ElsewhereCall
{
	enum
	{
		CALL_PENDING = 0,		/* also: the worker died */
		CALL_DONE,
		CALL_NO_CRON,
		CALL_FAILED
	}			result;
	char		database[NAMEDATALEN];	/* pg_cron's */
	bool		schedules;		/* or unschedules */
	char		job[MAX_FIELD];
	char		schedule[MAX_FIELD];
	char		command[MAX_FIELD];
	char		target[NAMEDATALEN];	/* the job's database */
	char		role[NAMEDATALEN];
	char		error[MAX_FIELD];
} ElsewhereCall;

/* ---- there ------------------------------------------------------------- */

static void
call_cron(ElsewhereCall *call)
{
	query_begin();
	if (query_run("SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_cron'", "") == 0)
		call->result = CALL_NO_CRON;
	else
	{
		if (call->schedules)
			query_run("SELECT cron.schedule_in_database($1, $2, $3, $4, $5)", "sssss",
					  call->job, call->schedule, call->command, call->target, call->role);
		else
			query_run("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = $1 AND database = $2", "ss",
					  call->job, call->target);
		call->result = CALL_DONE;
	}
	query_commit();
}

void
steward_elsewhere_main(Datum arg)
{
	dsm_segment *segment;
	ElsewhereCall *call;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(arg));
	if (!segment)
		proc_exit(0);			/* who called has gone */
	call = dsm_segment_address(segment);
	BackgroundWorkerInitializeConnection(call->database, NULL, 0);
	PG_TRY();
	{
		call_cron(call);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		strlcpy(call->error, error->message, sizeof(call->error));
		call->result = CALL_FAILED;
		FlushErrorState();
	}
	PG_END_TRY();
	dsm_detach(segment);
	proc_exit(0);
}

/* ---- here -------------------------------------------------------------- */

static void
take_text(char *field, size_t size, Datum value)
{
	char	   *string = TextDatumGetCString(value);

	if (strlcpy(field, string, size) >= size)
		ereport(ERROR,
				errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				errmsg("value is too long"),
				errdetail("It may have %zu bytes.", size - 1));
}

static void
run_there(dsm_segment *segment)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	strlcpy(worker.bgw_library_name, "pg_steward", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "steward_elsewhere_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_steward scheduler", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "pg_steward scheduler", sizeof(worker.bgw_type));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("no background worker is free"),
				errhint("Increase max_worker_processes."));
	(void) WaitForBackgroundWorkerShutdown(handle);
}

/*
 * cron_elsewhere(database, job, schedule, command, target, role): schedule NULL
 * removes the job
 */
Datum
steward_cron_elsewhere(PG_FUNCTION_ARGS)
{
	dsm_segment *segment = dsm_create(sizeof(ElsewhereCall), 0);
	ElsewhereCall *call = dsm_segment_address(segment);

	memset(call, 0, sizeof(*call));
	take_text(call->database, sizeof(call->database), PG_GETARG_DATUM(0));
	take_text(call->job, sizeof(call->job), PG_GETARG_DATUM(1));
	call->schedules = !PG_ARGISNULL(2);
	if (call->schedules)
		take_text(call->schedule, sizeof(call->schedule), PG_GETARG_DATUM(2));
	take_text(call->command, sizeof(call->command), PG_GETARG_DATUM(3));
	take_text(call->target, sizeof(call->target), PG_GETARG_DATUM(4));
	take_text(call->role, sizeof(call->role), PG_GETARG_DATUM(5));

	run_there(segment);
	switch (call->result)
	{
		case CALL_DONE:
			break;
		case CALL_NO_CRON:
			if (!call->schedules)
				break;			/* its jobs went with it */
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("extension pg_cron is not installed in database \"%s\"", call->database),
					errhint("Run CREATE EXTENSION pg_cron there, or let the worker keep time: ALTER SYSTEM SET steward.retention_interval = '15min';"));
			break;
		case CALL_FAILED:
			ereport(ERROR,
					errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					errmsg("pg_cron refused: %s", call->error));
			break;
		case CALL_PENDING:
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_DATABASE),
					errmsg("could not connect to database \"%s\", where pg_cron lives", call->database),
					errdetail("The server's log says why."));
			break;
	}
	dsm_detach(segment);
	PG_RETURN_VOID();
}
