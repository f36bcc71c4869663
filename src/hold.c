/*
 * hold.c
 *	  Legal holds: which rows of a store must stay, whoever wants them gone.
 *
 * steward.legal_hold is read when a relation's first row is judged, and what
 * concerns the relation is kept with its predicates parsed: a partition's
 * columns may be numbered otherwise than its parent's.  A relation that no hold
 * concerns has StewardPolicy.held false and never comes here.
 *
 * A hold that cannot be applied (its column is gone) holds every row: a guess
 * could lose what a court has asked for.
 *
 * A hold ends by the clock, not by the start of the transaction, so it is
 * looked at for each row.
 *
 * Locks: AccessShareLock on steward.legal_hold, while it is read.  That no
 * delete is under way when a hold begins is steward.hold()'s business, which
 * locks the tables.
 *
 * Memory: a context for each relation below TopMemoryContext, made when it is
 * needed and deleted when the relation or steward.legal_hold changes, or, when
 * a row is being judged at that moment, after that.
 */
#include "steward.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Columns of steward.legal_hold that are read here */
#define Anum_hold_id			1
#define Anum_hold_store			2
#define Anum_hold_tenant		3
#define Anum_hold_predicate		4
#define Anum_hold_reason		5
#define Anum_hold_expires_at	8
#define Anum_hold_released_at	9
#define Natts_hold				9

/* One active hold, as it applies to one relation */
typedef struct Hold
{
	int64		id;
	char	   *reason;
	TimestampTz expires;		/* DT_NOEND = never */
	enum
	{
		HOLD_APPLIES,
		HOLD_BROKEN				/* nobody can say which rows it covers */
	}			state;
	bool		one_tenant;
	Datum		tenant;			/* in the column's type */
	char	   *predicate;		/* NULL = every row */
	ExprState  *condition;
} Hold;

/* The holds that concern one relation */
typedef struct HoldSet
{
	MemoryContext context;
	bool		stale;			/* forgotten, goes after its last use */
	int			users;
	AttrNumber	tenant;
	bool		tenant_byval;
	int16		tenant_length;
	TupleTableSlot *slot;		/* the row that is being judged */
	ExprContext *econtext;
	List	   *holds;
} HoldSet;

typedef struct HoldEntry
{
	Oid			relid;			/* hash key */
	HoldSet    *set;
} HoldEntry;

/* What the holds make of one row, and the hold that is being asked */
typedef struct Verdict
{
	enum
	{
		ROW_FREE,
		ROW_KEPT,				/* held, and an UPDATE leaves it so */
		ROW_TAKEN,				/* held, and would be lost to the hold */
		ROW_UNKNOWN				/* nobody can say */
	}			kind;
	Hold	   *hold;
} Verdict;

static struct
{
	HTAB	   *sets;
	Oid			table;			/* steward.legal_hold, when last read */
	uint64		generation;		/* counts invalidations */
}			cache;

/* The row that an UPDATE may move to another partition (hold_judge) */
static struct
{
	Oid			relid;
	ItemPointerData tid;
	TransactionId xid;
	CommandId	cid;
}			moving;

/* ---- reading steward.legal_hold ----------------------------------------- */

static bool
parse_integer(const char *text, int64 least, int64 greatest, int64 *value)
{
	char	   *end;

	errno = 0;
	*value = strtoi64(text, &end, 10);
	while (isspace((unsigned char) *end))
		end++;
	return errno == 0 && end != text &&*end == '\0' &&
	*value >= least && *value <= greatest;
}

/* All spellings that uuid_in() takes come to 32 hexadecimal digits */
static bool
parse_uuid(const char *text, Datum *value)
{
	char		digits[2 * UUID_LEN + 1];
	int			n = 0;

	for (; *text &&n < sizeof(digits) - 1; text ++)
	{
		if (isxdigit((unsigned char) *text))
			digits[n++] = *text;
		else if (!strchr("-{}", *text))
			return false;
	}
	if (n != 2 * UUID_LEN || text[strspn(text, "-{}")] != '\0')
		return false;
	digits[n] = '\0';
	*value = DirectFunctionCall1(uuid_in, CStringGetDatum(digits));
	return true;
}

/* The types that steward.govern accepts */
static bool
is_tenant_type(Oid type)
{
	return type == UUIDOID || type == INT8OID || type == INT4OID ||
		type == INT2OID || type == TEXTOID || type == VARCHAROID;
}

