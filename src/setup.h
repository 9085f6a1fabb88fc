/* SPDX-License-Identifier: Apache-2.0
 *
 * What the policy's init handler asked for: listeners, spool, logs, the HTTP door, name
 * servers. Collected while init runs (through policy/modules/house.h), acted on after.
 * Listening sockets are bound at once, so that a port that cannot be had is an error at the
 * policy's line; nothing is accepted on them until the spool is open.
 */
#ifndef GATEPOST_SETUP_H
#define GATEPOST_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "admin/admin.h"
#include "base/error.h"
#include "log/segment.h"
#include "policy/policy.h"
#include "receive/receive.h"
#include "spool/spool.h"

struct setup_listener {
    struct receive_params *params;
    struct receive_share *share;
    struct sockaddr_storage bound; /* where it would be, if nothing is bound */
    int *fds;                      /* one per worker; -1 once handed over */
};

enum setup_purpose {
    SETUP_TO_RUN,
    SETUP_TO_VALIDATE, /* nothing is bound, opened or made, and validate_config is asked besides */
    SETUP_TO_LOOK,     /* nothing is bound, opened or made: what init asks for is all that is wanted */
};

struct setup {
    enum setup_purpose purpose;
    size_t worker_count;
    bool validation_failed; /* kumo.validation_failed was called */
    bool has_acct_log;

    struct setup_listener *listeners;
    size_t listener_count;

    struct spool_config spool; /* path NULL: init defined none */
    char *spool_name;
    char *spool_path;

    struct admin_params **http_listeners;
    size_t http_listener_count;

    char **name_servers;
    size_t name_server_count;
    char *zone_text;
};

struct setup *setup_new(size_t worker_count, enum setup_purpose purpose);
void setup_free(struct setup *setup); /* closes sockets that were not handed over */

/* Runs pre_init and init (or, validating, init and validate_config) in `vm`, which then may
 * call kumo.start_esmtp_listener and the like. Waits for handlers that wait. */
int setup_run_init(struct setup *setup, struct policy_vm *vm, struct error *error) __attribute__((warn_unused_result));

/* The parameters of the i-th listener, and where it listens; NULL past the last. */
struct receive_params *setup_listener_at(const struct setup *setup, size_t i, const struct sockaddr **bound_out);

/* Reads the listeners' certificates again. A broken one is logged and the former one kept. */
void setup_reload_certificates(struct setup *setup);

#endif
