/* SPDX-License-Identifier: Apache-2.0
 *
 * What is looked for in a message's own header before anybody believes it: signs of a loop,
 * and fields that only we may have written.
 */
#ifndef GATEPOST_RECEIVE_TEXT_CHECK_H
#define GATEPOST_RECEIVE_TEXT_CHECK_H

#include "base/span.h"
#include "message/headers.h"

/* A field that a client cannot send in good faith: Return-Path, which is the last server's to
 * write (RFC 5321, section 4.4), and Authentication-Results with our own name as authserv-id
 * (RFC 8601, section 5), in every spelling and folding. `hostname` is ours. */
bool text_is_forged(const struct header *header, const char *hostname);

/* The authserv-id of an Authentication-Results value, without comments and quotes; false when
 * none can be made out. `id_out` has room for value.len + 1 bytes. */
bool text_authserv_id(struct span value, char *id_out);

#endif
