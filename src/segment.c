/*
 * segment.c
 *	  Tasks, done: a segment's way from due to purged.
 *
 *	 partition	due → exporting: detached, exported → uploaded → verified → purged
 *	 rows		the same for one batch after the other, until none is left
 *	 expire		an archive whose own time is over is removed
 *
 * Every arrow is a transaction that first makes sure of the task's token.  No
 * transaction is open while an archive store is written or read: an export goes
 * to a spool file below the data directory and is put into the store from there.
 *
 * Nothing is removed on trust.  A verification counts only in the run that
 * purges, so what was verified before an interruption is verified again.  Then:
 *	- a partition is dropped if its columns are the exported ones and no page of
 *	  it is younger than its export (proof.c), or else if its rows, exported once
 *	  more into nothing, give the same digests;
 *	- a batch is deleted by a statement that returns what it deletes, and
 *	  committed if those rows give the archive's count and digest.
 *
 * Users' tables are touched as their owner, in a restricted security context,
 * so that no trigger or function of a user's runs as a superuser.
 *
 * Locks: a partition SHARE while it is exported, ACCESS EXCLUSIVE while it is
 * proven and dropped; by then it is detached, and nobody's.  A table that is
 * done in batches ROW EXCLUSIVE.  None is waited for longer than
 * steward.lock_timeout.
 *
 * Memory: what a task needs across transactions lies in the context that is
 * current when segment_run() is called, which the worker resets after it.
 */
#include "steward.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "archive.h"
#include "query.h"
#include "store.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(steward_probe_archive_store);

#define SPOOL_DIRECTORY		"pgsql_tmp_steward" /* base backups leave it out */

/* One archive of a segment, as the catalog has it */
typedef struct SegmentArchive
{
	int64		id;
	char	   *tenant;			/* NULL: several, or none */
	ArchiveFacts facts;
} SegmentArchive;

typedef struct Segment
{
	const Task *task;
	int64		id;
	char	   *store;
	Oid			relation;
	char	   *name;			/* quoted, with its schema */
	char	   *condition;		/* with the batch's bounds */
	char	   *columns;		/* select list */
	char	   *shape;
	char	   *state;
	AttrNumber	clock;			/* places in the select list; 0 = none */
	AttrNumber	tenant;
	char	   *tenant_column;	/* quoted */
	bool		is_rows;
	bool		archives_it;	/* not only purged */
	bool		by_tenant;
	XLogRecPtr	lsn;
	List	   *archives;		/* of SegmentArchive */
} Segment;

/* ---- helpers ----------------------------------------------------------- */

static void
begin_step(const Segment *segment)
{
	query_begin();
	queue_hold_token(segment->task);
}

static void
set_state(Segment *segment, const char *state, const char *moment)
{
	query_run(psprintf("UPDATE steward.segment SET state = $2, %s = clock_timestamp(), error = NULL WHERE id = $1", moment),
			  "ls", segment->id, state);
	segment->state = pstrdup(state);
}

bytea *
as_bytea(const uint8 *digest)
{
	bytea	   *value = palloc(VARHDRSZ + ARCHIVE_DIGEST_LENGTH);

	SET_VARSIZE(value, VARHDRSZ + ARCHIVE_DIGEST_LENGTH);
	memcpy(VARDATA(value), digest, ARCHIVE_DIGEST_LENGTH);
	return value;
}

/* A digest of the last result; false if it is null */
bool
take_digest(uint64 row, int column, uint8 *digest)
{
	bool		isnull;
	Datum		value = query_datum(row, column, &isnull);

	if (isnull)
		return false;
	memcpy(digest, VARDATA_ANY(DatumGetByteaPP(value)), ARCHIVE_DIGEST_LENGTH);
	return true;
}

static char *
spool_directory(void)
{
	return psprintf("%s/%u", SPOOL_DIRECTORY, MyDatabaseId);
}

/* Remove the spool; false, after a warning, when something of it is still there */
bool
spool_drop(void)
{
	char	   *path = spool_directory();

	return access(path, F_OK) != 0 || rmtree(path, true);
}

char *
spool_make(int64 number)
{
	char	   *path = spool_directory();

	if (!spool_drop())
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not empty directory \"%s\"", path));
	if (pg_mkdir_p(path, pg_dir_create_mode) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create directory \"%s\": %m", path));
	return psprintf("%s/%lld", spool_directory(), (long long) number);
}

char *
spool_data_file(const char *spool, int64 archive)
{
	return psprintf("%s-" INT64_FORMAT ".data", spool, archive);
}

char *
spool_manifest_file(const char *spool, int64 archive)
{
	return psprintf("%s-" INT64_FORMAT ".manifest", spool, archive);
}

/* ---- loading ----------------------------------------------------------- */

