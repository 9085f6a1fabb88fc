/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in headers as a mail client shows them: RFC 2047 words decoded, as leniently as clients do it, far enough to
 * find addresses in them. Other than message/headers.h, whose text is for people and keeps what it cannot read, this
 * must not overlook anything.
 */
#ifndef GATEPOST_GATE_IDENTITY_WORDS_H
#define GATEPOST_GATE_IDENTITY_WORDS_H

#include "base/buf.h"

/* Ways of reading the same text; what is shown in any of them is shown to somebody. */
enum gate_words {
    GATE_WORDS_JOINED, /* all are decoded, in quotes too; blanks between two are no text */
    GATE_WORDS_SPACED, /* so, with blanks around what is decoded */
    GATE_WORDS_APART,  /* each by itself, with blanks around it */
    GATE_WORDS_MIXED,  /* of words that touch a client may decode only some: a letter stands for what is between */
    GATE_WORDS_STRICT, /* those with blanks inside are none */
    GATE_WORDS_PLAIN,  /* none is decoded, as in quotes by the RFC */
};
#define GATE_WORDS_COUNT 6

/* Appends `text` decoded, as gate_charset_show has it; a word that is not decoded as one letter. -1 when there is a
 * word that a client may read and we cannot, or that two clients read in two ways. */
int gate_words_decode(struct span text, enum gate_words how, struct buf *out) __attribute__((warn_unused_result));

#endif
