/*
 * bounds.c
 *	  Which rows can be in which partition: the real bounds, as the server
 *	  enforces them, of every leaf below a table.
 *
 * Retention drops what lies wholly before a time.  A partition's name says
 * nothing about that, and its rows need not be looked at: pg_class.relpartbound
 * of each level is what PostgreSQL itself admits rows by.  The levels are
 * intersected on the way down.  What cannot be expressed as a range of the
 * clock (hash partitions, expressions, an operator class with an order of its
 * own) is unknown, which is never wrong: rows are then looked at one by one.
 *
 * AccessShareLock on partitioned tables, for as long as their key is read; none
 * on leaves, which are looked up in the catalog only.  One that is dropped
 * meanwhile is not in the answer.
 *
 * Memory: what is read of a leaf goes before the next.
 */
#include "steward.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(steward_partition_bounds);

/* What the levels so far leave possible.  Fields that are not set: anything */
typedef struct Bounds
{
	bool		has_lower;
	bool		has_upper;
	bool		upper_inclusive;
	TimestampTz lower;
	TimestampTz upper;
	List	   *tenants;		/* of char *; NIL = any */
} Bounds;

typedef struct Walk
{
	const char *clock;			/* column names; NULL = none */
	const char *tenant;
	ReturnSetInfo *result;
	List	   *seen;			/* inheritance children with several parents */
} Walk;

/* A key column by which a level divides: what its constants mean */
typedef struct LevelKey
{
	PartitionKey key;
	bool		by_clock;
	bool		by_tenant;
	Oid			type;			/* of its first column, below domains */
} LevelKey;

static void walk_table(Walk *walk, Oid relid, Oid parent, const Bounds *bounds);

/* ---- constants of a bound ---------------------------------------------- */

