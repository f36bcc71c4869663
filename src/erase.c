/*
 * erase.c
 *	  A tenant, erased: rows, then archives, then the certificate.
 *
 *	 tables		children first, in batches, append-only ones too
 *	 archives	one tenant's: removed; several tenants': written anew without the
 *				tenant's lines, verified, and put in the place of the old one
 *	 certify	all is counted again; what is left fails the attempt
 *	 publish	the certificate is put into the archive store, too
 *
 * Every step is a transaction that first makes sure of the task's token and asks
 * whether a legal hold covers anything of the tenant by now.  What is removed is
 * counted in the same transaction (steward.erasure_item), so an attempt that is
 * interrupted anywhere is begun again from the start and finds less to do.  No
 * transaction is open while an archive store is written or read.
 *
 * Lines are told apart by their bytes: a value of the tenant column is written
 * in one way only, and a key cannot occur inside a string, where quotes are
 * escaped.  A line that lacks the column is not what the manifest says, and
 * fails the attempt.
 *
 * Locks: a table ROW EXCLUSIVE while a batch is deleted.  steward.legal_hold
 * SHARE while an archive is given up, so that no hold comes between the question
 * and the answer; for rows the guard sees to that.
 *
 * Memory: the list of tables and archives; of an archive, one frame.
 */
#include "steward.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "archive.h"
#include "ndjson.h"
#include "query.h"
#include "store.h"
#include "worker.h"

typedef struct Erasure
{
	const Task *task;
	int64		id;
	char	   *tenant;
	bool		certified;		/* only the certificate is to be published */
} Erasure;

/* A table that can hold rows of the tenant */
typedef struct TenantTable
{
	char	   *store;
	Oid			relation;
	char	   *name;			/* quoted, with its schema */
	char	   *condition;
	bool		at_once;		/* rows refer to rows: batches could not go */
} TenantTable;

/* A piece of text that a line may hold */
typedef struct Needle
{
	char	   *text;
	size_t		len;
} Needle;

/* An archive that holds rows of the tenant, or may hold some */
typedef struct TenantArchive
{
	int64		id;
	int64		new_id;			/* of the one that takes its place */
	ArchiveFacts facts;
	bool		is_known;		/* its tenants are */
	bool		is_whole;		/* ... and it has one: this; or it is not
								 * needed */
	int			n_others;		/* the other tenants, if they are known */
	char	  **others;
	List	   *values;			/* of Needle: the tenant, as lines spell it */
} TenantArchive;

/* ---- steps --------------------------------------------------------------- */

static void
begin_step(const Erasure *erasure)
{
	query_begin();
	queue_hold_token(erasure->task);
	query_run("SELECT steward.permit_erasure($1)", "s", erasure->tenant);
}

/* A step that gives up archives: no hold may come before it ends */
static void
begin_archive_step(const Erasure *erasure)
{
	query_begin();
	queue_hold_token(erasure->task);
	query_run("LOCK TABLE steward.legal_hold IN SHARE MODE", "");
	query_run("SELECT steward.permit_erasure($1)", "s", erasure->tenant);
}

static void
load_erasure(const Task *task, Erasure *erasure)
{
	erasure->task = task;
	query_begin();
	queue_hold_token(task);
	if (query_run("SELECT id, tenant, (certificate IS NOT NULL)::integer::bigint FROM steward.erasure WHERE id = $1", "l",
				  (int64) strtoll(task->target, NULL, 10)) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("erasure %s does not exist any more", task->target));
	erasure->id = query_int64(0, 1, 0);
	erasure->tenant = query_text(0, 2);
	erasure->certified = query_int64(0, 3, 0) != 0;
	query_commit();
}

/* ---- rows ---------------------------------------------------------------- */

