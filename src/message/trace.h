/* SPDX-License-Identifier: Apache-2.0
 *
 * The marks a message gets from us: Received (RFC 5321, section 4.4) and the supplemental
 * header that carries chosen metadata along, so that a report about the message can be
 * traced back to it. The authenticated user's name is in neither; it has a header of its own,
 * for those who want one.
 */
#ifndef GATEPOST_MESSAGE_TRACE_H
#define GATEPOST_MESSAGE_TRACE_H

#include "message/message.h"

struct trace_reception {
    const char *helo;     /* what the client called itself; NULL or "": nothing */
    const char *peer;     /* its IP address, without port; NULL: none */
    const char *disguise; /* not NULL: stands in a comment in the place of both; "": nothing does */
    const char *hostname; /* ours */
    bool is_esmtp;        /* EHLO rather than HELO */
    bool is_tls;
    bool is_authenticated;
    const char *tls_cipher; /* NULL or "": not said */
    const char *tls_protocol;
};

/* Appends the whole field with its CRLF. `for` is written when there is one recipient and
 * `show_recipient`. `when_ms`: wall clock. */
int trace_received(const struct message *message, const struct trace_reception *reception, bool show_recipient,
                   int64_t when_ms, struct buf *out) __attribute__((warn_unused_result));

/* RFC 3848 and 6531: "ESMTPSA", "UTF8SMTPS", ... */
const char *trace_protocol(const struct trace_reception *reception, bool smtputf8);

/* Appends "X-KumoRef: base64(JSON)" (or another name) with the recipient and those of
 * `meta_names` that are set. */
int trace_supplemental(const struct message *message, const char *header_name, const char *const *meta_names,
                       size_t meta_count, struct buf *out, struct error *error) __attribute__((warn_unused_result));

/* Appends "X-Authenticated-Id: name" (or another header). A name that a reader could take for another one (encoded
 * words, blanks at its ends) is encoded (RFC 2047), so that the decoded value is always the name. */
int trace_authenticated_id(const char *header_name, const char *id, struct buf *out, struct error *error)
    __attribute__((warn_unused_result));

#endif
