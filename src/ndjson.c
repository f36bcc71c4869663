/*
 * ndjson.c
 *	  Rows as lines of JSON: each column's text output as a JSON string, or
 *	  null.
 *
 * A value is what the type's output function says, never a JSON number or
 * object: text comes back exactly for every type, and a reader of JSON would
 * round numeric and drop what jsonb does not know (array bounds, the blanks
 * of json).  Output functions build their text piece by piece in memory that
 * is then copied and copied again, so the common types have writers here that
 * put the same characters straight into the line; the text of jsonb, which is
 * most of what rows hold, is escaped twice on its way.  Each must equal its
 * output function under the settings of archive_pin_settings().  Everything
 * else is written by its output function.  Which it is, is decided once for
 * each column, by the output function: so domains and types that share one
 * need no further thought.
 *
 * The text is UTF-8.  In a database of another encoding, values that may hold
 * more than ASCII take the long way: output function, conversion.  SQL_ASCII
 * knows nothing of its bytes and they pass as they are.
 *
 * Memory: the line goes to a malloc'd buffer.  What a value needs on its way
 * (detoasting, output functions) is freed with it, and at the latest with the
 * row, in a context below the one that was current at ndjson_begin().
 *
 * Locks: none.
 */
#include "steward.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "archive.h"
#include "ndjson.h"

/* How much is escaped, or encoded, before the buffer is looked at again */
#define CHUNK			4096
/* Of one byte, escaped; also what escaping may write behind its result */
#define MAX_ESCAPED		8
/* What any value of a fixed length fits in, with quotes, comma and brace */
#define SMALL_VALUE		64

typedef struct NdjsonColumn NdjsonColumn;

typedef void (*write_value) (NdjsonColumn *column, Datum value,
							 NdjsonBuffer *out);

struct NdjsonColumn
{
	write_value write;
	FmgrInfo	output;			/* for write_any() */
	FmgrInfo	input;			/* for write_checked() */
	Oid			io_param;
	int32		typmod;
	const char *name;
	bool		convert;		/* its text is not UTF-8 yet */
	char	   *key;			/* ,"name": */
	size_t		key_len;
};

struct NdjsonWriter
{
	int			n_columns;
	AttrNumber	watched;
	MemoryContext row;			/* reset for each */
	NdjsonColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/* ---- the buffer -------------------------------------------------------- */

static void
too_long(void)
{
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("row is too large for an archive"),
			errdetail("As a line of JSON a row must not exceed %zu bytes.",
					  NDJSON_MAX_LINE));
}

static void
enlarge(NdjsonBuffer *out, size_t more)
{
	size_t		most = out->line + NDJSON_MAX_LINE + CHUNK * MAX_ESCAPED;
	size_t		size = Max(2 * out->size, ARCHIVE_FRAME_BYTES + ARCHIVE_FRAME_BYTES / 8);
	char	   *data;

	if (more > most - out->len)
		too_long();
	while (size - out->len < more)
		size *= 2;
	size = Min(size, most);
	data = realloc(out->data, size);
	if (!data)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"),
				errdetail("Failed to enlarge the line of an archive to %zu bytes.",
						  size));
	out->data = data;
	out->size = size;
}

/* Make room for that many bytes behind the end */
static inline char *
room(NdjsonBuffer *out, size_t more)
{
	if (unlikely(out->size - out->len < more))
		enlarge(out, more);
	return out->data + out->len;
}

static inline void
put(NdjsonBuffer *out, const char *text, size_t len)
{
	memcpy(room(out, len), text, len);
	out->len += len;
}

/* ---- escaping ---------------------------------------------------------- */

typedef struct Escape
{
	char text[	MAX_ESCAPED];
	int			len;
} Escape;

/* What becomes of a byte in a JSON string, and of one in a JSON string in one */
static Escape escape_once[256];
static Escape escape_twice[256];

static void
set_escape(int byte, const char *once, const char *twice)
{
	strncpy(escape_once[byte].text, once, MAX_ESCAPED);
	escape_once[byte].len = strlen(once);
	strncpy(escape_twice[byte].text, twice, MAX_ESCAPED);
	escape_twice[byte].len = strlen(twice);
}

