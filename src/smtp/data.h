/* SPDX-License-Identifier: Apache-2.0
 *
 * The text between DATA and its end: un-stuffing what we are sent, stuffing what we send
 * (RFC 5321, section 4.5.2). Both are incremental and give the same result wherever the
 * stream is cut.
 *
 * There is one end of data, CRLF "." CRLF on the wire (or "." CRLF at once after DATA). No
 * setting changes that: what merely looks like an end stays part of the message, so one
 * session can never become two messages.
 */
#ifndef GATEPOST_SMTP_DATA_H
#define GATEPOST_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What to do with a CR or LF that is not part of a CRLF. */
enum smtp_line_endings {
    SMTP_LINE_ENDINGS_DENY,  /* kept, and the flag set: the caller refuses the message */
    SMTP_LINE_ENDINGS_ALLOW, /* kept, and the flag set */
    SMTP_LINE_ENDINGS_FIX,   /* becomes CRLF, and the flag set */
};

struct smtp_data_decoder {
    /* fixed after init */
    enum smtp_line_endings line_endings;
    size_t line_limit_bytes; /* without the line end; 0: none */

    /* what was found: complete once SMTP_DATA_DONE was returned */
    bool has_bare_cr;
    bool has_bare_lf;
    bool has_nul;
    bool has_8bit;
    bool has_long_line;
    bool is_too_big;    /* more than `out` may hold; what came after was dropped */
    bool has_no_memory; /* likewise, because memory is gone */

    /* private */
    int state;
    size_t line_bytes;
};

enum smtp_data_progress { SMTP_DATA_MORE, SMTP_DATA_DONE };

void smtp_data_decoder_init(struct smtp_data_decoder *decoder, enum smtp_line_endings line_endings,
                            size_t line_limit_bytes);

/* Appends the decoded text to `out`. After DONE `*used_out` says where the next command
 * begins; after MORE everything was used. Never fails: see the flags. */
enum smtp_data_progress smtp_data_decode(struct smtp_data_decoder *decoder, struct span input, struct buf *out,
                                         size_t *used_out);

/* ---- the way out ---- */

/* Bare CR and bare LF become CRLF: to send them on would be to smuggle. */
struct smtp_data_encoder {
    bool in_line; /* something stands on the current line */
    bool after_cr;
};

/* Appends at most 2 * text.len + 2 bytes. -1 when `out` cannot take them: the state is then
 * unchanged, and so is `out`. */
int smtp_data_encode(struct smtp_data_encoder *encoder, struct span text, struct buf *out)
    __attribute__((warn_unused_result));

/* Ends the last line if the text did not, then writes "." CRLF: at most 5 bytes. */
int smtp_data_encode_end(struct smtp_data_encoder *encoder, struct buf *out) __attribute__((warn_unused_result));

#endif
