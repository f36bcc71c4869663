/*
 * archive_reader.c
 *	  Reads an archive back, and believes nothing that it has not proven.
 *
 * The chain of proof: the catalog knows the SHA-256 of the manifest; the
 * manifest lists the frames, which must tile the data file without a gap, and
 * the SHA-256 of each one's lines, whose digest the catalog knows too.  A frame
 * is handed out only after its digest has been compared.  Whatever differs is
 * one error, XX001, whose DETAIL says what, and never a line's content.
 *
 * The manifest is parsed by core's JSON parser while it is read, into arrays of
 * structs: a list of a million frames is no million of jsonb nodes.
 *
 * Needs no transaction and touches no relation: input functions of built-in
 * types only.  No locks.
 *
 * Memory: a context for each reader, with a buffer for one frame before and one
 * after decompression; a row's digest is kept (32 bytes) where the digest of the
 * set of rows is to be made.  What OpenSSL and zstd allocate goes with the
 * context.
 */
#include "steward.h"

#include <openssl/evp.h>
#include <zstd.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "archive.h"
#include "store.h"

#define MAX_MANIFEST_BYTES	(256 * 1024 * 1024)

struct ArchiveReader
{
	MemoryContext context;
	MemoryContextCallback closer;
	ArchiveFacts facts;
	ArchiveHead head;
	char	   *manifest;		/* as it was read */
	ArchiveSummary summary;
	StoreObject *data;
	EVP_MD	   *sha256;
	EVP_MD_CTX *hash;
	ZSTD_DCtx  *zstd;
	int			next;			/* frame */
	char	   *packed;			/* the frame as it is stored */
	size_t		packed_size;
	char	   *lines;			/* and decompressed */
	size_t		lines_size;
};

#define archive_refuse(reader, ...) \
	ereport(ERROR, \
			errcode(ERRCODE_DATA_CORRUPTED), \
			errmsg("archive \"%s\" does not prove its rows", \
				   (reader)->facts.path), \
			__VA_ARGS__)

/* ---- digests ------------------------------------------------------------ */

static void
digest_of(ArchiveReader *reader, const void *data, size_t length,
		  uint8 *digest)
{
	if (EVP_DigestInit_ex(reader->hash, NULL, NULL) != 1 ||
		EVP_DigestUpdate(reader->hash, data, length) != 1 ||
		EVP_DigestFinal_ex(reader->hash, digest, NULL) != 1)
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not compute a SHA-256 digest"));
}

static bool
same_digest(const uint8 *a, const uint8 *b)
{
	return memcmp(a, b, ARCHIVE_DIGEST_LENGTH) == 0;
}

/* ---- manifest.json → structs -------------------------------------------- */

/* Where in the manifest the parser is */
typedef enum ManifestPlace
{
	IN_HEAD,					/* members of the manifest itself */
	IN_COLUMNS,
	IN_FRAMES,
	IN_KEY,
	IN_TENANTS,
	IN_OTHER					/* a member that readers do not need */
} ManifestPlace;

#define SEEN_FORMAT			(1 << 0)
#define SEEN_VERSION		(1 << 1)
#define SEEN_ROWS			(1 << 2)
#define SEEN_RAW_BYTES		(1 << 3)
#define SEEN_BYTES			(1 << 4)
#define SEEN_DIGEST			(1 << 5)
#define SEEN_COLUMNS		(1 << 6)
#define SEEN_FRAMES			(1 << 7)
#define SEEN_ALL			((1 << 8) - 1)

typedef struct ManifestParser
{
	ArchiveReader *reader;
	ManifestPlace place;
	int			depth;
	char	   *field;			/* the innermost member's name */
	int			seen;			/* of the members that must be there */
	int			max_columns;
	int			max_frames;
	int			max_key;
	int			max_tenants;
} ManifestParser;

pg_noreturn static void refuse_member(ManifestParser *parser);

static void
refuse_member(ManifestParser *parser)
{
	archive_refuse(parser->reader,
				   errdetail("%s: the value of member \"%s\" is not of the kind it must be.",
							 ARCHIVE_MANIFEST_FILE, parser->field ? parser->field : ""));
}

