/* SPDX-License-Identifier: Apache-2.0
 *
 * What a policy's `init` handler may ask of the house: to listen, to keep mail, to keep
 * logs. The house answers only while init runs (main's VM); elsewhere there is none.
 */
#ifndef GATEPOST_POLICY_MODULES_HOUSE_H
#define GATEPOST_POLICY_MODULES_HOUSE_H

#include <jansson.h>
#include <lua.h>
#include <stddef.h>

#include "base/error.h"

struct receive_params;
struct spool_config;
struct log_config;
struct admin_params;

/* Each returns 0, or -1 with an error that is raised at the policy's line. What is passed is
 * borrowed for the call unless it is counted (receive_params: the house takes a reference). */
struct house_ops {
    int (*start_esmtp_listener)(void *ctx, struct receive_params *params, struct error *error);
    int (*start_http_listener)(void *ctx, const struct admin_params *params, struct error *error);
    int (*define_spool)(void *ctx, const struct spool_config *config, struct error *error);
    int (*configure_local_logs)(void *ctx, const struct log_config *config, struct error *error);
    int (*configure_acct_log)(void *ctx, const struct log_config *config, struct error *error); /* once */
    /* name servers as "ip" or "ip:port"; zone text as dns/dns.h takes it */
    int (*configure_resolver)(void *ctx, const char *const *servers, size_t count, const char *zone_text,
                              struct error *error);
    void (*validation_failed)(void *ctx); /* may be NULL */
};

/* The owner of main's VM while init runs (policy_vm_set_owner). */
struct house_owner {
    const struct house_ops *ops;
    void *ctx;
};

/* The house, or a Lua error that names `function` and says it works in init only. */
const struct house_ops *house_get(lua_State *L, const char *function, void **ctx_out);

/* For functions whose one argument is a table that describes a log: `read` makes it a config, `open` (of house_ops)
 * gets that. Raises a Lua error that names `function`. Returns 0, the number of results. */
typedef int house_read_log_fn(const json_t *params, struct log_config *config_out, struct error *error);
typedef int house_open_log_fn(void *ctx, const struct log_config *config, struct error *error);
int house_open_log(lua_State *L, const char *function, house_read_log_fn *read, house_open_log_fn *open, void *ctx);

#endif