static void
load_archives(Segment *segment)
{
	uint64		n;
	uint64		i;

	segment->archives = NIL;
	n = query_run("SELECT id, base, path, rows, bytes, raw_bytes, digest, rows_digest, manifest_digest, tenant"
				  "  FROM steward.archive WHERE segment = $1 AND state IN ('exported', 'uploaded', 'verified') ORDER BY id",
				  "l", segment->id);
	for (i = 0; i < n; i++)
	{
		SegmentArchive *archive = palloc0(sizeof(SegmentArchive));

		archive->id = query_int64(i, 1, 0);
		archive->tenant = query_text(i, 10);
		archive->facts.base = query_text(i, 2);
		archive->facts.path = query_text(i, 3);
		archive->facts.rows = query_int64(i, 4, 0);
		archive->facts.bytes = query_int64(i, 5, 0);
		archive->facts.raw_bytes = query_int64(i, 6, 0);
		take_digest(i, 7, archive->facts.digest);
		archive->facts.by_row = take_digest(i, 8, archive->facts.rows_digest);
		take_digest(i, 9, archive->facts.manifest_digest);
		archive->facts.progress = &worker_progress->bytes;
		segment->archives = lappend(segment->archives, archive);
	}
}

/*
 * What the table and its store are called and which columns it has: read again
 * whenever it has been locked, for all may have changed while it was not.
 */
