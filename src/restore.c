/*
 * restore.c
 *	  Archived rows, back: into a table, or read in place.
 *
 * Restore is core's COPY FROM.  Lines of NDJSON become lines of COPY's text
 * format in its source callback, frame by frame and each proven before it is
 * handed on, so an archive that does not prove its rows restores none: the
 * error ends the transaction.  JSON's escapes are COPY's own, but for three.
 *
 * Who.  SQL calls these functions as the user who asks, for what he may do is
 * judged by that.  Rows go back into the store's own table on the word of the
 * grant of steward.restore() alone; into any other table only with INSERT
 * there, and never into another store's.  The copy itself runs as the table's
 * owner in a restricted operation, as REINDEX does: defaults, triggers and
 * input functions get no rights of his.  Rows that go home are exempt from
 * admission (actor_set_retention).
 *
 * Silence.  Core puts a value that it refuses into the message, its DETAIL or
 * its CONTEXT.  Errors are caught, and thrown again without.
 *
 * Locks: ROW EXCLUSIVE on the target to the end of the transaction; where a
 * dropped partition is made again, SHARE UPDATE EXCLUSIVE on its parent.
 *
 * Memory: one frame of lines, and the same as COPY text.
 */
#include "steward.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "archive.h"

PG_FUNCTION_INFO_V1(steward_restore_rows);
PG_FUNCTION_INFO_V1(steward_archive_rows);
PG_FUNCTION_INFO_V1(steward_archive_rows_typed);
PG_FUNCTION_INFO_V1(steward_verify_archive);

/* ---- the catalog's row -------------------------------------------------- */

typedef struct CatalogEntry
{
	int64		id;
	ArchiveFacts facts;
	char	   *state;
	char	   *store;
	Oid			relation;		/* the store's table, if it has one still */
	char	   *clock;			/* by the store's retention; may be NULL */
	char	   *tenant;			/* the store's tenant column; may be NULL */
	char	   *segment_state;	/* may be NULL */
} CatalogEntry;

static const char entry_query[] =
"SELECT a.base, a.path, a.rows, a.bytes, a.raw_bytes, a.digest, a.rows_digest,"
"  a.manifest_digest, a.state, a.store, s.relation::pg_catalog.oid,"
"  s.retention OPERATOR(pg_catalog.->>) 'clock', s.tenant, g.state"
" FROM steward.archive a"
" LEFT JOIN steward.store s ON s.name OPERATOR(pg_catalog.=) a.store"
" LEFT JOIN steward.segment g ON g.id OPERATOR(pg_catalog.=) a.segment"
" WHERE a.id OPERATOR(pg_catalog.=) $1";

/* Run one statement about an archive; the result is SPI_tuptable */
static void
run_about(int64 archive, const char *query, bool read_only, Datum other,
		  Oid other_type)
{
	Oid			types[2] = {INT8OID, other_type};
	Datum		values[2];
	int			result;

	values[0] = Int64GetDatum(archive);
	values[1] = other;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_with_args(query, OidIsValid(other_type) ? 2 : 1, types,
								   values, NULL, read_only, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(result));
}

static Datum
spi_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
						 isnull);
}

static char *
spi_text(int column, MemoryContext context)
{
	bool		isnull;
	Datum		value = spi_value(column, &isnull);

	return isnull ? NULL :
		MemoryContextStrdup(context, TextDatumGetCString(value));
}

static uint64
spi_count(int column)
{
	bool		isnull;

	return DatumGetInt64(spi_value(column, &isnull));
}

/* false: NULL */
static bool
spi_digest(int column, uint8 *digest)
{
	bool		isnull;
	Datum		value = spi_value(column, &isnull);
	bytea	   *bytes;

	if (isnull)
		return false;
	bytes = DatumGetByteaPP(value);
	memset(digest, 0, ARCHIVE_DIGEST_LENGTH);
	if (VARSIZE_ANY_EXHDR(bytes) == ARCHIVE_DIGEST_LENGTH)
		memcpy(digest, VARDATA_ANY(bytes), ARCHIVE_DIGEST_LENGTH);
	return true;
}

/* What the catalog knows of an archive that can be read */
static CatalogEntry *
load_entry(int64 archive)
{
	MemoryContext context = CurrentMemoryContext;
	CatalogEntry *entry = palloc0(sizeof(CatalogEntry));
	ArchiveFacts *facts = &entry->facts;
	bool		isnull;

	run_about(archive, entry_query, true, (Datum) 0, InvalidOid);
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("there is no archive " INT64_FORMAT, archive),
				errhint("SELECT id, store, time_from, time_to, state FROM steward.archive;"));
	entry->id = archive;
	facts->base = spi_text(1, context);
	facts->path = spi_text(2, context);
	facts->rows = spi_count(3);
	facts->bytes = spi_count(4);
	facts->raw_bytes = spi_count(5);
	spi_digest(6, facts->digest);
	facts->by_row = spi_digest(7, facts->rows_digest);
	spi_digest(8, facts->manifest_digest);
	entry->state = spi_text(9, context);
	entry->store = spi_text(10, context);
	entry->relation = DatumGetObjectId(spi_value(11, &isnull));
	if (isnull || !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->relation)))
		entry->relation = InvalidOid;
	entry->clock = spi_text(12, context);
	entry->tenant = spi_text(13, context);
	entry->segment_state = spi_text(14, context);
	SPI_finish();

	if (strcmp(entry->state, "uploaded") != 0 &&
		strcmp(entry->state, "verified") != 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("archive " INT64_FORMAT " cannot be read", archive),
				errdetail("Its state is \"%s\".", entry->state));
	return entry;
}

