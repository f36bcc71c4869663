/*
 * archive.c
 *	  A query's rows as an archive: lines of JSON in independent zstd frames,
 *	  with the digests that prove them, and the manifest that says so.
 *
 * The rows come through a DestReceiver, so any query can be archived, and a
 * DELETE ... RETURNING can be proven to remove just the rows that were: it
 * writes the same lines, to nowhere, and comes to the same digests.
 *
 * Lines gather in a job until a frame is full.  A full job is digested,
 * compressed and written by a helper thread, while this one fills the next.  A
 * helper that is behind is spared the digest; and when all jobs are full, this
 * side compresses the newest itself rather than wait, and leaves to the helper
 * what must go in order: the writing.  The helper
 * is one thread with nothing of PostgreSQL in it: no palloc, no ereport, no
 * signal ever delivered to it.  It touches the jobs that are handed to it and
 * its own half of struct Helper; what fails in it is carried back with the job
 * and raised here.  Where no thread can be had, frames are compressed in place.
 *
 * Memory: some MB for jobs, whatever the number of rows; beyond that, of each
 * frame its entry in the manifest, and by_row 32 bytes a row.  What the helper
 * uses is malloc'd.  Everything hangs on a memory context below the caller's,
 * whose reset callback stops the helper before anything is freed and closes
 * the file; so ERROR needs no handler.
 *
 * Locks: none.  The mutex of a helper is held for a few instructions and never
 * across anything that may raise an error.
 */
#include "steward.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <zstd.h>

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/sha2.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "archive.h"
#include "ndjson.h"

#define N_JOBS			4
#define ZSTD_LEVEL		3
/*
 * A buffer for lines that has grown beyond this is given back.  Less would have
 * rows of some MB free and regrow it each time, which is slow and fragments the
 * heap.
 */
#define MAX_KEPT		(16 * ARCHIVE_FRAME_BYTES)
/* An ordinary frame, compressed, fits in this */
#define PACKED_SIZE \
	ZSTD_COMPRESSBOUND(ARCHIVE_FRAME_BYTES + ARCHIVE_FRAME_BYTES / 8)
/* What is gathered of a manifest before it is written */
#define MANIFEST_PIECE	65536

/* ---- the helper: no function of PostgreSQL below, down to its end ------- */

typedef enum JobState
{
	JOB_FREE = 0,				/* the writer's, to fill */
	JOB_FULL,					/* nobody's, to compress */
	JOB_TAKEN,					/* its taker's */
	JOB_PACKED,					/* the helper's, to write */
	JOB_DONE					/* the writer's, to take the frame of */
} JobState;

typedef struct Job
{
	JobState	state;
	bool		digested;		/* the frame's digest is there */
	NdjsonBuffer lines;
	ArchiveFrame frame;
	char	   *packed;			/* PACKED_SIZE bytes, if the writer ever
								 * compressed it */
} Job;

typedef enum HelperFailure
{
	NOTHING_FAILED = 0,
	WRITE_FAILED,				/* error: errno */
	COMPRESSION_FAILED,			/* error: what zstd returned */
	DIGEST_FAILED
} HelperFailure;

typedef struct Helper
{
	/* set before it starts */
	int			fd;				/* -1: nothing is written */
	ZSTD_CCtx  *zstd;
	EVP_MD_CTX *sha;
	char	   *packed;			/* PACKED_SIZE bytes */
	/* its own while it runs */
	uint64		offset;			/* of the next frame */
	HelperFailure failure;		/* the first; nothing is done after it */
	size_t		error;
	/* shared */
	Job			jobs[N_JOBS];
	bool		threaded;
	bool		quit;
	pthread_t	thread;
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	pthread_cond_t done;
} Helper;

static void
helper_fail(Helper *helper, HelperFailure failure, size_t error)
{
	helper->failure = failure;
	helper->error = error;
}

static void
helper_write(Helper *helper, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		written = write(helper->fd, data, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			helper_fail(helper, WRITE_FAILED, written < 0 ? errno : ENOSPC);
			return;
		}
		data += written;
		len -= written;
	}
}

static void
helper_compress(Helper *helper, Job *job)
{
	ZSTD_inBuffer in = {job->lines.data, job->lines.len, 0};
	uint64		bytes = 0;
	size_t		left;

	if (helper->failure != NOTHING_FAILED)
		return;
	/* the size is told beforehand, so that the frame's header can hold it */
	left = ZSTD_CCtx_setPledgedSrcSize(helper->zstd, in.size);
	if (ZSTD_isError(left))
	{
		helper_fail(helper, COMPRESSION_FAILED, left);
		return;
	}
	do
	{
		ZSTD_outBuffer out = {helper->packed, PACKED_SIZE, 0};

		left = ZSTD_compressStream2(helper->zstd, &out, &in, ZSTD_e_end);
		if (ZSTD_isError(left))
			helper_fail(helper, COMPRESSION_FAILED, left);
		else
			helper_write(helper, helper->packed, out.pos);
		if (helper->failure != NOTHING_FAILED)
			return;
		bytes += out.pos;
	} while (left > 0);
	job->frame.offset = helper->offset;
	job->frame.bytes = bytes;
	helper->offset += bytes;
}

