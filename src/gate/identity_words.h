/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in headers as a mail client shows them: RFC 2047 words decoded, as leniently as clients do it, far enough to
 * find addresses in them. Other than message/headers.h, whose text is for people and keeps what it cannot read, this
 * must not overlook anything.
 */
#ifndef GATEPOST_GATE_IDENTITY_WORDS_H
#define GATEPOST_GATE_IDENTITY_WORDS_H

#include "base/buf.h"

/* Appends `text` decoded, as gate_charset_show has it; UTF-8 that is broken as '?'. -1 when there is a word that a
 * client may read and we cannot, or that two clients read in two ways. */
int gate_words_decode(struct span text, struct buf *out) __attribute__((warn_unused_result));

#endif