/* ---- lines -------------------------------------------------------------- */

/* That may be written behind a string, or read: archive_reader.c leaves it */
#define WORD_SLACK	ARCHIVE_LINES_SLACK

/* How each line of an archive begins its columns: ,"name": */
typedef struct LineFormat
{
	const char *path;			/* of the archive, for messages */
	int			n;
	char	  **keys;
	size_t	   *key_lengths;
} LineFormat;

/* Where in a line we are */
typedef struct LineCursor
{
	const LineFormat *format;
	const char *at;
	const char *end;			/* the newline */
} LineCursor;

static LineFormat *
make_format(const CatalogEntry *entry, const ArchiveHead *head)
{
	LineFormat *format = palloc(sizeof(LineFormat));
	int			i;

	format->path = entry->facts.path;
	format->n = head->n_columns;
	format->keys = palloc(head->n_columns * sizeof(char *));
	format->key_lengths = palloc(head->n_columns * sizeof(size_t));
	for (i = 0; i < head->n_columns; i++)
	{
		StringInfoData key;

		initStringInfo(&key);
		appendStringInfoChar(&key, i == 0 ? '{' : ',');
		escape_json(&key, head->columns[i].name);
		appendStringInfoChar(&key, ':');
		format->keys[i] = key.data;
		format->key_lengths[i] = key.len;
	}
	return format;
}

pg_noreturn static void refuse_line(const LineCursor *cursor);

static void
refuse_line(const LineCursor *cursor)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("archive \"%s\" does not prove its rows",
				   cursor->format->path),
			errdetail("A line is not made as its manifest says."));
}

static void
begin_line(LineCursor *cursor, const LineFormat *format, const char *line,
		   const char *end)
{
	cursor->format = format;
	cursor->at = line;
	cursor->end = end;
	if (format->n == 0)
	{
		if (end == line || *line != '{')
			refuse_line(cursor);
		cursor->at++;
	}
}

static void
end_line(LineCursor *cursor)
{
	if (cursor->end - cursor->at != 1 || *cursor->at != '}')
		refuse_line(cursor);
}

/* Step over a column's key.  True: a string follows; false: it was null */
static bool
begin_value(LineCursor *cursor, int column)
{
	size_t		length = cursor->format->key_lengths[column];
	size_t		left = cursor->end - cursor->at;

	if (left < length + 2 ||
		memcmp(cursor->at, cursor->format->keys[column], length) != 0)
		refuse_line(cursor);
	cursor->at += length;
	if (*cursor->at == '"')
	{
		cursor->at++;
		return true;
	}
	if (left < length + 4 || memcmp(cursor->at, "null", 4) != 0)
		refuse_line(cursor);
	cursor->at += 4;
	return false;
}

/*
 * The bytes of a word that equal "byte", as 0x80 each; exact up to the first
 */
static inline uint64
match_bytes(uint64 word, uint64 byte)
{
	uint64		x = word ^ (byte * UINT64CONST(0x0101010101010101));

	return (x - UINT64CONST(0x0101010101010101)) & ~x &
		UINT64CONST(0x8080808080808080);
}

/*
 * Copy the string up to its next escape or its end, by words: both buffers
 * have room for one more (WORD_SLACK).  True: the cursor stands behind a
 * backslash; false: behind the closing quote.
 */
static inline bool
copy_run(LineCursor *cursor, char **out)
{
	const char *at = cursor->at;
	char	   *to = *out;

	for (;;)
	{
		uint64		word;
		uint64		found;

		if (at >= cursor->end)
			refuse_line(cursor);
		memcpy(&word, at, sizeof(word));
		memcpy(to, &word, sizeof(word));
#ifdef WORDS_BIGENDIAN
		word = pg_bswap64(word);
#endif
		found = match_bytes(word, '"') | match_bytes(word, '\\');
		if (found)
		{
			int			n = pg_rightmost_one_pos64(found) / BITS_PER_BYTE;

			at += n;
			to += n;
			break;
		}
		at += sizeof(word);
		to += sizeof(word);
	}
	if (at >= cursor->end)
		refuse_line(cursor);
	cursor->at = at + 1;
	*out = to;
	return *at == '\\';
}

