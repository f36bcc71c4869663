/*
 * worker.c
 *	  The launcher, and the workers that it starts: one for each database that
 *	  has something to do.
 *
 * The launcher is a static background worker without a database.  It starts a
 * worker when a backend of a database says at commit that it has enqueued
 * something, when a task's pause is over, and for each database once after the
 * server's start, because a crash may have left work behind.  A worker runs
 * tasks until none is left that may run now, reports when the next one may, and
 * exits: an idle database has no worker, so nothing keeps DROP DATABASE or a
 * template waiting.
 *
 * At most one worker serves a database, whoever started it: it takes an
 * advisory lock of a class that SQL cannot name, for as long as it lives.
 *
 * Shared memory: one slot a worker (who, for which database, what it is doing)
 * and a short list of databases that want one.  A spinlock guards it all, held
 * for a few instructions.  The launcher is woken by its latch.
 */
#include "steward.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"

#include "query.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(steward_wake_worker);
PG_FUNCTION_INFO_V1(steward_worker_progress);

PGDLLEXPORT void steward_launcher_main(Datum arg);
PGDLLEXPORT void steward_worker_main(Datum arg);

/* An advisory lock's fourth field: 1 and 2 are SQL's */
#define WORKER_LOCK_CLASS	87

/* Databases that may ask for a worker before the launcher has looked */
#define MAX_WANTED	64

typedef struct WorkerSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	pid_t		pid;			/* 0: not started yet */
	TimestampTz started;
	TimestampTz next;			/* set at exit: when to come again */
	bool		done;			/* exited; the launcher frees the slot */
	WorkerProgress progress;
} WorkerSlot;

typedef struct WorkerShared
{
	slock_t		mutex;
	int			launcher;		/* its number among the processes; -1: none */
	int			n_wanted;		/* MAX_WANTED + 1: all of them */
	Oid			wanted[MAX_WANTED];
	WorkerSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} WorkerShared;

static WorkerShared *shared = NULL;
static WorkerSlot *my_slot = NULL;
static WorkerProgress private_progress;
WorkerProgress *worker_progress = &private_progress;

static bool wake_at_commit = false;

static shmem_request_hook_type next_shmem_request = NULL;
static shmem_startup_hook_type next_shmem_startup = NULL;

/* ---- shared memory ----------------------------------------------------- */

static Size
shared_size(void)
{
	return offsetof(WorkerShared, slots) + guc_max_workers * sizeof(WorkerSlot);
}

static void
worker_shmem_request(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(shared_size());
}

static void
init_progress(WorkerProgress *progress)
{
	pg_atomic_init_u32(&progress->phase, PHASE_IDLE);
	pg_atomic_init_u64(&progress->task, 0);
	pg_atomic_init_u64(&progress->segment, 0);
	pg_atomic_init_u64(&progress->rows, 0);
	pg_atomic_init_u64(&progress->bytes, 0);
}

static void
worker_shmem_startup(void)
{
	bool		found;
	int			i;

	if (next_shmem_startup)
		next_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_steward workers", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		SpinLockInit(&shared->mutex);
		shared->launcher = -1;
		for (i = 0; i < guc_max_workers; i++)
			init_progress(&shared->slots[i].progress);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* ---- waking ------------------------------------------------------------ */

/* Ask the launcher for a worker in this database, now */
static void
want_worker(Oid database)
{
	int			launcher;
	int			i;

	SpinLockAcquire(&shared->mutex);
	for (i = 0; i < shared->n_wanted && i < MAX_WANTED; i++)
	{
		if (shared->wanted[i] == database)
			break;
	}
	if (i == shared->n_wanted && i <= MAX_WANTED)
	{
		if (i < MAX_WANTED)
			shared->wanted[i] = database;
		shared->n_wanted++;
	}
	launcher = shared->launcher;
	SpinLockRelease(&shared->mutex);
	if (launcher >= 0)
		SetLatch(&steward_proc(launcher)->procLatch);
}

static void
worker_xact(XactEvent event, void *arg)
{
	if (!wake_at_commit)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			wake_at_commit = false;
			want_worker(MyDatabaseId);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake_at_commit = false;
			break;
		default:
			break;
	}
}