static void
make_escapes(void)
{
	int			byte;

	if (escape_once[0].len > 0)
		return;
	for (byte = 0; byte < 256; byte++)
	{
		char		once[MAX_ESCAPED];
		char		twice[MAX_ESCAPED];

		snprintf(once, sizeof(once), byte < ' ' ? "\\u%04x" : "%c", byte);
		snprintf(twice, sizeof(twice), byte < ' ' ? "\\\\u%04x" : "%c", byte);
		set_escape(byte, once, twice);
	}
	set_escape('\b', "\\b", "\\\\b");
	set_escape('\f', "\\f", "\\\\f");
	set_escape('\n', "\\n", "\\\\n");
	set_escape('\r', "\\r", "\\\\r");
	set_escape('\t', "\\t", "\\\\t");
	set_escape('"', "\\\"", "\\\\\\\"");
	set_escape('\\', "\\\\", "\\\\\\\\");
}

#define EACH_BYTE(byte)		(UINT64CONST(0x0101010101010101) * (byte))

/*
 * How many of the word's first bytes, in memory, need no escaping.  A borrow
 * makes false hits only behind a true one, in the order of significance: hence
 * the swap.
 */
static inline int
plain_bytes(uint64 word)
{
	uint64		quote;
	uint64		backslash;
	uint64		hits;

#ifdef WORDS_BIGENDIAN
	word = pg_bswap64(word);
#endif
	quote = word ^ EACH_BYTE('"');
	backslash = word ^ EACH_BYTE('\\');
	hits = (((word - EACH_BYTE(' ')) & ~word) |
			((quote - EACH_BYTE(1)) & ~quote) |
			((backslash - EACH_BYTE(1)) & ~backslash)) & EACH_BYTE(0x80);
	return hits ? pg_rightmost_one_pos64(hits) / 8 : 8;
}

/*
 * Escape from "text" to "end", and return where the result ends.  What lies
 * before "limit" may be read.
 */
static inline char *
escape(const Escape *escapes, char *dest,
	   const char *text, const char *end, const char *limit)
{
	const Escape *special;

	while (limit - text >=sizeof(uint64))
	{
		uint64		word;
		int			n;

		memcpy(&word, text, sizeof(word));
		memcpy(dest, &word, sizeof(word));
		n = plain_bytes(word);
		if (n >= end - text)
			return dest + (end - text);
		text	  +=n;

		dest += n;
		if (n == sizeof(word))
			continue;
		special = &escapes[(unsigned char) *text ++];
		memcpy(dest, special->text, MAX_ESCAPED);
		dest += special->len;
	}
	while (text <end)
	{
		special = &escapes[(unsigned char) *text ++];
		memcpy(dest, special->text, MAX_ESCAPED);
		dest += special->len;
	}
	return dest;
}

static inline void
put_escaped(const Escape *escapes, const char *text, size_t len,
			const char *limit, NdjsonBuffer *out)
{
	while (len > 0)
	{
		size_t		n = Min(len, CHUNK);
		char	   *dest = room(out, (n + 1) * MAX_ESCAPED);

		out->len = escape(escapes, dest, text, text +n, limit) - out->data;
		text	  +=n;

		len -= n;
	}
}

/* ---- numbers ----------------------------------------------------------- */

static const char two_digits[] =
"00010203040506070809" "10111213141516171819"
"20212223242526272829" "30313233343536373839"
"40414243444546474849" "50515253545556575859"
"60616263646566676869" "70717273747576777879"
"80818283848586878889" "90919293949596979899";

static inline char *
put_2(char *dest, int value)
{
	memcpy(dest, two_digits + 2 * value, 2);
	return dest + 2;
}

static inline char *
put_4(char *dest, int value)
{
	return put_2(put_2(dest, value / 100), value % 100);
}