/* A constant as a time, UTC where its type has no zone; false: cannot be one */
static bool
constant_time(const Const *constant, Oid type, TimestampTz *time)
{
	DateADT		date;

	if (constant->constisnull)
		return false;
	if (type == TIMESTAMPTZOID || type == TIMESTAMPOID)
	{
		*time = DatumGetTimestampTz(constant->constvalue);
		return true;
	}

	date = DatumGetDateADT(constant->constvalue);
	if (DATE_IS_NOBEGIN(date))
		TIMESTAMP_NOBEGIN(*time);
	else if (DATE_IS_NOEND(date))
		TIMESTAMP_NOEND(*time);
	else if (date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		return false;
	else
		*time = (TimestampTz) date * USECS_PER_DAY;
	return true;
}

static bool
range_time(const PartitionRangeDatum *datum, Oid type, TimestampTz *time)
{
	return datum->kind == PARTITION_RANGE_DATUM_VALUE &&
		constant_time(castNode(Const, datum->value), type, time);
}

/* ---- one level --------------------------------------------------------- */

static void
narrow_lower(Bounds *bounds, TimestampTz lower)
{
	if (TIMESTAMP_IS_NOBEGIN(lower))
		return;
	if (!bounds->has_lower || lower > bounds->lower)
		bounds->lower = lower;
	bounds->has_lower = true;
}

static void
narrow_upper(Bounds *bounds, TimestampTz upper, bool inclusive)
{
	if (TIMESTAMP_IS_NOEND(upper))
		return;
	if (!bounds->has_upper || upper < bounds->upper)
	{
		bounds->upper = upper;
		bounds->upper_inclusive = inclusive;
	}
	else if (upper == bounds->upper)
		bounds->upper_inclusive &= inclusive;
	bounds->has_upper = true;
}

/*
 * FROM (a, …) TO (b, …) on the clock and more: rows of time b are inside, as
 * far as the further columns are below theirs.
 */
static void
narrow_by_range(Bounds *bounds, const PartitionBoundSpec *spec,
				const LevelKey *level)
{
	TimestampTz time;
	bool		inclusive = false;

	if (range_time(linitial(spec->lowerdatums), level->type, &time))
		narrow_lower(bounds, time);
	if (!range_time(linitial(spec->upperdatums), level->type, &time))
		return;
	if (level->key->partnatts > 1)
		inclusive = ((PartitionRangeDatum *) lsecond(spec->upperdatums))->kind !=
			PARTITION_RANGE_DATUM_MINVALUE;
	narrow_upper(bounds, time, inclusive);
}

static void
narrow_by_times(Bounds *bounds, const PartitionBoundSpec *spec,
				const LevelKey *level)
{
	TimestampTz least = DT_NOEND;
	TimestampTz greatest = DT_NOBEGIN;
	ListCell   *cell;

	foreach(cell, spec->listdatums)
	{
		TimestampTz time;

		/* rows without a time are never due: nothing is known of the whole */
		if (!constant_time(lfirst_node(Const, cell), level->type, &time))
			return;
		least = Min(least, time);
		greatest = Max(greatest, time);
	}
	narrow_lower(bounds, least);
	narrow_upper(bounds, greatest, true);
}

static void
narrow_by_tenants(Bounds *bounds, const PartitionBoundSpec *spec,
				  const LevelKey *level)
{
	List	   *tenants = NIL;
	ListCell   *cell;
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(level->type, &output, &varlena);
	foreach(cell, spec->listdatums)
	{
		Const	   *constant = lfirst_node(Const, cell);

		if (constant->constisnull)
			return;
		tenants = lappend(tenants,
						  OidOutputFunctionCall(output, constant->constvalue));
	}
	bounds->tenants = tenants;
}

static void
narrow(Bounds *bounds, const PartitionBoundSpec *spec, const LevelKey *level)
{
	if (spec->is_default)
		return;
	if (level->by_clock && spec->strategy == PARTITION_STRATEGY_RANGE)
		narrow_by_range(bounds, spec, level);
	else if (level->by_clock && spec->strategy == PARTITION_STRATEGY_LIST)
		narrow_by_times(bounds, spec, level);
	else if (level->by_tenant && spec->strategy == PARTITION_STRATEGY_LIST)
		narrow_by_tenants(bounds, spec, level);
}

/* Is the first key column this one? */
static bool
keyed_by(const PartitionKey key, Oid relid, const char *column)
{
	return column != NULL && key->partattrs[0] != InvalidAttrNumber &&
		key->partattrs[0] == get_attnum(relid, column);
}

/* Does the key order and equate values as everybody else does? */
static bool
keyed_as_usual(const PartitionKey key)
{
	TypeCacheEntry *entry = lookup_type_cache(getBaseType(key->parttypid[0]),
											  TYPECACHE_BTREE_OPFAMILY);

	if (key->partopfamily[0] != entry->btree_opf)
		return false;
	return !OidIsValid(key->partcollation[0]) ||
		get_collation_isdeterministic(key->partcollation[0]);
}

static void
read_key(Walk *walk, Relation rel, LevelKey *level)
{
	Oid			relid = RelationGetRelid(rel);
	PartitionKey key = RelationGetPartitionKey(rel);

	memset(level, 0, sizeof(*level));
	level->key = key;
	level->type = getBaseType(key->parttypid[0]);
	if (key->strategy == PARTITION_STRATEGY_HASH || !keyed_as_usual(key))
		return;
	level->by_clock = keyed_by(key, relid, walk->clock) &&
		(level->type == TIMESTAMPTZOID || level->type == TIMESTAMPOID ||
		 level->type == DATEOID);
	level->by_tenant = !level->by_clock &&
		keyed_by(key, relid, walk->tenant);
}

/* ---- the answer -------------------------------------------------------- */

static Datum
text_array(List *words)
{
	Datum	   *datums = palloc(list_length(words) * sizeof(Datum));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, words)
		datums[n++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(datums, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* FOR VALUES …; false when the relation is gone */
static bool
bound_text(Oid relid, Datum bound, Datum *text)
{
	LOCAL_FCINFO(fcinfo, 2);

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = bound;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = ObjectIdGetDatum(relid);
	fcinfo->args[1].isnull = false;
	*text = pg_get_expr(fcinfo);
	return !fcinfo->isnull;
}

static void
emit(Walk *walk, Oid relid, Oid parent, const Bounds *bounds, Datum bound,
	 bool is_default)
{
	Datum		values[8] = {0};
	bool		nulls[8] = {false};

	values[0] = ObjectIdGetDatum(relid);
	values[1] = ObjectIdGetDatum(parent);
	nulls[1] = !OidIsValid(parent);
	nulls[2] = bound == (Datum) 0 || !bound_text(relid, bound, &values[2]);
	values[3] = TimestampTzGetDatum(bounds->lower);
	nulls[3] = !bounds->has_lower;
	values[4] = TimestampTzGetDatum(bounds->upper);
	nulls[4] = !bounds->has_upper;
	values[5] = BoolGetDatum(bounds->has_upper && bounds->upper_inclusive);
	nulls[6] = bounds->tenants == NIL;
	if (!nulls[6])
		values[6] = text_array(bounds->tenants);
	values[7] = BoolGetDatum(is_default);
	tuplestore_putvalues(walk->result->setResult, walk->result->setDesc,
						 values, nulls);
}

/* ---- the walk ---------------------------------------------------------- */

static void
walk_partition(Walk *walk, Oid relid, Oid parent, const Bounds *outer,
			   const LevelKey *level)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char		relkind;
	Datum		bound;
	bool		isnull;
	Bounds		bounds = *outer;
	PartitionBoundSpec *spec;

	if (!HeapTupleIsValid(tuple))
		return;
	relkind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (isnull || relkind == RELKIND_FOREIGN_TABLE)
	{
		ReleaseSysCache(tuple);
		return;
	}

	spec = stringToNode(TextDatumGetCString(bound));
	narrow(&bounds, spec, level);
	if (relkind == RELKIND_PARTITIONED_TABLE)
		walk_table(walk, relid, parent, &bounds);
	else
		emit(walk, relid, parent, &bounds, bound, spec->is_default);
	ReleaseSysCache(tuple);
}

static void
walk_partitions(Walk *walk, Oid relid, const Bounds *bounds)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	List	   *children;
	ListCell   *cell;
	LevelKey	level;
	Actor		before;

	if (!rel)
		return;
	/* what is constant in an expression of the key is evaluated here */
	before = actor_enter_owner(relid);
	read_key(walk, rel, &level);
	actor_leave_owner(before);
	children = find_inheritance_children(relid, NoLock);
	foreach(cell, children)
	{
		MemoryContext outer = CurrentMemoryContext;
		MemoryContext leaf = AllocSetContextCreate(outer, "pg_steward bounds",
												   ALLOCSET_SMALL_SIZES);

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(leaf);
		walk_partition(walk, lfirst_oid(cell), relid, bounds, &level);
		MemoryContextSwitchTo(outer);
		MemoryContextDelete(leaf);
	}
	table_close(rel, AccessShareLock);
}

/* A plain table is a leaf, and may have inheritance children beside */
static void
walk_inheritance(Walk *walk, Oid relid, Oid parent, const Bounds *bounds)
{
	ListCell   *cell;

	if (list_member_oid(walk->seen, relid))
		return;
	walk->seen = lappend_oid(walk->seen, relid);
	emit(walk, relid, parent, bounds, (Datum) 0, false);
	foreach(cell, find_inheritance_children(relid, NoLock))
		walk_table(walk, lfirst_oid(cell), relid, bounds);
}

static void
walk_table(Walk *walk, Oid relid, Oid parent, const Bounds *bounds)
{
	check_stack_depth();
	switch (get_rel_relkind(relid))
	{
		case RELKIND_PARTITIONED_TABLE:
			walk_partitions(walk, relid, bounds);
			break;
		case RELKIND_RELATION:
			walk_inheritance(walk, relid, parent, bounds);
			break;
		default:
			/* foreign tables hold no rows of ours; what is gone holds none */
			break;
	}
}

/* partition_bounds(relation regclass, clock text, tenant text) */
Datum
steward_partition_bounds(PG_FUNCTION_ARGS)
{
	Walk		walk = {0};
	Bounds		anything = {0};

	InitMaterializedSRF(fcinfo, 0);
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	if (!PG_ARGISNULL(1))
		walk.clock = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
		walk.tenant = text_to_cstring(PG_GETARG_TEXT_PP(2));
	walk_table(&walk, PG_GETARG_OID(0), InvalidOid, &anything);
	return (Datum) 0;
}
