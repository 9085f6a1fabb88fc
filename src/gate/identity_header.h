/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a message says it is from: every address that a mail client could show as its author or sender. Found in the
 * text as it is, in every From and Sender field (and in Resent-From and Resent-Sender), in groups, and in what is
 * shown beside addresses: display names and comments, encoded words decoded.
 *
 * This reader is strict where message/address_list.h is lenient. It does not ask what the sender meant; it asks
 * whether any other reader could see another address, and then it refuses to read at all.
 */
#ifndef GATEPOST_GATE_IDENTITY_HEADER_H
#define GATEPOST_GATE_IDENTITY_HEADER_H

#include <string.h>

#include "gate/identity_address.h"

enum gate_field { GATE_FIELD_FROM, GATE_FIELD_SENDER, GATE_FIELD_RESENT_FROM, GATE_FIELD_RESENT_SENDER };
#define GATE_FIELD_COUNT 4

const char *gate_field_name(enum gate_field field); /* "Resent-From" */

/* Of one field's value. `covers` is asked for each address; the first that it says no to ends the reading. */
typedef bool gate_covers_fn(void *ctx, const struct gate_address *address);

enum gate_shown {
    GATE_SHOWN_COVERED, /* all that is shown is covered */
    GATE_SHOWN_FOREIGN, /* `what` is an address that is not */
    GATE_SHOWN_UNCLEAR, /* `what` says why nobody can tell what it shows */
};

struct gate_finding {
    enum gate_shown shown;
    char what[GATE_ADDRESS_BYTES];
};

/* Always -1. `what` is cut to fit. */
int gate_finding_set(struct gate_finding *finding, enum gate_shown shown, struct span what);

/* RFC 5322's specials, blanks and controls: what ends an atom. */
static inline bool gate_ends_atom(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7f || strchr("()<>[]:;@\\,\"", c);
}

#define GATE_ADDRESSES_MOST 1000 /* in one value; each may be compared with many patterns */

/* What stands in names and comments, encoded words not decoded: each address that a client may show there has to be
 * covered. -1 with a finding. */
int gate_shown_judge(struct span shown, gate_covers_fn *covers, void *ctx, struct gate_finding *finding_out)
    __attribute__((warn_unused_result));

void gate_value_judge(struct span value, gate_covers_fn *covers, void *ctx, struct gate_finding *finding_out);

/* Of a message's header section. */
struct gate_findings {
    unsigned refused;            /* bits by enum gate_field: fields of that name that are not covered */
    bool is_broken;              /* the section itself can be read in several ways: it cannot be mended */
    enum gate_field field;       /* of the first finding */
    struct gate_finding finding; /* the first; COVERED when there is none */
};

/* `fields`: bits by enum gate_field of those to look at. */
void gate_header_judge(struct span message, unsigned fields, gate_covers_fn *covers, void *ctx,
                       struct gate_findings *findings_out);

#endif