/* The packed form of numeric, as it lies on disk: see numeric.c */
#define NUMERIC_HEADER_KIND		0xC000
#define NUMERIC_LONG_NEGATIVE	0x4000
#define NUMERIC_SHORT			0x8000
#define NUMERIC_SPECIAL			0xC000
#define NUMERIC_SPECIAL_KIND	0xF000
#define NUMERIC_SPECIAL_NAN		0xC000
#define NUMERIC_SPECIAL_PINF	0xD000
#define NUMERIC_SHORT_NEGATIVE	0x2000
#define NUMERIC_SHORT_SCALE		0x1F80
#define NUMERIC_SHORT_SCALE_AT	7
#define NUMERIC_SHORT_WEIGHT_SIGN 0x0040
#define NUMERIC_SHORT_WEIGHT	0x003F
#define NUMERIC_LONG_SCALE		0x3FFF
#define DIGITS_A_LIMB			4	/* base 10000 */

typedef struct Unpacked
{
	bool		negative;
	int			weight;			/* limbs before the point, less one */
	int			scale;			/* digits behind it */
	int			n_limbs;
	const char *limbs;			/* int16, not aligned */
} Unpacked;

static inline int
limb(const Unpacked *number, int i)
{
	int16		value;

	if (i < 0 || i >= number->n_limbs)
		return 0;
	memcpy(&value, number->limbs + i * sizeof(value), sizeof(value));
	return value;
}

static inline void
unpack(const char *packed, size_t len, uint16 header, Unpacked *number)
{
	size_t		header_len = sizeof(uint16);

	if ((header & NUMERIC_HEADER_KIND) == NUMERIC_SHORT)
	{
		number->negative = (header & NUMERIC_SHORT_NEGATIVE) != 0;
		number->scale = (header & NUMERIC_SHORT_SCALE) >> NUMERIC_SHORT_SCALE_AT;
		number->weight = header & NUMERIC_SHORT_WEIGHT;
		if (header & NUMERIC_SHORT_WEIGHT_SIGN)
			number->weight |= ~NUMERIC_SHORT_WEIGHT;
	}
	else
	{
		int16		weight;

		memcpy(&weight, packed + header_len, sizeof(weight));
		header_len += sizeof(weight);
		number->negative = (header & NUMERIC_HEADER_KIND) == NUMERIC_LONG_NEGATIVE;
		number->scale = header & NUMERIC_LONG_SCALE;
		number->weight = weight;
	}
	number->limbs = packed + header_len;
	number->n_limbs = (len - header_len) / sizeof(int16);
}

/* The digits before the point: without leading zeros, but one at least */
static inline char *
put_integer_part(char *dest, const Unpacked *number)
{
	char		first[DIGITS_A_LIMB];
	int			value = number->weight < 0 ? 0 : limb(number, 0);
	int			digits = value >= 1000 ? 4 : value >= 100 ? 3 : value >= 10 ? 2 : 1;
	int			i;

	put_4(first, value);
	memcpy(dest, first + DIGITS_A_LIMB - digits, digits);
	dest += digits;
	for (i = 1; i <= number->weight; i++)
		dest = put_4(dest, limb(number, i));
	return dest;
}

/* A numeric without its varlena header */
static void
put_numeric(const char *packed, size_t len, NdjsonBuffer *out)
{
	uint16		header;
	Unpacked	number;
	char	   *dest;
	char	   *point;
	int			i;

	memcpy(&header, packed, sizeof(header));
	if ((header & NUMERIC_HEADER_KIND) == NUMERIC_SPECIAL)
	{
		header &= NUMERIC_SPECIAL_KIND;
		if (header == NUMERIC_SPECIAL_NAN)
			put(out, "NaN", 3);
		else if (header == NUMERIC_SPECIAL_PINF)
			put(out, "Infinity", 8);
		else
			put(out, "-Infinity", 9);
		return;
	}
	unpack(packed, len, header, &number);
	dest = room(out, (Max(number.weight, 0) + 1) * DIGITS_A_LIMB +
				number.scale + SMALL_VALUE);
	if (number.negative)
		*dest++ = '-';
	dest = put_integer_part(dest, &number);
	if (number.scale > 0)
	{
		*dest++ = '.';
		point = dest;
		for (i = number.weight + 1; dest - point < number.scale; i++)
			dest = put_4(dest, limb(&number, i));
		dest = point + number.scale;
	}
	out->len = dest - out->data;
}

