/* SPDX-License-Identifier: Apache-2.0
 *
 * What kumo.make_queue_config, make_egress_pool, make_egress_source and make_egress_path give
 * to Lua: a route object in a wrapper that VMs may share and kumo.memoize may keep. The Lua
 * side (policy/modules/mod_egress.c) makes them; the queue takes the route object out of what
 * an event handler returned.
 */
#ifndef GATEPOST_QUEUE_EGRESS_H
#define GATEPOST_QUEUE_EGRESS_H

#include "policy/shared.h"

#define EGRESS_QUEUE_CONFIG "queue_config"
#define EGRESS_POOL "egress_pool"
#define EGRESS_SOURCE "egress_source"
#define EGRESS_PATH "egress_path"

struct egress_value {
    struct policy_shared shared; /* must be first */
    void *route;                 /* struct route_queue_config, route_pool, route_source or route_path */
};

#endif
