/*
 * adopt.c
 *	  Marks an admission constraint valid without a scan.
 *
 * ADD CONSTRAINT … NOT VALID spares a live table the scan, which would prove
 * nothing anyway: admission judges a row by the transaction that brings it.
 * But a constraint left NOT VALID is dumped as a separate ADD CONSTRAINT, which
 * on a partitioned table recurses into partitions that pg_restore -j is still
 * loading.  So steward.govern() adopts it NOT VALID and has it marked here.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the table and on all below it, to the end
 * of the transaction.
 */
#include "steward.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(steward_adopt_constraint);

/* Mark one table's constraint valid; false if it has none of that name */
static bool
mark_valid(Relation constraints, Oid relid, Name name)
{
	SysScanDesc scan;
	ScanKeyData key[3];
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key[0], Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_constraint_contypid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(InvalidOid));
	ScanKeyInit(&key[2], Anum_pg_constraint_conname, BTEqualStrategyNumber,
				F_NAMEEQ, NameGetDatum(name));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId,
							  true, NULL, 3, key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple) &&
		((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_CHECK;
	if (found && !((Form_pg_constraint) GETSTRUCT(tuple))->convalidated)
	{
		HeapTuple	copy = heap_copytuple(tuple);

		((Form_pg_constraint) GETSTRUCT(copy))->convalidated = true;
		CatalogTupleUpdate(constraints, &copy->t_self, copy);
		heap_freetuple(copy);
		CacheInvalidateRelcacheByRelid(relid);
	}
	systable_endscan(scan);
	return found;
}

/* adopt_constraint(regclass, name) → void; for the extension's owner only */
Datum
steward_adopt_constraint(PG_FUNCTION_ARGS)
{
	Oid			root = PG_GETARG_OID(0);
	Name		name = PG_GETARG_NAME(1);
	Relation	constraints;
	ListCell   *lc;
	bool		found = false;

	if (strncmp(NameStr(*name), "steward_", 8) != 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("constraint \"%s\" is not one of pg_steward's",
					   NameStr(*name)));

	constraints = table_open(ConstraintRelationId, RowExclusiveLock);
	foreach(lc, find_all_inheritors(root, ShareUpdateExclusiveLock, NULL))
		found |= mark_valid(constraints, lfirst_oid(lc), name);
	table_close(constraints, RowExclusiveLock);

	if (!found)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("table \"%s\" has no constraint \"%s\"",
					   get_rel_name(root), NameStr(*name)));
	PG_RETURN_VOID();
}