/* ---- dates and times --------------------------------------------------- */

/* Year, month and day of a Julian day; says whether " BC" must follow */
static inline char *
put_day(char *dest, int julian, bool *bc)
{
	int			year;
	int			month;
	int			day;

	j2date(julian, &year, &month, &day);
	*bc = year <= 0;
	if (*bc)
		year = 1 - year;
	if (year < 10000)
		dest = put_4(dest, year);
	else
		dest += pg_ultoa_n(year, dest);
	*dest++ = '-';
	dest = put_2(dest, month);
	*dest++ = '-';
	return put_2(dest, day);
}

/* A word, without the NUL */
static inline char *
put_word(char *dest, const char *word)
{
	while (*word)
		*dest++ = *word++;
	return dest;
}

static inline char *
put_bc(char *dest, bool bc)
{
	return bc ? put_word(dest, " BC") : dest;
}

static inline char *
put_infinity(char *dest, bool negative)
{
	if (negative)
		*dest++ = '-';
	return put_word(dest, "infinity");
}

static char *
put_timestamp(char *dest, Timestamp value, bool with_zone)
{
	int64		days = value / USECS_PER_DAY;
	int64		time = value % USECS_PER_DAY;
	int			seconds;
	int			fraction;
	bool		bc;

	if (TIMESTAMP_NOT_FINITE(value))
		return put_infinity(dest, TIMESTAMP_IS_NOBEGIN(value));
	if (time < 0)
	{
		time += USECS_PER_DAY;
		days--;
	}
	dest = put_day(dest, days + POSTGRES_EPOCH_JDATE, &bc);
	seconds = time / USECS_PER_SEC;
	fraction = time % USECS_PER_SEC;
	*dest++ = ' ';
	dest = put_2(dest, seconds / SECS_PER_HOUR);
	*dest++ = ':';
	dest = put_2(dest, seconds / SECS_PER_MINUTE % MINS_PER_HOUR);
	*dest++ = ':';
	dest = put_2(dest, seconds % SECS_PER_MINUTE);
	if (fraction != 0)
	{
		*dest++ = '.';
		dest = put_4(put_2(dest, fraction / 10000), fraction % 10000);
		while (dest[-1] == '0')
			dest--;
	}
	if (with_zone)
		dest = put_word(dest, "+00");
	return put_bc(dest, bc);
}

/*
 * A timestamptz as it is written in archives, whatever the session's settings:
 * not terminated; its length is returned.
 */
int
ndjson_timestamptz(TimestampTz value, char *dest)
{
	return put_timestamp(dest, value, true) - dest;
}

/* ---- jsonb ------------------------------------------------------------- */

static inline uint32
get_uint32(const char *from)
{
	uint32		value;

	memcpy(&value, from, sizeof(value));
	return value;
}

/* Where the child behind this JEntry begins */
static inline uint32
child_end(uint32 begin, JEntry entry)
{
	return JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : begin + JBE_OFFLENFLD(entry);
}

static void put_container(const char *container, const char *limit,
						  NdjsonBuffer *out);

static inline void
put_json_string(const char *text, size_t len, const char *limit,
				NdjsonBuffer *out)
{
	put(out, "\\\"", 2);
	put_escaped(escape_twice, text, len, limit, out);
	put(out, "\\\"", 2);
}

/* The child that lies at begin to end of a container's data */
static inline void
put_child(JEntry entry, const char *data, uint32 begin, uint32 end,
		  const char *limit, NdjsonBuffer *out)
{
	const char *number;

	switch (entry & JENTRY_TYPEMASK)
	{
		case JENTRY_ISSTRING:
			put_json_string(data + begin, end - begin, limit, out);
			break;
		case JENTRY_ISNUMERIC:
			number = data + INTALIGN(begin);
			put_numeric(VARDATA_ANY(number), VARSIZE_ANY_EXHDR(number), out);
			break;
		case JENTRY_ISCONTAINER:
			put_container(data + INTALIGN(begin), limit, out);
			break;
		case JENTRY_ISBOOL_TRUE:
			put(out, "true", 4);
			break;
		case JENTRY_ISBOOL_FALSE:
			put(out, "false", 5);
			break;
		case JENTRY_ISNULL:
			put(out, "null", 4);
			break;
		default:
			ereport(ERROR,
					errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("jsonb value holds an entry of an unknown kind"));
	}
}

