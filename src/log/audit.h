/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of logins: one JSON line per attempt, whatever its end, in the accounting log (kumo.aaa.configure_acct_log).
 * Of the members, `type`, `timestamp`, `attempted_identity`, `success` and `auth_info` are KumoMTA's; the rest is ours.
 *
 * Beside it, and whether or not there is such a log, each attempt is one line of the diagnostic log, made to be read by
 * programs that ban addresses:
 *
 *   login mechanism=PLAIN client=192.0.2.1 proxy=- authcid=scott authzid=- result=bad_password session=6b1e...
 *
 * The order is fixed and each value is one word, so that no client can make another one's address appear: what it wrote
 * (the names) is percent-encoded. `-` stands for what is not known. `proxy=self` is the address of a proxy that did not
 * say for whom it speaks: who bans it bans everybody behind it.
 */
#ifndef GATEPOST_LOG_AUDIT_H
#define GATEPOST_LOG_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "log/diag.h"

/* Borrowed for the call; NULL or "" where nothing is known. There is no member for a secret. */
struct audit {
    /* where from */
    const char *session_id, *listener;
    const char *peer;  /* address without port */
    const char *proxy; /* who spoke for it */
    bool is_proxys_own;
    const char *ehlo_domain;
    const char *tls_protocol, *tls_cipher, *certificate_subject;

    /* what was tried */
    const char *mechanism;
    const char *authcid, *authzid;
    const char *user;    /* by the name of its record */
    const char *context; /* "SmtpAuthPlainAuthentication": KumoMTA's word for how the name was given */

    /* what came of it */
    bool is_ok;
    const char *outcome, *reason; /* "refused", "bad_password" */
    const char *store, *secret_label;
    bool is_cached;
    uint64_t took_us;
    const json_t *identities, *groups; /* arrays, of who came in; NULL: nobody did */
};

/* Formats and queues for the log thread. ERROR_AGAIN when the log can take no more; nothing is written when none is
 * configured. From any thread; never blocks. */
int audit_submit(const struct audit *audit, struct error *error);

/* `text` as one word of such a line: whatever could end it, or be taken for a field's name or a quote, is %HH; what is
 * longer is cut. "-" where there is none, so a name of one hyphen is encoded too. */
#define AUDIT_WORD_BYTES 768
const char *audit_word(const char *text, char out[AUDIT_WORD_BYTES]);

/* The line for the diagnostic log. */
void audit_tell(const struct audit *audit, const struct diag_scope *scope);

#endif