static void
describe_table(Segment *segment)
{
	if (query_run("SELECT g.relation::text, e.list, e.clock_at::bigint, e.tenant_at::bigint, e.shape, g.store"
				  "  FROM steward.segment g JOIN steward.store s ON s.name = g.store,"
				  "       LATERAL steward.export_columns(g.relation, steward.effective_retention(s.name) ->> 'clock', s.tenant) e"
				  " WHERE g.id = $1 AND e.list IS NOT NULL", "l", segment->id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("the table of segment %lld, or its store, does not exist any more",
					   (long long) segment->id));
	segment->name = query_text(0, 1);
	segment->columns = query_text(0, 2);
	segment->clock = query_int64(0, 3, 0);
	segment->tenant = query_int64(0, 4, 0);
	segment->shape = query_text(0, 5);
	segment->store = query_text(0, 6);
}

static void
lock_table(Segment *segment, LOCKMODE mode)
{
	LockRelationOid(segment->relation, mode);
	describe_table(segment);
}

/* Read a segment and what the catalog says of its table */
static Segment *
load_segment(const Task *task, int64 id)
{
	Segment    *segment = palloc0(sizeof(Segment));
	char	   *range;

	segment->task = task;
	segment->id = id;
	if (query_run("SELECT g.store, g.relation::oid::bigint, g.kind, g.action, g.state, g.condition, g.lsn,"
				  "       concat_ws(' AND ', steward.key_compare(g.relation, g.key, '>', g.key_from),"
				  "                          steward.key_compare(g.relation, g.key, '<=', g.key_to)),"
				  "       quote_ident(s.tenant), coalesce((steward.effective_retention(s.name) ->> 'by_tenant')::boolean, false)::integer::bigint"
				  "  FROM steward.segment g JOIN steward.store s ON s.name = g.store"
				  " WHERE g.id = $1", "l", id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("segment %lld, or its store, does not exist any more", (long long) id));
	segment->store = query_text(0, 1);
	segment->relation = (Oid) query_int64(0, 2, 0);
	segment->is_rows = strcmp(query_text(0, 3), "rows") == 0;
	segment->archives_it = strcmp(query_text(0, 4), "archive") == 0;
	segment->state = query_text(0, 5);
	segment->condition = query_text(0, 6);
	range = query_text(0, 8);
	if (range && range[0])
		segment->condition = psprintf("(%s) AND %s", segment->condition, range);
	segment->tenant_column = query_text(0, 9);
	segment->by_tenant = query_int64(0, 10, 0) != 0;
	{
		bool		isnull;
		Datum		lsn = query_datum(0, 7, &isnull);

		segment->lsn = isnull ? InvalidXLogRecPtr : (XLogRecPtr) DatumGetInt64(lsn);
	}
	if (strcmp(segment->state, "purged") != 0)
		describe_table(segment);
	segment->by_tenant = segment->by_tenant && segment->tenant > 0;
	load_archives(segment);
	return segment;
}

/* ---- exporting --------------------------------------------------------- */

/* The rows of a segment, or one tenant's, through a writer */
static ArchiveSummary *
export_rows(const Segment *segment, const char *tenant, const char *file,
			const char *statement)
{
	ArchiveOptions options;
	DestReceiver *writer;
	Actor		before;
	MemoryContext caller = CurrentMemoryContext;
	ArchiveSummary *summary;

	memset(&options, 0, sizeof(options));
	options.file = file;
	options.clock = segment->clock;
	options.tenant = segment->tenant;
	options.by_row = segment->is_rows;
	options.single_thread = guc_archive_threads == 1;
	options.rows = &worker_progress->rows;
	options.bytes = &worker_progress->bytes;

	before = actor_enter_owner(segment->relation);
	/* the writer's file and thread go with the transaction */
	MemoryContextSwitchTo(CurTransactionContext);
	writer = archive_begin(&options);
	query_into(writer, psprintf(statement, segment->columns, segment->name,
								segment->condition,
								tenant ? psprintf(" AND %s = %s", segment->tenant_column,
												  quote_literal_cstr(tenant)) :
								segment->by_tenant && !segment->is_rows ?
								psprintf(" AND %s IS NULL", segment->tenant_column) : ""));
	MemoryContextSwitchTo(caller);
	summary = archive_finish(writer);
	actor_leave_owner(before);
	return summary;
}

#define SELECT_ROWS "SELECT %1$s FROM ONLY %2$s WHERE (%3$s)%4$s"
#define DELETE_ROWS "DELETE FROM ONLY %2$s WHERE (%3$s)%4$s RETURNING %1$s"

/*
 * The tenants of a segment, of which each gets an archive of its own; a list
 * of one NULL where tenants are mixed, or where rows have none.
 */
static List *
tenants_of(const Segment *segment)
{
	List	   *tenants = NIL;
	Actor		before;
	uint64		n;
	uint64		i;

	if (!segment->by_tenant || segment->is_rows)
		return list_make1(NULL);
	before = actor_enter_owner(segment->relation);
	n = query_run(psprintf("SELECT DISTINCT %s::text FROM ONLY %s ORDER BY 1",
						   segment->tenant_column, segment->name), "");
	for (i = 0; i < n; i++)
		tenants = lappend(tenants, query_text(i, 1));
	actor_leave_owner(before);
	return tenants;
}

int64
next_archive(void)
{
	query_run("SELECT nextval(pg_catalog.pg_get_serial_sequence('steward.archive', 'id'))", "");
	return query_int64(0, 1, 0);
}

static Datum
text_array(char **strings, int n)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
export_archive(Segment *segment, const char *spool, const char *tenant)
{
	int64		id = next_archive();
	ArchiveSummary *summary = export_rows(segment, tenant, spool_data_file(spool, id), SELECT_ROWS);
	const char *whose = tenant;
	uint8		manifest_digest[ARCHIVE_DIGEST_LENGTH];
	char	   *head;
	char	   *tenants = NULL;

	if (summary->rows == 0)
		return;
	/* an archive that happens to hold one tenant's rows is that tenant's */
	if (!whose && segment->by_tenant && summary->n_tenants == 1)
		whose = summary->tenants[0];
	query_run("SELECT steward.manifest_head($1, $2, $3, $4::regclass, $5)", "llsop",
			  segment->id, id, whose, segment->relation, proof_position());
	head = query_text(0, 1);
	archive_write_manifest(spool_manifest_file(spool, id), head, summary, manifest_digest);
	if (summary->n_tenants >= 0 && segment->tenant > 0)
		tenants = OidOutputFunctionCall(F_ARRAY_OUT, text_array(summary->tenants, summary->n_tenants));
	query_run("INSERT INTO steward.archive (id, segment, store, tenant, state, base, path, rows, bytes, raw_bytes,"
			  "        digest, rows_digest, manifest_digest, tenants, time_from, time_to, keep_until)"
			  " OVERRIDING SYSTEM VALUE"
			  " SELECT $1, $2, $3, $4, 'exported', $5, steward.archive_path($3, $4, $13, $1, $15), $6, $7, $8,"
			  "        $9, $10, $11, $12::text[], $13, $14, now() + steward.archive_keep($3, $4)",
			  "llssslllbbbszzu", id, segment->id, segment->store, whose, guc_archive_store,
			  (int64) summary->rows, (int64) summary->bytes, (int64) summary->raw_bytes,
			  as_bytea(summary->digest),
			  summary->by_row ? as_bytea(summary->rows_digest) : NULL,
			  as_bytea(manifest_digest), tenants,
			  summary->from <= summary->to ? summary->from : DT_NOBEGIN,
			  summary->from <= summary->to ? summary->to : DT_NOEND,
			  &segment->task->token);
}

/*
 * Write a segment's archives to the spool, in one transaction.  The lock keeps
 * writers out of a partition from before the first row is read until the place
 * in the log is taken, and it had to wait for those that were there.
 */
static char *
export_segment(Segment *segment)
{
	char	   *spool = spool_make(segment->id);
	ListCell   *lc;

	worker_phase(PHASE_EXPORTING);
	begin_step(segment);
	lock_table(segment, segment->is_rows ? AccessShareLock : ShareLock);
	query_run("UPDATE steward.segment SET shape = $2 WHERE id = $1", "ls",
			  segment->id, segment->shape);
	foreach(lc, tenants_of(segment))
		export_archive(segment, spool, lfirst(lc));
	segment->lsn = segment->is_rows ? InvalidXLogRecPtr : proof_position();
	query_run("UPDATE steward.segment SET exported_at = clock_timestamp(), lsn = $2,"
			  "       rows = (SELECT sum(rows) FROM steward.archive WHERE segment = $1 AND state = 'exported')"
			  " WHERE id = $1", "lp", segment->id, segment->lsn);
	fault_point("exporting");
	load_archives(segment);
	query_commit();
	fault_point("exported");
	return spool;
}

/* ---- uploading, verifying ---------------------------------------------- */

/* The manifest last: it says that the archive is there */
void
spool_upload(const char *spool, int64 archive, const char *base,
			 const char *path)
{
	store_put(base, psprintf("%s/%s", path, ARCHIVE_DATA_FILE),
			  spool_data_file(spool, archive));
	fault_point("uploading");
	store_put(base, psprintf("%s/%s", path, ARCHIVE_MANIFEST_FILE),
			  spool_manifest_file(spool, archive));
}

static void
upload_segment(Segment *segment, const char *spool)
{
	ListCell   *lc;

	worker_phase(PHASE_UPLOADING);
	foreach(lc, segment->archives)
	{
		SegmentArchive *archive = lfirst(lc);
		const ArchiveFacts *facts = &archive->facts;

		spool_upload(spool, archive->id, facts->base, facts->path);
	}
	begin_step(segment);
	query_run("UPDATE steward.archive SET state = 'uploaded', uploaded_at = clock_timestamp()"
			  " WHERE segment = $1 AND state = 'exported'", "l", segment->id);
	set_state(segment, "uploaded", "uploaded_at");
	query_commit();
	(void) spool_drop();
	fault_point("uploaded");
}

/* An archive that does not prove its rows is made anew in the next attempt */
static void
begin_again(Segment *segment)
{
	query_begin();
	query_run("UPDATE steward.segment SET state = 'exporting' WHERE id = $1 AND state IN ('uploaded', 'verified')",
			  "l", segment->id);
	query_commit();
}

static void
verify_segment(Segment *segment)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	ListCell   *lc;

	worker_phase(PHASE_VERIFYING);
	PG_TRY();
	{
		foreach(lc, segment->archives)
			archive_verify(&((SegmentArchive *) lfirst(lc))->facts);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error)
	{
		if (error->sqlerrcode == ERRCODE_DATA_CORRUPTED ||
			error->sqlerrcode == ERRCODE_UNDEFINED_FILE ||
			error->sqlerrcode == ERRCODE_WRONG_OBJECT_TYPE)
			begin_again(segment);
		ReThrowError(error);
	}
	begin_step(segment);
	query_run("UPDATE steward.archive SET state = 'verified', verified_at = clock_timestamp()"
			  " WHERE segment = $1 AND state IN ('uploaded', 'verified')", "l", segment->id);
	set_state(segment, "verified", "verified_at");
	query_commit();
	fault_point("verified");
}

/* ---- discarding -------------------------------------------------------- */

/*
 * A store that cannot be reached, or is there no more, must not keep the rest
 * from going on: what stays behind is tried again the next time.
 */
static bool
remove_files(const ArchiveFacts *facts)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool removed = false;

	PG_TRY();
	{
		(void) store_remove(facts->base, facts->path);
		removed = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		ereport(LOG,
				errmsg("could not remove archive \"%s\" from \"%s\": %s",
					   facts->path, facts->base, error->message));
	}
	PG_END_TRY();
	return removed;
}