static uint32
read_hex4(LineCursor *cursor)
{
	uint32		value = 0;
	int			i;

	if (cursor->end - cursor->at < 4)
		refuse_line(cursor);
	for (i = 0; i < 4; i++)
	{
		char		c = *cursor->at++;

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= c - '0';
		else if (c >= 'a' && c <= 'f')
			value |= c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			value |= c - 'A' + 10;
		else
			refuse_line(cursor);
	}
	return value;
}

/* What stands behind \u */
static pg_wchar
read_unicode(LineCursor *cursor)
{
	pg_wchar	c = read_hex4(cursor);

	if (is_utf16_surrogate_first(c))
	{
		pg_wchar	second;

		if (cursor->end - cursor->at < 6 || cursor->at[0] != '\\' ||
			cursor->at[1] != 'u')
			refuse_line(cursor);
		cursor->at += 2;
		second = read_hex4(cursor);
		if (!is_utf16_surrogate_second(second))
			refuse_line(cursor);
		c = surrogate_pair_to_codepoint(c, second);
	}
	else if (c == 0 || is_utf16_surrogate_second(c))
		refuse_line(cursor);
	return c;
}

static char *
append_unicode(char *out, pg_wchar c)
{
	unicode_to_utf8(c, (unsigned char *) out);
	return out + pg_utf_mblen((unsigned char *) out);
}

/* An escape of JSON's, as one of COPY's */
static char *
append_copy_escape(LineCursor *cursor, char *out)
{
	char		c = cursor->at < cursor->end ? *cursor->at++ : '\0';
	pg_wchar	wide;

	switch (c)
	{
		case '"':
		case '/':
			*out++ = c;
			break;
		case '\\':
		case 'b':
		case 'f':
		case 'n':
		case 'r':
		case 't':
			*out++ = '\\';
			*out++ = c;
			break;
		case 'u':
			wide = read_unicode(cursor);
			if (wide == '\\' || wide == '\n' || wide == '\r' || wide == '\t')
			{
				*out++ = '\\';
				*out++ = wide == '\n' ? 'n' : wide == '\r' ? 'r' :
					wide == '\t' ? 't' : '\\';
			}
			else
				out = append_unicode(out, wide);
			break;
		default:
			refuse_line(cursor);
	}
	return out;
}

/* An escape of JSON's, as what it means */
static char *
append_plain_escape(LineCursor *cursor, char *out)
{
	char		c = cursor->at < cursor->end ? *cursor->at++ : '\0';

	switch (c)
	{
		case '"':
		case '/':
		case '\\':
			*out++ = c;
			break;
		case 'b':
			*out++ = '\b';
			break;
		case 'f':
			*out++ = '\f';
			break;
		case 'n':
			*out++ = '\n';
			break;
		case 'r':
			*out++ = '\r';
			break;
		case 't':
			*out++ = '\t';
			break;
		case 'u':
			return append_unicode(out, read_unicode(cursor));
		default:
			refuse_line(cursor);
	}
	return out;
}

static inline char *
append_copy_value(LineCursor *cursor, char *out)
{
	while (copy_run(cursor, &out))
		out = append_copy_escape(cursor, out);
	return out;
}

static inline char *
append_plain_value(LineCursor *cursor, char *out)
{
	while (copy_run(cursor, &out))
		out = append_plain_escape(cursor, out);
	return out;
}

/* ---- silence ------------------------------------------------------------ */

/* Are these messages of core's and ours free of values? */
static bool
message_is_plain(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlstate == ERRCODE_DATA_CORRUPTED;
	}
}

static int
err_place(const ErrorData *error)
{
	if (error->schema_name)
		err_generic_string(PG_DIAG_SCHEMA_NAME, error->schema_name);
	if (error->table_name)
		err_generic_string(PG_DIAG_TABLE_NAME, error->table_name);
	if (error->column_name)
		err_generic_string(PG_DIAG_COLUMN_NAME, error->column_name);
	if (error->constraint_name)
		err_generic_string(PG_DIAG_CONSTRAINT_NAME, error->constraint_name);
	return 0;
}

/* In PG_CATCH: throw the error again, without a row's values */
static void
rethrow_silently(MemoryContext context)
{
	ErrorData  *error;
	bool		violation;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	violation = ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
	if (!message_is_plain(error->sqlerrcode))
		ereport(ERROR,
				errcode(error->sqlerrcode),
				err_place(error),
				errmsg("a row of the archive is not taken"),
				errdetail("A type, a default or a trigger refuses a value, which is not shown."),
				errhint("The table may differ from what it was: make another from the manifest's \"ddl\" and restore into that."));
	ereport(ERROR,
			errcode(error->sqlerrcode),
			err_place(error),
			errmsg_internal("%s", error->message),
			error->detail && !violation
			? errdetail_internal("%s", error->detail) : 0,
			error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION
			? errhint("Rows of the archive may be there already. Nothing has been restored; restore a part of it with \"from\" and \"to\", or into another table.")
			: error->hint && !violation
			? errhint("%s", error->hint) : 0);
}

