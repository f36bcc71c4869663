/*
 * steward.h
 *	  What the rooms of pg_steward show each other, one section a file.
 *
 * A room may call only the rooms that docs/internals.md draws below it.
 */
#ifndef STEWARD_H
#define STEWARD_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/htup.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/relcache.h"

#include "compat.h"

/* The rules that a refusal may name, as they stand in the constraint field */
#define STEWARD_RULE_TENANT		"steward_tenant"
#define STEWARD_RULE_ROW_OWNER	"steward_row_owner"
#define STEWARD_RULE_OWNER		"steward_owner"
#define STEWARD_RULE_APPEND_ONLY "steward_append_only"
#define STEWARD_RULE_HOLD		"steward_hold"
#define STEWARD_RULE_SEALED		"steward_sealed"

/* ---- refusal.c -------------------------------------------------------- */

extern void steward_hush(void);

/*
 * Raise a refusal, 42501, with the rule's name as the constraint.  The other
 * arguments are errmsg(), errdetail(), errhint() and the like, and must not
 * hold a value of the row's.  Neither the row, nor the statement, nor what
 * context callbacks know of them, reaches a client or a log.
 */
#define steward_refuse(rule, ...) \
	do { \
		steward_hush(); \
		ereport(ERROR, \
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), \
				err_generic_string(PG_DIAG_CONSTRAINT_NAME, (rule)), \
				errhidestmt(true), \
				__VA_ARGS__); \
	} while (0)

extern int	steward_err_relation(Oid relid);

/* ---- guc.c ------------------------------------------------------------ */

extern char *guc_archive_store;
extern int	guc_batch_rows;
extern double guc_worker_share;
extern int	guc_archive_threads;
extern int	guc_max_attempts;
extern int	guc_max_workers;
extern int	guc_naptime;
extern int	guc_retention_interval;
extern bool guc_worker;

extern void guc_init(void);

/* ---- actor.c ---------------------------------------------------------- */

extern void actor_init(void);
extern Oid	actor_current(void);
extern bool actor_is_member(Oid role);
extern bool actor_is_cross_tenant(void);
extern bool actor_is_migrator(void);
extern bool actor_reads_all(void);
extern Oid	actor_set_retention(Oid relid);
extern bool actor_is_retention(Oid relid);

/* What actor_leave_owner() takes back */
typedef struct Actor
{
	Oid			user;
	int			context;
} Actor;

extern Actor actor_enter_owner(Oid relid);
extern void actor_leave_owner(Actor before);
extern void actor_defer_nothing(void);
extern bool actor_is_retention_active(void);

/* ---- registry.c ------------------------------------------------------- */

typedef enum StewardScope
{
	SCOPE_NONE = 0,				/* the relation is not governed */
	SCOPE_TENANT,
	SCOPE_GLOBAL,
	SCOPE_SERVICE
} StewardScope;

/* What the catalog says of one relation, or of a partition's governed root */
typedef struct StewardPolicy
{
	Oid			relid;			/* hash key */
	StewardScope scope;
	Oid			owner_role;		/* InvalidOid while nobody owns the store */
	bool		append_only;
	AttrNumber	tenant;			/* 0 = no such column */
	Oid			tenant_type;	/* below any domains */
	AttrNumber	row_owner;		/* 0 = no such column */
	int			admission;		/* index of the CHECK constraint, or ... */
#define NO_ADMISSION	(-1)
	bool		covers_with_check;	/* admission judges all that WITH CHECK
									 * does */
	bool		held;			/* a legal hold concerns it (hold.c) */
	int64		segment;		/* that is being archived and that it belongs
								 * to; 0 = none */
	Oid			root;			/* the store's table */
	NameData	store;
	NameData	owner;			/* the service's name */
} StewardPolicy;

extern void registry_init(void);
extern bool registry_armed(void);
extern bool registry_policy(Oid relid, StewardPolicy *policy);
extern Oid	registry_service_role(const char *name, Size len);
extern bool registry_actor_serves(void);

/* ---- tenant.c --------------------------------------------------------- */

extern void tenant_init(void);
extern bool tenant_is_set(void);
extern bool tenant_equals(Oid type, Datum value);

/* ---- predicate.c ------------------------------------------------------ */

extern Expr *predicate_plan(Relation rel, const char *text);

/* ---- hold.c ----------------------------------------------------------- */

extern void hold_init(void);
extern bool hold_concerns(const StewardPolicy *policy);
extern void hold_judge(const StewardPolicy *policy, Relation rel,
					   HeapTuple old, HeapTuple new);
extern void hold_refuse_store(const StewardPolicy *policy);

/* ---- admit.c ---------------------------------------------------------- */

extern void admit_tenant(Oid type, Datum value, bool isnull);
extern void admit_row_owner(Datum service, bool isnull);

/* ---- access.c --------------------------------------------------------- */

extern void access_init(void);
pg_noreturn extern void access_refuse_change(const StewardPolicy *policy);
pg_noreturn extern void access_refuse_sealed(const StewardPolicy *policy);

/* ---- cover.c ---------------------------------------------------------- */

extern void cover_inspect(Relation rel, StewardPolicy *policy);

/* ---- prepare.c -------------------------------------------------------- */

extern void prepare_init(void);

/* ---- with_check.c ----------------------------------------------------- */

extern void with_check_init(void);

/* ---- copy.c ----------------------------------------------------------- */

struct ParseState;
struct ParseNamespaceItem;
struct Node;

extern struct Node *copy_where(struct ParseState *pstate,
							   struct ParseNamespaceItem *nsitem,
							   Relation rel, struct Node *clause);
extern void copy_init(void);

#endif							/* STEWARD_H */