/* What the writer has compressed itself */
static void
helper_write_packed(Helper *helper, Job *job)
{
	if (helper->failure != NOTHING_FAILED)
		return;
	job->frame.offset = helper->offset;
	helper->offset += job->frame.bytes;
	helper_write(helper, job->packed, job->frame.bytes);
}

/* EVP_DigestInit_ex() without a type: the context keeps the one it was given first */
static void
helper_digest(Helper *helper, Job *job)
{
	if (EVP_DigestInit_ex(helper->sha, NULL, NULL) != 1 ||
		EVP_DigestUpdate(helper->sha, job->lines.data, job->lines.len) != 1 ||
		EVP_DigestFinal_ex(helper->sha, job->frame.digest, NULL) != 1)
		helper_fail(helper, DIGEST_FAILED, 0);
}

static void *
helper_main(void *argument)
{
	Helper	   *helper = argument;
	int			next = 0;

	pthread_mutex_lock(&helper->mutex);
	for (;;)
	{
		Job		   *job = &helper->jobs[next];
		bool		packed;

		while (job->state != JOB_FULL && job->state != JOB_PACKED && !helper->quit)
			pthread_cond_wait(&helper->filled, &helper->mutex);
		if (helper->quit)
			break;
		packed = job->state == JOB_PACKED;
		job->state = JOB_TAKEN;
		pthread_mutex_unlock(&helper->mutex);
		if (packed)
			helper_write_packed(helper, job);
		else
			helper_compress(helper, job);
		if (!job->digested && helper->failure == NOTHING_FAILED)
			helper_digest(helper, job);
		pthread_mutex_lock(&helper->mutex);
		job->state = JOB_DONE;
		pthread_cond_signal(&helper->done);
		next = (next + 1) % N_JOBS;
	}
	pthread_mutex_unlock(&helper->mutex);
	return NULL;
}

/* ---- the helper, seen from here ----------------------------------------- */

typedef struct TenantKey
{
	const char *text;			/* as in the line */
	uint32		len;
} TenantKey;

typedef struct Tenant
{
	TenantKey	key;
	char	   *text;			/* the type's text output */
	uint32		hash;
	char		status;
} Tenant;

#define SH_PREFIX		tenants
#define SH_ELEMENT_TYPE	Tenant
#define SH_KEY_TYPE		TenantKey
#define SH_KEY			key
#define SH_HASH_KEY(table, key)	\
	hash_bytes((const unsigned char *) (key).text, (key).len)
#define SH_EQUAL(table, a, b)	\
	((a).len == (b).len && memcmp((a).text, (b).text, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element)	(element)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Archiver
{
	MemoryContext context;		/* holds all of it */
	char	   *file;
	AttrNumber	clock;
	Oid			clock_type;
	AttrNumber	tenant;
	FmgrInfo	tenant_output;
	pg_atomic_uint64 *rows_done;
	pg_atomic_uint64 *bytes_done;
	int			settings;		/* nest level of the pinned ones */
	NdjsonWriter *lines;
	Job		   *job;			/* that is being filled */
	bool		first_frame;
	Helper		helper;
	ZSTD_CCtx  *zstd;			/* for jobs that are not left to the helper */
	EVP_MD_CTX *sha;
	uint8	   *row_digests;	/* one behind the other; if by_row */
	size_t		n_row_digests;
	size_t		max_row_digests;
	tenants_hash *tenants;		/* NULL: not wanted, or too many */
	TenantKey	last_tenant;
	ArchiveSummary summary;
	int			max_frames;
} Archiver;

typedef struct ArchiveReceiver
{
	DestReceiver pub;
	Archiver   *archiver;		/* NULL once it is finished */
} ArchiveReceiver;

static void
helper_stop(Helper *helper)
{
	if (!helper->threaded)
		return;
	pthread_mutex_lock(&helper->mutex);
	helper->quit = true;
	pthread_cond_signal(&helper->filled);
	pthread_mutex_unlock(&helper->mutex);
	pthread_join(helper->thread, NULL);
	pthread_cond_destroy(&helper->filled);
	pthread_cond_destroy(&helper->done);
	pthread_mutex_destroy(&helper->mutex);
	helper->threaded = false;
}

/* Reset callback of the archiver's context */
static void
release(void *argument)
{
	Archiver   *archiver = argument;
	Helper	   *helper = &archiver->helper;
	int			i;

	helper_stop(helper);
	if (helper->fd >= 0)
	{
		close(helper->fd);
		ReleaseExternalFD();
	}
	for (i = 0; i < N_JOBS; i++)
	{
		free(helper->jobs[i].lines.data);
		free(helper->jobs[i].packed);
	}
	free(helper->packed);
	ZSTD_freeCCtx(helper->zstd);
	ZSTD_freeCCtx(archiver->zstd);
	EVP_MD_CTX_free(helper->sha);
	EVP_MD_CTX_free(archiver->sha);
}

static void
out_of_memory(void)
{
	ereport(ERROR,
			errcode(ERRCODE_OUT_OF_MEMORY),
			errmsg("out of memory"),
			errdetail("Failed to set up the writing of an archive."));
}

static void
open_file(Archiver *archiver)
{
	if (!AcquireExternalFD())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not create file \"%s\": too many open files",
					   archiver->file));
	archiver->helper.fd = BasicOpenFile(archiver->file,
										O_CREAT | O_EXCL | O_WRONLY | PG_BINARY);
	if (archiver->helper.fd < 0)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create file \"%s\": %m", archiver->file));
	}
}