/* ---- restore: what and where --------------------------------------------- */

typedef struct Restore
{
	CatalogEntry *entry;
	ArchiveReader *reader;
	LineFormat *format;
	bool	   *wanted;			/* by column of the line: does it go in? */
	bool		copying;		/* from here on errors may hold values */
	TimestampTz from;
	TimestampTz to;
	char	   *text;			/* one frame, as COPY text */
	size_t		size;
	size_t		length;
	size_t		at;
} Restore;

/* COPY's callback has no argument */
static Restore *restoring = NULL;

/* Is the relation the store's table, or a partition of it? */
static bool
is_own(const CatalogEntry *entry, Oid relid)
{
	if (!OidIsValid(entry->relation))
		return false;
	return relid == entry->relation ||
		(get_rel_relispartition(relid) &&
		 list_member_oid(get_partition_ancestors(relid), entry->relation));
}

static void
check_foreign_target(Relation rel, const CatalogEntry *entry)
{
	StewardPolicy policy;
	AclResult	result;

	result = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_INSERT);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, RelationGetRelationName(rel));
	if (registry_policy(RelationGetRelid(rel), &policy))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("table \"%s\" belongs to store \"%s\"",
					   RelationGetRelationName(rel), NameStr(policy.store)),
				errdetail("The archive is of store \"%s\", whose rows go into its own table or into one that is not governed.",
						  entry->store));
}

static void
check_target(Relation rel, const CatalogEntry *entry)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a table", RelationGetRelationName(rel)));
	if (IsSystemRelation(rel))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("\"%s\" is a system catalog",
					   RelationGetRelationName(rel)));
	if (!is_own(entry, RelationGetRelid(rel)))
		check_foreign_target(rel, entry);
}

/* Rows that were never purged are there still, or in the detached partition */
static void
check_purged(const CatalogEntry *entry)
{
	if (entry->segment_state && strcmp(entry->segment_state, "purged") != 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the rows of archive " INT64_FORMAT " have not been purged",
					   entry->id),
				errdetail("Its segment's state is \"%s\": the rows are still in the database.",
						  entry->segment_state),
				errhint("To have a copy of them, restore into another table."));
}

/*
 * Call one of the helpers of sql/archive.sql as its owner: they are nobody's to
 * call.
 */
static void
call_as_owner(FunctionCallInfo fcinfo, int64 archive, const char *query,
			  Datum other, Oid other_type)
{
	HeapTuple	proc = SearchSysCache1(PROCOID,
									   ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Oid			owner;
	Oid			user;
	int			context;

	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u",
			 fcinfo->flinfo->fn_oid);
	owner = ((Form_pg_proc) GETSTRUCT(proc))->proowner;
	ReleaseSysCache(proc);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	run_about(archive, query, false, other, other_type);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/* ---- restore: which columns ---------------------------------------------- */

/* The target's column of that name; InvalidAttrNumber: none */
static AttrNumber
find_column(Relation rel, const char *utf8)
{
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *name = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

static void
refuse_columns(const Restore *restore, Relation rel, const char *missing)
{
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_COLUMN),
			errmsg("table \"%s\" lacks columns of archive " INT64_FORMAT,
				   RelationGetRelationName(rel), restore->entry->id),
			errdetail("It has no: %s.", missing),
			errhint("Make a table by the manifest's \"ddl\", and restore into it: CALL steward.restore("
					INT64_FORMAT ", \"into\" => '...');", restore->entry->id));
}

/* Decide which columns go in; returns their names, for COPY */
static List *
match_columns(Restore *restore, Relation rel)
{
	const ArchiveHead *head = archive_head(restore->reader);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *names = NIL;
	StringInfoData missing;
	int			i;

	initStringInfo(&missing);
	restore->wanted = palloc0(Max(head->n_columns, 1) * sizeof(bool));
	for (i = 0; i < head->n_columns; i++)
	{
		const ArchiveColumn *column = &head->columns[i];
		AttrNumber	attno = find_column(rel, column->name);

		if (attno == InvalidAttrNumber && !column->generated)
			appendStringInfo(&missing, "%s%s", missing.len ? ", " : "",
							 quote_identifier(column->name));
		if (attno == InvalidAttrNumber ||
			TupleDescAttr(desc, attno - 1)->attgenerated)
			continue;
		restore->wanted[i] = true;
		names = lappend(names,
						makeString(pstrdup(NameStr(TupleDescAttr(desc, attno - 1)->attname))));
	}
	if (missing.len > 0)
		refuse_columns(restore, rel, missing.data);
	return names;
}

/* ---- restore: which rows ------------------------------------------------- */

/* The column that "from" and "to" are about, in the server's encoding */
static const char *
clock_of(const CatalogEntry *entry, const ArchiveHead *head)
{
	const char *clock = head->clock ?
	pg_any_to_server(head->clock, strlen(head->clock), PG_UTF8) :
	entry->clock;

	if (!clock)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("store \"%s\" has no retention clock", entry->store),
				errhint("Leave \"from\" and \"to\" out."));
	return clock;
}

