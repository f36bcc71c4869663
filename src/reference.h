/*
 * reference.h
 *	  What secret_ref.c, blob_ref.c and fingerprint.c share: a cursor over the
 *	  input, a fixed buffer for the canonical text, and one way to refuse.
 *
 * A type is a RefKind.  Its parser reads the input once, writes the canonical
 * text into the buffer and returns NULL, or returns a constant sentence that
 * says in words which part is wrong.  That sentence is all that a refusal ever
 * tells: no part of the input can reach it.
 *
 * The grammars are ASCII.  Every server and client encoding keeps ASCII bytes
 * as they are and every parser refuses bytes above 127, so that neither
 * encoding nor locale matters here.
 */
#ifndef STEWARD_REFERENCE_H
#define STEWARD_REFERENCE_H

#include "steward.h"

/* What is still to be read.  Not NUL-terminated. */
typedef struct RefInput
{
	const char *at;
	const char *end;
} RefInput;

/* A stretch of an input or of a stored value; at is NULL when absent. */
typedef struct RefPart
{
	const char *at;
	int			len;
} RefPart;

/* No canonical text of any type is longer (each file asserts its own). */
#define REF_MAX_CANONICAL	3328

typedef struct RefOutput
{
	int			len;
	char		data[REF_MAX_CANONICAL];
} RefOutput;

typedef struct RefKind
{
	const char *type_name;
	const char *hint;			/* the expected form */
	const char *too_long;		/* said of input longer than max_input */
	int			max_input;
	const char *(*parse) (RefInput *in, RefOutput *out);
} RefKind;

/* A literal's length, usable in constant expressions. */
#define REF_LEN(literal)	((int) sizeof(literal) - 1)

extern Datum ref_in(FunctionCallInfo fcinfo, const RefKind *kind);
extern Datum ref_recv(FunctionCallInfo fcinfo, const RefKind *kind);

/* Reading */
extern bool ref_accept(RefInput *in, const char *word);
extern RefPart ref_take(RefInput *in, bool (*belongs) (unsigned char c));
extern bool ref_accept_host(RefInput *in, const char *const *suffixes,
							RefPart *label, const char **suffix);
extern bool ref_contains(const char *at, const char *end, char c);
extern bool ref_has_double_hyphen(RefPart part);
extern bool ref_is_label(unsigned char c);
extern bool ref_is_hex(unsigned char c);
extern int	ref_hex_value(unsigned char c);

/* Writing; the caller has checked the length */
extern void ref_put(RefOutput *out, const char *bytes, int len);
extern void ref_put_lower(RefOutput *out, RefPart part);

/* Taking a stored value apart */
#define REF_SCHEME	"https://"
extern RefPart ref_stored(text *value);
extern RefPart ref_cut(RefPart *rest, char separator);
extern Datum ref_part_datum(RefPart part);

static inline bool
ref_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ref_is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
ref_is_alnum(unsigned char c)
{
	return ref_is_letter(c) || ref_is_digit(c);
}

#endif							/* STEWARD_REFERENCE_H */