static ZSTD_CCtx *
prepare_compression(void)
{
	ZSTD_CCtx  *zstd = ZSTD_createCCtx();

	if (!zstd)
		out_of_memory();
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 1);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	return zstd;
}

static char *
get_packed_buffer(void)
{
	char	   *buffer = malloc(PACKED_SIZE);

	if (!buffer)
		out_of_memory();
	return buffer;
}

/*
 * Failing to have a thread is no error.  It inherits a mask that blocks every
 * signal: PostgreSQL's handlers must run in the thread that knows them.
 */
static void
start_thread(Helper *helper)
{
	sigset_t	all;
	sigset_t	ours;

	pthread_mutex_init(&helper->mutex, NULL);
	pthread_cond_init(&helper->filled, NULL);
	pthread_cond_init(&helper->done, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &ours);
	helper->threaded = pthread_create(&helper->thread, NULL, helper_main, helper) == 0;
	pthread_sigmask(SIG_SETMASK, &ours, NULL);
}

static void
compression_failed(Archiver *archiver, size_t error)
{
	ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("could not compress data for file \"%s\": %s",
				   archiver->file, ZSTD_getErrorName(error)));
}

static void
row_digest_failed(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("could not compute the SHA-256 digest of archived rows"));
}

static void
raise_failure(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;

	switch (helper->failure)
	{
		case NOTHING_FAILED:
			break;
		case WRITE_FAILED:
			errno = helper->error;
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not write to file \"%s\": %m", archiver->file));
			break;
		case COMPRESSION_FAILED:
			compression_failed(archiver, helper->error);
			break;
		case DIGEST_FAILED:
			row_digest_failed();
			break;
	}
}

/* ---- digests ------------------------------------------------------------ */

static void
digest(Archiver *archiver, const void *data, size_t len, uint8 *result)
{
	/* without a type: the context keeps the one it was given first */
	if (EVP_DigestInit_ex(archiver->sha, NULL, NULL) != 1 ||
		EVP_DigestUpdate(archiver->sha, data, len) != 1 ||
		EVP_DigestFinal_ex(archiver->sha, result, NULL) != 1)
		row_digest_failed();
}

static EVP_MD_CTX *
prepare_digest(void)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	if (!sha || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		out_of_memory();
	return sha;
}

static void
digest_row(Archiver *archiver, const char *line, size_t len)
{
	if (archiver->n_row_digests >= archiver->max_row_digests)
	{
		archiver->max_row_digests = Max(1024, 2 * archiver->max_row_digests);
		archiver->row_digests =
			archiver->row_digests
			? repalloc_huge(archiver->row_digests,
							archiver->max_row_digests * ARCHIVE_DIGEST_LENGTH)
			: MemoryContextAlloc(archiver->context,
								 archiver->max_row_digests * ARCHIVE_DIGEST_LENGTH);
	}
	digest(archiver, line, len,
		   archiver->row_digests + archiver->n_row_digests * ARCHIVE_DIGEST_LENGTH);
	archiver->n_row_digests++;
}

/* ---- frames ------------------------------------------------------------- */

static void
widen(TimestampTz *from, TimestampTz *to, TimestampTz low, TimestampTz high)
{
	*from = Min(*from, low);
	*to = Max(*to, high);
}

static void
begin_frame(Job *job)
{
	memset(&job->frame, 0, sizeof(job->frame));
	job->frame.from = DT_NOEND;
	job->frame.to = DT_NOBEGIN;
	job->lines.len = 0;
	/* what one huge row needed is not kept for all that follow */
	if (job->lines.size > MAX_KEPT)
	{
		free(job->lines.data);
		job->lines.data = NULL;
		job->lines.size = 0;
	}
}