/* Work was enqueued: wake a worker when this transaction commits */
void
worker_wake_at_commit(void)
{
	static bool registered = false;

	if (!shared)
		return;
	if (!registered)
	{
		RegisterXactCallback(worker_xact, NULL);
		registered = true;
	}
	wake_at_commit = true;
}

/* wake_worker() → boolean: false when there is no worker to wake */
Datum
steward_wake_worker(PG_FUNCTION_ARGS)
{
	worker_wake_at_commit();
	PG_RETURN_BOOL(shared != NULL && guc_max_workers > 0);
}

/* ---- progress ---------------------------------------------------------- */

void
worker_phase(WorkerPhase phase)
{
	pg_atomic_write_u64(&worker_progress->rows, 0);
	pg_atomic_write_u64(&worker_progress->bytes, 0);
	pg_atomic_write_u32(&worker_progress->phase, phase);
}

static const char *
phase_name(uint32 phase)
{
	static const char *const names[] = {
		[PHASE_IDLE] = "idle",
		[PHASE_PLANNING] = "planning",
		[PHASE_DETACHING] = "detaching",
		[PHASE_EXPORTING] = "exporting",
		[PHASE_UPLOADING] = "uploading",
		[PHASE_VERIFYING] = "verifying",
		[PHASE_PURGING] = "purging",
		[PHASE_SLEEPING] = "sleeping",
		[PHASE_REMOVING] = "removing"
	};

	return phase < lengthof(names) ? names[phase] : "unknown";
}

/* worker_progress(): pid, database, started, phase, task, segment, rows, bytes */
Datum
steward_worker_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; shared && i < guc_max_workers; i++)
	{
		WorkerSlot *slot = &shared->slots[i];
		WorkerProgress *progress = &slot->progress;
		Oid			database;
		pid_t		pid;
		TimestampTz started;
		Datum		values[8];
		bool		nulls[8] = {false};

		SpinLockAcquire(&shared->mutex);
		database = slot->done ? InvalidOid : slot->database;
		pid = slot->pid;
		started = slot->started;
		SpinLockRelease(&shared->mutex);
		if (!OidIsValid(database) || pid == 0)
			continue;
		values[0] = Int32GetDatum(pid);
		values[1] = ObjectIdGetDatum(database);
		values[2] = TimestampTzGetDatum(started);
		values[3] = CStringGetTextDatum(phase_name(pg_atomic_read_u32(&progress->phase)));
		values[4] = Int64GetDatum(pg_atomic_read_u64(&progress->task));
		values[5] = Int64GetDatum(pg_atomic_read_u64(&progress->segment));
		values[6] = Int64GetDatum(pg_atomic_read_u64(&progress->rows));
		values[7] = Int64GetDatum(pg_atomic_read_u64(&progress->bytes));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- the launcher ------------------------------------------------------ */

/* What the launcher knows of a database */
typedef struct DatabaseEntry
{
	Oid			database;		/* hash key */
	TimestampTz next;			/* when to start a worker; infinity: when
								 * woken */
	bool		seen;			/* still there at the last look */
} DatabaseEntry;

static HTAB *databases = NULL;

static void
launcher_exit(int code, Datum arg)
{
	SpinLockAcquire(&shared->mutex);
	shared->launcher = -1;
	SpinLockRelease(&shared->mutex);
}

/* Start in a database at once; unknown ones are found by the next look */
static void
due_now(Oid database)
{
	DatabaseEntry *entry = hash_search(databases, &database, HASH_FIND, NULL);

	if (entry)
		entry->next = DT_NOBEGIN;
}

static void
all_due_now(void)
{
	HASH_SEQ_STATUS scan;
	DatabaseEntry *entry;

	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->next = DT_NOBEGIN;
}

/* Look at pg_database: new ones are due, dropped ones are forgotten */
static void
look_for_databases(void)
{
	HASH_SEQ_STATUS scan;
	DatabaseEntry *entry;
	Relation	rel;
	TableScanDesc heap;
	HeapTuple	tuple;

	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->seen = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	heap = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(heap, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		found;

		if (!form->datallowconn || form->datistemplate)
			continue;
		entry = hash_search(databases, &form->oid, HASH_ENTER, &found);
		if (!found)
			entry->next = DT_NOBEGIN;
		entry->seen = true;
	}
	table_endscan(heap);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->seen)
			hash_search(databases, &entry->database, HASH_REMOVE, NULL);
	}
}

