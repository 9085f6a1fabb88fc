/* SPDX-License-Identifier: Apache-2.0
 *
 * The header section of RFC 5322, as spans of the message: nothing is copied, folding stays
 * where it is. CR, LF and CRLF all end a line here, because whoever gets the message after
 * us may think so: a field hidden behind a bare CR must be found by those who remove it.
 */
#ifndef GATEPOST_MESSAGE_HEADERS_H
#define GATEPOST_MESSAGE_HEADERS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

#define HEADERS_LIMIT 2000          /* fields */
#define HEADER_TEXT_LIMIT (1 << 20) /* bytes of one unfolded or decoded value */

struct header {
    struct span name;  /* without the spaces that may (wrongly) stand before the colon */
    struct span value; /* behind the colon, with its folding, without the last line end */
    struct span whole; /* with the last line end */
    bool has_colon;
    bool has_space_before_colon;
};

struct headers {
    struct header *items;
    size_t count;
    struct span block; /* all fields, without the empty line */
    size_t body_at;    /* where the body begins: behind the empty line, or at the end */
};

/* -1 when there are more than HEADERS_LIMIT fields: such a message cannot be searched, so
 * it must not be taken. */
int headers_parse(struct span message, struct headers *headers_out, struct error *error)
    __attribute__((warn_unused_result));
void headers_done(struct headers *headers);

/* Is it that field, in whatever spelling? Letters of either case; and whatever some reader may overlook in a name does
 * not count: blanks, controls, bytes that are not ASCII, a colon that stands in the fold. For those who must not miss
 * one. */
bool header_is_named(const struct header *header, struct span name);

/* Does the text begin with what continues a field: a blank, controls before it overlooked as some reader does? Whatever
 * field were put before it would end in that line, as if whoever put it there had written it. */
bool headers_begin_folded(struct span message);

/* The first field of that name after `previous` (NULL: from the top); NULL when there is none. */
const struct header *headers_find(const struct headers *headers, struct span name, const struct header *previous);

/* How many Received fields: a loop shows as many of them. */
size_t headers_count(const struct headers *headers, struct span name);

/* Without folding and the blanks at both ends. */
int header_unfold(struct span value, struct buf *out) __attribute__((warn_unused_result));

/* Unfolded, with RFC 2047 words in UTF-8, ISO-8859-1 or US-ASCII decoded, as valid UTF-8.
 * Words in other charsets stay as they are; bytes that are not UTF-8 become U+FFFD. */
int header_decode(struct span value, struct buf *out) __attribute__((warn_unused_result));

/* The field as it stands, ended by CRLF if it was ended by a bare CR or LF: a CR that loses
 * its neighbour could otherwise join the LF of the empty line, and the body become header.
 * At most one byte longer than `whole`. */
int header_copy(const struct header *header, struct buf *out) __attribute__((warn_unused_result));

/* RFC 5322's ftext, at most 200 bytes. */
int header_check_name(struct span name, struct error *error) __attribute__((warn_unused_result));
/* No CR, LF or NUL: those would begin another field. */
int header_check_value(struct span value, struct error *error) __attribute__((warn_unused_result));

/* "Name: value" CRLF. With `encode`: ASCII is folded at 75 columns where there are blanks, and
 * at 900 where there are none; other text becomes RFC 2047 words. Checks name and value. */
int header_write(struct span name, struct span value, bool encode, struct buf *out, struct error *error)
    __attribute__((warn_unused_result));

#endif