/* Take over what the helper has made of a job, and free the job */
static void
collect(Archiver *archiver, Job *job)
{
	ArchiveSummary *summary = &archiver->summary;
	const ArchiveFrame *frame = &job->frame;

	raise_failure(archiver);
	if (summary->n_frames >= archiver->max_frames)
	{
		archiver->max_frames *= 2;
		summary->frames = repalloc_huge(summary->frames,
										archiver->max_frames * sizeof(ArchiveFrame));
	}
	summary->frames[summary->n_frames++] = *frame;
	summary->rows += frame->rows;
	summary->raw_bytes += frame->raw_bytes;
	summary->bytes += frame->bytes;
	widen(&summary->from, &summary->to, frame->from, frame->to);
	if (archiver->rows_done)
		pg_atomic_fetch_add_u64(archiver->rows_done, frame->rows);
	if (archiver->bytes_done)
		pg_atomic_fetch_add_u64(archiver->bytes_done, frame->raw_bytes);
	job->state = JOB_FREE;
	begin_frame(job);
}

/* The newest job that is still to be compressed, if its frame is an ordinary one */
static Job *
newest_full_job(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;
	int			newest = archiver->job - helper->jobs + N_JOBS;
	int			i;

	for (i = 0; i < N_JOBS; i++)
	{
		Job		   *job = &helper->jobs[(newest - i) % N_JOBS];

		if (job->state == JOB_FULL &&
			ZSTD_COMPRESSBOUND(job->lines.len) <= PACKED_SIZE)
			return job;
	}
	return NULL;
}

static void
compress_job(Archiver *archiver, Job *job)
{
	size_t		bytes;

	if (!job->packed)
		job->packed = get_packed_buffer();
	if (!archiver->zstd)
		archiver->zstd = prepare_compression();
	bytes = ZSTD_compress2(archiver->zstd, job->packed, PACKED_SIZE,
						   job->lines.data, job->lines.len);
	if (ZSTD_isError(bytes))
		compression_failed(archiver, bytes);
	job->frame.bytes = bytes;
}

/* Help the helper, or wait for it, until it is done with a job that it has */
static void
wait_for(Archiver *archiver, Job *job)
{
	Helper	   *helper = &archiver->helper;

	pthread_mutex_lock(&helper->mutex);
	while (job->state != JOB_FREE && job->state != JOB_DONE)
	{
		Job		   *ours = newest_full_job(archiver);

		if (!ours)
		{
			pgstat_report_wait_start(PG_WAIT_EXTENSION);
			pthread_cond_wait(&helper->done, &helper->mutex);
			pgstat_report_wait_end();
			continue;
		}
		ours->state = JOB_TAKEN;
		pthread_mutex_unlock(&helper->mutex);
		compress_job(archiver, ours);
		pthread_mutex_lock(&helper->mutex);
		ours->state = JOB_PACKED;
		pthread_cond_signal(&helper->filled);
	}
	pthread_mutex_unlock(&helper->mutex);
}

/* Get a job back, and what has become of it */
static void
reclaim(Archiver *archiver, Job *job)
{
	if (archiver->helper.threaded)
		wait_for(archiver, job);
	if (job->state == JOB_DONE)
		collect(archiver, job);
}

/* Has the helper as much before it as there are jobs? */
static bool
is_behind(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;
	Job		   *next = &helper->jobs[(archiver->job - helper->jobs + 1) % N_JOBS];
	bool		behind;

	pthread_mutex_lock(&helper->mutex);
	behind = next->state != JOB_FREE && next->state != JOB_DONE;
	pthread_mutex_unlock(&helper->mutex);
	return behind;
}

/* Hand the job in hand over and take the next, or finish it in place */
static void
end_frame(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;
	Job		   *job = archiver->job;

	archiver->first_frame = false;
	job->frame.raw_bytes = job->lines.len;
	if (helper->threaded)
		job->digested = is_behind(archiver);
	else
	{
		/*
		 * a DELETE is proven by its rows; in which order they come, says
		 * nothing
		 */
		job->digested = helper->fd >= 0 || !archiver->summary.by_row;
	}
	if (job->digested)
		digest(archiver, job->lines.data, job->lines.len, job->frame.digest);
	if (helper->threaded)
	{
		pthread_mutex_lock(&helper->mutex);
		job->state = JOB_FULL;
		pthread_cond_signal(&helper->filled);
		pthread_mutex_unlock(&helper->mutex);
		job = &helper->jobs[(job - helper->jobs + 1) % N_JOBS];
	}
	else
	{
		if (helper->fd >= 0)
			helper_compress(helper, job);
		job->state = JOB_DONE;
	}
	reclaim(archiver, job);
	archiver->job = job;
}

