/*
 * archive.h
 *	  Rows as bytes, and back: what archive.c and its neighbours show.
 *
 * An archive is a directory of two objects: ARCHIVE_DATA_FILE, NDJSON in
 * independent zstd frames, and ARCHIVE_MANIFEST_FILE, which is written last
 * and proves the other.  docs/archive.md describes the format.
 */
#ifndef STEWARD_ARCHIVE_H
#define STEWARD_ARCHIVE_H

#include "postgres.h"

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "tcop/dest.h"

#define ARCHIVE_DATA_FILE		"data.ndjson.zst"
#define ARCHIVE_MANIFEST_FILE	"manifest.json"
#define ARCHIVE_DIGEST_LENGTH	32	/* SHA-256 */
#define ARCHIVE_FRAME_BYTES		(1024 * 1024)	/* of lines, before
												 * compression */
#define ARCHIVE_MAX_TENANTS		1000	/* that a manifest lists */

/* One zstd frame: whole lines only */
typedef struct ArchiveFrame
{
	uint64		offset;			/* in the data file */
	uint32		bytes;			/* compressed */
	uint32		raw_bytes;
	uint32		rows;
	uint8		digest[ARCHIVE_DIGEST_LENGTH];	/* of the lines */
	TimestampTz from;			/* least and greatest clock value; from > to:
								 * none */
	TimestampTz to;
} ArchiveFrame;

/* What an export comes to, and what a manifest says */
typedef struct ArchiveSummary
{
	uint64		rows;
	uint64		raw_bytes;
	uint64		bytes;			/* compressed, all frames */
	int			n_frames;
	ArchiveFrame *frames;
	uint8		digest[ARCHIVE_DIGEST_LENGTH];	/* of the frames' digests;
												 * meaningless without a file
												 * if by_row */
	bool		by_row;
	uint8		rows_digest[ARCHIVE_DIGEST_LENGTH]; /* of the sorted digests
													 * of the lines; if by_row */
	TimestampTz from;			/* least and greatest clock value; from > to:
								 * none */
	TimestampTz to;
	int			n_tenants;		/* -1: more than ARCHIVE_MAX_TENANTS */
	char	  **tenants;		/* text form, sorted */
} ArchiveSummary;

typedef struct ArchiveOptions
{
	const char *file;			/* local path of the data file, which must not
								 * exist; NULL: only the summary is wanted */
	AttrNumber	clock;			/* of the query's columns; 0 = none.
								 * timestamptz, timestamp (taken as UTC), date */
	Oid			clock_type;		/* for lines; a query says it itself */
	AttrNumber	tenant;			/* of the query's columns; 0 = none */
	bool		by_row;			/* also the digest of the set of lines */
	bool		single_thread;	/* compress and digest in this thread, too */
	pg_atomic_uint64 *rows;		/* progress is counted here, by frames; may be
								 * NULL */
	pg_atomic_uint64 *bytes;	/* of lines, before compression; may be NULL */
} ArchiveOptions;

/*
 * The settings under which values are written and read, until the given level
 * is undone or the transaction aborts.  archive_begin() pins them by itself
 * and archive_finish() undoes it: what runs between the two, triggers of a
 * DELETE included, runs under them.
 */
extern int	archive_pin_settings(void);
extern void archive_unpin_settings(int level);

/*
 * A DestReceiver that archives the rows of a query, any query: SELECT, or
 * DELETE ... RETURNING.  Column names are the query's.  archive_finish() ends
 * it, syncs the file and returns the summary, palloc'd in the current context.
 * On ERROR everything it holds (file, helper thread) goes with the memory
 * context that was current at archive_begin(), which must not outlive the
 * transaction; the file stays.
 */
extern DestReceiver *archive_begin(const ArchiveOptions *options);
extern ArchiveSummary *archive_finish(DestReceiver *writer);

