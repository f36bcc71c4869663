/*
 * queue.c
 *	  Tasks: claimed, finished, failed.
 *
 * A claim is a transaction of its own: it marks the task running, under a
 * fencing token that is new each time.  Whatever the worker changes later, it
 * changes in a transaction that first locks the task by that token
 * (queue_hold_token), so that a worker that has lost its task changes nothing.
 *
 * One worker at a time serves a database (worker.c holds a lock on that), so a
 * running task that it finds at its start belongs to one that died.
 *
 * A failed task is tried again after a pause with full jitter, so many times,
 * and then rests in state failed until enforce_retention() enqueues it anew.
 *
 * Locks: ROW EXCLUSIVE on steward.task and its rows.
 */
#include "steward.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "query.h"
#include "worker.h"

/* The pause before the second try, and the longest, in milliseconds */
#define FIRST_PAUSE_MS		1000
#define LONGEST_PAUSE_MS	(10 * 60 * 1000)

/* Take over what a dead worker left running */
void
queue_recover(void)
{
	query_begin();
	query_run("UPDATE steward.task"
			  "   SET state = CASE WHEN attempt < $1 THEN 'queued' ELSE 'failed' END,"
			  "       finished_at = CASE WHEN attempt < $1 THEN NULL ELSE clock_timestamp() END,"
			  "       error = coalesce(error, 'the worker died while it ran'), token = NULL, worker = NULL"
			  " WHERE state = 'running'", "i", guc_max_attempts);
	query_commit();
}

/* The next task, for this process alone; false when nothing is to be done now */
bool
queue_claim(Task *task)
{
	bool		found;

	query_begin();
	found = query_run("UPDATE steward.task"
					  "   SET state = 'running', attempt = attempt + 1, token = gen_random_uuid(),"
					  "       lease_until = clock_timestamp() + interval '5 minutes', worker = $1,"
					  "       started_at = coalesce(started_at, clock_timestamp())"
					  " WHERE id = (SELECT id FROM steward.task"
					  "              WHERE state = 'queued' AND not_before <= clock_timestamp()"
					  "              ORDER BY rank, not_before, id LIMIT 1 FOR UPDATE SKIP LOCKED)"
					  " RETURNING id, kind, store, target, attempt, token", "i", MyProcPid) > 0;
	if (found)
	{
		bool		isnull;

		task->id = query_int64(0, 1, 0);
		task->kind = query_text(0, 2);
		task->store = query_text(0, 3);
		task->target = query_text(0, 4);
		task->attempt = DatumGetInt32(query_datum(0, 5, &isnull));
		task->token = *DatumGetUUIDP(query_datum(0, 6, &isnull));
	}
	query_commit();
	return found;
}

/* When the next task may be tried; infinity when there is none */
TimestampTz
queue_next(void)
{
	TimestampTz next = DT_NOEND;

	query_begin();
	query_run("SELECT min(not_before) FROM steward.task WHERE state = 'queued'", "");
	{
		bool		isnull;
		Datum		value = query_datum(0, 1, &isnull);

		if (!isnull)
			next = DatumGetTimestampTz(value);
	}
	query_commit();
	return next;
}

/*
 * Make sure that the task is still ours, and stays so to the end of the
 * transaction.
 */
void
queue_hold_token(const Task *task)
{
	if (query_run("UPDATE steward.task SET lease_until = clock_timestamp() + interval '5 minutes'"
				  " WHERE id = $1 AND state = 'running' AND token = $2", "lu",
				  task->id, &task->token) == 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("task %lld is not this worker's any more",
					   (long long) task->id));
}

void
queue_finish(const Task *task)
{
	query_begin();
	query_run("UPDATE steward.task"
			  "   SET state = 'done', finished_at = clock_timestamp(), token = NULL, worker = NULL"
			  " WHERE id = $1 AND token = $2", "lu", task->id, &task->token);
	query_commit();
}

static double
pause_ms(int attempt)
{
	double		ceiling = FIRST_PAUSE_MS;

	while (--attempt > 0 && ceiling < LONGEST_PAUSE_MS)
		ceiling *= 2;
	return pg_prng_double(&pg_global_prng_state) * Min(ceiling, LONGEST_PAUSE_MS);
}

/*
 * An erasure that a hold refuses is refused: whoever asked is to know, and to
 * ask again when the hold has ended.
 */
static bool
is_final(const Task *task, const ErrorData *error)
{
	return task->attempt >= guc_max_attempts ||
		(strcmp(task->kind, "erase") == 0 &&
		 error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE);
}

/*
 * Does a message of core's, or of ours, with this code stand for itself?  What
 * a language's code raises may say anything, and comes with the language's text
 * domain; but for our own functions, which the innermost line of context names.
 */
static bool
message_is_plain(const ErrorData *error)
{
	static const char ours[] = "PL/pgSQL function steward.";

	if (error->domain && strncmp(error->domain, "postgres", 8) != 0)
		return error->context &&
			strncmp(error->context, ours, sizeof(ours) - 1) == 0;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
			return error->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE;
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
			return false;
		default:
			return true;
	}
}

/*
 * Take out of an error what may hold a row's values: it goes to a table that is
 * dumped and shown, to whoever listens, and to the log.
 */
static void
hide_values(ErrorData *error)
{
	if (message_is_plain(error) &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		return;
	if (!message_is_plain(error))
		error->message = psprintf("a value, or code of a table's, raised SQLSTATE %s; the message may hold a row's values and is not kept",
								  unpack_sql_state(error->sqlerrcode));
	error->detail = NULL;
	error->hint = NULL;
}

/* Record a failure, tell who listens, and try again later if that may help */
void
queue_fail(const Task *task, ErrorData *error)
{
	bool		final = is_final(task, error);
	char	   *reason;

	hide_values(error);
	reason = error->detail ?
		psprintf("%s: %s", error->message, error->detail) : error->message;
	query_begin();
	if (query_run("UPDATE steward.task"
				  "   SET state = $3, error = $4, sqlstate = $5, token = NULL, worker = NULL,"
				  "       not_before = clock_timestamp() + $6 * interval '1 ms',"
				  "       finished_at = CASE $3 WHEN 'failed' THEN clock_timestamp() END"
				  " WHERE id = $1 AND token = $2", "lusssi", task->id, &task->token,
				  final ? "failed" : "queued", reason,
				  unpack_sql_state(error->sqlerrcode),
				  (int32) pause_ms(task->attempt)) > 0)
	{
		query_run("UPDATE steward.segment SET error = $2, state = CASE WHEN $3 = 1 AND kind = 'partition' THEN 'failed' ELSE state END"
				  " WHERE task = $1 AND state <> 'purged'", "lsi", task->id, reason, final ? 1 : 0);
		query_run("SELECT pg_notify('steward', jsonb_build_object('task', id, 'kind', kind, 'store', store, 'target', left(target, 200),"
				  " 'state', state, 'attempt', attempt, 'sqlstate', sqlstate, 'error', left(error, 500))::text)"
				  " FROM steward.task WHERE id = $1", "l", task->id);
	}
	query_commit();
	ereport(LOG,
			errmsg("task %lld (%s of store \"%s\") failed, attempt %d%s: %s",
				   (long long) task->id, task->kind, task->store ? task->store : "",
				   task->attempt, final ? ", the last" : "", error->message),
			error->detail ? errdetail_internal("%s", error->detail) : 0,
			error->hint ? errhint("%s", error->hint) : 0);
}