static List *
load_tables(const Erasure *erasure)
{
	List	   *tables = NIL;
	uint64		n;
	uint64		i;

	worker_phase(PHASE_PLANNING);
	begin_step(erasure);
	n = query_run("SELECT store, relation::oid::bigint, relation::text, condition, refers_to_itself::integer::bigint"
				  "  FROM steward.tenant_tables($1)", "s", erasure->tenant);
	for (i = 0; i < n; i++)
	{
		TenantTable *table = palloc(sizeof(TenantTable));

		table->store = query_text(i, 1);
		table->relation = (Oid) query_int64(i, 2, 0);
		table->name = query_text(i, 3);
		table->condition = query_text(i, 4);
		table->at_once = query_int64(i, 5, 0) != 0;
		tables = lappend(tables, table);
	}
	query_commit();
	return tables;
}

/* Delete a batch, and count it; returns how many rows that were */
static uint64
delete_batch(const Erasure *erasure, const TenantTable *table)
{
	Oid			before;
	Actor		owner;
	uint64		n;

	worker_phase(PHASE_PURGING);
	begin_step(erasure);
	LockRelationOid(table->relation, RowExclusiveLock);
	actor_defer_nothing();
	before = actor_set_retention(table->relation);
	owner = actor_enter_owner(table->relation);
	n = query_run(psprintf("DELETE FROM ONLY %1$s WHERE ctid = ANY (ARRAY("
						   "SELECT ctid FROM ONLY %1$s WHERE %2$s %3$s FOR UPDATE))",
						   table->name, table->condition,
						   table->at_once ? "" : psprintf("LIMIT %d", guc_batch_rows)), "");
	actor_leave_owner(owner);
	actor_set_retention(before);
	query_run("SELECT steward.count_erased($1, $2, $3, $4)", "lssl",
			  erasure->id, table->store, table->name, (int64) n);
	query_run("UPDATE steward.task SET rows = rows + $2 WHERE id = $1", "ll", erasure->task->id, (int64) n);
	fault_point("erasing");
	query_commit();
	pg_atomic_fetch_add_u64(&worker_progress->rows, n);
	if (n > 0)
		fault_point("erased");
	return n;
}

static void
erase_tables(const Erasure *erasure)
{
	ListCell   *lc;

	foreach(lc, load_tables(erasure))
	{
		uint64		n;

		do
		{
			TimestampTz start = GetCurrentTimestamp();

			n = delete_batch(erasure, lfirst(lc));
			if (n > 0)
				rest_after(start);
		} while (n > 0);
	}
}

/* ---- archives ------------------------------------------------------------- */

/* What earlier attempts have made of an archive, and not put in its place */
static void
discard_unfinished(void)
{
	query_begin();
	query_run("UPDATE steward.archive a SET state = 'discarded' FROM steward.erasure_item i"
			  " WHERE a.id = i.new_archive AND i.action = 'rewriting' AND a.state IN ('exported', 'uploaded')", "");
	query_run("DELETE FROM steward.erasure_item WHERE action = 'rewriting'", "");
	query_commit();
	remove_given_up();
}

static Needle *
make_needle(const char *text, size_t len)
{
	Needle	   *needle = palloc(sizeof(Needle));

	needle->text = pnstrdup(text, len);
	needle->len = len;
	return needle;
}

static List *
load_values(const TenantArchive *archive, const char *tenant)
{
	List	   *values = NIL;
	uint64		n;
	uint64		i;

	n = query_run("SELECT unnest(steward.tenant_spellings($2, steward.tenant_type(s.relation, s.tenant)))"
				  "  FROM steward.archive a LEFT JOIN steward.store s ON s.name = a.store WHERE a.id = $1", "ls",
				  archive->id, tenant);
	for (i = 0; i < n; i++)
	{
		NdjsonBuffer string = {0};

		ndjson_string(query_text(i, 1), &string);
		values = lappend(values, make_needle(string.data, string.len));
		free(string.data);
	}
	return values;
}

