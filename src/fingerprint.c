/*
 * fingerprint.c
 *	  The type steward.fingerprint: a digest that names a version of a secret.
 *
 * Why: two fingerprints tell whether a secret has changed without telling the
 * secret.  The algorithm is part of the value, so that digests of different
 * algorithms never compare as equal.
 *
 * Memory: the stored value is a varlena of the canonical text.  Parsing reads
 * the input in place and allocates the result only (reference.c).
 *
 * Grammar: our own, {algorithm}:{digest in hexadecimal}.  The algorithms and
 * the lengths of their digests are those of FIPS 180-4.
 */
#include "postgres.h"

#include "reference.h"

#define MAX_INPUT	(REF_LEN("sha512:") + 2 * 64)

StaticAssertDecl(MAX_INPUT <= REF_MAX_CANONICAL, "a fingerprint fits the buffer");

static const struct
{
	const char *prefix;
	int			digits;
	const char *wrong;
}			algorithms[] = {
	{"sha256:", 64, "A sha256 digest must be exactly 64 hexadecimal digits."},
	{"sha384:", 96, "A sha384 digest must be exactly 96 hexadecimal digits."},
	{"sha512:", 128, "A sha512 digest must be exactly 128 hexadecimal digits."}
};

static const char *
parse_fingerprint(RefInput *in, RefOutput *out)
{
	for (int i = 0; i < lengthof(algorithms); i++)
	{
		RefPart		digest;

		if (!ref_accept(in, algorithms[i].prefix))
			continue;
		digest = ref_take(in, ref_is_hex);
		if (digest.len != algorithms[i].digits || in->at != in->end)
			return algorithms[i].wrong;
		ref_put(out, algorithms[i].prefix, strlen(algorithms[i].prefix));
		ref_put_lower(out, digest);
		return NULL;
	}
	return "The algorithm must be sha256, sha384 or sha512, followed by a colon.";
}

static const RefKind fingerprint_kind = {
	.type_name = "steward.fingerprint",
	.hint = "Write sha256:{64 hexadecimal digits}, sha384:{96} or sha512:{128}.",
	.too_long = "The value is longer than any fingerprint.",
	.max_input = MAX_INPUT,
	.parse = parse_fingerprint
};

PG_FUNCTION_INFO_V1(steward_fingerprint_in);
Datum
steward_fingerprint_in(PG_FUNCTION_ARGS)
{
	return ref_in(fcinfo, &fingerprint_kind);
}

PG_FUNCTION_INFO_V1(steward_fingerprint_recv);
Datum
steward_fingerprint_recv(PG_FUNCTION_ARGS)
{
	return ref_recv(fcinfo, &fingerprint_kind);
}

/* ---- accessors -------------------------------------------------------- */

PG_FUNCTION_INFO_V1(steward_fingerprint_algorithm);
Datum
steward_fingerprint_algorithm(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	RefPart		rest = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};

	return ref_part_datum(ref_cut(&rest, ':'));
}

PG_FUNCTION_INFO_V1(steward_fingerprint_digest);
Datum
steward_fingerprint_digest(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	RefPart		rest = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	bytea	   *digest;
	char	   *bytes;
	int			len;

	(void) ref_cut(&rest, ':');
	len = rest.len / 2;
	digest = (bytea *) palloc(VARHDRSZ + len);
	SET_VARSIZE(digest, VARHDRSZ + len);
	bytes = VARDATA(digest);
	for (int i = 0; i < len; i++)
		bytes[i] = (char) (ref_hex_value(rest.at[2 * i]) * 16 +
						   ref_hex_value(rest.at[2 * i + 1]));
	PG_RETURN_BYTEA_P(digest);
}
