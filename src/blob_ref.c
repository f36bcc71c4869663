/*
 * blob_ref.c
 *	  The type steward.blob_ref: the address of a blob in Azure Blob Storage.
 *
 * Why: a row may say where its payload lies.  It must not carry the right to
 * fetch it: an address with a shared access signature is a secret, and is
 * refused, also where the signature hides behind percent escapes.  One
 * canonical text for each address makes equality equality of bytes.
 *
 * Memory: the stored value is a varlena of the canonical text.  Parsing reads
 * the input in place and allocates the result only (reference.c).
 *
 * Grammar: Microsoft Learn, "Naming and referencing containers, blobs, and
 * metadata", "Storage account overview" (account names, endpoints) and the
 * endpoint tables of Azure Government and Azure operated by 21Vianet; RFC 3986
 * sections 2 and 3.3 for characters, percent escapes and their normal form.
 */
#include "postgres.h"

#include "reference.h"

#define MIN_ACCOUNT		3
#define MAX_ACCOUNT		24
#define MIN_CONTAINER	3
#define MAX_CONTAINER	63
#define MAX_BLOB		1024	/* bytes, percent escapes decoded */
#define LONGEST_SUFFIX	".blob.core.usgovcloudapi.net"

#define MAX_CANONICAL \
	(REF_LEN(REF_SCHEME) + MAX_ACCOUNT + REF_LEN(LONGEST_SUFFIX) + \
	 1 + MAX_CONTAINER + 1 + 3 * MAX_BLOB)
#define MAX_INPUT		(MAX_CANONICAL + REF_LEN(":443"))

StaticAssertDecl(MAX_CANONICAL <= REF_MAX_CANONICAL, "a blob_ref fits the buffer");

static const char *const blob_suffixes[] = {
	".blob.core.windows.net", ".blob.core.chinacloudapi.cn", LONGEST_SUFFIX, NULL
};

static const char *const special_containers[] = {"$root", "$web", "$logs", NULL};

static const char wrong_form[] =
"The value is not an https address.";
static const char wrong_extra[] =
"A query string carries an access signature and is never stored; nor is a fragment or a user name.";
static const char wrong_host[] =
"The host must be an account name followed by .blob.core.windows.net, .blob.core.chinacloudapi.cn or .blob.core.usgovcloudapi.net, with no port other than 443.";
static const char wrong_account[] =
"The account name must be 3 to 24 letters or digits.";
static const char wrong_container[] =
"The container name must be 3 to 63 lower-case letters, digits or single hyphens, beginning and ending with a letter or digit, or be $root, $web or $logs.";
static const char wrong_length[] =
"The blob name must be 1 to 1024 bytes.";
static const char wrong_character[] =
"The blob name holds a character that an address must escape.";
static const char wrong_escape[] =
"The blob name holds a malformed percent escape or an escaped control character.";
static const char wrong_segment[] =
"The blob name has an empty segment, a segment . or .., or ends with a slash.";