/* ---- rows --------------------------------------------------------------- */

static TimestampTz
date_to_timestamptz(DateADT date)
{
	if (DATE_IS_NOBEGIN(date))
		return DT_NOBEGIN;
	/* later than any timestamp, too */
	if (DATE_IS_NOEND(date) ||
		date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		return DT_NOEND;
	return date * USECS_PER_DAY;
}

static inline void
note_clock(Archiver *archiver, TupleTableSlot *slot)
{
	ArchiveFrame *frame = &archiver->job->frame;
	Datum		value = slot->tts_values[archiver->clock - 1];
	TimestampTz clock;

	if (slot->tts_isnull[archiver->clock - 1])
		return;
	clock = archiver->clock_type == DATEOID
		? date_to_timestamptz(DatumGetDateADT(value))
		: DatumGetTimestampTz(value);
	widen(&frame->from, &frame->to, clock, clock);
}

/* A tenant that is not that of the row before */
static void
add_tenant(Archiver *archiver, TupleTableSlot *slot, TenantKey key)
{
	Tenant	   *tenant = tenants_lookup(archiver->tenants, key);
	MemoryContext caller;
	char	   *text;
	bool		found;

	if (tenant)
	{
		archiver->last_tenant = tenant->key;
		return;
	}
	if (archiver->tenants->members >= ARCHIVE_MAX_TENANTS)
	{
		tenants_destroy(archiver->tenants);
		archiver->tenants = NULL;
		archiver->summary.n_tenants = -1;
		return;
	}
	caller = MemoryContextSwitchTo(archiver->context);
	text = palloc(key.len + 1);

	memcpy(text, key.text, key.len);
	key.text = text;

	tenant = tenants_insert(archiver->tenants, key, &found);
	tenant->text = OutputFunctionCall(&archiver->tenant_output,
									  slot->tts_values[archiver->tenant - 1]);
	archiver->last_tenant = key;
	MemoryContextSwitchTo(caller);
}

static inline void
count_line(Archiver *archiver)
{
	const NdjsonBuffer *out = &archiver->job->lines;

	archiver->job->frame.rows++;
	if (archiver->summary.by_row)
		digest_row(archiver, out->data + out->line, out->len - out->line);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Archiver   *archiver = ((ArchiveReceiver *) self)->archiver;
	NdjsonBuffer *out = &archiver->job->lines;
	NdjsonSpan	tenant;

	ndjson_line(archiver->lines, slot, out, &tenant);
	count_line(archiver);
	if (archiver->clock)
		note_clock(archiver, slot);
	if (archiver->tenants && !tenant.isnull)
	{
		TenantKey	key = {out->data + tenant.at, tenant.len};

		if (key.len != archiver->last_tenant.len ||
			memcmp(key.text, archiver->last_tenant.text, key.len) != 0)
			add_tenant(archiver, slot, key);
	}
	if (out->len >= ARCHIVE_FRAME_BYTES)
		end_frame(archiver);
	return true;
}

static Oid
base_type(TupleDesc desc, AttrNumber column)
{
	if (column < 1 || column > desc->natts)
		elog(ERROR, "archived query has no column %d", column);
	return getBaseType(TupleDescAttr(desc, column - 1)->atttypid);
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Archiver   *archiver = ((ArchiveReceiver *) self)->archiver;
	MemoryContext caller = MemoryContextSwitchTo(archiver->context);

	if (archiver->clock)
	{
		archiver->clock_type = base_type(desc, archiver->clock);
		if (archiver->clock_type != TIMESTAMPTZOID &&
			archiver->clock_type != TIMESTAMPOID &&
			archiver->clock_type != DATEOID)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("clock column \"%s\" is neither a timestamp nor a date",
						   NameStr(TupleDescAttr(desc, archiver->clock - 1)->attname)));
	}
	if (archiver->tenant)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(base_type(desc, archiver->tenant), &output, &varlena);
		fmgr_info(output, &archiver->tenant_output);
	}
	archiver->lines = ndjson_begin(desc, archiver->tenant);
	MemoryContextSwitchTo(caller);
}

static void
nothing(DestReceiver *self)
{
}

/* ---- settings ----------------------------------------------------------- */

/* What values look like as text, and how text is understood, depends on these */
static const struct
{
	const char *name;
	const char *value;
}			pinned_settings[] =

{
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"lc_monetary", "C"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog"},	/* regclass and its like are qualified */
	{"synchronize_seqscans", "off"},	/* the same table, the same order */
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	{"array_nulls", "on"}
};

