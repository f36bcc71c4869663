/*
 * registry.c
 *	  What the storage map says of a relation: the catalog tables of schema
 *	  steward as C structs, cached.
 *
 * A partition or an inheritance child is governed by the store of its nearest
 * governed ancestor, so each relation has an entry of its own, a negative one
 * included.  An entry goes when its relation changes (relcache invalidation:
 * ALTER, ATTACH, rename) and all of them go when the catalog changes, for which
 * a trigger on the catalog tables invalidates them like relations.
 *
 * Armed.  Enforcement is switched on by an event trigger named steward_armed,
 * which the first steward.govern() makes.  It is not a member of the extension,
 * so pg_dump emits it, and emits it last: while a dump is being restored its
 * rows are admitted without a tenant context, and from the end of the restore
 * on the rules hold again.  Without it nothing here is looked up at all, which
 * is what a database without the extension pays.
 *
 * The catalog is read by systable scans: no SPI, no permission of the current
 * user, always the newest state.  AccessShareLock on the catalog tables, kept
 * no longer than the scan.
 *
 * Memory: everything cached lies in one context below TopMemoryContext.
 */
#include "steward.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(steward_registry_changed);
PG_FUNCTION_INFO_V1(steward_segment_changed);
PG_FUNCTION_INFO_V1(steward_armed);

/* Columns of steward.store and steward.service that are read here */
#define Anum_store_name			1
#define Anum_store_relation		5
#define Anum_store_owner		7
#define Anum_store_scope		8
#define Anum_store_tenant		9
#define Anum_store_row_owner	10
#define Anum_store_append_only	11
#define Natts_store_read		11
#define Anum_service_name		1
#define Anum_service_role		2

/* Columns of steward.segment that are read here */
#define Anum_segment_id			1
#define Anum_segment_store		2
#define Anum_segment_relation	3
#define Anum_segment_kind		5
#define Anum_segment_state		7
#define Natts_segment_read		7

/* How often the services are read again when they change meanwhile */
#define MAX_TRIES	8

typedef struct Service
{
	NameData	name;
	Oid			role;
} Service;

static struct
{
	MemoryContext context;
	HTAB	   *policies;		/* StewardPolicy by relid */
	Service    *services;		/* NULL = not loaded */
	int			n_services;
	Oid			store_table;	/* InvalidOid = look it up */
	Oid			service_table;
	Oid			segment_table;
	Oid			hold_table;
	uint64		generation;		/* counts invalidations */
	enum
	{
		ARMED_UNKNOWN = 0,
		ARMED_NO,
		ARMED_YES
	}			armed;
}			registry;

/* ---- invalidation ------------------------------------------------------ */

static void
forget_everything(void)
{
	registry.generation++;
	registry.policies = NULL;
	registry.services = NULL;
	registry.n_services = 0;
	registry.store_table = InvalidOid;
	registry.service_table = InvalidOid;
	registry.segment_table = InvalidOid;
	registry.hold_table = InvalidOid;
	if (registry.context)
		MemoryContextReset(registry.context);
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == registry.store_table ||
		relid == registry.service_table || relid == registry.segment_table ||
		relid == registry.hold_table)
		forget_everything();
	else
	{
		registry.generation++;
		if (registry.policies)
			hash_search(registry.policies, &relid, HASH_REMOVE, NULL);
	}
}

static void
marker_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	registry.armed = ARMED_UNKNOWN;
}

void
registry_init(void)
{
	registry.context = AllocSetContextCreate(TopMemoryContext,
											 "pg_steward registry",
											 ALLOCSET_DEFAULT_SIZES);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(EVENTTRIGGEROID, marker_changed, (Datum) 0);
}