/* Remove the files of archives that the catalog has given up */
void
remove_given_up(void)
{
	uint64		n;
	uint64		i;
	List	   *archives = NIL;
	ListCell   *lc;

	query_begin();
	n = query_run("SELECT id, base, path FROM steward.archive"
				  " WHERE state IN ('discarded', 'expired', 'erased') AND removed_at IS NULL ORDER BY id", "");
	for (i = 0; i < n; i++)
	{
		SegmentArchive *archive = palloc0(sizeof(SegmentArchive));

		archive->id = query_int64(i, 1, 0);
		archive->facts.base = query_text(i, 2);
		archive->facts.path = query_text(i, 3);
		archives = lappend(archives, archive);
	}
	query_commit();

	worker_phase(PHASE_REMOVING);
	foreach(lc, archives)
	{
		SegmentArchive *archive = lfirst(lc);

		if (!remove_files(&archive->facts))
			continue;
		query_begin();
		query_run("UPDATE steward.archive SET removed_at = clock_timestamp() WHERE id = $1", "l", archive->id);
		query_commit();
	}
}

/*
 * What a worker that died has left, or a task that was given up, and that no
 * task comes back to: copies of rows in the spool, batches cut and not purged,
 * files of archives that the catalog has given up.  Batches that are only
 * deleted are counted by their segment; those that it counts are gone.
 */
void
segment_recover(void)
{
	(void) spool_drop();
	query_begin();
	query_run("WITH g AS (UPDATE steward.segment g"
			  "              SET state = CASE action WHEN 'purge' THEN 'purged' ELSE 'failed' END,"
			  "                  purged_at = CASE action WHEN 'purge' THEN clock_timestamp() END,"
			  "                  error = CASE action WHEN 'archive' THEN coalesce(error, 'interrupted; its rows are in a later segment') END"
			  "            WHERE kind = 'rows' AND state NOT IN ('purged', 'failed')"
			  "              AND NOT EXISTS (SELECT FROM steward.task t WHERE t.id = g.task AND t.state IN ('queued', 'running'))"
			  "           RETURNING id)"
			  " UPDATE steward.archive a SET state = 'discarded' FROM g"
			  "  WHERE a.segment = g.id AND a.state IN ('exported', 'uploaded', 'verified')", "");
	query_commit();
	remove_given_up();
}

/* Give up what earlier attempts made of a segment */
static void
discard_archives(Segment *segment)
{
	begin_step(segment);
	query_run("UPDATE steward.archive SET state = 'discarded'"
			  " WHERE segment = $1 AND state IN ('exported', 'uploaded', 'verified')", "l", segment->id);
	query_commit();
	remove_given_up();
	segment->archives = NIL;
}

/* ---- purging ----------------------------------------------------------- */

static void
refuse_purge(const Segment *segment, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("segment %lld of store \"%s\" is not what was archived",
				   (long long) segment->id, segment->store),
			errdetail("%s Nothing was purged.", detail),
			errhint("It will be archived again."));
}

/* The columns now, against those at the export */
static void
demand_shape(const Segment *segment)
{
	if (query_run("SELECT FROM steward.segment WHERE id = $1 AND shape = $2", "ls",
				  segment->id, segment->shape) == 0)
		refuse_purge(segment, "Its columns or their types have changed since.");
}

/*
 * What the catalog says of the archives is what a restore will believe, so it
 * has to be what was verified.
 */