static void
load_others(TenantArchive *archive, const char *tenant)
{
	uint64		n;
	uint64		i;

	archive->n_others = -1;
	if (!archive->is_known)
		return;
	n = query_run("SELECT t FROM steward.archive a LEFT JOIN steward.store s ON s.name = a.store, unnest(a.tenants) t"
				  " WHERE a.id = $1 AND t <> ALL (steward.tenant_spellings($2, steward.tenant_type(s.relation, s.tenant)))"
				  " ORDER BY t COLLATE \"C\"", "ls", archive->id, tenant);
	archive->n_others = n;
	archive->others = palloc((n + 1) * sizeof(char *));
	for (i = 0; i < n; i++)
		archive->others[i] = query_text(i, 1);
}

/* The next archive that is to be dealt with; NULL: there is none behind "after" */
static TenantArchive *
next_tenant_archive(const Erasure *erasure, int64 after)
{
	TenantArchive *archive = NULL;

	worker_phase(PHASE_PLANNING);
	begin_step(erasure);
	if (query_run("SELECT a.id, a.base, a.path, a.rows, a.bytes, a.raw_bytes, a.digest, a.rows_digest, a.manifest_digest,"
				  "       (a.tenants IS NOT NULL)::integer::bigint,"
				  "       (a.tenant IS NOT NULL OR g.state IS NOT NULL AND g.state <> 'purged'"
				  "        OR cardinality(a.tenants) = 1)::integer::bigint"
				  "  FROM steward.erasable_archives($1) a LEFT JOIN steward.segment g ON g.id = a.segment"
				  " WHERE a.id > $2 ORDER BY a.id LIMIT 1", "ll", erasure->id, after) > 0)
	{
		ArchiveFacts *facts;

		archive = palloc0(sizeof(TenantArchive));
		facts = &archive->facts;
		archive->id = query_int64(0, 1, 0);
		facts->base = query_text(0, 2);
		facts->path = query_text(0, 3);
		facts->rows = query_int64(0, 4, 0);
		facts->bytes = query_int64(0, 5, 0);
		facts->raw_bytes = query_int64(0, 6, 0);
		take_digest(0, 7, facts->digest);
		facts->by_row = take_digest(0, 8, facts->rows_digest);
		take_digest(0, 9, facts->manifest_digest);
		facts->progress = &worker_progress->bytes;
		archive->is_known = query_int64(0, 10, 0) != 0;
		archive->is_whole = query_int64(0, 11, 0) != 0;
		archive->values = load_values(archive, erasure->tenant);
		load_others(archive, erasure->tenant);
		if (!archive->is_whole)
			archive->new_id = next_archive();
	}
	query_commit();
	return archive;
}

static void
remove_whole(const Erasure *erasure, const TenantArchive *archive)
{
	begin_archive_step(erasure);
	query_run("SELECT steward.remove_archive($1, $2)", "ll", erasure->id, archive->id);
	query_commit();
	fault_point("removed");
}

/* ---- lines ---------------------------------------------------------------- */

/* Where the value of a column of an archive's begins in a line, and as what */
typedef struct LineKey
{
	Needle	   *key;			/* as in ,"name": or, the first one's,
								 * {"name": */
	Oid			type;			/* as far as it matters: date, or not */
} LineKey;

static LineKey *
line_key(const ArchiveHead *head, const char *name)
{
	int			i;

	for (i = 0; name && i < head->n_columns; i++)
	{
		LineKey    *key;
		StringInfoData text;

		if (strcmp(head->columns[i].name, name) != 0)
			continue;
		initStringInfo(&text);
		appendStringInfoChar(&text, i == 0 ? '{' : ',');
		escape_json(&text, name);
		appendStringInfoChar(&text, ':');
		key = palloc(sizeof(LineKey));
		key->key = make_needle(text.data, text.len);
		key->type = strcmp(head->columns[i].type, "date") == 0 ? DATEOID : TIMESTAMPTZOID;
		return key;
	}
	return NULL;
}

/* What stands behind the key; raises if the line does not have it */
static const char *
find_value(const TenantArchive *archive, const LineKey *key, const char *line, const char *end)
{
	const char *at = memmem(line, end - line, key->key->text, key->key->len);

	if (!at)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("archive \"%s\" does not prove its rows", archive->facts.path),
				errdetail("A line is not made as its manifest says."));
	return at + key->key->len;
}