/* All keys lie before all values, in the same order */
static void
put_object(const char *entries, uint32 count, const char *limit,
		   NdjsonBuffer *out)
{
	const char *values = entries + count * sizeof(JEntry);
	const char *data = values + count * sizeof(JEntry);
	uint32		key = 0;
	uint32		value = 0;
	uint32		i;

	for (i = 0; i < count; i++)
		value = child_end(value, get_uint32(entries + i * sizeof(JEntry)));

	put(out, "{", 1);
	for (i = 0; i < count; i++)
	{
		JEntry		entry = get_uint32(values + i * sizeof(JEntry));
		uint32		key_end = child_end(key, get_uint32(entries + i * sizeof(JEntry)));
		uint32		value_end = child_end(value, entry);

		if (i > 0)
			put(out, ", ", 2);
		put_json_string(data + key, key_end - key, limit, out);
		put(out, ": ", 2);
		put_child(entry, data, value, value_end, limit, out);
		key = key_end;
		value = value_end;
	}
	put(out, "}", 1);
}

static void
put_array(const char *entries, uint32 count, bool is_scalar, const char *limit,
		  NdjsonBuffer *out)
{
	const char *data = entries + count * sizeof(JEntry);
	uint32		begin = 0;
	uint32		i;

	if (!is_scalar)
		put(out, "[", 1);
	for (i = 0; i < count; i++)
	{
		JEntry		entry = get_uint32(entries + i * sizeof(JEntry));
		uint32		end = child_end(begin, entry);

		if (i > 0)
			put(out, ", ", 2);
		put_child(entry, data, begin, end, limit, out);
		begin = end;
	}
	if (!is_scalar)
		put(out, "]", 1);
}

/*
 * A JsonbContainer, which need not be aligned: all that is aligned in it is so
 * by its offset.  The jsonb ends at "limit".
 */
static void
put_container(const char *container, const char *limit, NdjsonBuffer *out)
{
	uint32		header = get_uint32(container);
	const char *entries = container + offsetof(JsonbContainer, children);

	check_stack_depth();
	if (header & JB_FOBJECT)
		put_object(entries, header & JB_CMASK, limit, out);
	else
		put_array(entries, header & JB_CMASK, (header & JB_FSCALAR) != 0,
				  limit, out);
}

/* ---- one writer for each kind of column -------------------------------- */

/*
 * Each appends the inside of a JSON string.  There is room for SMALL_VALUE
 * bytes when it is called.
 */

static void
write_bool(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->data[out->len++] = DatumGetBool(value) ? 't' : 'f';
}

static void
write_int2(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += pg_itoa(DatumGetInt16(value), out->data + out->len);
}

static void
write_int4(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += pg_ltoa(DatumGetInt32(value), out->data + out->len);
}

static void
write_int8(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += pg_lltoa(DatumGetInt64(value), out->data + out->len);
}

static void
write_oid(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += pg_ultoa_n(DatumGetObjectId(value), out->data + out->len);
}

static void
write_float4(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += float_to_shortest_decimal_buf(DatumGetFloat4(value),
											  out->data + out->len);
}

static void
write_float8(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len += double_to_shortest_decimal_buf(DatumGetFloat8(value),
											   out->data + out->len);
}

static void
write_uuid(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *uuid = DatumGetUUIDP(value)->data;
	char	   *dest = out->data + out->len;
	int			i;

	for (i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*dest++ = '-';
		*dest++ = hex[uuid[i] >> 4];
		*dest++ = hex[uuid[i] & 0xF];
	}
	out->len = dest - out->data;
}

static void
write_date(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	DateADT		date = DatumGetDateADT(value);
	char	   *dest = out->data + out->len;
	bool		bc;

	if (DATE_NOT_FINITE(date))
		dest = put_infinity(dest, DATE_IS_NOBEGIN(date));
	else
	{
		dest = put_day(dest, date + POSTGRES_EPOCH_JDATE, &bc);
		dest = put_bc(dest, bc);
	}
	out->len = dest - out->data;
}