/*
 * The same for lines that another archive holds: each ends with its newline,
 * and comes with the text of its clock's value, to be read in UTC (NULL: it has
 * none).  Neither clock nor tenant is taken from the options: the caller fills
 * in the summary's tenants.  Needs no transaction.
 */
typedef struct Archiver ArchiveLineWriter;

extern ArchiveLineWriter *archive_lines_begin(const ArchiveOptions *options);
extern void archive_put_line(ArchiveLineWriter *writer, const char *line,
							 size_t len, const char *clock);
extern ArchiveSummary *archive_lines_finish(ArchiveLineWriter *writer);

/*
 * The manifest's text: the members of "head" (a JSON object in text form) and
 * those of the summary.  archive_write_manifest() writes it to a new local
 * file, synced, and returns its SHA-256.
 */
extern void archive_write_manifest(const char *file, const char *head,
								   const ArchiveSummary *summary,
								   uint8 *digest);

/* What the catalog knows of an archive, and a read-back must equal */
typedef struct ArchiveFacts
{
	const char *base;
	const char *path;
	uint64		rows;
	uint64		bytes;
	uint64		raw_bytes;
	uint8		digest[ARCHIVE_DIGEST_LENGTH];
	bool		by_row;
	uint8		rows_digest[ARCHIVE_DIGEST_LENGTH];
	uint8		manifest_digest[ARCHIVE_DIGEST_LENGTH];
	pg_atomic_uint64 *progress; /* raw bytes read; may be NULL */
} ArchiveFacts;

/*
 * Read the whole archive back from its store and compare it with the facts:
 * the manifest by digest, each frame by place, size, row count and digest, the
 * whole by size, count and digests.  ERROR, XX001, whose DETAIL says what
 * differs, if anything does.  Needs no transaction; touches no relation.
 */
extern void archive_verify(const ArchiveFacts *facts);

/* ---- archive_reader.c: frame by frame, proven as they are read ----------- */

typedef struct ArchiveReader ArchiveReader;

typedef struct ArchiveColumn
{
	char	   *name;
	char	   *type;
	bool		generated;
	bool		identity;
} ArchiveColumn;

/* What the manifest's head says, as far as readers need it */
typedef struct ArchiveHead
{
	int			n_columns;
	ArchiveColumn *columns;		/* in the order of each line */
	int			n_key;
	char	  **key;			/* names of columns */
	char	   *clock;			/* name of the column that the frames' bounds
								 * are of; NULL: the manifest does not say */
	char	   *tenant;			/* likewise, of the rows' tenants */
	char	   *ddl;
} ArchiveHead;

#define ARCHIVE_LINES_SLACK	8	/* bytes */

/* A frame's lines, until the next frame is asked for */
typedef struct ArchiveLines
{
	char	   *text;			/* ends with a newline, and behind it are
								 * ARCHIVE_LINES_SLACK bytes of zero */
	size_t		length;
	uint32		rows;
} ArchiveLines;

/*
 * archive_open() reads the manifest and compares it with the facts and with
 * the size of the data.  archive_next_frame() reads and proves the next frame
 * that may hold a clock value in [from, to); DT_NOBEGIN and DT_NOEND stand for
 * no bound, and without bounds each frame comes.  False: there is none.  Both
 * raise XX001 when something is not as it must be.
 *
 * The reader lives in a memory context of its own below the current one, and
 * everything it holds goes with that.  Needs no transaction.
 */
extern ArchiveReader *archive_open(const ArchiveFacts *facts);
extern const ArchiveHead *archive_head(const ArchiveReader *reader);
extern const ArchiveSummary *archive_summary(const ArchiveReader *reader);
extern const char *archive_manifest(const ArchiveReader *reader);
extern bool archive_next_frame(ArchiveReader *reader, TimestampTz from,
							   TimestampTz to, ArchiveLines *lines);
extern void archive_close(ArchiveReader *reader);

#endif							/* STEWARD_ARCHIVE_H */
