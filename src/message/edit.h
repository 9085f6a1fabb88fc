/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing a message's header section. Bodies are immutable and may be shared, so each
 * change makes a new one.
 */
#ifndef GATEPOST_MESSAGE_EDIT_H
#define GATEPOST_MESSAGE_EDIT_H

#include "message/headers.h"
#include "message/message.h"

/* `lines`: whole header fields, each with its CRLF, as header_write makes them. -1 too (ERROR_PERM) where the message
 * begins with a folded line, which would become part of the last of them. */
int message_prepend_lines(struct message *message, struct span lines, struct error *error)
    __attribute__((warn_unused_result));

int message_prepend_header(struct message *message, struct span name, struct span value, bool encode,
                           struct error *error) __attribute__((warn_unused_result));

/* Behind the last field, before the empty line (which is added where it is missing). */
int message_append_header(struct message *message, struct span name, struct span value, bool encode,
                          struct error *error) __attribute__((warn_unused_result));

/* Removes the fields that `unwanted` says yes to. Leaves the message alone when there are none. */
typedef bool header_test_fn(const struct header *header, void *ctx);
int message_remove_headers(struct message *message, header_test_fn *unwanted, void *ctx, struct error *error)
    __attribute__((warn_unused_result));

/* All of that name, in whatever spelling. */
int message_remove_named(struct message *message, struct span name, struct error *error)
    __attribute__((warn_unused_result));

#endif