static void
append_and(StringInfo where)
{
	if (where->len > 0)
		appendStringInfoString(where, " AND ");
}

static void
append_clock_bound(StringInfo where, const char *clock, const char *operator,
				   TimestampTz bound)
{
	append_and(where);
	appendStringInfo(where, "%s OPERATOR(pg_catalog.%s) %s::pg_catalog.timestamptz",
					 quote_identifier(clock), operator,
					 quote_literal_cstr(timestamptz_to_str(bound)));
}

/* The names of the key's columns, quoted and separated, and how many */
static char *
key_columns(const Restore *restore, Relation rel, int *n)
{
	const ArchiveHead *head = archive_head(restore->reader);
	StringInfoData names;
	Bitmapset  *primary;
	int			column = -1;

	initStringInfo(&names);
	*n = head->n_key;
	if (head->n_key > 0)
	{
		int			i;

		for (i = 0; i < head->n_key; i++)
			appendStringInfo(&names, "%s%s", i ? ", " : "",
							 quote_identifier(pg_any_to_server(head->key[i], strlen(head->key[i]), PG_UTF8)));
		return names.data;
	}
	primary = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	while ((column = bms_next_member(primary, column)) >= 0)
	{
		AttrNumber	attno = column + FirstLowInvalidHeapAttributeNumber;

		appendStringInfo(&names, "%s%s", (*n)++ ? ", " : "",
						 quote_identifier(get_attname(RelationGetRelid(rel), attno, false)));
	}
	return names.data;
}

static void
append_key_bound(StringInfo where, const Restore *restore, Relation rel,
				 const char *operator, ArrayType *bound)
{
	Datum	   *values;
	bool	   *nulls;
	int			n_values;
	int			n_columns;
	char	   *columns = key_columns(restore, rel, &n_columns);
	int			i;

	deconstruct_array(bound, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &n_values);
	if (n_values != n_columns || n_values == 0 || array_contains_nulls(bound))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a bound of the key must have a value for each of its columns"),
				errdetail("The key's columns are: %s.",
						  n_columns ? columns : "none"));
	append_and(where);
	appendStringInfo(where, "ROW(%s) %s ROW(", columns, operator);
	for (i = 0; i < n_values; i++)
		appendStringInfo(where, "%s%s", i ? ", " : "",
						 quote_literal_cstr(TextDatumGetCString(values[i])));
	appendStringInfoChar(where, ')');
}

/* The condition as COPY's WHERE takes it, or NULL */
static Node *
parse_where(const char *where)
{
	RawStmt    *raw;

	if (where[0] == '\0')
		return NULL;
	raw = linitial_node(RawStmt,
						raw_parser(where, RAW_PARSE_PLPGSQL_EXPR));
	return linitial_node(ResTarget,
						 castNode(SelectStmt, raw->stmt)->targetList)->val;
}

static Node *
where_clause(Restore *restore, Relation rel, ParseState *pstate,
			 ParseNamespaceItem *nsitem, ArrayType *key_from,
			 ArrayType *key_to)
{
	StringInfoData where;

	initStringInfo(&where);
	if (!TIMESTAMP_IS_NOBEGIN(restore->from))
		append_clock_bound(&where,
						   clock_of(restore->entry, archive_head(restore->reader)),
						   ">=", restore->from);
	if (!TIMESTAMP_IS_NOEND(restore->to))
		append_clock_bound(&where,
						   clock_of(restore->entry, archive_head(restore->reader)),
						   "<", restore->to);
	if (key_from)
		append_key_bound(&where, restore, rel, ">=", key_from);
	if (key_to)
		append_key_bound(&where, restore, rel, "<=", key_to);
	return copy_where(pstate, nsitem, rel, parse_where(where.data));
}

/* ---- restore: the copy ---------------------------------------------------- */

/*
 * Turn a line into one of COPY's, which is never longer: a value loses its
 * quotes and its key, and no escape grows.
 */
static char *
convert_line(const Restore *restore, LineCursor *cursor, char *out)
{
	bool		first = true;
	int			i;

	for (i = 0; i < restore->format->n; i++)
	{
		bool		is_string = begin_value(cursor, i);

		if (!restore->wanted[i])
		{
			/* what is written there is overwritten by the next */
			if (is_string)
				(void) append_copy_value(cursor, out);
			continue;
		}
		if (!first)
			*out++ = '\t';
		first = false;
		if (is_string)
			out = append_copy_value(cursor, out);
		else
		{
			*out++ = '\\';
			*out++ = 'N';
		}
	}
	end_line(cursor);
	*out++ = '\n';
	return out;
}