static void
demand_catalog(const Segment *segment)
{
	ListCell   *lc;

	foreach(lc, segment->archives)
	{
		const SegmentArchive *archive = lfirst(lc);
		const ArchiveFacts *facts = &archive->facts;

		if (query_run("SELECT FROM steward.archive"
					  " WHERE id = $1 AND segment = $2 AND state = 'verified' AND base = $3 AND path = $4"
					  "   AND rows = $5 AND bytes = $6 AND raw_bytes = $7 AND digest = $8"
					  "   AND rows_digest IS NOT DISTINCT FROM $9 AND manifest_digest = $10 FOR SHARE", "llsslllbbb",
					  archive->id, segment->id, facts->base, facts->path,
					  (int64) facts->rows, (int64) facts->bytes, (int64) facts->raw_bytes,
					  as_bytea(facts->digest),
					  facts->by_row ? as_bytea(facts->rows_digest) : NULL,
					  as_bytea(facts->manifest_digest)) == 0)
			refuse_purge(segment, "What the catalog says of its archive has changed since.");
	}
}

static void
demand_same(const Segment *segment, const SegmentArchive *archive,
			const ArchiveSummary *summary)
{
	const ArchiveFacts *facts = &archive->facts;

	if (summary->rows != facts->rows)
		refuse_purge(segment, psprintf("It has %llu rows, and the archive %llu.",
									   (unsigned long long) summary->rows,
									   (unsigned long long) facts->rows));
	if (segment->is_rows
		? memcmp(summary->rows_digest, facts->rows_digest, ARCHIVE_DIGEST_LENGTH) != 0
		: memcmp(summary->digest, facts->digest, ARCHIVE_DIGEST_LENGTH) != 0)
		refuse_purge(segment, "Rows have changed since.");
}

static int64
count_rows(const Segment *segment)
{
	Actor		before = actor_enter_owner(segment->relation);

	query_run(psprintf("SELECT count(*) FROM ONLY %s", segment->name), "");
	actor_leave_owner(before);
	return query_int64(0, 1, 0);
}

/* Export once more, into nothing, and compare */
static void
demand_same_rows(const Segment *segment)
{
	ListCell   *lc;
	uint64		rows = 0;

	foreach(lc, segment->archives)
	{
		const SegmentArchive *archive = lfirst(lc);
		ArchiveSummary *summary = export_rows(segment, archive->tenant, NULL, SELECT_ROWS);

		demand_same(segment, archive, summary);
		rows += summary->rows;
	}
	/* rows of a tenant that has no archive */
	if (count_rows(segment) != (int64) rows)
		refuse_purge(segment, "Rows have come since.");
}

static void
demand_no_hold(const Segment *segment)
{
	char	   *condition;
	bool		held = false;

	query_run("SELECT steward.hold_condition($1)", "s", segment->store);
	condition = query_text(0, 1);
	if (condition)
	{
		Actor		before = actor_enter_owner(segment->relation);

		held = query_run(psprintf("SELECT FROM ONLY %s WHERE (%s) LIMIT 1",
								  segment->name, condition), "") > 0;
		actor_leave_owner(before);
	}
	if (held)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("segment %lld of store \"%s\" is under a legal hold",
					   (long long) segment->id, segment->store),
				errhint("It is purged when the hold is released or has expired."));
}

static void
record_purge(Segment *segment, int64 rows)
{
	query_run("UPDATE steward.segment SET state = 'purged', purged_at = clock_timestamp(), error = NULL,"
			  "       rows = coalesce($2, rows), relation = CASE kind WHEN 'partition' THEN NULL ELSE relation END"
			  " WHERE id = $1", "ll", segment->id, rows);
	query_run("UPDATE steward.task SET rows = rows + $2 WHERE id = $1", "ll", segment->task->id, rows);
}

/* Drop a detached partition, if it still is what was archived */
static void
purge_partition(Segment *segment)
{
	Oid			before;
	int64		rows = 0;
	ListCell   *lc;

	worker_phase(PHASE_PURGING);
	begin_step(segment);
	lock_table(segment, AccessExclusiveLock);
	if (get_rel_relispartition(segment->relation))
		refuse_purge(segment, "It was attached again.");
	demand_no_hold(segment);
	if (segment->archives_it)
	{
		demand_shape(segment);
		demand_catalog(segment);
		if (!proof_unchanged(segment->relation, segment->lsn))
			demand_same_rows(segment);
		foreach(lc, segment->archives)
			rows += ((SegmentArchive *) lfirst(lc))->facts.rows;
	}
	else
		rows = count_rows(segment);
	before = actor_set_retention(segment->relation);
	query_run(psprintf("DROP TABLE %s", segment->name), "");
	actor_set_retention(before);
	record_purge(segment, rows);
	fault_point("purging");
	query_commit();
	fault_point("purged");
}

/* Delete a batch, if what is deleted is what was archived */
static void
purge_rows(Segment *segment)
{
	Oid			before;
	ArchiveSummary *summary;

	worker_phase(PHASE_PURGING);
	begin_step(segment);
	lock_table(segment, RowExclusiveLock);
	demand_shape(segment);
	demand_catalog(segment);
	actor_defer_nothing();
	before = actor_set_retention(segment->relation);
	summary = export_rows(segment, NULL, NULL, DELETE_ROWS);
	actor_set_retention(before);
	/* rows that somebody else deleted before the export left no archive */
	if (segment->archives != NIL)
		demand_same(segment, linitial(segment->archives), summary);
	else if (summary->rows > 0)
		refuse_purge(segment, "Rows have come since.");
	record_purge(segment, summary->rows);
	fault_point("purging");
	query_commit();
	fault_point("purged");
}

