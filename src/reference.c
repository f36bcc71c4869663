/*
 * reference.c
 *	  The shared half of the reference types: input, receive and refusal.
 *
 * Why: the three types differ only in grammar.  How an input is bounded, how a
 * refusal is worded and what it must never hold is decided here, once.
 *
 * Memory: input is read in place, bounded before anything else is done with
 * it; the canonical text is built in a RefOutput on the stack; the one
 * allocation is the varlena that is returned.  Details and hints are constants.
 *
 * Grammar: see the files of the types.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "reference.h"

static bool
is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Refuse, without a word of what was refused. */
static Datum
refuse(struct Node *escontext, const RefKind *kind, const char *detail)
{
	if (!steward_is_soft(escontext))
		steward_hush();
	ereturn(escontext, (Datum) 0,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s", kind->type_name),
			 errdetail_internal("%s", detail),
			 errhint("%s", kind->hint),
			 errhidestmt(true)));
}

/* len may stop at max_input + 1: what follows is never looked at. */
static Datum
judge(struct Node *escontext, const RefKind *kind, const char *bytes, int len)
{
	RefInput	in = {bytes, bytes + len};
	RefOutput	out;
	const char *detail;

	if (len > kind->max_input)
		return refuse(escontext, kind, kind->too_long);
	if (len == 0)
		return refuse(escontext, kind, "The value is empty.");
	if (is_space(bytes[0]) || is_space(bytes[len - 1]))
		return refuse(escontext, kind, "The value begins or ends with white space.");

	out.len = 0;
	detail = kind->parse(&in, &out);
	if (detail != NULL)
		return refuse(escontext, kind, detail);
	return PointerGetDatum(cstring_to_text_with_len(out.data, out.len));
}

Datum
ref_in(FunctionCallInfo fcinfo, const RefKind *kind)
{
	const char *bytes = PG_GETARG_CSTRING(0);

	return judge(STEWARD_ESCONTEXT(fcinfo), kind, bytes,
				 strnlen(bytes, kind->max_input + 1));
}

/*
 * The bytes are judged as they came.  pq_getmsgtext() would copy them and, if
 * they are not valid in the client's encoding, print some of them; a byte that
 * any encoding could convert is refused here anyway.
 */
Datum
ref_recv(FunctionCallInfo fcinfo, const RefKind *kind)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			len = message->len - message->cursor;
	const char *bytes = pq_getmsgbytes(message, len);

	return judge(STEWARD_ESCONTEXT(fcinfo), kind, bytes, len);
}

/* ---- reading ---------------------------------------------------------- */

/* Step over word, in any case; or stay. */
bool
ref_accept(RefInput *in, const char *word)
{
	const char *at = in->at;

	for (; *word != '\0'; word++, at++)
	{
		if (at == in->end ||
			pg_ascii_tolower((unsigned char) *at) !=
			pg_ascii_tolower((unsigned char) *word))
			return false;
	}
	in->at = at;
	return true;
}

/* Step over the longest run of characters that belong; it may be empty. */
RefPart
ref_take(RefInput *in, bool (*belongs) (unsigned char c))
{
	RefPart		part = {in->at, 0};

	while (in->at < in->end && belongs((unsigned char) *in->at))
		in->at++;
	part.len = in->at - part.at;
	return part;
}

/* {label}{suffix}[:443], up to the slash or the end. */
bool
ref_accept_host(RefInput *in, const char *const *suffixes,
				RefPart *label, const char **suffix)
{
	*label = ref_take(in, ref_is_label);
	while (*suffixes != NULL && !ref_accept(in, *suffixes))
		suffixes++;
	*suffix = *suffixes;
	if (*suffix == NULL)
		return false;
	(void) ref_accept(in, ":443");
	return in->at == in->end || *in->at == '/';
}

bool
ref_contains(const char *at, const char *end, char c)
{
	return memchr(at, c, end - at) != NULL;
}

bool
ref_has_double_hyphen(RefPart part)
{
	for (int i = 1; i < part.len; i++)
	{
		if (part.at[i - 1] == '-' && part.at[i] == '-')
			return true;
	}
	return false;
}

bool
ref_is_label(unsigned char c)
{
	return ref_is_alnum(c) || c == '-';
}

bool
ref_is_hex(unsigned char c)
{
	return ref_hex_value(c) >= 0;
}

int
ref_hex_value(unsigned char c)
{
	if (ref_is_digit(c))
		return c - '0';
	c = pg_ascii_tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- writing ---------------------------------------------------------- */

void
ref_put(RefOutput *out, const char *bytes, int len)
{
	Assert(out->len + len <= REF_MAX_CANONICAL);
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
}

void
ref_put_lower(RefOutput *out, RefPart part)
{
	Assert(out->len + part.len <= REF_MAX_CANONICAL);
	for (int i = 0; i < part.len; i++)
		out->data[out->len++] = pg_ascii_tolower((unsigned char) part.at[i]);
}

/* ---- taking a stored value apart -------------------------------------- */

/* A stored https reference without its scheme. */
RefPart
ref_stored(text *value)
{
	RefPart		part = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	int			skip = Min(part.len, REF_LEN(REF_SCHEME));

	part.at += skip;
	part.len -= skip;
	return part;
}

/*
 * Cut off and return what stands before the first separator, which goes too.
 * Without one, all of it is returned and rest becomes absent.
 */
RefPart
ref_cut(RefPart *rest, char separator)
{
	RefPart		head = *rest;
	const char *found = NULL;

	if (rest->len > 0)
		found = memchr(rest->at, separator, rest->len);
	if (found == NULL)
	{
		rest->at = NULL;
		rest->len = 0;
		return head;
	}
	head.len = found - head.at;
	rest->at = found + 1;
	rest->len -= head.len + 1;
	return head;
}

Datum
ref_part_datum(RefPart part)
{
	return PointerGetDatum(cstring_to_text_with_len(part.at ? part.at : "", part.len));
}
