/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in headers as a mail client shows them: RFC 2047 words decoded, as leniently as clients do it, far enough to
 * find addresses in them. Other than message/headers.h, whose text is for people and keeps what it cannot read, this
 * must not overlook anything.
 */
#ifndef GATEPOST_GATE_IDENTITY_WORDS_H
#define GATEPOST_GATE_IDENTITY_WORDS_H

#include "base/buf.h"

/* Appends `text` decoded: ASCII as it is, UTF-8 as it is, letters of other charsets as '?'. -1 when there is a word
 * that a client may read and we cannot (a charset of which we do not know where its ASCII is, broken base64). */
int gate_words_decode(struct span text, struct buf *out) __attribute__((warn_unused_result));

#endif