int
archive_pin_settings(void)
{
	int			level = NewGUCNestLevel();
	int			i;

	for (i = 0; i < lengthof(pinned_settings); i++)
		(void) set_config_option(pinned_settings[i].name,
								 pinned_settings[i].value,
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, ERROR, false);
	return level;
}

void
archive_unpin_settings(int level)
{
	AtEOXact_GUC(true, level);
}

/* ---- beginning and end -------------------------------------------------- */

static Archiver *
make_archiver(const ArchiveOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_steward archive",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Archiver   *archiver = palloc0(sizeof(Archiver));
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	int			i;

	archiver->context = context;
	archiver->helper.fd = -1;
	callback->func = release;
	callback->arg = archiver;
	MemoryContextRegisterResetCallback(context, callback);

	archiver->file = options->file ? pstrdup(options->file) : NULL;
	archiver->clock = options->clock;
	archiver->clock_type = options->clock_type;
	archiver->tenant = options->tenant;
	archiver->rows_done = options->rows;
	archiver->bytes_done = options->bytes;
	archiver->summary.by_row = options->by_row;
	archiver->summary.from = DT_NOEND;
	archiver->summary.to = DT_NOBEGIN;
	archiver->max_frames = 64;
	archiver->summary.frames = palloc(archiver->max_frames * sizeof(ArchiveFrame));
	if (options->tenant)
		archiver->tenants = tenants_create(context, 16, NULL);
	for (i = 0; i < N_JOBS; i++)
		begin_frame(&archiver->helper.jobs[i]);
	archiver->job = &archiver->helper.jobs[0];
	archiver->first_frame = true;
	archiver->sha = prepare_digest();
	if (archiver->file)
	{
		open_file(archiver);
		archiver->helper.zstd = prepare_compression();
		archiver->helper.packed = get_packed_buffer();
		archiver->helper.sha = prepare_digest();
		if (!options->single_thread)
			start_thread(&archiver->helper);
	}
	MemoryContextSwitchTo(caller);
	return archiver;
}

DestReceiver *
archive_begin(const ArchiveOptions *options)
{
	ArchiveReceiver *receiver = palloc0(sizeof(ArchiveReceiver));

	receiver->pub.receiveSlot = receive;
	receiver->pub.rStartup = startup;
	receiver->pub.rShutdown = nothing;
	receiver->pub.rDestroy = nothing;
	receiver->pub.mydest = DestNone;
	receiver->archiver = make_archiver(options);
	receiver->archiver->settings = archive_pin_settings();
	return &receiver->pub;
}

/* All jobs are done after this, in the order in which they were filled */
static void
finish_jobs(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;
	int			at;
	int			i;

	/* no rows are one empty frame: an empty file is no zstd file */
	if (archiver->job->frame.rows > 0 || archiver->first_frame)
		end_frame(archiver);
	at = archiver->job - helper->jobs;
	for (i = 0; i < N_JOBS; i++)
		reclaim(archiver, &helper->jobs[(at + i) % N_JOBS]);
	helper_stop(helper);
}

static void
close_file(Archiver *archiver)
{
	Helper	   *helper = &archiver->helper;
	int			fd = helper->fd;

	if (fd < 0)
		return;
	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	if (pg_fsync(fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not fsync file \"%s\": %m", archiver->file));
	pgstat_report_wait_end();
	helper->fd = -1;
	ReleaseExternalFD();
	if (close(fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not close file \"%s\": %m", archiver->file));
}

static int
compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, ARCHIVE_DIGEST_LENGTH);
}

static void
finish_digests(Archiver *archiver, ArchiveSummary *summary)
{
	Size		size = (Size) summary->n_frames * ARCHIVE_DIGEST_LENGTH;
	uint8	   *digests = MemoryContextAllocHuge(archiver->context, size + 1);
	int			i;

	for (i = 0; i < summary->n_frames; i++)
		memcpy(digests + (Size) i * ARCHIVE_DIGEST_LENGTH,
			   summary->frames[i].digest, ARCHIVE_DIGEST_LENGTH);
	digest(archiver, digests, size, summary->digest);
	if (!summary->by_row)
		return;
	qsort(archiver->row_digests, archiver->n_row_digests,
		  ARCHIVE_DIGEST_LENGTH, compare_digests);
	digest(archiver, archiver->row_digests,
		   archiver->n_row_digests * ARCHIVE_DIGEST_LENGTH, summary->rows_digest);
}

