/*
 * worker.h
 *	  What runs inside the worker, and what it tells about itself.
 *
 * worker.c runs tasks, queue.c hands them out, segment.c and erase.c do them.
 */
#ifndef STEWARD_WORKER_H
#define STEWARD_WORKER_H

#include "postgres.h"

#include "port/atomics.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* What a worker is doing, as steward.progress shows it */
typedef enum WorkerPhase
{
	PHASE_IDLE = 0,
	PHASE_PLANNING,
	PHASE_DETACHING,
	PHASE_EXPORTING,
	PHASE_UPLOADING,
	PHASE_VERIFYING,
	PHASE_PURGING,
	PHASE_SLEEPING,
	PHASE_REMOVING
} WorkerPhase;

/* In shared memory, one a worker; written by it alone */
typedef struct WorkerProgress
{
	pg_atomic_uint32 phase;
	pg_atomic_uint64 task;
	pg_atomic_uint64 segment;
	pg_atomic_uint64 rows;		/* of the current phase */
	pg_atomic_uint64 bytes;
} WorkerProgress;

/* This process's; in a process that is no worker, a private one */
extern WorkerProgress *worker_progress;

extern void worker_init(void);
extern void worker_wake_at_commit(void);
extern void worker_phase(WorkerPhase phase);
extern void worker_sleep(long ms);
extern ErrorData *worker_recover(MemoryContext context);

/* ---- queue.c ---------------------------------------------------------- */

typedef struct Task
{
	int64		id;
	char	   *kind;
	char	   *store;
	char	   *target;
	int			attempt;
	pg_uuid_t	token;
} Task;

extern void queue_recover(void);
extern bool queue_claim(Task *task);
extern TimestampTz queue_next(void);
extern void queue_hold_token(const Task *task);
extern void queue_finish(const Task *task);
extern void queue_fail(const Task *task, ErrorData *error);

/* ---- segment.c -------------------------------------------------------- */

extern void segment_recover(void);
extern void segment_run(const Task *task);

/* What its neighbours share */
extern void rest_after(TimestampTz start);

/* A digest as an argument of query_run(), and from its result */
extern bytea *as_bytea(const uint8 *digest);
extern bool take_digest(uint64 row, int column, uint8 *digest);

/* Archives: numbered, gathered in the spool, put into the store, removed */
extern int64 next_archive(void);
extern char *spool_make(int64 number);
extern bool spool_drop(void);
extern char *spool_data_file(const char *spool, int64 archive);
extern char *spool_manifest_file(const char *spool, int64 archive);
extern void spool_upload(const char *spool, int64 archive, const char *base,
						 const char *path);
extern void remove_given_up(void);

/* ---- erase.c ---------------------------------------------------------- */

extern void erase_run(const Task *task);

/* ---- detach.c --------------------------------------------------------- */

extern void detach_partition(Oid relid);

/* ---- proof.c ---------------------------------------------------------- */

extern XLogRecPtr proof_position(void);
extern bool proof_unchanged(Oid relid, XLogRecPtr since);

/* ---- fault.c ---------------------------------------------------------- */

extern void fault_init(void);
extern void fault_point(const char *name);

#endif							/* STEWARD_WORKER_H */