static bool
is_tenants(const TenantArchive *archive, const char *value, const char *end)
{
	ListCell   *lc;

	foreach(lc, archive->values)
	{
		const Needle *needle = lfirst(lc);

		if (needle->len <= end - value && memcmp(value, needle->text, needle->len) == 0)
			return true;
	}
	return false;
}

/* The text of a time, which holds no escapes; NULL if it is null */
static const char *
clock_text(const char *value, const char *end, char *buffer, size_t size)
{
	const char *close;

	if (*value != '"')
		return NULL;
	value++;
	close = memchr(value, '"', end - value);
	if (!close || close - value >= size)
		return NULL;
	memcpy(buffer, value, close - value);
	buffer[close - value] = '\0';
	return buffer;
}

/* Copy a frame's lines but the tenant's */
static void
copy_lines(const TenantArchive *archive, const ArchiveLines *lines,
		   const LineKey *tenant, const LineKey *clock, ArchiveLineWriter *writer)
{
	const char *line = lines->text;
	const char *stop = line + lines->length;

	while (line < stop)
	{
		const char *end = (const char *) memchr(line, '\n', stop - line) + 1;
		char		time[NDJSON_TIMESTAMP_LENGTH + 1];

		if (!is_tenants(archive, find_value(archive, tenant, line, end), end))
			archive_put_line(writer, line, end - line,
							 !clock ? NULL :
							 clock_text(find_value(archive, clock, line, end), end, time, sizeof(time)));
		line = end;
	}
}

/*
 * Write the archive anew to the spool, without the tenant's lines.  Returns what
 * came of it, or NULL if its lines have no tenant at all.
 */
static ArchiveSummary *
copy_archive(const TenantArchive *archive, const char *spool, char **manifest)
{
	ArchiveReader *reader = archive_open(&archive->facts);
	const ArchiveHead *head = archive_head(reader);
	LineKey    *tenant = line_key(head, head->tenant);
	LineKey    *clock = line_key(head, head->clock);
	ArchiveSummary *summary = NULL;

	if (tenant)
	{
		MemoryContext caller = CurrentMemoryContext;
		MemoryContext frame = AllocSetContextCreate(caller, "pg_steward frame",
													ALLOCSET_DEFAULT_SIZES);
		ArchiveOptions options;
		ArchiveLineWriter *writer;
		ArchiveLines lines;

		memset(&options, 0, sizeof(options));
		options.file = spool_data_file(spool, archive->new_id);
		options.clock_type = clock ? clock->type : InvalidOid;
		options.by_row = archive->facts.by_row;
		options.rows = &worker_progress->rows;
		writer = archive_lines_begin(&options);
		while (archive_next_frame(reader, DT_NOBEGIN, DT_NOEND, &lines))
		{
			MemoryContextSwitchTo(frame);
			copy_lines(archive, &lines, tenant, clock, writer);
			MemoryContextSwitchTo(caller);
			MemoryContextReset(frame);
		}
		summary = archive_lines_finish(writer);
		summary->n_tenants = archive->n_others;
		summary->tenants = archive->others;
		MemoryContextDelete(frame);
	}
	*manifest = pstrdup(archive_manifest(reader));
	archive_close(reader);
	return summary;
}

/* ---- an archive of several tenants ----------------------------------------- */

/* None of its lines is the tenant's */
static void
leave_archive(const Erasure *erasure, const TenantArchive *archive)
{
	begin_step(erasure);
	query_run("INSERT INTO steward.erasure_item (erasure, store, archive, action)"
			  " SELECT $1, store, id, 'searched' FROM steward.archive WHERE id = $2"
			  " ON CONFLICT DO NOTHING", "ll", erasure->id, archive->id);
	query_commit();
}