/* ---- a partition ------------------------------------------------------- */

static bool
is_in(const Segment *segment, const char *state)
{
	return strcmp(segment->state, state) == 0;
}

/* From verified on: what a purge refuses goes back to be exported again */
static void
purge_proven(Segment *segment)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		if (segment->is_rows)
			purge_rows(segment);
		else
			purge_partition(segment);
	}
	PG_CATCH();
	{
		error = worker_recover(caller);
	}
	PG_END_TRY();
	if (error)
	{
		if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
			begin_again(segment);
		ReThrowError(error);
	}
}

static void
archive_and_purge(Segment *segment)
{
	if (is_in(segment, "exporting"))
	{
		if (segment->archives != NIL)
			discard_archives(segment);
		upload_segment(segment, export_segment(segment));
	}
	verify_segment(segment);
	purge_proven(segment);
}

/*
 * While it is attached, a partition is asked again whether it is due: since it
 * was enqueued its retention may have become longer, or a hold have come.
 */
static bool
give_up_partition(int64 id)
{
	if (query_run("SELECT WHERE steward.partition_stays($1)", "l", id) == 0)
		return false;
	query_run("UPDATE steward.archive SET state = 'discarded'"
			  " WHERE segment = $1 AND state IN ('exported', 'uploaded', 'verified')", "l", id);
	query_run("DELETE FROM steward.segment WHERE id = $1", "l", id);
	return true;
}

static void
run_partition(const Task *task)
{
	Segment    *segment;

	query_begin();
	queue_hold_token(task);
	if (give_up_partition(strtoll(task->target, NULL, 10)))
	{
		query_commit();
		remove_given_up();
		return;
	}
	query_run("UPDATE steward.segment SET state = 'exporting', task = $2"
			  " WHERE id = $1 AND state IN ('due', 'failed')", "ll",
			  (int64) strtoll(task->target, NULL, 10), task->id);
	segment = load_segment(task, strtoll(task->target, NULL, 10));
	query_commit();
	fault_point("due");
	if (is_in(segment, "purged"))
		return;

	pg_atomic_write_u64(&worker_progress->segment, segment->id);
	/* rows leave the table when it is detached: not before they have a place */
	if (segment->archives_it)
		store_probe(guc_archive_store);
	worker_phase(PHASE_DETACHING);
	detach_partition(segment->relation);
	fault_point("detached");
	if (segment->archives_it)
		archive_and_purge(segment);
	else
		purge_partition(segment);
}

/* ---- rows -------------------------------------------------------------- */

/* What a task of kind rows is about */
typedef struct RowsTask
{
	Oid			relation;
	char	   *name;			/* of the table, quoted; lock_rows() reads
								 * both */
	char	   *store;
	char	   *condition;		/* NULL: nothing is due any more */
	char	   *key;			/* text[] in text form */
	char	   *order;			/* ... as a list */
	char	   *order_back;
	char	   *as_array;		/* ... as an array of text */
	char	   *tenant_column;
	bool		archives_it;
	bool		by_tenant;
} RowsTask;

/*
 * What is due is asked when the task begins, not when it was enqueued: a hold
 * may have come, or a tenant back to life.  (What comes later the guard sees.)
 */