/* Make room for one more; zeroes it */
static void *
next_element(void **elements, int *n, int *max, size_t size)
{
	char	   *element;

	if (*n >= *max)
	{
		int			wanted = Max(*max * 2, 16);
		char	   *larger = MemoryContextAllocHuge(CurrentMemoryContext, wanted * size);

		if (*n > 0)
		{
			memcpy(larger, *elements, *n * size);
			pfree(*elements);
		}
		*elements = larger;
		*max = wanted;
	}
	element = (char *) *elements + *n * size;
	memset(element, 0, size);
	(*n)++;
	return element;
}

static uint64
number_of(ManifestParser *parser, const char *token, JsonTokenType type,
		  uint64 max)
{
	char	   *end;
	uint64		value;

	if (type != JSON_TOKEN_NUMBER || token[0] == '-')
		refuse_member(parser);
	errno = 0;
	value = strtoull(token, &end, 10);
	if (errno != 0 || *end != '\0' || value > max)
		refuse_member(parser);
	return value;
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
digest_member(ManifestParser *parser, const char *token, JsonTokenType type,
			  uint8 *digest)
{
	int			i;

	if (type != JSON_TOKEN_STRING ||
		strlen(token) != 2 * ARCHIVE_DIGEST_LENGTH)
		refuse_member(parser);
	for (i = 0; i < ARCHIVE_DIGEST_LENGTH; i++)
	{
		int			high = nibble(token[2 * i]);
		int			low = nibble(token[2 * i + 1]);

		if (high < 0 || low < 0)
			refuse_member(parser);
		digest[i] = high << 4 | low;
	}
}

static TimestampTz
time_member(ManifestParser *parser, const char *token, JsonTokenType type,
			TimestampTz none)
{
	if (type == JSON_TOKEN_NULL)
		return none;
	if (type != JSON_TOKEN_STRING)
		refuse_member(parser);
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(token),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

static char *
text_member(ManifestParser *parser, const char *token, JsonTokenType type)
{
	if (type == JSON_TOKEN_NULL)
		return NULL;
	if (type != JSON_TOKEN_STRING)
		refuse_member(parser);
	return pstrdup(token);
}

static void
head_scalar(ManifestParser *parser, const char *token, JsonTokenType type)
{
	ArchiveReader *reader = parser->reader;
	ArchiveSummary *summary = &reader->summary;
	const char *field = parser->field;

	if (strcmp(field, "format") == 0)
	{
		if (type != JSON_TOKEN_STRING || strcmp(token, "pg_steward") != 0)
			refuse_member(parser);
		parser->seen |= SEEN_FORMAT;
	}
	else if (strcmp(field, "format_version") == 0)
	{
		if (number_of(parser, token, type, PG_INT32_MAX) != 1)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("archive \"%s\" has a format that this version of pg_steward does not know",
						   reader->facts.path),
					errhint("Update pg_steward."));
		parser->seen |= SEEN_VERSION;
	}
	else if (strcmp(field, "rows") == 0)
	{
		summary->rows = number_of(parser, token, type, PG_INT64_MAX);
		parser->seen |= SEEN_ROWS;
	}
	else if (strcmp(field, "raw_bytes") == 0)
	{
		summary->raw_bytes = number_of(parser, token, type, PG_INT64_MAX);
		parser->seen |= SEEN_RAW_BYTES;
	}
	else if (strcmp(field, "bytes") == 0)
	{
		summary->bytes = number_of(parser, token, type, PG_INT64_MAX);
		parser->seen |= SEEN_BYTES;
	}
	else if (strcmp(field, "digest") == 0)
	{
		digest_member(parser, token, type, summary->digest);
		parser->seen |= SEEN_DIGEST;
	}
	else if (strcmp(field, "rows_digest") == 0)
	{
		summary->by_row = type != JSON_TOKEN_NULL;
		if (summary->by_row)
			digest_member(parser, token, type, summary->rows_digest);
	}
	else if (strcmp(field, "from") == 0)
		summary->from = time_member(parser, token, type, DT_NOEND);
	else if (strcmp(field, "to") == 0)
		summary->to = time_member(parser, token, type, DT_NOBEGIN);
	else if (strcmp(field, "clock") == 0)
		reader->head.clock = text_member(parser, token, type);
	else if (strcmp(field, "tenant_column") == 0)
		reader->head.tenant = text_member(parser, token, type);
	else if (strcmp(field, "ddl") == 0)
		reader->head.ddl = text_member(parser, token, type);
}

static void
frame_scalar(ManifestParser *parser, const char *token, JsonTokenType type)
{
	ArchiveSummary *summary = &parser->reader->summary;
	ArchiveFrame *frame = &summary->frames[summary->n_frames - 1];
	const char *field = parser->field;

	if (strcmp(field, "offset") == 0)
		frame->offset = number_of(parser, token, type, PG_INT64_MAX);
	else if (strcmp(field, "bytes") == 0)
		frame->bytes = number_of(parser, token, type, PG_UINT32_MAX);
	else if (strcmp(field, "raw_bytes") == 0)
		frame->raw_bytes = number_of(parser, token, type, PG_UINT32_MAX);
	else if (strcmp(field, "rows") == 0)
		frame->rows = number_of(parser, token, type, PG_UINT32_MAX);
	else if (strcmp(field, "digest") == 0)
		digest_member(parser, token, type, frame->digest);
	else if (strcmp(field, "from") == 0)
		frame->from = time_member(parser, token, type, DT_NOEND);
	else if (strcmp(field, "to") == 0)
		frame->to = time_member(parser, token, type, DT_NOBEGIN);
}

static void
column_scalar(ManifestParser *parser, const char *token, JsonTokenType type)
{
	ArchiveHead *head = &parser->reader->head;
	ArchiveColumn *column = &head->columns[head->n_columns - 1];
	const char *field = parser->field;

	if (strcmp(field, "name") == 0)
		column->name = text_member(parser, token, type);
	else if (strcmp(field, "type") == 0)
		column->type = text_member(parser, token, type);
	else if (strcmp(field, "generated") == 0)
		column->generated = type == JSON_TOKEN_TRUE;
	else if (strcmp(field, "identity") == 0)
		column->identity = type == JSON_TOKEN_TRUE;
}

static void
name_element(ManifestParser *parser, const char *token, JsonTokenType type,
			 char ***names, int *n, int *max)
{
	char	   *name = text_member(parser, token, type);

	if (!name)
		refuse_member(parser);
	*(char **) next_element((void **) names, n, max, sizeof(char *)) = name;
}

static STEWARD_JSON_RESULT
manifest_scalar(void *state, char *token, JsonTokenType type)
{
	ManifestParser *parser = state;
	ArchiveReader *reader = parser->reader;

	if (parser->place == IN_HEAD && parser->depth == 1)
	{
		if (strcmp(parser->field, "tenants") == 0 && type == JSON_TOKEN_NULL)
			reader->summary.n_tenants = -1;
		else
			head_scalar(parser, token, type);
	}
	else if (parser->place == IN_FRAMES && parser->depth == 3)
		frame_scalar(parser, token, type);
	else if (parser->place == IN_COLUMNS && parser->depth == 3)
		column_scalar(parser, token, type);
	else if (parser->place == IN_KEY && parser->depth == 2)
		name_element(parser, token, type, &reader->head.key,
					 &reader->head.n_key, &parser->max_key);
	else if (parser->place == IN_TENANTS && parser->depth == 2)
		name_element(parser, token, type, &reader->summary.tenants,
					 &reader->summary.n_tenants, &parser->max_tenants);
	else if (parser->place != IN_OTHER)
		refuse_member(parser);
	pfree(token);
	return STEWARD_JSON_SUCCESS;
}

static STEWARD_JSON_RESULT
manifest_field_start(void *state, char *name, bool isnull)
{
	((ManifestParser *) state)->field = name;
	return STEWARD_JSON_SUCCESS;
}

static STEWARD_JSON_RESULT
manifest_field_end(void *state, char *name, bool isnull)
{
	((ManifestParser *) state)->field = NULL;
	pfree(name);
	return STEWARD_JSON_SUCCESS;
}

static ManifestPlace
place_of(ManifestParser *parser)
{
	if (strcmp(parser->field, "columns") == 0)
		return IN_COLUMNS;
	if (strcmp(parser->field, "frames") == 0)
		return IN_FRAMES;
	if (strcmp(parser->field, "key") == 0)
		return IN_KEY;
	if (strcmp(parser->field, "tenants") == 0)
		return IN_TENANTS;
	return IN_OTHER;
}

/* A member of the manifest that is itself an object or an array */
static void
enter_member(ManifestParser *parser, bool array)
{
	parser->place = place_of(parser);
	if (!array && parser->place != IN_OTHER)
		refuse_member(parser);
	if (parser->place == IN_COLUMNS)
		parser->seen |= SEEN_COLUMNS;
	else if (parser->place == IN_FRAMES)
		parser->seen |= SEEN_FRAMES;
}

static STEWARD_JSON_RESULT
manifest_object_start(void *state)
{
	ManifestParser *parser = state;
	ArchiveReader *reader = parser->reader;

	if (parser->depth == 1)
		enter_member(parser, false);
	else if (parser->depth == 2 && parser->place == IN_FRAMES)
	{
		ArchiveFrame *frame =
		next_element((void **) &reader->summary.frames,
					 &reader->summary.n_frames, &parser->max_frames,
					 sizeof(ArchiveFrame));

		frame->from = DT_NOEND;
		frame->to = DT_NOBEGIN;
	}
	else if (parser->depth == 2 && parser->place == IN_COLUMNS)
		next_element((void **) &reader->head.columns, &reader->head.n_columns,
					 &parser->max_columns, sizeof(ArchiveColumn));
	else if (parser->depth > 0 && parser->place != IN_OTHER)
		refuse_member(parser);
	parser->depth++;
	return STEWARD_JSON_SUCCESS;
}

static STEWARD_JSON_RESULT
manifest_array_start(void *state)
{
	ManifestParser *parser = state;

	if (parser->depth == 0)
		refuse_member(parser);
	else if (parser->depth == 1)
		enter_member(parser, true);
	else if (parser->place != IN_OTHER)
		refuse_member(parser);
	parser->depth++;
	return STEWARD_JSON_SUCCESS;
}

static STEWARD_JSON_RESULT
manifest_end(void *state)
{
	ManifestParser *parser = state;

	if (--parser->depth == 1)
		parser->place = IN_HEAD;
	return STEWARD_JSON_SUCCESS;
}

static void
parse_manifest(ArchiveReader *reader, char *text, size_t length)
{
	ManifestParser parser = {.reader = reader};
	JsonSemAction actions = {
		.semstate = &parser,
		.object_start = manifest_object_start,
		.object_end = manifest_end,
		.array_start = manifest_array_start,
		.array_end = manifest_end,
		.object_field_start = manifest_field_start,
		.object_field_end = manifest_field_end,
		.scalar = manifest_scalar,
	};
	JsonLexContext *lexer = steward_json_lexer(text, length);
	int			i;

	reader->summary.from = DT_NOEND;
	reader->summary.to = DT_NOBEGIN;
	if (pg_parse_json(lexer, &actions) != JSON_SUCCESS)
		archive_refuse(reader,
					   errdetail("%s is not JSON.", ARCHIVE_MANIFEST_FILE));
	if (parser.seen != SEEN_ALL)
		archive_refuse(reader,
					   errdetail("%s lacks a member that it must have.",
								 ARCHIVE_MANIFEST_FILE));
	for (i = 0; i < reader->head.n_columns; i++)
	{
		if (!reader->head.columns[i].name)
			archive_refuse(reader,
						   errdetail("%s: column %d has no name.",
									 ARCHIVE_MANIFEST_FILE, i + 1));
	}
}

/* ---- the manifest against the catalog, and against itself ---------------- */

static void
check_count(ArchiveReader *reader, const char *what, uint64 manifest,
			uint64 catalog)
{
	if (manifest != catalog)
		archive_refuse(reader,
					   errdetail("%s: the manifest says " UINT64_FORMAT ", the catalog " UINT64_FORMAT ".",
								 what, manifest, catalog));
}

/* The frames must tile the data file and add up to the whole */
static void
check_frames(ArchiveReader *reader)
{
	ArchiveSummary *summary = &reader->summary;
	uint64		offset = 0;
	uint64		rows = 0;
	uint64		raw_bytes = 0;
	uint8	   *digests;
	uint8		digest[ARCHIVE_DIGEST_LENGTH];
	int			i;

	digests = MemoryContextAllocHuge(reader->context,
									 Max((Size) summary->n_frames, 1) * ARCHIVE_DIGEST_LENGTH);
	for (i = 0; i < summary->n_frames; i++)
	{
		const ArchiveFrame *frame = &summary->frames[i];

		/* an archive of no rows is one empty frame */
		bool		may_be_empty = summary->n_frames == 1 && summary->rows == 0;

		if (frame->offset != offset || frame->bytes == 0 ||
			(!may_be_empty && (frame->raw_bytes == 0 || frame->rows == 0)))
			archive_refuse(reader,
						   errdetail("Frame %d of %d does not begin where the one before it ends, or is empty.",
									 i + 1, summary->n_frames));
		offset += frame->bytes;
		rows += frame->rows;
		raw_bytes += frame->raw_bytes;
		memcpy(digests + (Size) i * ARCHIVE_DIGEST_LENGTH, frame->digest,
			   ARCHIVE_DIGEST_LENGTH);
	}
	if (offset != summary->bytes || rows != summary->rows ||
		raw_bytes != summary->raw_bytes)
		archive_refuse(reader,
					   errdetail("The %d frames do not add up to what the manifest says of the whole.",
								 summary->n_frames));
	digest_of(reader, digests, (Size) summary->n_frames * ARCHIVE_DIGEST_LENGTH,
			  digest);
	if (!same_digest(digest, summary->digest))
		archive_refuse(reader,
					   errdetail("The digest over the frames' digests differs from what the manifest says."));
	pfree(digests);
}

static void
check_facts(ArchiveReader *reader)
{
	const ArchiveFacts *facts = &reader->facts;
	const ArchiveSummary *summary = &reader->summary;

	check_count(reader, "Rows", summary->rows, facts->rows);
	check_count(reader, "Bytes", summary->bytes, facts->bytes);
	check_count(reader, "Bytes before compression", summary->raw_bytes,
				facts->raw_bytes);
	if (!same_digest(summary->digest, facts->digest))
		archive_refuse(reader,
					   errdetail("The manifest's digest of the frames differs from the catalog's."));
	if (summary->by_row != facts->by_row ||
		(facts->by_row &&
		 !same_digest(summary->rows_digest, facts->rows_digest)))
		archive_refuse(reader,
					   errdetail("The manifest's digest of the rows differs from the catalog's."));
}

static void
check_size(ArchiveReader *reader)
{
	uint64		size = store_size(reader->data);
	uint64		wanted = reader->summary.bytes;

	if (size != wanted)
		archive_refuse(reader,
					   errdetail(size < wanted
								 ? "%s has " UINT64_FORMAT " bytes; the manifest says " UINT64_FORMAT ", which is more."
								 : "%s has " UINT64_FORMAT " bytes; the manifest says " UINT64_FORMAT ", which is less.",
								 ARCHIVE_DATA_FILE, size, wanted));
}

/* ---- the reader --------------------------------------------------------- */

static void
release_reader(void *arg)
{
	ArchiveReader *reader = arg;

	ZSTD_freeDCtx(reader->zstd);
	EVP_MD_CTX_free(reader->hash);
	EVP_MD_free(reader->sha256);
}

static ArchiveReader *
make_reader(const ArchiveFacts *facts)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_steward archive reader",
												  ALLOCSET_DEFAULT_SIZES);
	ArchiveReader *reader = MemoryContextAllocZero(context,
												   sizeof(ArchiveReader));

	reader->context = context;
	reader->facts = *facts;
	reader->facts.base = MemoryContextStrdup(context, facts->base);
	reader->facts.path = MemoryContextStrdup(context, facts->path);
	reader->closer.func = release_reader;
	reader->closer.arg = reader;
	MemoryContextRegisterResetCallback(context, &reader->closer);
	reader->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	reader->hash = EVP_MD_CTX_new();
	reader->zstd = ZSTD_createDCtx();
	if (!reader->sha256 || !reader->hash || !reader->zstd ||
		EVP_DigestInit_ex(reader->hash, reader->sha256, NULL) != 1)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	return reader;
}