static int
compare_tenants(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void
finish_tenants(Archiver *archiver, ArchiveSummary *summary)
{
	tenants_iterator iterator;
	Tenant	   *tenant;

	if (!archiver->tenants)
		return;
	summary->tenants = palloc((archiver->tenants->members + 1) * sizeof(char *));
	tenants_start_iterate(archiver->tenants, &iterator);
	while ((tenant = tenants_iterate(archiver->tenants, &iterator)) != NULL)
		summary->tenants[summary->n_tenants++] = pstrdup(tenant->text);
	qsort(summary->tenants, summary->n_tenants, sizeof(char *), compare_tenants);
}

/* The summary, in the current context; everything else is released */
static ArchiveSummary *
finish(Archiver *archiver)
{
	ArchiveSummary *summary = palloc(sizeof(ArchiveSummary));
	Size		frames_size;

	finish_jobs(archiver);
	close_file(archiver);
	*summary = archiver->summary;
	frames_size = summary->n_frames * sizeof(ArchiveFrame);
	summary->frames = MemoryContextAllocHuge(CurrentMemoryContext, frames_size + 1);
	memcpy(summary->frames, archiver->summary.frames, frames_size);
	finish_digests(archiver, summary);
	finish_tenants(archiver, summary);
	MemoryContextDelete(archiver->context);
	return summary;
}

ArchiveSummary *
archive_finish(DestReceiver *writer)
{
	ArchiveReceiver *receiver = (ArchiveReceiver *) writer;
	int			settings = receiver->archiver->settings;
	ArchiveSummary *summary = finish(receiver->archiver);

	receiver->archiver = NULL;
	archive_unpin_settings(settings);
	return summary;
}

/* ---- lines that are there already ---------------------------------------- */

ArchiveLineWriter *
archive_lines_begin(const ArchiveOptions *options)
{
	return make_archiver(options);
}

void
archive_put_line(ArchiveLineWriter *writer, const char *line, size_t len,
				 const char *clock)
{
	ArchiveFrame *frame = &writer->job->frame;

	ndjson_put_line(line, len, &writer->job->lines);
	count_line(writer);
	if (clock)
	{
		TimestampTz at = writer->clock_type == DATEOID
		? date_to_timestamptz(DatumGetDateADT(DirectFunctionCall1(date_in, CStringGetDatum(clock))))
		: DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(clock),
												  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

		widen(&frame->from, &frame->to, at, at);
	}
	if (writer->job->lines.len >= ARCHIVE_FRAME_BYTES)
		end_frame(writer);
}

ArchiveSummary *
archive_lines_finish(ArchiveLineWriter *writer)
{
	return finish(writer);
}

/* ---- the manifest ------------------------------------------------------- */

typedef struct Manifest
{
	const char *file;
	int			fd;
	pg_cryptohash_ctx *sha;
	StringInfoData text;		/* not yet written */
} Manifest;

static void
digest_failed(pg_cryptohash_ctx *sha)
{
	ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("could not compute a SHA-256 digest: %s",
				   pg_cryptohash_error(sha)));
}

static pg_cryptohash_ctx *
begin_digest(void)
{
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);

	if (!sha || pg_cryptohash_init(sha) < 0)
		digest_failed(sha);
	return sha;
}

static void
add_to_digest(pg_cryptohash_ctx *sha, const void *data, size_t len)
{
	if (pg_cryptohash_update(sha, data, len) < 0)
		digest_failed(sha);
}

static void
end_digest(pg_cryptohash_ctx *sha, uint8 *digest)
{
	if (pg_cryptohash_final(sha, digest, ARCHIVE_DIGEST_LENGTH) < 0)
		digest_failed(sha);
	pg_cryptohash_free(sha);
}

static void
flush(Manifest *manifest)
{
	const char *data = manifest->text.data;
	int			left = manifest->text.len;

	add_to_digest(manifest->sha, data, left);
	while (left > 0)
	{
		ssize_t		written;

		errno = 0;
		written = write(manifest->fd, data, left);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not write to file \"%s\": %m", manifest->file));
		}
		data += written;
		left -= written;
	}
	resetStringInfo(&manifest->text);
}

static void
add_hex(StringInfo text, const uint8 *digest)
{
	enlargeStringInfo(text, 2 * ARCHIVE_DIGEST_LENGTH + 2);
	appendStringInfoCharMacro(text, '"');
	text	  ->len += hex_encode((const char *) digest, ARCHIVE_DIGEST_LENGTH,
								  text->data + text->len);

	appendStringInfoCharMacro(text, '"');
}

/* One end of a range; null where the range is empty */
static void
add_time(StringInfo text, TimestampTz value, bool is_empty)
{
	char		time[NDJSON_TIMESTAMP_LENGTH];

	if (is_empty)
		appendStringInfoString(text, "null");
	else
		appendStringInfo(text, "\"%.*s\"", ndjson_timestamptz(value, time), time);
}