/* A tenant's name as a value of the column's type; false if it cannot be one */
static bool
parse_tenant(Oid type, const char *text, Datum *value)
{
	int64		number;

	switch (type)
	{
		case UUIDOID:
			return parse_uuid(text, value);
		case INT8OID:
			if (!parse_integer(text, PG_INT64_MIN, PG_INT64_MAX, &number))
				return false;
			*value = Int64GetDatum(number);
			return true;
		case INT4OID:
			if (!parse_integer(text, PG_INT32_MIN, PG_INT32_MAX, &number))
				return false;
			*value = Int32GetDatum((int32) number);
			return true;
		case INT2OID:
			if (!parse_integer(text, PG_INT16_MIN, PG_INT16_MAX, &number))
				return false;
			*value = Int16GetDatum((int16) number);
			return true;
		case TEXTOID:
		case VARCHAROID:
			*value = CStringGetTextDatum(text);
			return true;
		default:
			return false;
	}
}

static Oid
tenant_type(const StewardPolicy *policy)
{
	if (policy->tenant <= 0)
		return InvalidOid;
	return getBaseType(get_atttype(policy->relid, policy->tenant));
}

/*
 * A row of steward.legal_hold as it applies to the relation, in the current
 * context; NULL if it does not concern it, or not any more.
 */
static Hold *
make_hold(const StewardPolicy *policy, Datum *values, bool *nulls)
{
	bool		by_name = !nulls[Anum_hold_store - 1];
	Hold	   *hold;

	if (!nulls[Anum_hold_released_at - 1])
		return NULL;
	if (by_name &&
		strcmp(TextDatumGetCString(values[Anum_hold_store - 1]),
			   NameStr(policy->store)) != 0)
		return NULL;

	hold = palloc0(sizeof(Hold));
	hold->id = DatumGetInt64(values[Anum_hold_id - 1]);
	hold->reason = TextDatumGetCString(values[Anum_hold_reason - 1]);
	hold->expires = DT_NOEND;
	if (!nulls[Anum_hold_expires_at - 1])
		hold->expires = DatumGetTimestampTz(values[Anum_hold_expires_at - 1]);
	if (hold->expires <= GetCurrentTimestamp())
		return NULL;
	if (!nulls[Anum_hold_predicate - 1])
		hold->predicate = TextDatumGetCString(values[Anum_hold_predicate - 1]);
	if (!nulls[Anum_hold_tenant - 1])
	{
		hold->one_tenant = true;
		if (!parse_tenant(tenant_type(policy),
						  TextDatumGetCString(values[Anum_hold_tenant - 1]),
						  &hold->tenant))
		{
			/* is it no tenant of this store's, or can the store not say? */
			if (!by_name && (policy->scope != SCOPE_TENANT ||
							 is_tenant_type(tenant_type(policy))))
				return NULL;
			hold->state = HOLD_BROKEN;
		}
	}
	return hold;
}

static int
by_id(const ListCell *a, const ListCell *b)
{
	int64		left = ((Hold *) lfirst(a))->id;
	int64		right = ((Hold *) lfirst(b))->id;

	return left < right ? -1 : left > right;
}

/* The active holds that concern the relation, in the current context */
static List *
read_holds(const StewardPolicy *policy)
{
	Oid			schema = get_namespace_oid("steward", true);
	Oid			table = OidIsValid(schema) ?
	get_relname_relid("legal_hold", schema) : InvalidOid;
	List	   *holds = NIL;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	cache.table = table;
	if (!OidIsValid(table))
		return NIL;
	rel = table_open(table, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_hold];
		bool		nulls[Natts_hold];
		Hold	   *hold;
		int			i;

		for (i = 0; i < Natts_hold; i++)
			values[i] = heap_getattr(tuple, i + 1, RelationGetDescr(rel),
									 &nulls[i]);
		hold = make_hold(policy, values, nulls);
		if (hold)
			holds = lappend(holds, hold);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(holds, by_id);
	return holds;
}

/* Does any hold concern the relation? */
bool
hold_concerns(const StewardPolicy *policy)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_steward holds",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		concerns = read_holds(policy) != NIL;

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return concerns;
}

/* ---- the cache ----------------------------------------------------------- */

static void
forget_set(HoldEntry *entry)
{
	HoldSet    *set = entry->set;

	hash_search(cache.sets, &entry->relid, HASH_REMOVE, NULL);
	if (set->users > 0)
		set->stale = true;
	else
		MemoryContextDelete(set->context);
}

static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	HoldEntry  *entry;

	cache.generation++;
	if (!cache.sets)
		return;
	if (OidIsValid(relid) && relid != cache.table)
	{
		entry = hash_search(cache.sets, &relid, HASH_FIND, NULL);
		if (entry)
			forget_set(entry);
		return;
	}
	hash_seq_init(&status, cache.sets);
	while ((entry = hash_seq_search(&status)) != NULL)
		forget_set(entry);
}