static char *
object_path(const ArchiveReader *reader, const char *name)
{
	return psprintf("%s/%s", reader->facts.path, name);
}

static void
read_manifest(ArchiveReader *reader)
{
	StoreObject *object = store_open(reader->facts.base,
									 object_path(reader, ARCHIVE_MANIFEST_FILE));
	uint64		size = store_size(object);
	uint8		digest[ARCHIVE_DIGEST_LENGTH];
	char	   *text;

	if (size > MAX_MANIFEST_BYTES)
		archive_refuse(reader,
					   errdetail("%s is larger than a manifest may be.",
								 ARCHIVE_MANIFEST_FILE));
	text = palloc(size + 1);

	if (store_read(object, 0, text, size) != size)
		archive_refuse(reader,
					   errdetail("%s is shorter than its size.",
								 ARCHIVE_MANIFEST_FILE));
	text[		size] = '\0';

	store_close(object);

	digest_of(reader, text, size, digest);
	if (!same_digest(digest, reader->facts.manifest_digest))
		archive_refuse(reader,
					   errdetail("The digest of %s differs from the catalog's.",
								 ARCHIVE_MANIFEST_FILE));
	parse_manifest(reader, text, size);
	reader->manifest = text;
}

ArchiveReader *
archive_open(const ArchiveFacts *facts)
{
	ArchiveReader *reader = make_reader(facts);
	MemoryContext caller = MemoryContextSwitchTo(reader->context);

	read_manifest(reader);
	check_facts(reader);
	check_frames(reader);
	reader->data = store_open(reader->facts.base,
							  object_path(reader, ARCHIVE_DATA_FILE));
	check_size(reader);
	MemoryContextSwitchTo(caller);
	return reader;
}

