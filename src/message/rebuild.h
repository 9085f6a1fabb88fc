/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a message anew from its MIME structure: canonical line ends, well-formed fields,
 * every leaf in lines short enough and in seven bits.
 */
#ifndef GATEPOST_MESSAGE_REBUILD_H
#define GATEPOST_MESSAGE_REBUILD_H

#include "message/headers.h"

#define REBUILD_LINE_LIMIT 78
#define REBUILD_DEPTH_LIMIT 20 /* nested multiparts; deeper ones are copied as they are */

int rebuild_message(struct span message, struct buf *out, struct error *error) __attribute__((warn_unused_result));

bool rebuild_line_ends_are_canonical(struct span text);
size_t rebuild_longest_line(struct span text);

/* Content-Type and Content-Transfer-Encoding, where present, can be read. */
bool rebuild_mime_headers_are_valid(const struct headers *headers);

#endif