static bool
is_unreserved(unsigned char c)
{
	return ref_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* What RFC 3986 allows unescaped in a path segment. */
static bool
is_pchar(unsigned char c)
{
	return is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@", c) != NULL);
}

static bool
is_not_slash(unsigned char c)
{
	return c != '/';
}

static bool
is_account_name(RefPart account)
{
	return account.len >= MIN_ACCOUNT && account.len <= MAX_ACCOUNT &&
		!ref_contains(account.at, account.at + account.len, '-');
}

static bool
is_container_name(RefPart container)
{
	for (const char *const *special = special_containers; *special != NULL; special++)
	{
		if (container.len == strlen(*special) &&
			memcmp(container.at, *special, container.len) == 0)
			return true;
	}

	if (container.len < MIN_CONTAINER || container.len > MAX_CONTAINER)
		return false;
	for (int i = 0; i < container.len; i++)
	{
		unsigned char c = container.at[i];

		if (!ref_is_label(c) || (c >= 'A' && c <= 'Z'))
			return false;
	}
	return container.at[0] != '-' && container.at[container.len - 1] != '-' &&
		!ref_has_double_hyphen(container);
}

/* The byte that %XX stands for, or -1. */
static int
take_escape(RefInput *in)
{
	int			high;
	int			low;

	if (in->end - in->at < 3)
		return -1;
	high = ref_hex_value(in->at[1]);
	low = ref_hex_value(in->at[2]);
	if (high < 0 || low < 0)
		return -1;
	in->at += 3;
	return high << 4 | low;
}

static void
put_blob_byte(RefOutput *out, unsigned char c, bool escaped)
{
	static const char digits[] = "0123456789ABCDEF";

	if (escaped && !is_unreserved(c))
	{
		char		escape[3] = {'%', digits[c >> 4], digits[c & 15]};

		ref_put(out, escape, 3);
	}
	else
		ref_put(out, (const char *) &c, 1);
}

/*
 * Do the latest decoded bytes, newest in the low byte, end in a query string's
 * sig parameter?  That is a whole signed address, escaped once more.
 */
static bool
ends_in_signature(uint64 recent)
{
	const uint64 sig = UINT64CONST(0x7369673d); /* sig= */
	uint64		before = (recent >> 32) & 0xff;

	return (recent & 0xffffffff) == sig && (before == '?' || before == '&');
}

/*
 * Blob Storage and the clients in front of it may take an escaped slash or
 * backslash for a separator, so the rules for segments count them as one.
 */
static const char *
parse_blob_name(RefInput *in, RefOutput *out)
{
	int			decoded = 0;
	int			segment = 0;	/* bytes in this segment */
	int			dots = 0;		/* and how many of them are dots */
	uint64		recent = 0;

	while (in->at < in->end)
	{
		bool		escaped = *in->at == '%';
		int			c = escaped ? take_escape(in) : (unsigned char) *in->at++;

		if (escaped ? (c < 0x20 || c == 0x7f) : (c != '/' && !is_pchar(c)))
			return escaped ? wrong_escape : wrong_character;
		if (++decoded > MAX_BLOB)
			return wrong_length;
		recent = recent << 8 | pg_ascii_tolower(c);
		if (ends_in_signature(recent))
			return wrong_extra;

		if (c == '/' || c == '\\')
		{
			if (segment == dots && segment <= 2)
				return wrong_segment;
			segment = dots = 0;
		}
		else
		{
			segment++;
			dots += c == '.';
		}
		put_blob_byte(out, c, escaped);
	}

	if (decoded == 0)
		return wrong_length;
	return segment == dots && segment <= 2 ? wrong_segment : NULL;
}

static const char *
parse_blob_ref(RefInput *in, RefOutput *out)
{
	RefPart		account;
	const char *suffix;
	RefPart		container;
	RefInput	ahead;
	RefPart		authority;

	if (ref_contains(in->at, in->end, '?') || ref_contains(in->at, in->end, '#'))
		return wrong_extra;
	if (!ref_accept(in, REF_SCHEME))
		return wrong_form;
	ahead = *in;
	authority = ref_take(&ahead, is_not_slash);
	if (ref_contains(authority.at, ahead.at, '@'))
		return wrong_extra;
	if (!ref_accept_host(in, blob_suffixes, &account, &suffix))
		return wrong_host;
	if (!is_account_name(account))
		return wrong_account;
	(void) ref_accept(in, "/");
	container = ref_take(in, is_not_slash);
	if (!is_container_name(container))
		return wrong_container;
	(void) ref_accept(in, "/");

	ref_put(out, REF_SCHEME, REF_LEN(REF_SCHEME));
	ref_put_lower(out, account);
	ref_put(out, suffix, strlen(suffix));
	ref_put(out, "/", 1);
	ref_put(out, container.at, container.len);
	ref_put(out, "/", 1);
	return parse_blob_name(in, out);
}

static const RefKind blob_ref_kind = {
	.type_name = "steward.blob_ref",
	.hint = "Write https://{account}.blob.core.windows.net/{container}/{blob} and nothing more; whoever reads the blob brings a right of their own.",
	.too_long = "The value is longer than any blob address without a query string, which carries an access signature and is never stored.",
	.max_input = MAX_INPUT,
	.parse = parse_blob_ref
};

PG_FUNCTION_INFO_V1(steward_blob_ref_in);
Datum
steward_blob_ref_in(PG_FUNCTION_ARGS)
{
	return ref_in(fcinfo, &blob_ref_kind);
}

PG_FUNCTION_INFO_V1(steward_blob_ref_recv);
Datum
steward_blob_ref_recv(PG_FUNCTION_ARGS)
{
	return ref_recv(fcinfo, &blob_ref_kind);
}

/* ---- accessors -------------------------------------------------------- */

PG_FUNCTION_INFO_V1(steward_blob_account);
Datum
steward_blob_account(PG_FUNCTION_ARGS)
{
	RefPart		rest = ref_stored(PG_GETARG_TEXT_PP(0));

	return ref_part_datum(ref_cut(&rest, '.'));
}

PG_FUNCTION_INFO_V1(steward_blob_container);
Datum
steward_blob_container(PG_FUNCTION_ARGS)
{
	RefPart		rest = ref_stored(PG_GETARG_TEXT_PP(0));

	(void) ref_cut(&rest, '/');
	return ref_part_datum(ref_cut(&rest, '/'));
}

PG_FUNCTION_INFO_V1(steward_blob_name);
Datum
steward_blob_name(PG_FUNCTION_ARGS)
{
	RefPart		rest = ref_stored(PG_GETARG_TEXT_PP(0));

	(void) ref_cut(&rest, '/');
	(void) ref_cut(&rest, '/');
	return ref_part_datum(rest);
}
