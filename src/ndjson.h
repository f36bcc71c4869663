/*
 * ndjson.h
 *	  Rows as lines of JSON.
 */
#ifndef STEWARD_NDJSON_H
#define STEWARD_NDJSON_H

#include "postgres.h"

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"

/*
 * A line can be read back into one palloc'd piece, and so can the COPY line
 * that it becomes.
 */
#define NDJSON_MAX_LINE		((size_t) 0x3fffffff)
#define NDJSON_TIMESTAMP_LENGTH	48	/* room for one, and to spare */

/*
 * Lines, malloc'd: they are handed to a thread that knows nothing of memory
 * contexts.  Whoever owns it frees the data.
 */
typedef struct NdjsonBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
	size_t		line;			/* where the line being written begins */
} NdjsonBuffer;

/* Where the line just written holds the value of the watched column */
typedef struct NdjsonSpan
{
	size_t		at;				/* in the buffer */
	size_t		len;			/* as written: escaped, without the quotes */
	bool		isnull;
} NdjsonSpan;

typedef struct NdjsonWriter NdjsonWriter;

extern NdjsonWriter *ndjson_begin(TupleDesc desc, AttrNumber watched);
extern void ndjson_line(NdjsonWriter *writer, TupleTableSlot *slot,
						NdjsonBuffer *out, NdjsonSpan *watched);

extern void ndjson_put_line(const char *line, size_t len, NdjsonBuffer *out);

/* The parts that a manifest needs as well */
extern int	ndjson_timestamptz(TimestampTz value, char *dest);
extern void ndjson_string(const char *text, NdjsonBuffer *out);

#endif							/* STEWARD_NDJSON_H */