static void
add_frame(StringInfo text, const ArchiveFrame *frame)
{
	bool		no_clock = frame->from > frame->to;

	appendStringInfo(text, "{\"offset\":" UINT64_FORMAT ",\"bytes\":%u,\"raw_bytes\":%u,\"rows\":%u,\"digest\":",
					 frame->offset, frame->bytes, frame->raw_bytes, frame->rows);
	add_hex(text, frame->digest);
	appendStringInfoString(text, ",\"from\":");
	add_time(text, frame->from, no_clock);
	appendStringInfoString(text, ",\"to\":");
	add_time(text, frame->to, no_clock);
	appendStringInfoChar(text, '}');
}

static void
add_tenants(StringInfo text, const ArchiveSummary *summary)
{
	NdjsonBuffer string = {0};
	int			i;

	if (!summary->tenants)
	{
		appendStringInfoString(text, "null");
		return;
	}
	PG_TRY();
	{
		appendStringInfoChar(text, '[');
		for (i = 0; i < summary->n_tenants; i++)
		{
			string.len = 0;
			ndjson_string(summary->tenants[i], &string);
			if (i > 0)
				appendStringInfoChar(text, ',');
			appendBinaryStringInfo(text, string.data, string.len);
		}
		appendStringInfoChar(text, ']');
	}
	PG_FINALLY();
	{
		free(string.data);
	}
	PG_END_TRY();
}

/*
 * The members of a JSON object, without its braces, each on a line of its own
 * and ended by a comma.  Their order and their text are kept.
 */
static void
add_head(StringInfo text, const char *head)
{
	char	   *utf8;
	const char *at;
	int			depth = 0;
	bool		in_string = false;
	bool		is_empty = true;

	/* what follows may rely on its being JSON */
	(void) DirectFunctionCall1(json_in, CStringGetDatum(head));
	utf8 = pg_server_to_any(head, strlen(head), PG_UTF8);
	at = utf8 + strspn(utf8, " \t\r\n");
	if (*at != '{')
		elog(ERROR, "head of a manifest is not a JSON object");

	for (; *at; at++)
	{
		if (in_string)
		{
			appendStringInfoChar(text, *at);
			if (*at == '\\')
				appendStringInfoChar(text, *++at);
			else if (*at == '"')
				in_string = false;
			continue;
		}
		if (*at == '}' || *at == ']')
			depth--;
		if (depth > 0 && !strchr(" \t\r\n", *at))
		{
			appendStringInfoChar(text, *at);
			is_empty = false;
			if (*at == ',' && depth == 1)
				appendStringInfoChar(text, '\n');
		}
		if (*at == '{' || *at == '[')
			depth++;
		in_string = *at == '"';
	}
	if (!is_empty)
		appendStringInfoString(text, ",\n");
}

static void
add_summary(Manifest *manifest, const ArchiveSummary *summary)
{
	StringInfo text = &manifest->text;
	bool		no_clock = summary->from > summary->to;
	int			i;

	appendStringInfo(text, "\"rows\":" UINT64_FORMAT ",\n\"raw_bytes\":" UINT64_FORMAT ",\n\"bytes\":" UINT64_FORMAT ",\n\"digest\":",
					 summary->rows, summary->raw_bytes, summary->bytes);
	add_hex(text, summary->digest);
	appendStringInfoString(text, ",\n\"rows_digest\":");
	if (summary->by_row)
		add_hex(text, summary->rows_digest);
	else
		appendStringInfoString(text, "null");
	appendStringInfoString(text, ",\n\"from\":");
	add_time(text, summary->from, no_clock);
	appendStringInfoString(text, ",\n\"to\":");
	add_time(text, summary->to, no_clock);
	appendStringInfoString(text, ",\n\"tenants\":");
	add_tenants(text, summary);
	appendStringInfoString(text, ",\n\"frames\":[");
	for (i = 0; i < summary->n_frames; i++)
	{
		appendStringInfoString(text, i > 0 ? ",\n" : "\n");
		add_frame(text, &summary->frames[i]);
		if (text->len >= MANIFEST_PIECE)
			flush(manifest);
	}
	appendStringInfoChar(text, ']');
}

void
archive_write_manifest(const char *file, const char *head,
					   const ArchiveSummary *summary, uint8 *digest)
{
	Manifest	manifest = {.file = file};

	initStringInfo(&manifest.text);
	manifest.sha = begin_digest();
	manifest.fd = OpenTransientFile(file, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY);
	if (manifest.fd < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create file \"%s\": %m", file));
	appendStringInfoString(&manifest.text, "{\n");
	add_head(&manifest.text, head);
	add_summary(&manifest, summary);
	appendStringInfoString(&manifest.text, "\n}\n");
	flush(&manifest);
	end_digest(manifest.sha, digest);
	if (pg_fsync(manifest.fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not fsync file \"%s\": %m", file));
	if (CloseTransientFile(manifest.fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not close file \"%s\": %m", file));
	pfree(manifest.text.data);
}
