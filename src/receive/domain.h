/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener domain: what the policy allows for mail from or to one domain
 * (kumo.make_listener_domain). Immutable and counted, so that VMs can share it.
 */
#ifndef GATEPOST_RECEIVE_DOMAIN_H
#define GATEPOST_RECEIVE_DOMAIN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "policy/shared.h"
#include "receive/params.h"

#define RECEIVE_DOMAIN_CLASS "listenerdomain" /* the Lua class */

enum receive_report_handling { RECEIVE_REPORT_IGNORE, RECEIVE_REPORT_LOG_THEN_RELAY, RECEIVE_REPORT_LOG_THEN_DROP };

struct receive_domain {
    struct policy_shared shared;     /* first: Lua holds it, and kumo.memoize may */
    bool relay_to;                   /* anyone may send to it */
    struct receive_cidrs relay_from; /* these may send anywhere with a sender in it */
    enum receive_report_handling log_oob;
    enum receive_report_handling log_arf;
};

/* NULL with an error that names the key. */
struct receive_domain *receive_domain_new(const json_t *table, struct error *error);
struct receive_domain *receive_domain_ref(struct receive_domain *domain);
void receive_domain_unref(struct receive_domain **domain); /* NULL inside is fine */

#endif
