/*
 * proof.c
 *	  Has a table changed since a point in the log?
 *
 * Every change of a logged table stamps the page with its WAL position.  So if
 * no page of a heap, nor of its TOAST table, is younger than the position that
 * was taken while writers were locked out, then no row has changed since, and
 * the digest that was computed before that position still is the table's.  It
 * costs a look at each page and not at each row.  The reverse does not hold:
 * vacuum, pruning and, with checksums, hint bits make pages younger too.  Then,
 * and for unlogged tables and other access methods, the rows are hashed again.
 *
 * Locks: the caller's; it holds ACCESS EXCLUSIVE on the table.
 */
#include "steward.h"

#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "worker.h"

/* Where the log stands: all that was done so far lies before it */
XLogRecPtr
proof_position(void)
{
	return GetXLogInsertRecPtr();
}

/*
 * Under wal_level minimal a table that is rewritten gets pages without a
 * position: then nothing is known of them.
 */
static bool
page_unchanged(Page page, XLogRecPtr since)
{
	if (PageIsNew(page))
		return true;
	return PageGetLSN(page) != InvalidXLogRecPtr && PageGetLSN(page) <= since;
}

static bool
pages_unchanged(Relation rel, XLogRecPtr since)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber n = RelationGetNumberOfBlocks(rel);
	BlockNumber block;
	bool		unchanged = true;

	for (block = 0; block < n && unchanged; block++)
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		unchanged = page_unchanged(BufferGetPage(buffer), since);
		UnlockReleaseBuffer(buffer);
		pg_atomic_fetch_add_u64(&worker_progress->bytes, BLCKSZ);
	}
	FreeAccessStrategy(strategy);
	return unchanged;
}

/* Is it certain that nothing in the table has changed since? */
bool
proof_unchanged(Oid relid, XLogRecPtr since)
{
	Relation	rel = table_open(relid, NoLock);
	bool		unchanged;

	unchanged = since != InvalidXLogRecPtr &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		pages_unchanged(rel, since);
	if (unchanged && OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		unchanged = pages_unchanged(toast, since);
		table_close(toast, AccessShareLock);
	}
	table_close(rel, NoLock);
	return unchanged;
}