void
hold_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

static bool
is_data_error(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		category == ERRCODE_FEATURE_NOT_SUPPORTED;
}

/* Prepare a hold's predicate, or note that it does not fit the table */
static pg_noinline void
compile_hold(Hold *hold, Relation rel)
{
	MemoryContext context = CurrentMemoryContext;

	if (!hold->predicate || hold->state == HOLD_BROKEN)
		return;
	PG_TRY();
	{
		hold->condition = ExecInitExpr(predicate_plan(rel, hold->predicate),
									   NULL);
	}
	PG_CATCH();
	{
		/* the row that has brought us here will be refused: nothing goes on */
		if (!is_data_error(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		hold->state = HOLD_BROKEN;
	}
	PG_END_TRY();
}

static HoldSet *
load_set(const StewardPolicy *policy, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_steward holds",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HoldSet    *set = palloc0(sizeof(HoldSet));
	ListCell   *lc;
	char		align;

	set->context = context;
	set->tenant = policy->tenant;
	if (policy->tenant > 0)
		get_typlenbyvalalign(tenant_type(policy), &set->tenant_length,
							 &set->tenant_byval, &align);
	set->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
										 &TTSOpsHeapTuple);
	set->econtext = CreateStandaloneExprContext();
	set->econtext->ecxt_scantuple = set->slot;
	set->holds = read_holds(policy);
	foreach(lc, set->holds)
		compile_hold(lfirst(lc), rel);
	MemoryContextSwitchTo(old);
	return set;
}

/* The relation's holds, in use: to be given back by release_set() */
static HoldSet *
use_set(const StewardPolicy *policy, Relation rel)
{
	HoldEntry  *entry = cache.sets ?
	hash_search(cache.sets, &policy->relid, HASH_FIND, NULL) : NULL;
	uint64		generation = cache.generation;
	HoldSet    *set;

	if (entry)
	{
		entry->set->users++;
		return entry->set;
	}

	set = load_set(policy, rel);
	set->users = 1;
	MemoryContextSetParent(set->context, TopMemoryContext);
	if (generation != cache.generation)
	{
		/* what was read may be old: it serves this once */
		set->stale = true;
		return set;
	}
	if (!cache.sets)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(HoldEntry);
		ctl.hcxt = TopMemoryContext;
		cache.sets = hash_create("pg_steward holds", 32, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(cache.sets, &policy->relid, HASH_ENTER, NULL);
	entry->set = set;
	return set;
}

static void
release_set(HoldSet *set)
{
	set->users--;
	if (set->stale && set->users == 0)
		MemoryContextDelete(set->context);
}

/* ---- judging a row -------------------------------------------------------- */

static bool
is_tenant(const HoldSet *set, const Hold *hold, TupleDesc desc, HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, set->tenant, desc, &isnull);

	return !isnull && datum_image_eq(value, hold->tenant, set->tenant_byval,
									 set->tenant_length);
}

static bool
satisfies(HoldSet *set, Hold *hold, HeapTuple row)
{
	bool		isnull;
	Datum		result;

	ExecStoreHeapTuple(row, set->slot, false);
	result = ExecEvalExprSwitchContext(hold->condition, set->econtext, &isnull);
	ExecClearTuple(set->slot);
	ResetExprContext(set->econtext);
	return !isnull && DatumGetBool(result);
}

static bool
covers(HoldSet *set, Hold *hold, TupleDesc desc, HeapTuple row)
{
	if (hold->one_tenant && !is_tenant(set, hold, desc, row))
		return false;
	return !hold->condition || satisfies(set, hold, row);
}

/* Ask one hold; a verdict that stops nothing leaves the earlier one */
static void
ask_hold(HoldSet *set, Hold *hold, TupleDesc desc, HeapTuple old,
		 HeapTuple new, Verdict *verdict)
{
	verdict->hold = hold;
	if (hold->expires <= GetCurrentTimestamp())
		return;
	if (hold->state == HOLD_BROKEN)
		verdict->kind = ROW_UNKNOWN;
	else if (covers(set, hold, desc, old))
		verdict->kind = new && covers(set, hold, desc, new) ?
			ROW_KEPT : ROW_TAKEN;
}

/*
 * Ask the holds until one objects.  A predicate may stumble over a row (a
 * division by zero); that error could show the row, and is not passed on.
 */
static pg_noinline void
ask_holds(HoldSet *set, TupleDesc desc, HeapTuple old, HeapTuple new,
		  Verdict *verdict)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		ListCell   *lc;

		foreach(lc, set->holds)
		{
			ask_hold(set, lfirst(lc), desc, old, new, verdict);
			if (verdict->kind >= ROW_TAKEN)
				break;
		}
	}
	PG_CATCH();
	{
		if (!is_data_error(geterrcode()))
		{
			release_set(set);
			PG_RE_THROW();
		}
		MemoryContextSwitchTo(context);
		FlushErrorState();
		verdict->kind = ROW_UNKNOWN;
	}
	PG_END_TRY();
}