static void
convert_frame(Restore *restore, const ArchiveLines *lines)
{
	const char *line = lines->text;
	const char *stop = line + lines->length;
	char	   *out;

	if (restore->size < lines->length + WORD_SLACK)
	{
		if (restore->text)
			pfree(restore->text);
		restore->text = MemoryContextAllocHuge(GetMemoryChunkContext(restore),
											   lines->length + WORD_SLACK);
		restore->size = lines->length + WORD_SLACK;
	}
	out = restore->text;
	while (line < stop)
	{
		const char *end = memchr(line, '\n', stop - line);
		LineCursor	cursor;

		begin_line(&cursor, restore->format, line, end);
		out = convert_line(restore, &cursor, out);
		line = end + 1;
	}
	restore->length = out - restore->text;
	restore->at = 0;
}

/* COPY's source: at least minread bytes, fewer only at the end */
static int
read_rows(void *buffer, int minread, int maxread)
{
	Restore    *restore = restoring;
	int			done = 0;

	while (done < Max(minread, 1))
	{
		size_t		n;

		if (restore->at == restore->length)
		{
			ArchiveLines lines;

			if (!archive_next_frame(restore->reader, restore->from,
									restore->to, &lines))
				break;
			convert_frame(restore, &lines);
		}
		n = Min(restore->length - restore->at, maxread - done);
		memcpy((char *) buffer + done, restore->text +restore->at, n);
		restore->at += n;
		done += n;
	}
	return done;
}

static uint64
copy_rows(Restore *restore, Relation rel, ArrayType *key_from,
		  ArrayType *key_to)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;
	List	   *columns = match_columns(restore, rel);
	List	   *options;
	const char *encoding;
	Node	   *where;
	CopyFromState state;
	uint64		rows;

	nsitem = addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock,
										   NULL, false, false);
	where = where_clause(restore, rel, pstate, nsitem, key_from, key_to);
	/* what SQL_ASCII has taken in need not be UTF-8, and COPY would look */
	encoding = GetDatabaseEncoding() == PG_SQL_ASCII ? "SQL_ASCII" : "UTF8";
	options = list_make1(makeDefElem("encoding",
									 (Node *) makeString(pstrdup(encoding)), -1));
	restore->copying = true;
	actor_defer_nothing();
	state = BeginCopyFrom(pstate, rel, where, NULL, false, read_rows, columns,
						  options);
	rows = CopyFrom(state);
	EndCopyFrom(state);
	free_parsestate(pstate);
	return rows;
}

/*
 * As the table's owner, under pinned settings, and exempt from admission when
 * the rows go home.
 */
static uint64
copy_as_owner(Restore *restore, Relation rel, bool own, ArrayType *key_from,
			  ArrayType *key_to)
{
	MemoryContext context = CurrentMemoryContext;
	Restore    *outer = restoring;
	Oid			exempt = actor_set_retention(own ? RelationGetRelid(rel) : InvalidOid);
	int			level = archive_pin_settings();
	volatile uint64 rows = 0;
	Oid			user;
	int			security;

	GetUserIdAndSecContext(&user, &security);
	PG_TRY();
	{
		restoring = restore;
		SetUserIdAndSecContext(rel->rd_rel->relowner,
							   security | SECURITY_RESTRICTED_OPERATION);
		rows = copy_rows(restore, rel, key_from, key_to);
	}
	PG_CATCH();
	{
		restoring = outer;
		(void) actor_set_retention(exempt);
		SetUserIdAndSecContext(user, security);
		if (!restore->copying)
			PG_RE_THROW();
		rethrow_silently(context);
	}
	PG_END_TRY();
	restoring = outer;
	(void) actor_set_retention(exempt);
	SetUserIdAndSecContext(user, security);
	archive_unpin_settings(level);
	return rows;
}

/*
 * restore_rows(archive, into, "from", "to", key_from, key_to, keep) → rows.
 * Not strict: each argument but the first may be NULL.
 */
Datum
steward_restore_rows(PG_FUNCTION_ARGS)
{
	int64		archive;
	Restore    *restore;
	Relation	rel;
	Oid			target;
	bool		own;
	uint64		rows;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("archive must not be NULL"));
	PreventCommandIfReadOnly("steward.restore()");
	archive = PG_GETARG_INT64(0);
	restore = palloc0(sizeof(Restore));
	restore->entry = load_entry(archive);
	restore->from = PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2);
	restore->to = PG_ARGISNULL(3) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(3);

	target = PG_ARGISNULL(1) ? restore->entry->relation : PG_GETARG_OID(1);
	if (!OidIsValid(target))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("store \"%s\" has no table", restore->entry->store),
				errhint("Restore into another: CALL steward.restore(" INT64_FORMAT ", \"into\" => '...');",
						archive));

	restore->reader = archive_open(&restore->entry->facts);
	restore->format = make_format(restore->entry, archive_head(restore->reader));
	own = is_own(restore->entry, target);
	if (own)
	{
		check_purged(restore->entry);
		call_as_owner(fcinfo, archive, "SELECT steward.restore_partition($1)",
					  (Datum) 0, InvalidOid);
	}
	rel = table_open(target, RowExclusiveLock);
	check_target(rel, restore->entry);
	rows = copy_as_owner(restore, rel, own,
						 PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4),
						 PG_ARGISNULL(5) ? NULL : PG_GETARG_ARRAYTYPE_P(5));
	table_close(rel, NoLock);
	archive_close(restore->reader);
	if (own && rows > 0 && !PG_ARGISNULL(6))
		call_as_owner(fcinfo, archive, "SELECT steward.restore_hold($1, $2)",
					  PG_GETARG_DATUM(6), INTERVALOID);
	PG_RETURN_INT64((int64) rows);
}