/* Note the new archive in the catalog, from which time on it cannot be lost */
static void
record_copy(const Erasure *erasure, const TenantArchive *archive, const char *spool,
			const char *manifest, const ArchiveSummary *summary, ArchiveFacts *facts)
{
	char	   *head;

	begin_step(erasure);
	query_run("SELECT steward.rewritten_head($1, $2)", "sl",
			  pg_any_to_server(manifest, strlen(manifest), PG_UTF8), archive->new_id);
	head = query_text(0, 1);
	archive_write_manifest(spool_manifest_file(spool, archive->new_id), head, summary,
						   facts->manifest_digest);
	query_run("INSERT INTO steward.archive (id, segment, store, tenant, state, base, path, rows, bytes, raw_bytes,"
			  "        digest, rows_digest, manifest_digest, tenants, time_from, time_to, keep_until)"
			  " OVERRIDING SYSTEM VALUE"
			  " SELECT $2, a.segment, a.store, NULL, 'exported', $3,"
			  "        regexp_replace(a.path, '[^/]+$', '') || $2 || '-' || left($4::text, 8), $5, $6, $7, $8, $9, $10,"
			  "        (SELECT array_agg(t ORDER BY t COLLATE \"C\") FROM unnest(a.tenants) t"
			  "          WHERE t <> ALL (steward.tenant_spellings($13, steward.tenant_type(s.relation, s.tenant)))),"
			  "        $11, $12, a.keep_until"
			  "   FROM steward.archive a LEFT JOIN steward.store s ON s.name = a.store WHERE a.id = $1"
			  " RETURNING path", "llsulllbbbzzs",
			  archive->id, archive->new_id, guc_archive_store, &erasure->task->token,
			  (int64) summary->rows, (int64) summary->bytes, (int64) summary->raw_bytes,
			  as_bytea(summary->digest), summary->by_row ? as_bytea(summary->rows_digest) : NULL,
			  as_bytea(facts->manifest_digest),
			  summary->from <= summary->to ? summary->from : DT_NOBEGIN,
			  summary->from <= summary->to ? summary->to : DT_NOEND, erasure->tenant);
	facts->path = query_text(0, 1);
	query_run("INSERT INTO steward.erasure_item (erasure, store, archive, action, rows, path, digest, new_archive, new_digest)"
			  " SELECT $1, a.store, a.id, 'rewriting', a.rows - n.rows, a.path, a.digest, n.id, n.digest"
			  "   FROM steward.archive a, steward.archive n WHERE a.id = $2 AND n.id = $3", "lll",
			  erasure->id, archive->id, archive->new_id);
	query_commit();
	facts->base = pstrdup(guc_archive_store);
	facts->rows = summary->rows;
	facts->bytes = summary->bytes;
	facts->raw_bytes = summary->raw_bytes;
	memcpy(facts->digest, summary->digest, ARCHIVE_DIGEST_LENGTH);
	facts->by_row = summary->by_row;
	memcpy(facts->rows_digest, summary->rows_digest, ARCHIVE_DIGEST_LENGTH);
	facts->progress = &worker_progress->bytes;
	fault_point("rewriting");
}

/* The verified copy takes the place of the old archive */
static void
replace_archive(const Erasure *erasure, const TenantArchive *archive)
{
	begin_archive_step(erasure);
	if (query_run("UPDATE steward.archive SET state = 'erased' WHERE id = $1 AND state = 'verified'", "l", archive->id) == 0)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("archive %lld has changed while it was rewritten", (long long) archive->id));
	query_run("UPDATE steward.archive SET state = 'verified', verified_at = clock_timestamp() WHERE id = $1", "l",
			  archive->new_id);
	query_run("UPDATE steward.erasure_item SET action = 'rewritten' WHERE erasure = $1 AND archive = $2", "ll",
			  erasure->id, archive->id);
	query_run("SELECT steward.forget_keys(segment) FROM steward.archive WHERE id = $1", "l", archive->id);
	query_commit();
	fault_point("replaced");
}