/* registry_changed(): the statement trigger on the catalog tables */
Datum
steward_registry_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("steward.registry_changed() is a trigger function"));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/* A segment that is a table concerns that table and what is below it only */
static void
forget_segment(TupleDesc desc, HeapTuple row)
{
	bool		isnull;
	Datum		relation = heap_getattr(row, Anum_segment_relation, desc,
										&isnull);
	ListCell   *lc;

	if (isnull || !SearchSysCacheExists1(RELOID, relation))
		return;
	foreach(lc, find_all_inheritors(DatumGetObjectId(relation), NoLock, NULL))
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

/*
 * segment_changed(): the row trigger on steward.segment.  The worker changes a
 * row of it at every step: everything cached need not go each time.
 */
Datum
steward_segment_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("steward.segment_changed() is a trigger function for each row"));
	desc = RelationGetDescr(trigger->tg_relation);
	forget_segment(desc, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		forget_segment(desc, trigger->tg_newtuple);
	return PointerGetDatum(NULL);
}

/* ---- armed ------------------------------------------------------------- */

/* Are the rules in force in this database? */
bool
registry_armed(void)
{
	HeapTuple	tuple;

	if (registry.armed == ARMED_UNKNOWN)
	{
		tuple = SearchSysCache1(EVENTTRIGGERNAME,
								CStringGetDatum("steward_armed"));
		registry.armed = ARMED_NO;
		if (HeapTupleIsValid(tuple))
		{
			if (((Form_pg_event_trigger) GETSTRUCT(tuple))->evtenabled !=
				TRIGGER_DISABLED)
				registry.armed = ARMED_YES;
			ReleaseSysCache(tuple);
		}
	}
	return registry.armed == ARMED_YES;
}

/* armed() → boolean */
Datum
steward_armed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(registry_armed());
}

/* ---- services ---------------------------------------------------------- */

static Oid
catalog_table(Oid *cached, const char *name)
{
	if (!OidIsValid(*cached))
	{
		Oid			schema = get_namespace_oid("steward", true);

		if (OidIsValid(schema))
			*cached = get_relname_relid(name, schema);
	}
	return *cached;
}

