/* SPDX-License-Identifier: Apache-2.0
 *
 * The name of a scheduled queue: campaign:tenant@domain!routing_domain, with every part but
 * the domain optional. It comes from policy (message metadata), so its parts may be anything.
 */
#ifndef GATEPOST_QUEUE_NAME_H
#define GATEPOST_QUEUE_NAME_H

#include "base/span.h"

#define QUEUE_NAME_LIMIT 1024

/* Parts that are not there have len 0. They point into the text that was parsed. */
struct queue_name {
    struct span campaign;
    struct span tenant;
    struct span domain;
    struct span routing_domain;
};

/* -1 when there is no domain, or the name is too long or holds control characters. */
int queue_name_parse(struct span text, struct queue_name *name_out) __attribute__((warn_unused_result));

/* What mail is routed by: the routing domain where there is one. */
static inline struct span queue_name_route(const struct queue_name *name)
{
    return name->routing_domain.len > 0 ? name->routing_domain : name->domain;
}

#endif
