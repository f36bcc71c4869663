/*
 * admit.c
 *	  Admission: the incoming row, judged by CHECK constraints.
 *
 * A CHECK constraint sees the final row (no later trigger can rewrite it), and
 * holds for COPY, MERGE, ON CONFLICT, direct writes to a partition and logical
 * apply alike.  The functions raise their own error: core's would print the
 * row.  They return true or do not return.
 *
 * An unarmed database admits everything: it is being restored (registry.c).
 * So does retention, which brings archived rows of every tenant back.
 *
 * No locks; no allocation on the way to "yes".
 */
#include "steward.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(steward_in_tenant_uuid);
PG_FUNCTION_INFO_V1(steward_in_tenant_text);
PG_FUNCTION_INFO_V1(steward_in_tenant_bigint);
PG_FUNCTION_INFO_V1(steward_is_row_owner);

#define SET_TENANT_HINT \
	"Run SELECT steward.set_tenant('<tenant>') first, in the same transaction."

/*
 * Judge a row's tenant, incoming (a CHECK constraint) or outgoing (the guard):
 * it must be the tenant that this transaction acts for, unless the actor is a
 * member of steward_cross_tenant.
 */
void
admit_tenant(Oid type, Datum value, bool isnull)
{
	if (!isnull && tenant_equals(type, value))
		return;
	if (!registry_armed() || actor_is_retention_active())
		return;
	if (actor_is_cross_tenant())
	{
		if (!isnull)
			return;
		steward_refuse(STEWARD_RULE_TENANT,
					   errmsg("row belongs to no tenant"),
					   errdetail("Each row of a tenant store belongs to exactly one tenant."),
					   errhint("Give the tenant column a value."));
	}
	if (!tenant_is_set())
		steward_refuse(STEWARD_RULE_TENANT,
					   errmsg("no tenant is set in this transaction"),
					   errdetail("The row belongs to a tenant store, which is written for one tenant at a time."),
					   errhint(SET_TENANT_HINT));
	steward_refuse(STEWARD_RULE_TENANT,
				   errmsg("row does not belong to the tenant that this transaction acts for"),
				   errdetail("The tenant of a row must be the one that steward.set_tenant() has set."),
				   errhint(SET_TENANT_HINT));
}

/*
 * Judge a row's owner: the actor must act for the service that it names.
 */
void
admit_row_owner(Datum service, bool isnull)
{
	struct varlena *name;
	Oid			role;

	if (!registry_armed() || actor_is_retention_active())
		return;
	if (!isnull)
	{
		name = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(service));
		role = registry_service_role(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
		if (OidIsValid(role) && actor_is_member(role))
			return;
	}
	if (actor_is_migrator())
		return;
	steward_refuse(STEWARD_RULE_ROW_OWNER,
				   errmsg("row belongs to another service"),
				   errdetail("Only members of the role of the service that a row names as its owner write, change or delete it."),
				   errhint("Act as a role of that service; steward.service lists them."));
}

/* ---- SQL --------------------------------------------------------------- */

/* in_tenant(tenant) → true, or an error: CHECK (steward.in_tenant(tenant_id)) */
Datum
steward_in_tenant_uuid(PG_FUNCTION_ARGS)
{
	admit_tenant(UUIDOID, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
				 PG_ARGISNULL(0));
	PG_RETURN_BOOL(true);
}

Datum
steward_in_tenant_text(PG_FUNCTION_ARGS)
{
	admit_tenant(TEXTOID, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
				 PG_ARGISNULL(0));
	PG_RETURN_BOOL(true);
}

Datum
steward_in_tenant_bigint(PG_FUNCTION_ARGS)
{
	admit_tenant(INT8OID, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
				 PG_ARGISNULL(0));
	PG_RETURN_BOOL(true);
}

/* is_row_owner(service) → true, or an error: CHECK (steward.is_row_owner(…)) */
Datum
steward_is_row_owner(PG_FUNCTION_ARGS)
{
	admit_row_owner(PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
					PG_ARGISNULL(0));
	PG_RETURN_BOOL(true);
}
