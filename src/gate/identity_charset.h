/* SPDX-License-Identifier: Apache-2.0
 *
 * What bytes in a charset show, far enough to find addresses in it.
 */
#ifndef GATEPOST_GATE_IDENTITY_CHARSET_H
#define GATEPOST_GATE_IDENTITY_CHARSET_H

#include "base/buf.h"

enum gate_charset {
    GATE_CHARSET_UNKNOWN,
    GATE_CHARSET_UTF8,
    GATE_CHARSET_BYTES,  /* each a letter; those below 0x80 are ASCII */
    GATE_CHARSET_MARKED, /* the same, with marks of direction among the others */
    GATE_CHARSET_SHIFT_JIS,
    GATE_CHARSET_EUC_JP,
    GATE_CHARSET_EUC_KR,
    GATE_CHARSET_GB,
    GATE_CHARSET_BIG5,
    GATE_CHARSET_ISO_2022_JP,
    GATE_CHARSET_ISO_2022_KR,
};

enum gate_charset gate_charset_of(struct span name);

/* Appends UTF-8: ASCII as it is, signs of identity_signs.h as such or as what they look like, other letters as
 * GATE_OTHER_LETTER. `is_followed`: by another word, of which some readers make one text with this. -1 where two
 * readers might see two things, or where we cannot read. */
int gate_charset_show(enum gate_charset charset, struct span bytes, bool is_followed, struct buf *out)
    __attribute__((warn_unused_result));

#endif