static void
write_timestamp(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len = put_timestamp(out->data + out->len, DatumGetTimestamp(value),
							 false) - out->data;
}

static void
write_timestamptz(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	out->len = put_timestamp(out->data + out->len, DatumGetTimestampTz(value),
							 true) - out->data;
}

static void
write_name(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	const char *name = NameStr(*DatumGetName(value));

	put_escaped(escape_once, name, strlen(name), name + NAMEDATALEN, out);
}

/* A big value must not wait for the end of its row: the next may be as big */
static inline void
done_with(struct varlena *detoasted, Datum value)
{
	if ((Pointer) detoasted != DatumGetPointer(value))
		pfree(detoasted);
}

static void
write_text(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);
	size_t		len = VARSIZE_ANY_EXHDR(text);
	const char *data = VARDATA_ANY(text);

	put_escaped(escape_once, data, len, data + len, out);
	done_with(text, value);
}

static void
write_bytea(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
	size_t		len = VARSIZE_ANY_EXHDR(bytes);
	const char *data = VARDATA_ANY(bytes);

	put(out, "\\\\x", 3);
	while (len > 0)
	{
		size_t		n = Min(len, CHUNK);

		out->len += hex_encode(data, n, room(out, 2 * n));
		data += n;
		len -= n;
	}
	done_with(bytes, value);
}

static void
write_numeric(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	struct varlena *numeric = PG_DETOAST_DATUM_PACKED(value);

	put_numeric(VARDATA_ANY(numeric), VARSIZE_ANY_EXHDR(numeric), out);
	done_with(numeric, value);
}

static void
write_jsonb(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	struct varlena *jsonb = PG_DETOAST_DATUM_PACKED(value);
	const char *data = VARDATA_ANY(jsonb);

	put_container(data, data + VARSIZE_ANY_EXHDR(jsonb), out);
	done_with(jsonb, value);
}

static void
refuse_value(const NdjsonColumn *column, const char *detail, const char *remedy)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("a value of column \"%s\" cannot be archived", column->name),
			errdetail("%s The value could not be restored.", detail),
			errhint(remedy, quote_identifier(column->name)));
}

/* UTF-8 knows one of what EUC_JP has two of: the other would not come back */
static char *
to_utf8(const NdjsonColumn *column, char *text)
{
	char	   *utf8;
	char	   *again;

	if (!column->convert || pg_is_ascii(text))
		return text;

	utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);
	again = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
	if (strcmp(again, text) != 0)
		refuse_value(column,
					 "A character of it is another one after conversion to UTF-8 and back.",
					 "UPDATE ... SET %1$s = convert_from(convert_to(%1$s, 'UTF8'), 'UTF8') WHERE ...;");
	if (again != utf8)
		pfree(again);
	return utf8;
}

/* Takes over the text */
static void
put_output(NdjsonColumn *column, char *text, NdjsonBuffer *out)
{
	char	   *utf8 = to_utf8(column, text);
	size_t		len = strlen(utf8);

	put_escaped(escape_once, utf8, len, utf8 + len, out);
	if (utf8 != text)
		pfree(utf8);
	pfree(text);
}

static void
write_any(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	put_output(column, OutputFunctionCall(&column->output, value), out);
}

/* ---- types that do not read all they write ------------------------------ */

/*
 * regproc and regoper write a name without its arguments.  Does their input
 * function find that one again?
 */
static bool
is_found(PGFunction find, const char *name, Oid oid)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		found;

	if (strcmp(name, "-") == 0 || strspn(name, "0123456789") == strlen(name))
		return true;			/* none, or its number */
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(name);
	fcinfo->args[0].isnull = false;
	found = find(fcinfo);
	return !fcinfo->isnull && DatumGetObjectId(found) == oid;
}

