/*
 * secret_ref.c
 *	  The type steward.secret_ref: the id of a secret in Azure Key Vault.
 *
 * Why: a table may say where a secret lives, and never hold the secret.  The
 * grammar is closed, so that nothing else fits into such a column, and it has
 * one canonical text for each secret, so that equality is equality of bytes
 * and PostgreSQL's own functions for bytea compare, sort and hash it.
 *
 * Memory: the stored value is a varlena of the canonical text.  Parsing reads
 * the input in place and allocates the result only (reference.c).
 *
 * Grammar: Microsoft Learn, "Azure Key Vault keys, secrets and certificates
 * overview" (object identifiers, which compare in any case; DNS suffixes),
 * "Azure Key Vault: naming rules for resources", and "Use Key Vault references
 * as app settings in Azure App Service" (the @Microsoft.KeyVault spellings).
 */
#include "postgres.h"

#include "reference.h"

#define MAX_VAULT		24
#define MAX_NAME		127
#define VERSION_LEN		32
#define LONGEST_SUFFIX	".vault.usgovcloudapi.net"
#define COLLECTION		"/secrets/"
#define APP_SERVICE		"@Microsoft.KeyVault("

#define MAX_URI \
	(REF_LEN(REF_SCHEME) + MAX_VAULT + REF_LEN(LONGEST_SUFFIX) + REF_LEN(":443") + \
	 REF_LEN(COLLECTION) + MAX_NAME + 1 + VERSION_LEN)
#define MAX_INPUT \
	(REF_LEN(APP_SERVICE) + REF_LEN("SecretUri=") + MAX_URI + REF_LEN(")"))

StaticAssertDecl(MAX_URI <= REF_MAX_CANONICAL, "a secret_ref fits the buffer");

/* The first one is what an App Service reference by vault name means. */
static const char *const vault_suffixes[] = {
	".vault.azure.net", ".vault.azure.cn", LONGEST_SUFFIX, NULL
};

static const char wrong_form[] =
"The value is neither an https address nor an App Service reference to Key Vault.";
static const char wrong_extra[] =
"A user name, query string or fragment is no part of a secret id and is never stored.";
static const char wrong_hsm[] =
"A managed HSM holds keys and no secrets.";
static const char wrong_host[] =
"The host must be a vault name followed by .vault.azure.net, .vault.azure.cn or .vault.usgovcloudapi.net, with no port other than 443.";
static const char wrong_vault[] =
"The vault name must be 3 to 24 letters, digits or single hyphens, beginning with a letter and ending with a letter or digit.";
static const char wrong_path[] =
"The path must be /secrets/ followed by the secret name and optionally a version.";
static const char wrong_name[] =
"The secret name must be 1 to 127 letters, digits or hyphens.";
static const char wrong_version[] =
"The version must be exactly 32 hexadecimal digits with nothing after them.";
static const char wrong_keys[] =
"An App Service reference must hold SecretUri, or VaultName and SecretName and optionally SecretVersion, each once.";

typedef struct SecretParts
{
	RefPart		vault;
	const char *suffix;
	RefPart		name;
	RefPart		version;		/* at is NULL when unversioned */
} SecretParts;

/* https://{vault}{suffix}[:443]/secrets/{name}[/[{version}]] */
static const char *
parse_uri(RefInput *in, SecretParts *parts)
{
	if (!ref_accept(in, REF_SCHEME))
		return wrong_form;
	if (ref_contains(in->at, in->end, '@') ||
		ref_contains(in->at, in->end, '?') ||
		ref_contains(in->at, in->end, '#'))
		return wrong_extra;
	if (!ref_accept_host(in, vault_suffixes, &parts->vault, &parts->suffix))
		return ref_accept(in, ".managedhsm.") ? wrong_hsm : wrong_host;
	if (!ref_accept(in, COLLECTION))
		return wrong_path;

	parts->name = ref_take(in, ref_is_label);
	if (in->at == in->end)
		return NULL;
	if (!ref_accept(in, "/"))
		return wrong_name;
	if (in->at == in->end)
		return NULL;

	parts->version = ref_take(in, ref_is_hex);
	return in->at == in->end ? NULL : wrong_version;
}

/* What stands between the parentheses of @Microsoft.KeyVault(...) */
static const char *
parse_app_service(RefInput *in, SecretParts *parts)
{
	if (in->at == in->end || in->end[-1] != ')')
		return wrong_keys;
	in->end--;

	if (ref_accept(in, "SecretUri="))
		return parse_uri(in, parts);

	parts->suffix = vault_suffixes[0];
	do
	{
		RefPart    *part;
		const char *wrong;

		if (ref_accept(in, "VaultName="))
		{
			part = &parts->vault;
			wrong = wrong_vault;
		}
		else if (ref_accept(in, "SecretName="))
		{
			part = &parts->name;
			wrong = wrong_name;
		}
		else if (ref_accept(in, "SecretVersion="))
		{
			part = &parts->version;
			wrong = wrong_version;
		}
		else
			return wrong_keys;

		if (part->at != NULL)
			return wrong_keys;
		*part = ref_take(in, ref_is_label);
		if (in->at < in->end && *in->at != ';')
			return wrong;
	} while (ref_accept(in, ";"));

	if (parts->vault.at == NULL || parts->name.at == NULL)
		return wrong_keys;
	return NULL;
}

