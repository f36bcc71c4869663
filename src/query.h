/*
 * query.h
 *	  SQL from C: the one place that knows SPI's ceremony.
 */
#ifndef STEWARD_QUERY_H
#define STEWARD_QUERY_H

#include "postgres.h"

#include "tcop/dest.h"
#include "utils/timestamp.h"

/* A transaction of the worker's, with queries in it */
extern void query_begin(void);
extern void query_commit(void);

/* Queries inside somebody's transaction */
extern void query_connect(void);
extern void query_disconnect(void);

/*
 * Run one statement with parameters and return how many rows it came to.
 * "types" has one letter for each of the arguments that follow:
 *	 s  const char *, text; NULL is null
 *	 l  int64, bigint
 *	 i  int32, integer
 *	 o  Oid, oid
 *	 b  const bytea *, bytea; NULL is null
 *	 u  const pg_uuid_t *, uuid; NULL is null
 *	 p  XLogRecPtr, pg_lsn; 0 is null
 *	 z  TimestampTz, timestamptz; -infinity and infinity are null
 * The result stays until the next call, or the end of the transaction.
 */
extern uint64 query_run(const char *sql, const char *types,...);

/* Run a statement whose rows go to a receiver instead */
extern uint64 query_into(DestReceiver *dest, const char *sql);

/* One field of the last result, in the caller's memory context; NULL if null */
extern char *query_text(uint64 row, int column);
extern int64 query_int64(uint64 row, int column, int64 if_null);
extern Datum query_datum(uint64 row, int column, bool *isnull);

#endif							/* STEWARD_QUERY_H */