/* Take over what backends asked for, and what finished workers have reported */
static bool
read_shared(void)
{
	Oid			wanted[MAX_WANTED];
	WorkerSlot	finished;
	int			n;
	int			i;
	bool		unknown = false;

	SpinLockAcquire(&shared->mutex);
	n = shared->n_wanted;
	memcpy(wanted, shared->wanted, sizeof(wanted));
	shared->n_wanted = 0;
	SpinLockRelease(&shared->mutex);

	/* reports first: whoever asked since then is to be heard */
	for (i = 0; i < guc_max_workers; i++)
	{
		DatabaseEntry *entry;

		SpinLockAcquire(&shared->mutex);
		finished = shared->slots[i];
		if (finished.done)
		{
			shared->slots[i].database = InvalidOid;
			shared->slots[i].done = false;
		}
		SpinLockRelease(&shared->mutex);
		if (!finished.done)
			continue;
		entry = hash_search(databases, &finished.database, HASH_FIND, NULL);
		if (entry)
			entry->next = Min(entry->next, finished.next);
	}
	if (n > MAX_WANTED)
	{
		all_due_now();
		return true;
	}
	for (i = 0; i < n; i++)
	{
		if (!hash_search(databases, &wanted[i], HASH_FIND, NULL))
			unknown = true;
		due_now(wanted[i]);
	}
	return unknown;
}

static bool
is_served(Oid database)
{
	bool		served = false;
	int			i;

	SpinLockAcquire(&shared->mutex);
	for (i = 0; i < guc_max_workers; i++)
		served |= shared->slots[i].database == database;
	SpinLockRelease(&shared->mutex);
	return served;
}

/* Start a worker; false when there is no room for one now */
static bool
start_worker(Oid database)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	int			slot = -1;
	int			i;

	SpinLockAcquire(&shared->mutex);
	for (i = 0; i < guc_max_workers && slot < 0; i++)
	{
		if (shared->slots[i].database == InvalidOid)
			slot = i;
	}
	if (slot >= 0)
	{
		shared->slots[slot].database = database;
		shared->slots[slot].pid = 0;
		shared->slots[slot].done = false;
	}
	SpinLockRelease(&shared->mutex);
	if (slot < 0)
		return false;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(slot);
	strlcpy(worker.bgw_library_name, "pg_steward", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "steward_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_steward worker", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "pg_steward worker", sizeof(worker.bgw_type));
	if (RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		pid_t		pid;

		/* one that never starts (the postmaster is stopping) frees no slot */
		if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STOPPED)
			return true;
		SpinLockAcquire(&shared->mutex);
		if (shared->slots[slot].pid != 0)	/* it ran, and is done */
			slot = -1;
		SpinLockRelease(&shared->mutex);
		if (slot < 0)
			return true;
	}
	SpinLockAcquire(&shared->mutex);
	shared->slots[slot].database = InvalidOid;
	SpinLockRelease(&shared->mutex);
	return false;
}