static bool
is_vault_name(RefPart vault)
{
	return vault.len >= 3 && vault.len <= MAX_VAULT &&
		ref_is_letter((unsigned char) vault.at[0]) &&
		ref_is_alnum((unsigned char) vault.at[vault.len - 1]) &&
		!ref_has_double_hyphen(vault);
}

static bool
is_version(RefPart version)
{
	RefInput	in = {version.at, version.at + version.len};

	return ref_take(&in, ref_is_hex).len == VERSION_LEN && in.at == in.end;
}

static const char *
parse_secret_ref(RefInput *in, RefOutput *out)
{
	SecretParts parts = {0};
	const char *wrong;

	if (ref_accept(in, APP_SERVICE))
		wrong = parse_app_service(in, &parts);
	else
		wrong = parse_uri(in, &parts);
	if (wrong != NULL)
		return wrong;

	if (!is_vault_name(parts.vault))
		return wrong_vault;
	if (parts.name.len < 1 || parts.name.len > MAX_NAME)
		return wrong_name;
	if (parts.version.at != NULL && !is_version(parts.version))
		return wrong_version;

	ref_put(out, REF_SCHEME, REF_LEN(REF_SCHEME));
	ref_put_lower(out, parts.vault);
	ref_put(out, parts.suffix, strlen(parts.suffix));
	ref_put(out, COLLECTION, REF_LEN(COLLECTION));
	ref_put_lower(out, parts.name);
	if (parts.version.at != NULL)
	{
		ref_put(out, "/", 1);
		ref_put_lower(out, parts.version);
	}
	return NULL;
}

static const RefKind secret_ref_kind = {
	.type_name = "steward.secret_ref",
	.hint = "Write https://{vault}.vault.azure.net/secrets/{name}, optionally followed by /{version}, or @Microsoft.KeyVault(SecretUri={that address}).",
	.too_long = "The value is longer than any Key Vault secret id.",
	.max_input = MAX_INPUT,
	.parse = parse_secret_ref
};

PG_FUNCTION_INFO_V1(steward_secret_ref_in);
Datum
steward_secret_ref_in(PG_FUNCTION_ARGS)
{
	return ref_in(fcinfo, &secret_ref_kind);
}

PG_FUNCTION_INFO_V1(steward_secret_ref_recv);
Datum
steward_secret_ref_recv(PG_FUNCTION_ARGS)
{
	return ref_recv(fcinfo, &secret_ref_kind);
}

/* ---- accessors -------------------------------------------------------- */

typedef struct StoredSecret
{
	RefPart		host;
	RefPart		name;
	RefPart		version;
} StoredSecret;

static StoredSecret
take_apart(text *value)
{
	StoredSecret stored;
	RefPart		rest = ref_stored(value);

	stored.host = ref_cut(&rest, '/');
	(void) ref_cut(&rest, '/');
	stored.name = ref_cut(&rest, '/');
	stored.version = rest;
	return stored;
}

PG_FUNCTION_INFO_V1(steward_vault_name);
Datum
steward_vault_name(PG_FUNCTION_ARGS)
{
	StoredSecret stored = take_apart(PG_GETARG_TEXT_PP(0));

	return ref_part_datum(ref_cut(&stored.host, '.'));
}

PG_FUNCTION_INFO_V1(steward_vault_host);
Datum
steward_vault_host(PG_FUNCTION_ARGS)
{
	return ref_part_datum(take_apart(PG_GETARG_TEXT_PP(0)).host);
}

PG_FUNCTION_INFO_V1(steward_secret_name);
Datum
steward_secret_name(PG_FUNCTION_ARGS)
{
	return ref_part_datum(take_apart(PG_GETARG_TEXT_PP(0)).name);
}

PG_FUNCTION_INFO_V1(steward_secret_version);
Datum
steward_secret_version(PG_FUNCTION_ARGS)
{
	StoredSecret stored = take_apart(PG_GETARG_TEXT_PP(0));

	if (stored.version.at == NULL)
		PG_RETURN_NULL();
	return ref_part_datum(stored.version);
}

PG_FUNCTION_INFO_V1(steward_unversioned);
Datum
steward_unversioned(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	StoredSecret stored = take_apart(value);
	RefPart		whole = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};

	if (stored.version.at != NULL)
		whole.len = stored.version.at - 1 - whole.at;
	return ref_part_datum(whole);
}