/* The name, or the number where the name is that of several */
static void
write_overloaded(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	char	   *name = OutputFunctionCall(&column->output, value);

	if (is_found(column->output.fn_oid == F_REGPROCOUT ? to_regproc : to_regoper,
				 name, DatumGetObjectId(value)))
		put_output(column, name, out);
	else
	{
		pfree(name);
		write_oid(column, value, out);
	}
}

static void
refuse_type(const NdjsonColumn *column)
{
	refuse_value(column, "Its type writes a text that it does not read.",
				 "ALTER TABLE ... ALTER COLUMN %s TYPE text;");
}

static bool
comes_back(NdjsonColumn *column, char *text)
{
	Datum		again;

	if (!pg_verifymbstr(text, strlen(text), true))
		return false;
	again = InputFunctionCall(&column->input, text, column->io_param,
							  column->typmod);
	return strcmp(OutputFunctionCall(&column->output, again), text) == 0;
}

/* What the input function says of a value is not repeated */
static void
write_checked(NdjsonColumn *column, Datum value, NdjsonBuffer *out)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *text = OutputFunctionCall(&column->output, value);
	volatile bool good = false;

	PG_TRY();
	{
		good = comes_back(column, text);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_OPERATOR_INTERVENTION)
			PG_RE_THROW();
		FlushErrorState();
		refuse_type(column);
	}
	PG_END_TRY();
	if (!good)
		refuse_type(column);
	put_output(column, text, out);
}

static bool is_doubtful_row(Oid type);

/* May the type, or one that it is made of, write what it does not read? */
static bool
is_doubtful(Oid type)
{
	Oid			base = getBaseType(type);

	check_stack_depth();
	if (OidIsValid(get_element_type(base)))
		return is_doubtful(get_element_type(base));
	switch (get_typtype(base))
	{
		case TYPTYPE_COMPOSITE:
			return is_doubtful_row(base);
		case TYPTYPE_RANGE:
			return is_doubtful(get_range_subtype(base));
		case TYPTYPE_MULTIRANGE:
			return is_doubtful(get_multirange_range(base));
	}
	switch (base)
	{
		case REGPROCOID:
		case REGOPEROID:
		case GTSVECTOROID:
		case PG_NODE_TREEOID:
		case PG_NDISTINCTOID:
		case PG_DEPENDENCIESOID:
		case PG_MCV_LISTOID:
		case PG_BRIN_BLOOM_SUMMARYOID:
		case PG_BRIN_MINMAX_MULTI_SUMMARYOID:
			return true;
		default:
			return false;
	}
}

static bool
is_doubtful_row(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	bool		doubtful = false;
	int			i;

	for (i = 0; i < desc->natts && !doubtful; i++)
		doubtful = !TupleDescAttr(desc, i)->attisdropped &&
			is_doubtful(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return doubtful;
}

/* By output function; ascii: what it writes is the same in every encoding */
static const struct
{
	Oid			output;
	bool		ascii;
	write_value write;
}			writers[] =

{
	{F_BOOLOUT, true, write_bool},
	{F_INT2OUT, true, write_int2},
	{F_INT4OUT, true, write_int4},
	{F_INT8OUT, true, write_int8},
	{F_OIDOUT, true, write_oid},
	{F_FLOAT4OUT, true, write_float4},
	{F_FLOAT8OUT, true, write_float8},
	{F_NUMERIC_OUT, true, write_numeric},
	{F_UUID_OUT, true, write_uuid},
	{F_DATE_OUT, true, write_date},
	{F_TIMESTAMP_OUT, true, write_timestamp},
	{F_TIMESTAMPTZ_OUT, true, write_timestamptz},
	{F_BYTEAOUT, true, write_bytea},
	{F_NAMEOUT, false, write_name},
	{F_TEXTOUT, false, write_text},
	{F_VARCHAROUT, false, write_text},
	{F_BPCHAROUT, false, write_text},
	{F_JSON_OUT, false, write_text},
	{F_JSONB_OUT, false, write_jsonb},
	{F_REGPROCOUT, true, write_overloaded},
	{F_REGOPEROUT, true, write_overloaded}
};

static write_value
choose_writer(Oid type, Oid output, bool convert)
{
	int			i;

	for (i = 0; i < lengthof(writers); i++)
	{
		if (writers[i].output == output && (writers[i].ascii || !convert))
			return writers[i].write;
	}
	return is_doubtful(type) ? write_checked : write_any;
}

/* ---- lines ------------------------------------------------------------- */

/* Append a JSON string, quotes and all, of text in the server's encoding */
void
ndjson_string(const char *text, NdjsonBuffer *out)
{
	char	   *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);
	size_t		len = strlen(utf8);

	make_escapes();
	put(out, "\"", 1);
	put_escaped(escape_once, utf8, len, utf8 + len, out);
	put(out, "\"", 1);
	if (utf8 != text)
		pfree(utf8);
}

