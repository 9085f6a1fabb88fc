/* SPDX-License-Identifier: Apache-2.0
 *
 * Content-Type and Content-Transfer-Encoding (RFC 2045), as far as rewriting needs them.
 */
#ifndef GATEPOST_MESSAGE_MIME_TYPE_H
#define GATEPOST_MESSAGE_MIME_TYPE_H

#include "message/headers.h"

enum mime_encoding { MIME_IDENTITY, MIME_QUOTED_PRINTABLE, MIME_BASE64, MIME_UNKNOWN };

struct mime_type {
    bool is_text;      /* also where nothing was said */
    bool is_multipart; /* and has a boundary */
    bool is_message;   /* message/rfc822 */
    bool has_charset;  /* other than us-ascii */
    bool is_latin1;
    bool is_broken; /* a value that cannot be read */
    char type[128]; /* "text/plain" */
    char boundary[72];
    enum mime_encoding encoding;
};

void mime_type_read(const struct headers *headers, struct mime_type *type_out);

/* Appends the bytes behind the encoding. -1 when they cannot be decoded. */
int mime_decode(enum mime_encoding encoding, struct span text, struct buf *out) __attribute__((warn_unused_result));

/* Appends `text` (with CRLF line ends) in lines of at most 76. */
int mime_encode_quoted_printable(struct span text, struct buf *out) __attribute__((warn_unused_result));
int mime_encode_base64(struct span bytes, struct buf *out) __attribute__((warn_unused_result));

#endif
