/* SPDX-License-Identifier: Apache-2.0
 *
 * Characters that are not what they seem: those that people, and some programs, take for the @ or a dot of an address,
 * and those that show text in another order than it stands in.
 */
#ifndef GATEPOST_GATE_IDENTITY_SIGNS_H
#define GATEPOST_GATE_IDENTITY_SIGNS_H

#include "base/span.h"

/* Stands for one that is none of these and no ASCII, where the tables to tell which are not here. */
#define GATE_OTHER_LETTER "\xEF\xBF\xBD"

/* What the character at the start looks like, '@' or '.', with its length; '\0': nothing of the kind. */
char gate_sign_at(struct span text, size_t *len_out);

/* An @ that is none: U+FF20 and the like. */
bool gate_has_other_at(struct span text);

/* Embeddings, overrides and isolates: from there on anything may stand reversed. */
bool gate_has_turn(struct span text);

/* Marks of direction, which move what stands to both sides of them, and are wanted in names of some languages. */
bool gate_has_direction(struct span text);

/* Blanks, punctuation and symbols beyond ASCII, and letters that we do not know: no domain has them, and what stands
 * before them may look like a whole one. */
bool gate_has_non_letter(struct span text);

#endif
