/*
 * tenant.c
 *	  The tenant context: which tenant does this transaction act for?
 *
 * It is a setting, because PostgreSQL carries settings across savepoints and
 * into parallel workers and drops them at the end of the transaction, which is
 * what a transaction pooler needs.  It is one that SQL cannot forge: a context
 * of PGC_SIGHUP refuses SET, RESET, set_config(), ALTER ROLE and PGOPTIONS; it
 * is disallowed in files; and the check hook accepts a value only from
 * steward.set_tenant() or from a parallel leader.  Never read it with
 * current_setting(): before the library is loaded, a placeholder of the same
 * name can hold anything.
 *
 * The value is parsed once for each type that is asked for, not once a row.
 * Results are kept in the caller's fn_mcxt, so a running scan keeps the key it
 * started with even when the context changes under it.
 *
 * No locks.
 */
#include "steward.h"

#include "access/parallel.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(steward_set_tenant_text);
PG_FUNCTION_INFO_V1(steward_set_tenant_uuid);
PG_FUNCTION_INFO_V1(steward_set_tenant_bigint);
PG_FUNCTION_INFO_V1(steward_tenant);
PG_FUNCTION_INFO_V1(steward_tenant_id_uuid);
PG_FUNCTION_INFO_V1(steward_tenant_id_text);
PG_FUNCTION_INFO_V1(steward_tenant_id_bigint);

#define TENANT_SETTING		"steward.tenant"
#define TENANT_MAX_BYTES	255

static struct
{
	char	   *text;			/* the setting; "" = no tenant */
	Size		len;
	uint64		generation;		/* counts assignments, for fn_extra caches */
	bool		setting;		/* set_tenant() is at work */
	bool		uuid_known;		/* the value was parsed as ... */
	bool		bigint_known;
	pg_uuid_t	uuid;
	int64		bigint;
}			tenant;

/* What a function that returns the context by reference keeps in fn_extra */
typedef struct TenantResult
{
	uint64		generation;
	Datum		value;
} TenantResult;

static bool
tenant_check(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || tenant.setting || InitializingParallelWorker)
		return true;
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("the tenant context cannot be set as a parameter");
	GUC_check_errhint("Use SELECT steward.set_tenant('<tenant>') in the transaction.");
	return false;
}

static void
tenant_assign(const char *newval, void *extra)
{
	tenant.len = newval ? strlen(newval) : 0;
	tenant.generation++;
	tenant.uuid_known = false;
	tenant.bigint_known = false;
}

void
tenant_init(void)
{
	DefineCustomStringVariable(TENANT_SETTING,
							   "The tenant that the current transaction acts for.",
							   "Shown only. Set it with steward.set_tenant().",
							   &tenant.text,
							   "",
							   PGC_SIGHUP,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE |
							   GUC_NO_RESET_ALL,
							   tenant_check, tenant_assign, NULL);
}

bool
tenant_is_set(void)
{
	return tenant.len > 0;
}

/* ---- the value in each type ------------------------------------------ */

static void
parse_context(void *arg)
{
	errcontext("tenant context of this transaction, read as %s",
			   (const char *) arg);
}

/* Run an input function over the context, saying so if it refuses */
static Datum
parse_tenant(PGFunction input, const char *type)
{
	ErrorContextCallback callback;
	Datum		value;

	callback.callback = parse_context;
	callback.arg = unconstify(char *, type);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	value = DirectFunctionCall1(input, CStringGetDatum(tenant.text));
	error_context_stack = callback.previous;
	return value;
}

static const pg_uuid_t *
tenant_uuid(void)
{
	if (!tenant.uuid_known)
	{
		Datum		value = parse_tenant(uuid_in, "uuid");

		tenant.uuid = *DatumGetUUIDP(value);
		pfree(DatumGetUUIDP(value));
		tenant.uuid_known = true;
	}
	return &tenant.uuid;
}

static int64
tenant_bigint(void)
{
	if (!tenant.bigint_known)
	{
		tenant.bigint = DatumGetInt64(parse_tenant(int8in, "bigint"));
		tenant.bigint_known = true;
	}
	return tenant.bigint;
}

/*
 * Is this value the tenant that the transaction acts for?  The type is one
 * that steward.govern accepts.  False when there is no context.
 */