/* Read steward.service into an array in the current context; NULL if absent */
static Service *
read_services(int *count)
{
	Oid			table = catalog_table(&registry.service_table, "service");
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	Service    *services;
	int			n = 0;
	int			room = 16;

	if (!OidIsValid(table))
		return NULL;

	services = palloc(room * sizeof(Service));
	rel = table_open(table, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		Datum		name = heap_getattr(tuple, Anum_service_name, desc, &isnull);
		Datum		role = heap_getattr(tuple, Anum_service_role, desc, &isnull);

		if (n == room)
		{
			room *= 2;
			services = repalloc(services, room * sizeof(Service));
		}
		namestrcpy(&services[n].name, TextDatumGetCString(name));
		services[n].role = DatumGetObjectId(role);
		n++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	*count = n;
	return services;
}

/*
 * An invalidation may arrive while the table is being read; then what was
 * read may be old, and is read again.  Not for ever: where invalidations never
 * cease (debug_discard_caches), what was read last must do.
 */
static void
need_services(void)
{
	int			tries = 0;

	while (!registry.services)
	{
		uint64		generation = registry.generation;
		int			n = 0;
		Service    *services = read_services(&n);

		if (!services)
			return;
		if (generation == registry.generation || ++tries == MAX_TRIES)
		{
			/* at least one byte, so that an empty list counts as loaded */
			registry.services = MemoryContextAlloc(registry.context,
												   n * sizeof(Service) + 1);
			memcpy(registry.services, services, n * sizeof(Service));
			registry.n_services = n;
		}
		pfree(services);
	}
}

/* The role of a service, by name (not terminated); InvalidOid if unknown */
Oid
registry_service_role(const char *name, Size len)
{
	int			i;

	need_services();
	for (i = 0; i < registry.n_services; i++)
	{
		const char *known = NameStr(registry.services[i].name);

		if (strncmp(known, name, len) == 0 && known[len] == '\0')
			return registry.services[i].role;
	}
	return InvalidOid;
}

/*
 * Does the actor act for any declared service?  To ask may invalidate the
 * list, so it is made sure of before each look.
 */
bool
registry_actor_serves(void)
{
	int			i;

	for (i = 0;; i++)
	{
		need_services();
		if (i >= registry.n_services)
			return false;
		if (actor_is_member(registry.services[i].role))
			return true;
	}
}

/* ---- policies ---------------------------------------------------------- */

static StewardScope
scope_of(const char *word)
{
	if (strcmp(word, "tenant") == 0)
		return SCOPE_TENANT;
	if (strcmp(word, "global") == 0)
		return SCOPE_GLOBAL;
	return SCOPE_SERVICE;
}

static AttrNumber
column_of(Oid relid, Datum name, bool isnull)
{
	return isnull ? InvalidAttrNumber
		: get_attnum(relid, TextDatumGetCString(name));
}

/* A row of steward.store as the policy for "relid" (columns are found by name) */
static void
fill_policy(HeapTuple tuple, TupleDesc desc, Oid relid, StewardPolicy *policy)
{
	Datum		values[Natts_store_read];
	bool		nulls[Natts_store_read];
	int			i;

	for (i = 0; i < Natts_store_read; i++)
		values[i] = heap_getattr(tuple, i + 1, desc, &nulls[i]);
	namestrcpy(&policy->store, TextDatumGetCString(values[Anum_store_name - 1]));
	policy->root = DatumGetObjectId(values[Anum_store_relation - 1]);
	policy->scope = scope_of(TextDatumGetCString(values[Anum_store_scope - 1]));
	policy->append_only = DatumGetBool(values[Anum_store_append_only - 1]);
	policy->tenant = column_of(relid, values[Anum_store_tenant - 1],
							   nulls[Anum_store_tenant - 1]);
	policy->row_owner = column_of(relid, values[Anum_store_row_owner - 1],
								  nulls[Anum_store_row_owner - 1]);
	if (!nulls[Anum_store_owner - 1])
	{
		char	   *owner = TextDatumGetCString(values[Anum_store_owner - 1]);

		namestrcpy(&policy->owner, owner);
		policy->owner_role = registry_service_role(owner, strlen(owner));
	}
}

/*
 * Read the store row with this key as the policy for "relid", which is the
 * store's table or one of its descendants, or was one.
 */
static bool
read_store(ScanKey key, const char *index_name, Oid relid,
		   StewardPolicy *policy)
{
	Oid			table = catalog_table(&registry.store_table, "store");
	Oid			index = InvalidOid;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	if (!OidIsValid(table))
		return false;
	if (index_name)
		index = get_relname_relid(index_name, get_rel_namespace(table));

	rel = table_open(table, AccessShareLock);
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		fill_policy(tuple, RelationGetDescr(rel), relid, policy);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static bool
read_store_of_relation(Oid governed, Oid relid, StewardPolicy *policy)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_store_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(governed));
	return read_store(&key, "store_relation_key", relid, policy);
}

/* Without an index: its order is the database's, a system scan's is not */
static bool
read_store_of_name(const char *name, Oid relid, StewardPolicy *policy)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_store_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	return read_store(&key, NULL, relid, policy);
}

/* ---- segments ---------------------------------------------------------- */

/* A partition that retention has taken */
typedef struct Segment
{
	int64		id;				/* 0 = none */
	bool		failed;
	char	   *store;
} Segment;

static void
fill_segment(HeapTuple tuple, TupleDesc desc, Segment *segment)
{
	Datum		values[Natts_segment_read];
	bool		nulls[Natts_segment_read];
	const char *state;
	int			i;

	for (i = 0; i < Natts_segment_read; i++)
		values[i] = heap_getattr(tuple, i + 1, desc, &nulls[i]);
	state = TextDatumGetCString(values[Anum_segment_state - 1]);
	if (strcmp(TextDatumGetCString(values[Anum_segment_kind - 1]),
			   "partition") != 0 ||
		strcmp(state, "due") == 0 || strcmp(state, "purged") == 0)
		return;
	segment->id = DatumGetInt64(values[Anum_segment_id - 1]);
	segment->failed = strcmp(state, "failed") == 0;
	segment->store = TextDatumGetCString(values[Anum_segment_store - 1]);
}

