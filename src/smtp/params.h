/* SPDX-License-Identifier: Apache-2.0
 *
 * What follows MAIL and RCPT: a path and ESMTP parameters (RFC 1870, 3461, 4954, 6152,
 * 3030, 6531). Which of them a session has offered is for its caller; here they are only
 * read. Every refusal is the reply to give.
 */
#ifndef GATEPOST_SMTP_PARAMS_H
#define GATEPOST_SMTP_PARAMS_H

#include <stdint.h>

#include "smtp/address.h"
#include "smtp/reply.h"

#define SMTP_ENVID_LIMIT 100 /* RFC 3461, section 4.4 */
#define SMTP_ORCPT_LIMIT 500 /* RFC 3461, section 4.2 */

enum smtp_body { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_ret { SMTP_RET_UNSAID, SMTP_RET_FULL, SMTP_RET_HDRS };

struct smtp_mail {
    struct smtp_mailbox sender;
    bool has_size;
    uint64_t size;
    enum smtp_body body;
    enum smtp_ret ret;
    bool smtputf8;
    bool has_auth;
    char auth[SMTP_PATH_LIMIT + 1]; /* decoded; "" for AUTH=<> */
    char envid[SMTP_ENVID_LIMIT + 1];
};

enum {
    SMTP_NOTIFY_NEVER = 1,
    SMTP_NOTIFY_SUCCESS = 2,
    SMTP_NOTIFY_FAILURE = 4,
    SMTP_NOTIFY_DELAY = 8,
};

struct smtp_rcpt {
    struct smtp_mailbox recipient;
    unsigned notify;                       /* 0: not said */
    char orcpt_type[SMTP_ORCPT_LIMIT + 1]; /* "rfc822"; "" when not said */
    char orcpt[SMTP_ORCPT_LIMIT + 1];      /* decoded */
};

/* The arguments of MAIL, "FROM:<...> ...", of RCPT, "TO:<...> ...". 0, or -1 with
 * `refusal` filled: 501 5.5.4 malformed, 555 5.5.4 unknown parameter, 501 5.1.7 / 5.1.3 a
 * bad address, 553 5.6.7 UTF-8 without SMTPUTF8. Spans point into `args`. */
int smtp_mail_parse(struct span args, struct smtp_mail *mail_out, struct smtp_reply *refusal)
    __attribute__((warn_unused_result));
/* `smtputf8`: MAIL had it. */
int smtp_rcpt_parse(struct span args, bool smtputf8, struct smtp_rcpt *rcpt_out, struct smtp_reply *refusal)
    __attribute__((warn_unused_result));

/* RFC 3461's xtext: "+41" is 'A'. Decodes into `out` (a C string); -1 when it is not xtext,
 * has a NUL, or does not fit. */
int smtp_xtext_decode(struct span text, char *out, size_t out_bytes) __attribute__((warn_unused_result));

#endif