const ArchiveHead *
archive_head(const ArchiveReader *reader)
{
	return &reader->head;
}

const ArchiveSummary *
archive_summary(const ArchiveReader *reader)
{
	return &reader->summary;
}

const char *
archive_manifest(const ArchiveReader *reader)
{
	return reader->manifest;
}

void
archive_close(ArchiveReader *reader)
{
	MemoryContextDelete(reader->context);
}

static void
need_room(ArchiveReader *reader, char **buffer, size_t *size, size_t wanted)
{
	if (wanted <= *size)
		return;
	if (*buffer)
		pfree(*buffer);
	*size = 0;
	*buffer = MemoryContextAllocHuge(reader->context, wanted);
	*size = wanted;
}

static void
refuse_frame(ArchiveReader *reader, int number, const char *what)
{
	archive_refuse(reader,
				   errdetail("Frame %d of %d: %s.", number + 1,
							 reader->summary.n_frames, what));
}

static uint32
count_lines(const char *first, size_t length)
{
	const char *end = first + length;
	uint32		n = 0;

	while ((first = memchr(first, '\n', end - first)) != NULL)
	{
		n++;
		if (++first == end)
			break;
	}
	return n;
}

/* Bring one frame's lines into reader->lines */
static void
read_frame(ArchiveReader *reader, int number)
{
	const ArchiveFrame *frame = &reader->summary.frames[number];
	uint8		digest[ARCHIVE_DIGEST_LENGTH];
	size_t		length;

	need_room(reader, &reader->packed, &reader->packed_size, frame->bytes);
	need_room(reader, &reader->lines, &reader->lines_size,
			  (size_t) frame->raw_bytes + ARCHIVE_LINES_SLACK);

	if (store_read(reader->data, frame->offset, reader->packed,
				   frame->bytes) != frame->bytes)
		refuse_frame(reader, number, "the data ends before it does");
	if (ZSTD_findFrameCompressedSize(reader->packed, frame->bytes) != frame->bytes)
		refuse_frame(reader, number, "it is not one zstd frame of its size");
	length = ZSTD_decompressDCtx(reader->zstd, reader->lines, frame->raw_bytes,
								 reader->packed, frame->bytes);
	if (ZSTD_isError(length))
		refuse_frame(reader, number, "it cannot be decompressed to its size");
	if (length != frame->raw_bytes)
		refuse_frame(reader, number, "it is shorter than the manifest says");
	digest_of(reader, reader->lines, length, digest);
	if (!same_digest(digest, frame->digest))
		refuse_frame(reader, number, "digest differs");
	if ((length > 0 && reader->lines[length - 1] != '\n') ||
		count_lines(reader->lines, length) != frame->rows)
		refuse_frame(reader, number, "the number of its lines differs");
	memset(reader->lines + length, 0, ARCHIVE_LINES_SLACK);
}

