/* SPDX-License-Identifier: Apache-2.0
 *
 * Text conversions that the files of this room share.
 */
#ifndef GATEPOST_MESSAGE_TEXT_H
#define GATEPOST_MESSAGE_TEXT_H

#include "base/buf.h"

/* Appends `text` as UTF-8: of ISO-8859-1; of UTF-8 with U+FFFD for what is not. */
int text_append_latin1(struct span text, struct buf *out) __attribute__((warn_unused_result));
int text_append_lossy(struct span text, struct buf *out) __attribute__((warn_unused_result));

/* UTF-8 as RFC 2047 words, the first beginning at `column`. */
int header_write_words(struct span text, size_t column, struct buf *out) __attribute__((warn_unused_result));

/* ASCII folded at 75 columns where there are blanks, and at 900 where there are none. */
int header_write_folded(struct span text, size_t column, struct buf *out) __attribute__((warn_unused_result));

#endif