/* Start what is due; returns how long there is nothing to do, in milliseconds */
static long
start_due_workers(void)
{
	HASH_SEQ_STATUS scan;
	DatabaseEntry *entry;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz soonest = DT_NOEND;
	long		wait = guc_naptime * 1000L;

	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->next > now)
			soonest = Min(soonest, entry->next);
		else if (is_served(entry->database))
			continue;			/* its exit wakes us */
		else if (start_worker(entry->database))
			entry->next = DT_NOEND;
		else
			wait = Min(wait, 1000);
	}
	if (soonest != DT_NOEND)
		wait = Min(wait, TimestampDifferenceMilliseconds(now, soonest) + 1);
	return wait;
}

void
steward_launcher_main(Datum arg)
{
	HASHCTL		ctl;
	TimestampTz looked = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	ProcessConfigFile(PGC_SIGHUP);	/* as in a worker */

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(DatabaseEntry);
	ctl.hcxt = TopMemoryContext;
	databases = hash_create("pg_steward databases", 64, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SpinLockAcquire(&shared->mutex);
	shared->launcher = steward_my_proc();
	SpinLockRelease(&shared->mutex);
	before_shmem_exit(launcher_exit, (Datum) 0);

	while (!ShutdownRequestPending)
	{
		long		wait;
		TimestampTz now = GetCurrentTimestamp();

		if (read_shared() ||
			TimestampDifferenceExceeds(looked, now, guc_naptime * 1000))
		{
			look_for_databases();
			looked = now;
		}
		wait = start_due_workers();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			/* the worker's timer, or steward.worker, may be another now */
			all_due_now();
		}
		CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}

/* ---- a worker ---------------------------------------------------------- */

static void
worker_exit(int code, Datum arg)
{
	SpinLockAcquire(&shared->mutex);
	my_slot->done = true;
	SpinLockRelease(&shared->mutex);
	init_progress(&my_slot->progress);
	if (shared->launcher >= 0)
		SetLatch(&steward_proc(shared->launcher)->procLatch);
}

/* Sleep, but wake for an interrupt; settings are read again */
void
worker_sleep(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* Is there anything for us in this database?  Not in one that is older than
 * the library's tables */
static bool
has_queue(void)
{
	bool		found;

	query_begin();
	found = OidIsValid(get_extension_oid("pg_steward", true)) &&
		query_run("SELECT FROM pg_catalog.pg_class"
				  " WHERE oid = pg_catalog.to_regclass('steward.task')", "") > 0;
	query_commit();
	return found;
}

static bool
alone(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, WORKER_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Call enforce_retention() if its time has come; returns when it comes next */
static TimestampTz
enforce_on_time(void)
{
	TimestampTz next = DT_NOEND;

	if (guc_retention_interval == 0)
		return next;
	query_begin();
	if (query_run("SELECT FROM steward.enforcement"
				  " WHERE started_at > clock_timestamp() - $1 * interval '1 s'", "i",
				  guc_retention_interval) == 0)
		query_run("CALL steward.enforce_retention()", "");
	query_run("SELECT max(started_at) + $1 * interval '1 s' FROM steward.enforcement", "i",
			  guc_retention_interval);
	{
		bool		isnull;
		Datum		value = query_datum(0, 1, &isnull);

		if (!isnull)
			next = DatumGetTimestampTz(value);
	}
	query_commit();
	return next;
}

/* In PG_CATCH: end the transaction, and give the error to whoever goes on */
ErrorData *
worker_recover(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	error_context_stack = NULL;
	AbortCurrentTransaction();
	LWLockReleaseAll();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
	return error;
}

/*
 * A timer that cannot run (the clock is not to be believed) must not keep the
 * queue waiting: it says so, and is tried again later.
 */
static TimestampTz
mind_the_timer(MemoryContext context)
{
	volatile TimestampTz next = DT_NOEND;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		next = enforce_on_time();
	}
	PG_CATCH();
	{
		error = worker_recover(context);
		next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_naptime * 1000L);
	}
	PG_END_TRY();
	if (error)
		ereport(LOG,
				errmsg("enforce_retention() failed: %s", error->message),
				error->detail ? errdetail_internal("%s", error->detail) : 0,
				error->hint ? errhint("%s", error->hint) : 0);
	return next;
}

static void
run_task(const Task *task, MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	pg_atomic_write_u64(&worker_progress->task, task->id);
	PG_TRY();
	{
		if (strcmp(task->kind, "erase") == 0)
			erase_run(task);
		else
			segment_run(task);
		queue_finish(task);
	}
	PG_CATCH();
	{
		error = worker_recover(context);
	}
	PG_END_TRY();
	if (error)
		queue_fail(task, error);
	pg_atomic_write_u64(&worker_progress->task, 0);
	pg_atomic_write_u64(&worker_progress->segment, 0);
	worker_phase(PHASE_IDLE);
}

/* Run what may run now; returns when there will be more */
static TimestampTz
drain_queue(MemoryContext context)
{
	Task		task;
	TimestampTz timer;

	timer = mind_the_timer(context);
	while (guc_worker && queue_claim(&task))
	{
		run_task(&task, context);
		MemoryContextReset(context);
		worker_sleep(0);
	}
	return guc_worker ? Min(timer, queue_next()) : timer;
}

/*
 * What the database or the role may have set otherwise.  Text that is made of
 * values, such as a batch's last key, must mean the same when it is read.
 */
static void
set_session(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "off"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"synchronize_seqscans", "off"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"extra_float_digits", "1"},
		{"array_nulls", "on"},
		{"standard_conforming_strings", "on"},
		{"jit", "off"}
	};
	int			i;

	for (i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", GetConfigOption("steward.lock_timeout", false, false),
					PGC_SUSET, PGC_S_SESSION);
}