static void
load_rows_task(const Task *task, RowsTask *rows)
{
	if (query_run("SELECT r.relation::oid::bigint, r.relation::text,"
				  "       steward.due_condition(t.store, r.relation, t.argument ->> 'tenant'),"
				  "       k.key::text, steward.key_list(k.key), steward.key_list(k.key, ' DESC'),"
				  "       (SELECT string_agg(quote_ident(c) || '::text', ', ' ORDER BY i) FROM unnest(k.key) WITH ORDINALITY x (c, i)),"
				  "       quote_ident(s.tenant),"
				  "       (t.argument ->> 'action' = 'archive')::integer::bigint,"
				  "       coalesce((t.argument ->> 'by_tenant')::boolean, false)::integer::bigint"
				  "  FROM steward.task t JOIN steward.store s ON s.name = t.store,"
				  "       LATERAL (SELECT to_regclass(t.argument ->> 'relation') AS relation) r,"
				  "       LATERAL (SELECT ARRAY(SELECT jsonb_array_elements_text(t.argument -> 'key')) AS key) k"
				  " WHERE t.id = $1 AND r.relation IS NOT NULL", "l", task->id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("store \"%s\", or the table of task %lld, does not exist any more",
					   task->store, (long long) task->id));
	rows->relation = (Oid) query_int64(0, 1, 0);
	rows->name = query_text(0, 2);
	rows->condition = query_text(0, 3);
	rows->key = query_text(0, 4);
	rows->order = query_text(0, 5);
	rows->order_back = query_text(0, 6);
	rows->as_array = query_text(0, 7);
	rows->tenant_column = query_text(0, 8);
	rows->archives_it = query_int64(0, 9, 0) != 0;
	rows->by_tenant = query_int64(0, 10, 0) != 0 && rows->tenant_column;
}

/*
 * Between batches the table and its store may be renamed, and others take their
 * names.
 */
static void
lock_rows(const Task *task, RowsTask *rows, LOCKMODE mode)
{
	LockRelationOid(rows->relation, mode);
	if (query_run("SELECT c.oid::pg_catalog.regclass::text, s.name FROM pg_catalog.pg_class c, steward.task t, steward.store s"
				  " WHERE c.oid = $1 AND t.id = $2 AND s.name = t.store", "ol",
				  rows->relation, task->id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("the table of task %lld, or its store, does not exist any more",
					   (long long) task->id));
	rows->name = query_text(0, 1);
	rows->store = query_text(0, 2);
}

/* The first due row's tenant as a condition; NULL when no row is due */
static char *
next_tenant(const RowsTask *rows)
{
	char	   *tenant;

	if (query_run(psprintf("SELECT %s::text FROM ONLY %s WHERE %s ORDER BY %s LIMIT 1",
						   rows->tenant_column, rows->name, rows->condition, rows->order), "") == 0)
		return NULL;
	tenant = query_text(0, 1);
	return tenant ? psprintf("%s = %s", rows->tenant_column, quote_literal_cstr(tenant))
		: psprintf("%s IS NULL", rows->tenant_column);
}

/* The key at which the next batch ends; NULL when no row is due */
static char *
batch_end(const RowsTask *rows, const char *condition)
{
	if (query_run(psprintf("SELECT ARRAY[%s] FROM ONLY %s WHERE %s ORDER BY %s LIMIT 1 OFFSET %d",
						   rows->as_array, rows->name, condition, rows->order,
						   guc_batch_rows - 1), "") > 0 ||
		query_run(psprintf("SELECT ARRAY[%s] FROM ONLY %s WHERE %s ORDER BY %s LIMIT 1",
						   rows->as_array, rows->name, condition, rows->order_back), "") > 0)
		return query_text(0, 1);
	return NULL;
}

/*
 * Cut the next batch: a segment that begins behind the last one, so that the
 * index entries of what is deleted are not walked through again.
 */
static Segment *
next_batch(const Task *task, RowsTask *rows)
{
	Segment    *segment = NULL;
	Actor		before;
	char	   *belongs = rows->condition;
	char	   *condition;
	char	   *from = NULL;
	char	   *to;

	worker_phase(PHASE_PLANNING);
	query_begin();
	queue_hold_token(task);
	lock_rows(task, rows, AccessShareLock);
	condition = belongs;
	if (!rows->by_tenant &&
		query_run("SELECT key_to::text, steward.key_compare($2::regclass, key, '>', key_to) FROM steward.segment"
				  " WHERE task = $1 AND state = 'purged' AND key_to IS NOT NULL"
				  "   AND created_at >= (SELECT started_at FROM steward.task WHERE id = $1)"
				  " ORDER BY id DESC LIMIT 1", "lo", task->id, rows->relation) > 0)
	{
		from = query_text(0, 1);
		condition = psprintf("(%s) AND %s", condition, query_text(0, 2));
	}
	before = actor_enter_owner(rows->relation);
	if (rows->by_tenant)
	{
		char	   *tenant = next_tenant(rows);

		condition = belongs = tenant ? psprintf("(%s) AND %s", condition, tenant) : "false";
	}
	to = batch_end(rows, condition);
	actor_leave_owner(before);
	if (to)
	{
		int64		id;

		query_run("INSERT INTO steward.segment (store, relation, relation_name, kind, action, state, condition, key, key_from, key_to, task)"
				  " VALUES ($1, $2::regclass, $3, 'rows', 'archive', 'exporting', $4, $5::text[], $6::text[], $7::text[], $8) RETURNING id",
				  "sosssssl", rows->store, rows->relation, rows->name, belongs, rows->key, from, to, task->id);
		id = query_int64(0, 1, 0);
		segment = load_segment(task, id);
	}
	query_commit();
	return segment;
}

/* What an earlier attempt has left half done is cut anew */
static void
give_up_batches(const Task *task)
{
	query_begin();
	queue_hold_token(task);
	query_run("WITH g AS (UPDATE steward.segment SET state = 'failed', error = coalesce(error, 'interrupted; its rows are in a later segment')"
			  "            WHERE task = $1 AND kind = 'rows' AND action = 'archive' AND state <> 'purged' RETURNING id)"
			  " UPDATE steward.archive a SET state = 'discarded' FROM g"
			  "  WHERE a.segment = g.id AND a.state IN ('exported', 'uploaded', 'verified')", "l", task->id);
	query_commit();
	remove_given_up();
}

/* Leave the services their share of the machine */
void
rest_after(TimestampTz start)
{
	long		worked = TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	long		ms = (long) (worked * (1 / guc_worker_share - 1));

	worker_phase(PHASE_SLEEPING);
	/* settings and interrupts are heeded where nothing is to be slept, too */
	do
	{
		worker_sleep(Max(Min(ms, 1000), 0));
		ms -= 1000;
	} while (ms > 0);
}

/* One batch, archived and purged; false when no row is due */
static bool
archive_batch(const Task *task, RowsTask *rows)
{
	Segment    *segment = next_batch(task, rows);

	if (!segment)
		return false;
	pg_atomic_write_u64(&worker_progress->segment, segment->id);
	fault_point("due");
	archive_and_purge(segment);
	return true;
}

/* Rows that are due, locked by nobody, and there after a DELETE of them */
static void
demand_none_left(const RowsTask *rows)
{
	if (query_run(psprintf("SELECT FROM ONLY %s WHERE %s LIMIT 1 FOR UPDATE SKIP LOCKED",
						   rows->name, rows->condition), "") > 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("rows of table %s are due and cannot be deleted", rows->name),
				errdetail("A trigger or a rule of the table keeps them."));
}

/*
 * Delete the next batch of rows that need no archive; false when no row is due.
 * Rows that somebody has locked are left for another time.
 */
static bool
purge_batch(const Task *task, RowsTask *rows)
{
	Actor		owner;
	Oid			before;
	uint64		n = 0;

	query_begin();
	queue_hold_token(task);
	lock_rows(task, rows, RowExclusiveLock);
	actor_defer_nothing();
	before = actor_set_retention(rows->relation);
	owner = actor_enter_owner(rows->relation);
	n = query_run(psprintf("DELETE FROM ONLY %1$s WHERE ctid = ANY (ARRAY("
						   "SELECT ctid FROM ONLY %1$s WHERE %2$s ORDER BY %3$s LIMIT %4$d FOR UPDATE SKIP LOCKED))",
						   rows->name, rows->condition, rows->order, guc_batch_rows), "");
	if (n == 0)
		demand_none_left(rows);
	actor_leave_owner(owner);
	actor_set_retention(before);
	if (n > 0)
	{
		if (query_run("UPDATE steward.segment SET rows = rows + $2 WHERE task = $1 AND state = 'exporting'", "ll",
					  task->id, (int64) n) == 0)
			query_run("INSERT INTO steward.segment (store, relation, relation_name, kind, action, state, condition, key, rows, task)"
					  " VALUES ($1, $2::regclass, $3, 'rows', 'purge', 'exporting', $4, $5::text[], $6, $7)", "sosssll",
					  rows->store, rows->relation, rows->name, rows->condition, rows->key, (int64) n, task->id);
		query_run("UPDATE steward.task SET rows = rows + $2 WHERE id = $1", "ll", task->id, (int64) n);
		pg_atomic_fetch_add_u64(&worker_progress->rows, n);
	}
	fault_point("purging");
	query_commit();
	fault_point("purged");
	return n > 0;
}

/* The segment that counts the rows of a task that only purges */
static void
close_purge(const Task *task)
{
	query_begin();
	queue_hold_token(task);
	query_run("UPDATE steward.segment SET state = 'purged', purged_at = clock_timestamp()"
			  " WHERE task = $1 AND state = 'exporting'", "l", task->id);
	query_commit();
}

/* Batch by batch; what one needs is forgotten before the next */
static void
run_rows(const Task *task)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext batch = AllocSetContextCreate(caller, "pg_steward batch",
												ALLOCSET_DEFAULT_SIZES);
	RowsTask	rows;
	bool		more;

	query_begin();
	queue_hold_token(task);
	load_rows_task(task, &rows);
	query_commit();
	more = rows.condition != NULL;
	if (rows.archives_it)
		give_up_batches(task);

	MemoryContextSwitchTo(batch);
	while (more)
	{
		TimestampTz start = GetCurrentTimestamp();

		more = rows.archives_it ? archive_batch(task, &rows) : purge_batch(task, &rows);
		if (more)
			rest_after(start);
		MemoryContextReset(batch);
	}
	MemoryContextSwitchTo(caller);
	if (!rows.archives_it)
		close_purge(task);
}

/* ---- expire ------------------------------------------------------------ */

/*
 * Remove an archive whose own time is over, unless a hold covers it by now.  An
 * attempt that was interrupted may have decided that already.
 */
static void
run_expire(const Task *task)
{
	int64		id = strtoll(task->target, NULL, 10);

	query_begin();
	queue_hold_token(task);
	if (query_run("SELECT FROM steward.archive WHERE id = $1 AND state IN ('discarded', 'expired', 'erased')", "l", id) == 0 &&
		query_run("UPDATE steward.archive a SET state = 'expired'"
				  " WHERE a.id = $1 AND a.state = 'verified' AND a.keep_until <= now()"
				  "   AND NOT EXISTS (SELECT FROM steward.legal_hold h"
				  "                    WHERE h.released_at IS NULL AND coalesce(h.expires_at > now(), true)"
				  "                      AND coalesce(h.store = a.store, true)"
				  "                      AND coalesce(h.tenant = ANY (a.tenants), true))", "l", id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("archive %s is not to be removed now", task->target),
				errdetail("A legal hold covers it, or it is not verified, or its time is not over."));
	query_commit();
	fault_point("expired");
	remove_given_up();
}

/* ---- dispatch ---------------------------------------------------------- */

void
segment_run(const Task *task)
{
	if (strcmp(task->kind, "partition") == 0)
		run_partition(task);
	else if (strcmp(task->kind, "rows") == 0)
		run_rows(task);
	else if (strcmp(task->kind, "expire") == 0)
		run_expire(task);
	else
		elog(ERROR, "unknown kind of task \"%s\"", task->kind);
}

/* probe_archive_store(): an error, if the archive store cannot be used now */
Datum
steward_probe_archive_store(PG_FUNCTION_ARGS)
{
	store_probe(guc_archive_store);
	PG_RETURN_VOID();
}
