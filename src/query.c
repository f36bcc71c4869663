/*
 * query.c
 *	  SQL from C: the one place that knows SPI's ceremony.
 *
 * query_begin() and query_commit() wrap a transaction of the worker's around
 * queries; inside somebody else's transaction they are not called, and the
 * caller connects to SPI itself.  What a getter returns lives in the memory
 * context that was current when it was called, so a caller that wants it after
 * query_commit() switches to a context of its own first.
 *
 * Locks: those of the statements.
 */
#include "steward.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "query.h"

#define MAX_ARGS	24

PG_FUNCTION_INFO_V1(steward_query_as_owner);

void
query_connect(void)
{
	MemoryContext caller = CurrentMemoryContext;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(caller);
}

void
query_disconnect(void)
{
	MemoryContext caller = CurrentMemoryContext;

	SPI_finish();
	MemoryContextSwitchTo(caller);
}

/* Start a transaction and connect */
void
query_begin(void)
{
	MemoryContext caller = CurrentMemoryContext;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(caller);
	query_connect();
}

/* ... and end both */
void
query_commit(void)
{
	MemoryContext caller = CurrentMemoryContext;

	query_disconnect();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}

static void
take_argument(char letter, va_list *args, Oid *type, Datum *value, char *null)
{
	*null = ' ';
	*value = (Datum) 0;
	switch (letter)
	{
		case 's':
			{
				const char *text = va_arg(*args, const char *);

				*type = TEXTOID;
				if (text)
					*value = CStringGetTextDatum(text);
				else
					*null = 'n';
				break;
			}
		case 'l':
			*type = INT8OID;
			*value = Int64GetDatum(va_arg(*args, int64));
			break;
		case 'i':
			*type = INT4OID;
			*value = Int32GetDatum(va_arg(*args, int32));
			break;
		case 'o':
			*type = OIDOID;
			*value = ObjectIdGetDatum(va_arg(*args, Oid));
			break;
		case 'b':
		case 'u':
			*type = letter == 'b' ? BYTEAOID : UUIDOID;
			*value = PointerGetDatum(va_arg(*args, const void *));
			if (DatumGetPointer(*value) == NULL)
				*null = 'n';
			break;
		case 'p':
			{
				XLogRecPtr	lsn = va_arg(*args, XLogRecPtr);

				*type = PG_LSNOID;
				*value = LSNGetDatum(lsn);
				if (lsn == InvalidXLogRecPtr)
					*null = 'n';
				break;
			}
		case 'z':
			{
				TimestampTz at = va_arg(*args, TimestampTz);

				*type = TIMESTAMPTZOID;
				*value = TimestampTzGetDatum(at);
				if (TIMESTAMP_NOT_FINITE(at))
					*null = 'n';
				break;
			}
		default:
			elog(ERROR, "unknown argument type \"%c\"", letter);
	}
}

uint64
query_run(const char *sql, const char *types,...)
{
	Oid			oids[MAX_ARGS];
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
	int			n = strlen(types);
	int			i;
	int			rc;
	va_list		args;
	MemoryContext caller = CurrentMemoryContext;

	Assert(n <= MAX_ARGS);
	va_start(args, types);
	for (i = 0; i < n; i++)
		take_argument(types[i], &args, &oids[i], &values[i], &nulls[i]);
	va_end(args);

	if (SPI_tuptable)
		SPI_freetuptable(SPI_tuptable);
	rc = SPI_execute_with_args(sql, n, oids, values, nulls, false, 0);
	MemoryContextSwitchTo(caller);	/* SPI leaves us in its own */
	if (rc < 0)
		elog(ERROR, "%s failed: %s", sql, SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
query_into(DestReceiver *dest, const char *sql)
{
	SPIExecuteOptions options;
	int			rc;
	MemoryContext caller = CurrentMemoryContext;

	memset(&options, 0, sizeof(options));
	options.dest = dest;
	rc = SPI_execute_extended(sql, &options);
	MemoryContextSwitchTo(caller);
	if (rc < 0)
		elog(ERROR, "could not run a query: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Datum
query_datum(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/* SPI_getvalue() allocates in the current context, which is the caller's */
char *
query_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						column);
}

int64
query_int64(uint64 row, int column, int64 if_null)
{
	bool		isnull;
	Datum		value = query_datum(row, column, &isnull);

	return isnull ? if_null : DatumGetInt64(value);
}

/*
 * query_as_owner(relation, query) → the first field of the result as text
 *
 * For SQL functions that run as a superuser and look into a user's table: an
 * expression or predicate of an index of it is evaluated when the query is
 * planned, and must not run with more than its owner's rights.
 */
Datum
steward_query_as_owner(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *result = NULL;
	Actor		before;

	query_connect();
	before = actor_enter_owner(PG_GETARG_OID(0));
	if (query_run(query, "") > 0)
		result = query_text(0, 1);
	actor_leave_owner(before);
	query_disconnect();
	if (!result)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