/* ---- reading in place ----------------------------------------------------- */

typedef struct Reading
{
	LineFormat *format;
	TimestampTz from;
	TimestampTz to;
	int			clock;			/* column of the line, or -1: not asked for */
	int			tenant_column;	/* likewise */
	const char *tenant;			/* as UTF-8 */
	char	  **values;			/* of the line at hand, decoded; NULL = null */
	char	   *buffer;
	size_t		size;
	Tuplestorestate *rows;
	TupleDesc	desc;
	MemoryContext line_context;
	/* for typed rows, by attribute */
	int		   *columns;		/* of the line, or -1 */
	FmgrInfo   *input;
	Oid		   *io_params;
	Datum	   *datums;
	bool	   *nulls;
} Reading;

static int
column_number(const ArchiveHead *head, const char *name)
{
	int			i;

	for (i = 0; i < head->n_columns; i++)
	{
		const char *utf8 = head->columns[i].name;

		if (strcmp(pg_any_to_server(utf8, strlen(utf8), PG_UTF8), name) == 0)
			return i;
	}
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_COLUMN),
			errmsg("the archive has no column \"%s\"", name));
	return -1;
}

/* All values of the line, decoded */
static void
decode_line(Reading *reading, LineCursor *cursor)
{
	size_t		need = cursor->end - cursor->at + 1 + WORD_SLACK;
	char	   *out;
	int			i;

	if (reading->size < need)
	{
		if (reading->buffer)
			pfree(reading->buffer);
		reading->size = need * 2;
		reading->buffer = MemoryContextAllocHuge(GetMemoryChunkContext(reading),
												 reading->size);
	}
	out = reading->buffer;
	for (i = 0; i < reading->format->n; i++)
	{
		reading->values[i] = NULL;
		if (begin_value(cursor, i))
		{
			reading->values[i] = out;
			out = append_plain_value(cursor, out);
			*out++ = '\0';
		}
	}
	end_line(cursor);
}

/* Settings are pinned: a timestamp or a date is taken as UTC */
static bool
line_is_wanted(const Reading *reading)
{
	if (reading->tenant_column >= 0)
	{
		const char *tenant = reading->values[reading->tenant_column];

		if (!tenant || strcmp(tenant, reading->tenant) != 0)
			return false;
	}
	if (reading->clock >= 0)
	{
		const char *text = reading->values[reading->clock];
		TimestampTz at;

		if (!text)
			return false;
		at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
													 CStringGetDatum(text),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
		if (at < reading->from ||
			(at >= reading->to && !TIMESTAMP_IS_NOEND(reading->to)))
			return false;
	}
	return true;
}

/*
 * A value in the server's encoding.  What SQL_ASCII has taken in is nobody's
 * encoding, and comes back as it was; pg_any_to_server() would refuse it.
 */
static char *
value_to_server(char *utf8, size_t length)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return utf8;
	return pg_any_to_server(utf8, length, PG_UTF8);
}

static void
put_jsonb(Reading *reading, char *line, char *end)
{
	Datum		value;
	bool		isnull = false;

	*end = '\0';
	value = DirectFunctionCall1(jsonb_in,
								CStringGetDatum(value_to_server(line, end - line)));
	tuplestore_putvalues(reading->rows, reading->desc, &value, &isnull);
}

static void
put_typed(Reading *reading)
{
	int			i;

	for (i = 0; i < reading->desc->natts; i++)
	{
		char	   *text = reading->columns[i] < 0 ? NULL :
		reading->values[reading->columns[i]];

		if (text)
			text = value_to_server(text, strlen(text));
		reading->nulls[i] = text == NULL;

		reading->datums[i] = (Datum) 0;
		if (TupleDescAttr(reading->desc, i)->attisdropped)
			continue;
		reading->datums[i] = InputFunctionCall(&reading->input[i], text,
											   reading->io_params[i],
											   TupleDescAttr(reading->desc, i)->atttypmod);
	}
	tuplestore_putvalues(reading->rows, reading->desc, reading->datums,
						 reading->nulls);
}

static void
read_frame_rows(Reading *reading, ArchiveLines *lines)
{
	char	   *line = lines->text;
	char	   *stop = line + lines->length;
	bool		filtered = reading->clock >= 0 || reading->tenant_column >= 0;

	while (line < stop)
	{
		char	   *end = memchr(line, '\n', stop - line);
		LineCursor	cursor;

		if (filtered || reading->columns)
		{
			begin_line(&cursor, reading->format, line, end);
			decode_line(reading, &cursor);
		}
		if (!filtered || line_is_wanted(reading))
		{
			if (reading->columns)
				put_typed(reading);
			else
				put_jsonb(reading, line, end);
		}
		MemoryContextReset(CurrentMemoryContext);
		line = end + 1;
	}
}