static void
rewrite_archive(const Erasure *erasure, const TenantArchive *archive)
{
	char	   *spool = spool_make(archive->id);
	ArchiveSummary *summary;
	ArchiveFacts facts;
	char	   *manifest;

	worker_phase(PHASE_EXPORTING);
	summary = copy_archive(archive, spool, &manifest);
	if (!summary || summary->rows == archive->facts.rows)
	{
		if (archive->is_known)
			ereport(ERROR,
					errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("archive \"%s\" has no row of a tenant that it lists", archive->facts.path));
		leave_archive(erasure, archive);
	}
	else if (summary->rows == 0)
		remove_whole(erasure, archive);
	else
	{
		memset(&facts, 0, sizeof(facts));
		record_copy(erasure, archive, spool, manifest, summary, &facts);
		worker_phase(PHASE_UPLOADING);
		spool_upload(spool, archive->new_id, facts.base, facts.path);
		begin_step(erasure);
		query_run("UPDATE steward.archive SET state = 'uploaded', uploaded_at = clock_timestamp() WHERE id = $1", "l",
				  archive->new_id);
		query_commit();
		worker_phase(PHASE_VERIFYING);
		archive_verify(&facts);
		fault_point("rewritten");
		replace_archive(erasure, archive);
	}
	(void) spool_drop();
}

static void
erase_archives(const Erasure *erasure)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext one = AllocSetContextCreate(caller, "pg_steward archive",
											  ALLOCSET_DEFAULT_SIZES);
	int64		at = 0;
	TenantArchive *archive;

	MemoryContextSwitchTo(one);
	while ((archive = next_tenant_archive(erasure, at)) != NULL)
	{
		at = archive->id;
		if (archive->is_whole)
			remove_whole(erasure, archive);
		else
			rewrite_archive(erasure, archive);
		MemoryContextReset(one);
	}
	remove_given_up();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(one);
}

/* ---- the certificate -------------------------------------------------------- */

static void
certify(const Erasure *erasure)
{
	worker_phase(PHASE_VERIFYING);
	begin_step(erasure);
	query_run("SELECT steward.certify_erasure($1)", "l", erasure->id);
	fault_point("certifying");
	query_commit();
	fault_point("certified");
}

static void
write_text(const char *file, const char *text)
{
	FILE	   *out = AllocateFile(file, PG_BINARY_W);
	size_t		len = strlen(text);

	if (!out || fwrite(text, 1, len, out) != len || FreeFile(out) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not write file \"%s\": %m", file));
}

/* Beside the archives: whoever has those has also what is no more among them */
static void
publish(const Erasure *erasure)
{
	char	   *file = spool_data_file(spool_make(erasure->id), 0);
	char	   *path;

	worker_phase(PHASE_UPLOADING);
	query_begin();
	queue_hold_token(erasure->task);
	query_run("SELECT certificate::text, format('certificates/%s/erasure-%s-%s.json', steward.path_part(current_database()),"
			  " id, left(encode(digest, 'hex'), 16)) FROM steward.erasure WHERE id = $1", "l", erasure->id);
	path = query_text(0, 2);
	{
		char	   *text = query_text(0, 1);

		write_text(file, pg_server_to_any(text, strlen(text), PG_UTF8));
	}
	query_commit();
	store_put(guc_archive_store, path, file);
	(void) spool_drop();
}

/* ---- the task ---------------------------------------------------------------- */

void
erase_run(const Task *task)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	Erasure		erasure;

	load_erasure(task, &erasure);
	if (!erasure.certified)
	{
		discard_unfinished();
		PG_TRY();
		{
			erase_tables(&erasure);
			erase_archives(&erasure);
			certify(&erasure);
		}
		PG_CATCH();
		{
			error = worker_recover(caller);
		}
		PG_END_TRY();
		/* half of a copy is not left lying about, if nobody comes again */
		if (error)
		{
			discard_unfinished();
			ReThrowError(error);
		}
	}
	publish(&erasure);
}
