/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parsers of this room share among themselves.
 */
#ifndef GATEPOST_SMTP_PRIVATE_H
#define GATEPOST_SMTP_PRIVATE_H

#include "base/span.h"
#include "smtp/reply.h"

/* Adds to a reply's text, made harmless and cut where it is full. */
void smtp_reply_add_text(struct smtp_reply *reply, struct span text);

/* Takes "d.d.d" and the space behind it off the front of `*text`. */
bool smtp_enhanced_code_take(struct span *text, int enhanced_out[3]);

/* Bytes of the UTF-8 character at the start of `s` (not empty), or 0 when it is none. */
size_t smtp_utf8_width(struct span s);

/* Takes the part of `*rest` up to the next run of spaces and tabs; false when nothing is left. */
bool smtp_word_take(struct span *rest, struct span *word_out);

#endif