/* How the lines' columns become the row type's, by name */
static void
prepare_typed(Reading *reading, const ArchiveHead *head)
{
	int			natts = reading->desc->natts;
	int			i;

	reading->columns = palloc(Max(natts, 1) * sizeof(int));
	reading->input = palloc0(Max(natts, 1) * sizeof(FmgrInfo));
	reading->io_params = palloc0(Max(natts, 1) * sizeof(Oid));
	reading->datums = palloc0(Max(natts, 1) * sizeof(Datum));
	reading->nulls = palloc0(Max(natts, 1) * sizeof(bool));
	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(reading->desc, i);
		Oid			input;
		int			j;

		reading->columns[i] = -1;
		if (att->attisdropped)
			continue;
		for (j = 0; j < head->n_columns; j++)
		{
			const char *utf8 = head->columns[j].name;

			if (strcmp(pg_any_to_server(utf8, strlen(utf8), PG_UTF8),
					   NameStr(att->attname)) == 0)
				reading->columns[i] = j;
		}
		getTypeInputInfo(att->atttypid, &input, &reading->io_params[i]);
		fmgr_info(input, &reading->input[i]);
	}
}

/* Which rows: the last three arguments of both functions */
static void
prepare_filter(Reading *reading, const CatalogEntry *entry,
			   const ArchiveHead *head, FunctionCallInfo fcinfo, int first)
{
	reading->from = PG_ARGISNULL(first) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(first);
	reading->to = PG_ARGISNULL(first + 1) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(first + 1);
	reading->clock = -1;
	reading->tenant_column = -1;
	if (!TIMESTAMP_IS_NOBEGIN(reading->from) || !TIMESTAMP_IS_NOEND(reading->to))
		reading->clock = column_number(head, clock_of(entry, head));
	if (!PG_ARGISNULL(first + 2))
	{
		char	   *tenant = text_to_cstring(PG_GETARG_TEXT_PP(first + 2));

		if (!entry->tenant)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("store \"%s\" has no tenant column", entry->store));
		reading->tenant_column = column_number(head, entry->tenant);
		reading->tenant = pg_server_to_any(tenant, strlen(tenant), PG_UTF8);
	}
}

static void
read_archive(FunctionCallInfo fcinfo, bool typed)
{
	int			first = typed ? 1 : 0;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	CatalogEntry *entry;
	ArchiveReader *reader;
	ArchiveLines lines;
	Reading    *reading;
	int			level;

	InitMaterializedSRF(fcinfo, typed ? 0 : MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(first))
		return;
	entry = load_entry(PG_GETARG_INT64(first));
	reader = archive_open(&entry->facts);
	reading = palloc0(sizeof(Reading));
	reading->format = make_format(entry, archive_head(reader));
	reading->values = palloc0(Max(reading->format->n, 1) * sizeof(char *));
	reading->rows = rsinfo->setResult;
	reading->desc = rsinfo->setDesc;
	prepare_filter(reading, entry, archive_head(reader), fcinfo, first + 1);
	if (typed)
		prepare_typed(reading, archive_head(reader));
	reading->line_context = AllocSetContextCreate(context, "pg_steward line",
												  ALLOCSET_DEFAULT_SIZES);

	level = archive_pin_settings();
	PG_TRY();
	{
		while (archive_next_frame(reader, reading->from, reading->to, &lines))
		{
			MemoryContextSwitchTo(reading->line_context);
			read_frame_rows(reading, &lines);
			MemoryContextSwitchTo(context);
		}
	}
	PG_CATCH();
	{
		rethrow_silently(context);
	}
	PG_END_TRY();
	archive_unpin_settings(level);
	MemoryContextDelete(reading->line_context);
	archive_close(reader);
}

/* archive_rows(archive, "from", "to", tenant) → SETOF jsonb */
Datum
steward_archive_rows(PG_FUNCTION_ARGS)
{
	read_archive(fcinfo, false);
	return (Datum) 0;
}

/* archive_rows(row anyelement, archive, "from", "to", tenant) → SETOF anyelement */
Datum
steward_archive_rows_typed(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (!OidIsValid(type) || get_typtype(type) != TYPTYPE_COMPOSITE)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the first argument must be of a table's row type"),
				errhint("Give a NULL of that type: NULL::schema.table"));
	read_archive(fcinfo, true);
	return (Datum) 0;
}

/* verify_archive(archive) → true, or an error */
Datum
steward_verify_archive(PG_FUNCTION_ARGS)
{
	CatalogEntry *entry = load_entry(PG_GETARG_INT64(0));

	archive_verify(&entry->facts);
	PG_RETURN_BOOL(true);
}