void
steward_worker_main(Datum arg)
{
	MemoryContext context;
	volatile TimestampTz next = DT_NOEND;
	ErrorData  *volatile error = NULL;

	my_slot = &shared->slots[DatumGetInt32(arg)];
	worker_progress = &my_slot->progress;
	init_progress(worker_progress);
	SpinLockAcquire(&shared->mutex);
	my_slot->pid = MyProcPid;
	my_slot->started = GetCurrentTimestamp();
	/* for the case that it comes to no end of its own: it was terminated */
	my_slot->next = TimestampTzPlusMilliseconds(my_slot->started, guc_naptime * 1000L);
	SpinLockRelease(&shared->mutex);
	before_shmem_exit(worker_exit, (Datum) 0);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(my_slot->database, InvalidOid, 0);
	/* a reload while it was started is lost: SIGHUP was ignored until now */
	ProcessConfigFile(PGC_SIGHUP);

	context = AllocSetContextCreate(TopMemoryContext, "pg_steward worker",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		set_session();
		if (guc_worker && has_queue() && alone())
		{
			queue_recover();
			segment_recover();
			next = drain_queue(context);
		}
	}
	PG_CATCH();
	{
		/*
		 * not a task's failure, but the queue's or the timer's: come back
		 * later
		 */
		error = worker_recover(context);
		next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_naptime * 1000L);
	}
	PG_END_TRY();
	if (error)
		ereport(LOG,
				errmsg("pg_steward worker will try again in %d s: %s", guc_naptime, error->message),
				error->detail ? errdetail_internal("%s", error->detail) : 0);

	SpinLockAcquire(&shared->mutex);
	my_slot->next = next;
	SpinLockRelease(&shared->mutex);
	proc_exit(0);
}

/* ---- registration ------------------------------------------------------ */

void
worker_init(void)
{
	BackgroundWorker worker;

	if (guc_max_workers == 0)
		return;
	next_shmem_request = shmem_request_hook;
	shmem_request_hook = worker_shmem_request;
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = worker_shmem_startup;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "pg_steward", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "steward_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_steward launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "pg_steward launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
