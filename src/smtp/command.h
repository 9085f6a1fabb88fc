/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines: finding their end in a stream, and splitting them into verb and
 * arguments. Nothing here knows what a verb does.
 */
#ifndef GATEPOST_SMTP_COMMAND_H
#define GATEPOST_SMTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* VERB(NAME, what may follow it). */
#define SMTP_VERBS(VERB)                                                                                               \
    VERB(EHLO, REQUIRED)                                                                                               \
    VERB(HELO, REQUIRED)                                                                                               \
    VERB(STARTTLS, NONE)                                                                                               \
    VERB(AUTH, REQUIRED)                                                                                               \
    VERB(MAIL, REQUIRED)                                                                                               \
    VERB(RCPT, REQUIRED)                                                                                               \
    VERB(DATA, NONE)                                                                                                   \
    VERB(BDAT, REQUIRED)                                                                                               \
    VERB(RSET, NONE)                                                                                                   \
    VERB(NOOP, OPTIONAL)                                                                                               \
    VERB(VRFY, REQUIRED)                                                                                               \
    VERB(EXPN, REQUIRED)                                                                                               \
    VERB(HELP, OPTIONAL)                                                                                               \
    VERB(QUIT, NONE)                                                                                                   \
    VERB(XCLIENT, OPTIONAL)                                                                                            \
    VERB(ETRN, REQUIRED)

#define SMTP_VERB_ENUM(name, args) SMTP_VERB_##name,
enum smtp_verb { SMTP_VERB_UNKNOWN, SMTP_VERBS(SMTP_VERB_ENUM) SMTP_VERB_COUNT };
#undef SMTP_VERB_ENUM

const char *smtp_verb_name(enum smtp_verb verb); /* "EHLO"; "unknown" */

/* ---- lines out of a stream ---- */

enum smtp_line_progress {
    SMTP_LINE_MORE,     /* no whole line yet: ask again with more bytes behind the same ones */
    SMTP_LINE_DONE,     /* `line` is one, without its CRLF */
    SMTP_LINE_BAD_END,  /* ended by LF alone, or has a bare CR in it */
    SMTP_LINE_BAD_BYTE, /* has a NUL or another control character in it */
    SMTP_LINE_TOO_LONG, /* reported once, when its end has come; its bytes were dropped meanwhile */
};

struct smtp_line_reader {
    size_t limit_bytes; /* with the CRLF */
    size_t scanned;     /* bytes of the current line known to hold no LF */
    bool skipping;      /* inside of a line that is too long */
};

static inline struct smtp_line_reader smtp_line_reader_make(size_t limit_bytes)
{
    return (struct smtp_line_reader){.limit_bytes = limit_bytes};
}

/* Looks at the start of `input`. `*used_out` bytes are done with and must be dropped by
 * the caller before the next call, in every case (MORE may drop bytes of a long line). A
 * faulty line ends at its LF like any other, so each gets one answer and does nothing. */
enum smtp_line_progress smtp_line_take(struct smtp_line_reader *reader, struct span input, struct span *line_out,
                                       size_t *used_out);

/* ---- a line's parts ---- */

enum smtp_command_fault {
    SMTP_COMMAND_FINE = 0,
    SMTP_COMMAND_UNKNOWN,      /* 500 or 502 */
    SMTP_COMMAND_8BIT,         /* 8-bit bytes outside of an address: 500 5.5.2 */
    SMTP_COMMAND_NO_ARGUMENTS, /* 501 5.5.4: something must follow this verb */
    SMTP_COMMAND_ARGUMENTS,    /* 501 5.5.4: nothing may */
};

struct smtp_command {
    enum smtp_verb verb;
    struct span word; /* the verb as written */
    struct span args; /* trimmed of spaces at both ends */
};

/* `*command_out` is filled in every case. Addresses (MAIL, RCPT, VRFY, EXPN) may hold
 * 8-bit bytes here; whether UTF-8 was agreed on is for params.h to ask. */
enum smtp_command_fault smtp_command_parse(struct span line, struct smtp_command *command_out);

/* BDAT's arguments: "size" or "size LAST". */
int smtp_bdat_parse(struct span args, uint64_t *size_out, bool *last_out) __attribute__((warn_unused_result));

#endif