bool
tenant_equals(Oid type, Datum value)
{
	if (!tenant_is_set())
		return false;

	switch (type)
	{
		case UUIDOID:
			return memcmp(DatumGetUUIDP(value), tenant_uuid(), UUID_LEN) == 0;
		case INT8OID:
			return DatumGetInt64(value) == tenant_bigint();
		case INT4OID:
			return DatumGetInt32(value) == tenant_bigint();
		case INT2OID:
			return DatumGetInt16(value) == tenant_bigint();
		case TEXTOID:
		case VARCHAROID:
			{
				struct varlena *text = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

				return VARSIZE_ANY_EXHDR(text) == tenant.len &&
					memcmp(VARDATA_ANY(text), tenant.text, tenant.len) == 0;
			}
		default:
			elog(ERROR, "type %u cannot hold a tenant", type);
	}
	return false;
}

/* ---- SQL: setting it --------------------------------------------------- */

static void
set_tenant(const char *value)
{
	if (strlen(value) > TENANT_MAX_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a tenant is at most %d bytes long", TENANT_MAX_BYTES));

	tenant.setting = true;
	PG_TRY();
	{
		(void) set_config_option(TENANT_SETTING, value,
								 PGC_SIGHUP, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, ERROR, false);
	}
	PG_FINALLY();
	{
		tenant.setting = false;
	}
	PG_END_TRY();
}

/*
 * set_tenant(text) → text.  Holds to the end of the transaction; a rollback
 * to a savepoint restores what held there.  NULL clears the context.
 */
Datum
steward_set_tenant_text(PG_FUNCTION_ARGS)
{
	char	   *value;

	if (PG_ARGISNULL(0))
	{
		set_tenant("");
		PG_RETURN_NULL();
	}
	value = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (*value == '\0')
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a tenant must not be empty"),
				errhint("Use steward.set_tenant(NULL) to act for no tenant."));
	set_tenant(value);
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

static Datum
set_tenant_by_output(FunctionCallInfo fcinfo, PGFunction output)
{
	char	   *value;

	if (PG_ARGISNULL(0))
	{
		set_tenant("");
		PG_RETURN_NULL();
	}
	value = DatumGetCString(DirectFunctionCall1(output, PG_GETARG_DATUM(0)));
	set_tenant(value);
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

Datum
steward_set_tenant_uuid(PG_FUNCTION_ARGS)
{
	return set_tenant_by_output(fcinfo, uuid_out);
}

Datum
steward_set_tenant_bigint(PG_FUNCTION_ARGS)
{
	return set_tenant_by_output(fcinfo, int8out);
}

/* ---- SQL: reading it --------------------------------------------------- */

/*
 * The result of a function that returns the context by reference, made once
 * for each expression and assignment.  The old copy stays where it is: a scan
 * may still hold it as its key.
 */
static Datum
cached_result(FunctionCallInfo fcinfo, Datum (*make) (void))
{
	TenantResult *result = fcinfo->flinfo->fn_extra;

	if (!result || result->generation != tenant.generation)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (!result)
			result = palloc(sizeof(TenantResult));
		result->value = make();
		result->generation = tenant.generation;
		fcinfo->flinfo->fn_extra = result;
		MemoryContextSwitchTo(old);
	}
	return result->value;
}

static Datum
make_text(void)
{
	return PointerGetDatum(cstring_to_text_with_len(tenant.text, tenant.len));
}

static Datum
make_uuid(void)
{
	pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));

	*copy = *tenant_uuid();
	return UUIDPGetDatum(copy);
}

/* tenant() → text, or NULL when the transaction acts for no tenant */
Datum
steward_tenant(PG_FUNCTION_ARGS)
{
	if (!tenant_is_set())
		PG_RETURN_NULL();
	return make_text();
}

/* tenant_id_text(): the context as the row security policies compare it */
Datum
steward_tenant_id_text(PG_FUNCTION_ARGS)
{
	if (!tenant_is_set())
		PG_RETURN_NULL();
	return cached_result(fcinfo, make_text);
}

Datum
steward_tenant_id_uuid(PG_FUNCTION_ARGS)
{
	if (!tenant_is_set())
		PG_RETURN_NULL();
	return cached_result(fcinfo, make_uuid);
}

Datum
steward_tenant_id_bigint(PG_FUNCTION_ARGS)
{
	if (!tenant_is_set())
		PG_RETURN_NULL();
	PG_RETURN_INT64(tenant_bigint());
}
