/* SPDX-License-Identifier: Apache-2.0
 *
 * How a queue behaves and which way mail leaves: the settings that policy makes
 * (kumo.make_queue_config, make_egress_pool, make_egress_source, make_egress_path), as
 * plain counted values that threads share. No decisions here: the queue takes them.
 */
#ifndef GATEPOST_ROUTE_ROUTE_H
#define GATEPOST_ROUTE_ROUTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/error.h"
#include "base/rate.h"

enum route_protocol { ROUTE_SMTP, ROUTE_NULL /* accepted and forgotten: the manual's null queue */ };

/* One host of an mx_list: "name", "name:port", "ip", "[ip]", "[ip]:port", or {name=, addr=}
 * with addr "ip", "ip:port" or "[ip6]:port". A name is looked up as a host (A and AAAA),
 * never as MX. */
struct route_host {
    char *name;    /* "[ip]" for a literal */
    uint16_t port; /* 0: the path's smtp_port */
    bool has_address;
    struct ip address;
};

struct route_queue_config {
    unsigned refs;
    char *egress_pool;                                             /* "unspecified" by default */
    uint64_t max_age_ms, retry_interval_ms, max_retry_interval_ms; /* max_retry 0: no cap */
    bool has_max_message_rate;
    struct rate_spec max_message_rate;
    bool has_overall_max_message_rate; /* set by the queue helper, with its key */
    struct rate_spec overall_max_message_rate;
    char *overall_key;
    enum route_protocol protocol;
    struct route_host *mx_list; /* smart hosts, tried as one MX set in order */
    size_t mx_count;
    uint64_t refresh_interval_ms;
    bool refresh_by_epoch; /* refresh_strategy = 'Epoch': only a changed configuration asks again */
    uint64_t reap_interval_ms;
};

struct route_pool {
    unsigned refs;
    char *name;
    struct route_pool_entry {
        char *source;
        unsigned weight;
    } * entries;
    size_t count;
    uint64_t ttl_ms;
};

struct route_source {
    unsigned refs;
    char *name;
    bool has_address;
    struct ip address;
    uint16_t remote_port; /* 0: the path's */
    char *ehlo_domain;    /* NULL: the path's, or this host's name */
    uint64_t ttl_ms;
};

enum route_tls {
    ROUTE_TLS_DISABLED,
    ROUTE_TLS_OPPORTUNISTIC,          /* verified when offered; a bad certificate fails: the default */
    ROUTE_TLS_OPPORTUNISTIC_INSECURE, /* used when offered, not verified */
    ROUTE_TLS_REQUIRED,
    ROUTE_TLS_REQUIRED_INSECURE,
};

struct route_path {
    unsigned refs;
    size_t connection_limit, max_ready, max_deliveries_per_connection;
    bool has_max_connection_rate, has_max_message_rate;
    struct rate_spec max_connection_rate, max_message_rate;
    uint64_t connect_timeout_ms, banner_timeout_ms, ehlo_timeout_ms, starttls_timeout_ms, auth_timeout_ms,
        mail_from_timeout_ms, rcpt_to_timeout_ms, data_timeout_ms, data_dot_timeout_ms, rset_timeout_ms,
        idle_timeout_ms;
    enum route_tls enable_tls;
    uint16_t smtp_port;
    struct cidr *prohibited_hosts;
    size_t prohibited_count;
    struct cidr *skip_hosts;
    size_t skip_count;
    char *ehlo_domain;
    char *auth_username, *auth_password; /* both or none; never logged */
    bool allow_auth_without_tls;
    bool allow_auth_without_valid_certificate; /* else AUTH needs a verified peer where TLS is used */
    /* After a failed handshake the same address is tried once more without TLS; Opportunistic* only. */
    bool reconnect_in_clear;
    uint64_t consecutive_connection_failures_before_delay;
    uint64_t refresh_interval_ms;
    bool refresh_by_epoch;
};

/* From the table a policy gives, as JSON; unknown keys and wrong types are errors that name
 * the key, as are parameters of the manual that this program does not have. A new value with
 * one reference, or NULL. The count is atomic. `smtp_auth_plain_password` is the password
 * itself here: key sources are loaded before. `overall_max_message_rate` comes with
 * `overall_max_message_rate_key`: queues with the same key share it. */
struct route_queue_config *route_queue_config_new(const json_t *params, struct error *error);
struct route_pool *route_pool_new(const json_t *params, struct error *error);
struct route_source *route_source_new(const json_t *params, struct error *error);
struct route_path *route_path_new(const json_t *params, struct error *error);

struct route_queue_config *route_queue_config_ref(struct route_queue_config *config);
void route_queue_config_unref(struct route_queue_config **config);
struct route_pool *route_pool_ref(struct route_pool *pool);
void route_pool_unref(struct route_pool **pool);
struct route_source *route_source_ref(struct route_source *source);
void route_source_unref(struct route_source **source);
struct route_path *route_path_ref(struct route_path *path);
void route_path_unref(struct route_path **path);

/* One entry of an mx_list. `host_out->name` is the caller's to free. */
int route_host_parse(const json_t *entry, struct route_host *host_out, struct error *error)
    __attribute__((warn_unused_result));

/* ---- a plan: where one ready queue's connections go; counted, immutable ---- */

struct route_plan_host {
    char *name; /* for TLS verification and logs; "[ip]" for a literal */
    uint16_t port;
    bool has_address; /* no look-up needed */
    struct ip address;
};

struct route_plan {
    unsigned refs;
    char *ready_name; /* "source->site@protocol": names the ready queue in logs and metrics */
    char *site_name;
    char *pool_name;
    struct route_source *source;
    struct route_path *path;
    struct route_plan_host *hosts; /* in the order to try */
    size_t host_count;
};

struct route_plan *route_plan_new(const char *ready_name, const char *site_name, const char *pool_name,
                                  struct route_source *source, struct route_path *path, size_t host_count);
struct route_plan *route_plan_ref(struct route_plan *plan);
void route_plan_unref(struct route_plan **plan);

#endif