/*
 * The segment that this table is.  The index is partial, but every row that is
 * looked for is in it.
 */
static void
read_segment(Oid relid, Segment *segment)
{
	Oid			table = catalog_table(&registry.segment_table, "segment");
	Oid			index;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (!OidIsValid(table))
		return;
	index = get_relname_relid("segment_relation", get_rel_namespace(table));

	rel = table_open(table, AccessShareLock);
	ScanKeyInit(&key, Anum_segment_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	while (segment->id == 0 &&
		   HeapTupleIsValid(tuple = systable_getnext(scan)))
		fill_segment(tuple, RelationGetDescr(rel), segment);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* ---- from a relation to its store --------------------------------------- */

/* The direct parents of a partition or an inheritance child */
static List *
parents_of(Oid relid)
{
	List	   *parents = NIL;
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents,
							  ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return parents;
}

/*
 * Nearest governed relation first: itself, its parents, theirs.  A segment is
 * sealed while retention works on it.  Detached from its parents it keeps its
 * store's rules, and stays sealed when retention has failed, too: attached
 * again, it is the store's.
 */
static bool
find_store(Oid relid, StewardPolicy *policy)
{
	List	   *pending = list_make1_oid(relid);
	Segment		segment = {0};
	bool		attached = false;

	while (pending != NIL && !attached)
	{
		Oid			candidate = linitial_oid(pending);

		if (segment.id == 0)
			read_segment(candidate, &segment);
		attached = read_store_of_relation(candidate, relid, policy);
		pending = list_delete_first(pending);
		if (!attached)
			pending = list_concat(pending, parents_of(candidate));
	}
	if (segment.id != 0 && !(attached && segment.failed))
		policy->segment = segment.id;
	return attached ||
		(segment.id != 0 &&
		 read_store_of_name(segment.store, relid, policy));
}

/* Whoever asks for a policy has the relation locked */
static void
load_policy(Oid relid, StewardPolicy *policy)
{
	Relation	rel;

	if (!find_store(relid, policy))
		return;
	rel = RelationIdGetRelation(relid);
	if (RelationIsValid(rel))
	{
		cover_inspect(rel, policy);
		RelationClose(rel);
	}
	/* an invalidation tells by this OID that the holds have changed */
	(void) catalog_table(&registry.hold_table, "legal_hold");
	policy->held = hold_concerns(policy);
}

static void
remember_policy(const StewardPolicy *policy)
{
	StewardPolicy *entry;

	if (!registry.policies)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(StewardPolicy);
		ctl.hcxt = registry.context;
		registry.policies = hash_create("pg_steward policies", 256, &ctl,
										HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(registry.policies, &policy->relid, HASH_ENTER, NULL);
	*entry = *policy;
}

/*
 * Is the relation governed, and how?  False also in an unarmed database.
 *
 * A relation that changes while its policy is being read is judged by what
 * was read, and looked up again the next time.
 */
bool
registry_policy(Oid relid, StewardPolicy *policy)
{
	StewardPolicy *cached;
	uint64		generation;

	if (relid < FirstNormalObjectId || !registry_armed())
		return false;

	cached = registry.policies ?
		hash_search(registry.policies, &relid, HASH_FIND, NULL) : NULL;
	if (cached)
	{
		*policy = *cached;
		return policy->scope != SCOPE_NONE;
	}

	memset(policy, 0, sizeof(*policy));
	policy->relid = relid;
	policy->admission = NO_ADMISSION;
	need_services();
	generation = registry.generation;
	load_policy(relid, policy);
	if (generation == registry.generation)
		remember_policy(policy);
	return policy->scope != SCOPE_NONE;
}
