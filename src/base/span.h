/* SPDX-License-Identifier: Apache-2.0
 *
 * A borrowed run of bytes: what parsers take and give. Not NUL-terminated, owns
 * nothing, and is valid only as long as the bytes it points into.
 */
#ifndef GATEPOST_BASE_SPAN_H
#define GATEPOST_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *data;
    size_t len;
};

/* For printf: printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).len, (s).data
#define SPAN_LIT(text) ((struct span){(text), sizeof(text) - 1})

static inline struct span span_of(const char *text) { return (struct span){text, text ? strlen(text) : 0}; }

static inline struct span span_make(const char *data, size_t len) { return (struct span){data, len}; }

/* The rest of `s` from offset `from` on; empty when `from` is past its end. */
static inline struct span span_from(struct span s, size_t from)
{
    return from >= s.len ? (struct span){s.data + s.len, 0} : (struct span){s.data + from, s.len - from};
}

static inline struct span span_head(struct span s, size_t len)
{
    return (struct span){s.data, len < s.len ? len : s.len};
}

bool span_eq(struct span a, struct span b);
bool span_ieq(struct span a, struct span b); /* ASCII case-insensitive */
bool span_starts_with(struct span s, struct span prefix);
bool span_istarts_with(struct span s, struct span prefix);
bool span_ends_with(struct span s, struct span suffix);
bool span_iends_with(struct span s, struct span suffix);
struct span span_trim(struct span s); /* SP, HT, CR, LF at both ends */

/* Index of `c`, or s.len when it is not there. */
size_t span_find(struct span s, char c);

/* Takes the part of `*rest` before `sep` into `*part_out` and moves `*rest` behind
 * it. False when `*rest` is exhausted (its data is then NULL). */
bool span_split(struct span *rest, char sep, struct span *part_out);

/* Decimal digits only, nothing else, no overflow. 0 or -1. */
int span_to_u64(struct span s, uint64_t *value_out) __attribute__((warn_unused_result));

/* Valid UTF-8 (no surrogates, no overlong forms). */
bool span_is_utf8(struct span s);
/* How many bytes the character at the start has; 0: there is none. Not for what is empty. */
size_t span_utf8_char(struct span s);
bool span_is_ascii(struct span s);

/* How many bytes at the start stand for themselves in a JSON string and on a terminal: printable ASCII without
 * quotation mark and backslash. Of nearly all text, all. */
size_t span_plain_run(struct span s);

/* A NUL-terminated copy the caller frees. */
char *span_dup(struct span s) __attribute__((returns_nonnull));
char *span_dup_lower(struct span s) __attribute__((returns_nonnull)); /* in lower case, as far as ASCII goes */

static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

/* 0 to 15, in either case; -1 when it is no hexadecimal digit. */
static inline int ascii_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