/* Append a line that is one already, its newline included */
void
ndjson_put_line(const char *line, size_t len, NdjsonBuffer *out)
{
	out->line = out->len;
	put(out, line, len);
}

static void
set_key(NdjsonColumn *column, const char *name)
{
	NdjsonBuffer key = {0};

	/* a name is short, so this cannot fail but for the want of memory */
	ndjson_string(name, &key);
	column->key = palloc(key.len + 2);
	column->key[0] = ',';
	memcpy(column->key + 1, key.data, key.len);
	column->key[key.len + 1] = ':';
	column->key_len = key.len + 2;
	free(key.data);
}

static void
set_column(NdjsonColumn *column, Form_pg_attribute att, bool convert)
{
	Oid			output;
	Oid			input;
	bool		varlena;

	getTypeOutputInfo(att->atttypid, &output, &varlena);
	getTypeInputInfo(att->atttypid, &input, &column->io_param);
	/* xml_out() leaves a declaration out; it is stored as text */
	if (output == F_XML_OUT)
		output = F_TEXTOUT;
	fmgr_info(output, &column->output);
	fmgr_info(input, &column->input);
	column->typmod = att->atttypmod;
	column->name = pstrdup(NameStr(att->attname));
	column->convert = convert;
	column->write = choose_writer(att->atttypid, output, convert);
	set_key(column, column->name);
}

/* A writer of such rows, in the current context */
NdjsonWriter *
ndjson_begin(TupleDesc desc, AttrNumber watched)
{
	NdjsonWriter *writer = palloc0(offsetof(NdjsonWriter, columns) +
								   desc->natts * sizeof(NdjsonColumn));
	bool		convert = GetDatabaseEncoding() != PG_UTF8 &&
	GetDatabaseEncoding() != PG_SQL_ASCII;
	int			i;

	make_escapes();
	writer->n_columns = desc->natts;
	writer->watched = watched;
	writer->row = AllocSetContextCreate(CurrentMemoryContext,
										"pg_steward archived row",
										ALLOCSET_DEFAULT_SIZES);
	for (i = 0; i < desc->natts; i++)
	{
		set_column(&writer->columns[i], TupleDescAttr(desc, i), convert);
	}
	return writer;
}

/* Append a row's line, and say where the watched column's value is in it */
void
ndjson_line(NdjsonWriter *writer, TupleTableSlot *slot, NdjsonBuffer *out,
			NdjsonSpan *watched)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->row);
	int			i;

	slot_getallattrs(slot);
	out->line = out->len;
	for (i = 0; i < writer->n_columns; i++)
	{
		NdjsonColumn *column = &writer->columns[i];
		bool		isnull = slot->tts_isnull[i];
		size_t		at;

		memcpy(room(out, column->key_len + SMALL_VALUE), column->key,
			   column->key_len);
		out->len += column->key_len;
		at = out->len + 1;
		if (isnull)
			put(out, "null", 4);
		else
		{
			out->data[out->len++] = '"';
			column->write(column, slot->tts_values[i], out);
			put(out, "\"", 1);
		}
		if (i == writer->watched - 1)
		{
			watched->isnull = isnull;
			watched->at = at;
			watched->len = isnull ? 0 : out->len - 1 - at;
		}
	}
	if (writer->n_columns == 0)
		put(out, "{", 1);
	out->data[out->line] = '{';
	put(out, "}\n", 2);
	if (out->len - out->line > NDJSON_MAX_LINE)
		too_long();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(writer->row);
}