static bool
frame_is_wanted(const ArchiveFrame *frame, TimestampTz from, TimestampTz to)
{
	if (TIMESTAMP_IS_NOBEGIN(from) && TIMESTAMP_IS_NOEND(to))
		return true;
	return frame->from <= frame->to && frame->to >= from &&
		(frame->from < to || TIMESTAMP_IS_NOEND(to));
}

bool
archive_next_frame(ArchiveReader *reader, TimestampTz from, TimestampTz to,
				   ArchiveLines *lines)
{
	CHECK_FOR_INTERRUPTS();
	while (reader->next < reader->summary.n_frames)
	{
		int			number = reader->next++;
		const ArchiveFrame *frame = &reader->summary.frames[number];

		if (!frame_is_wanted(frame, from, to))
			continue;
		read_frame(reader, number);
		lines->text = reader->lines;
		lines->length = frame->raw_bytes;
		lines->rows = frame->rows;
		if (reader->facts.progress)
			pg_atomic_fetch_add_u64(reader->facts.progress, frame->raw_bytes);
		return true;
	}
	return false;
}

/* ---- the whole archive -------------------------------------------------- */

static int
compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, ARCHIVE_DIGEST_LENGTH);
}

/* Append the digest of each line */
static uint8 *
digest_lines(ArchiveReader *reader, const ArchiveLines *lines, uint8 *digests)
{
	const char *line = lines->text;
	const char *stop = line + lines->length;
	uint32		i;

	for (i = 0; i < lines->rows; i++)
	{
		const char *end = (const char *) memchr(line, '\n', stop - line) + 1;

		digest_of(reader, line, end - line, digests);
		digests += ARCHIVE_DIGEST_LENGTH;
		line = end;
	}
	return digests;
}

static void
check_rows_digest(ArchiveReader *reader, uint8 *digests)
{
	Size		n = reader->summary.rows;
	uint8		digest[ARCHIVE_DIGEST_LENGTH];

	qsort(digests, n, ARCHIVE_DIGEST_LENGTH, compare_digests);
	digest_of(reader, digests, n * ARCHIVE_DIGEST_LENGTH, digest);
	if (!same_digest(digest, reader->facts.rows_digest))
		archive_refuse(reader,
					   errdetail("The digest of the rows, recomputed, differs from the catalog's."));
}

void
archive_verify(const ArchiveFacts *facts)
{
	ArchiveReader *reader = archive_open(facts);
	ArchiveLines lines;
	uint8	   *digests = NULL;
	uint8	   *next = NULL;

	if (facts->by_row)
		next = digests =
			MemoryContextAllocHuge(reader->context,
								   Max(reader->summary.rows, 1) * ARCHIVE_DIGEST_LENGTH);
	while (archive_next_frame(reader, DT_NOBEGIN, DT_NOEND, &lines))
	{
		if (digests)
			next = digest_lines(reader, &lines, next);
	}
	if (digests)
		check_rows_digest(reader, digests);
	archive_close(reader);
}