/* ---- the errors ----------------------------------------------------------- */

static int
err_hold(const Hold *hold)
{
	if (hold->expires == DT_NOEND)
		errdetail("Legal hold " INT64_FORMAT ": %s", hold->id, hold->reason);
	else
		errdetail("Legal hold " INT64_FORMAT ", until %s: %s", hold->id,
				  timestamptz_to_str(hold->expires), hold->reason);
	errhint("It stays until the hold ends: SELECT steward.release_hold(" INT64_FORMAT ", '<reason>');",
			hold->id);
	return 0;
}

static void
refuse_row(const StewardPolicy *policy, const Hold *hold)
{
	steward_refuse(STEWARD_RULE_HOLD,
				   steward_err_relation(policy->relid),
				   errmsg("row of store \"%s\" is under a legal hold",
						  NameStr(policy->store)),
				   err_hold(hold));
}

static void
refuse_unknown(const StewardPolicy *policy, const Hold *hold)
{
	steward_refuse(STEWARD_RULE_HOLD,
				   steward_err_relation(policy->relid),
				   errmsg("row of store \"%s\" may be under a legal hold",
						  NameStr(policy->store)),
				   errdetail("Legal hold " INT64_FORMAT " cannot be applied to the row, so it is taken to cover it.",
							 hold->id),
				   errhint("Place the hold again so that it fits the table, then SELECT steward.release_hold(" INT64_FORMAT ", '<reason>');",
						   hold->id));
}

/* ---- what others call ----------------------------------------------------- */

/*
 * An UPDATE that moves a row to another partition is judged twice: as an
 * UPDATE, and then, at once, as the DELETE that takes the row out of the old
 * partition.  A row that the first verdict left under its hold is remembered
 * for the second.  A trigger in between that runs a statement of its own
 * advances the command counter, and then nothing is remembered any more.
 */
static bool
was_moving(Relation rel, HeapTuple row)
{
	bool		was = moving.relid == RelationGetRelid(rel) &&
	moving.xid == GetTopTransactionIdIfAny() &&
	moving.cid == GetCurrentCommandId(false) &&
	ItemPointerEquals(&moving.tid, &row->t_self);

	moving.relid = InvalidOid;
	return was;
}

static void
may_move(Relation rel, HeapTuple row)
{
	moving.relid = RelationGetRelid(rel);
	moving.tid = row->t_self;
	moving.xid = GetTopTransactionIdIfAny();
	moving.cid = GetCurrentCommandId(false);
}

/*
 * Judge the row that a DELETE (new = NULL) or UPDATE is about to touch.  The
 * policy says that the relation is held.
 */
void
hold_judge(const StewardPolicy *policy, Relation rel, HeapTuple old,
		   HeapTuple new)
{
	Verdict		verdict = {ROW_FREE, NULL};
	Hold		hold = {0};
	HoldSet    *set;

	if (was_moving(rel, old) && !new)
		return;

	set = use_set(policy, rel);
	ask_holds(set, RelationGetDescr(rel), old, new, &verdict);
	if (verdict.hold && verdict.kind >= ROW_TAKEN)
	{
		hold = *verdict.hold;
		hold.reason = pstrdup(hold.reason);
	}
	release_set(set);

	if (verdict.kind == ROW_TAKEN)
		refuse_row(policy, &hold);
	else if (verdict.kind == ROW_UNKNOWN)
		refuse_unknown(policy, &hold);
	else if (verdict.kind == ROW_KEPT && rel->rd_rel->relispartition)
		may_move(rel, old);
}

/* Raise the refusal if any hold concerns the store, whatever it covers */
void
hold_refuse_store(const StewardPolicy *policy)
{
	List	   *holds = read_holds(policy);

	if (holds == NIL)
		return;
	steward_refuse(STEWARD_RULE_HOLD,
				   steward_err_relation(policy->relid),
				   errmsg("store \"%s\" is under a legal hold",
						  NameStr(policy->store)),
				   err_hold(linitial(holds)));
}
