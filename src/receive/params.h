/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener's parameters: kumo.start_esmtp_listener's table, made into values. A set of
 * parameters is immutable once made, counted, and shared by all workers; what `via`, `peer`
 * and smtp_server_get_dynamic_parameters change for one connection is another set.
 */
#ifndef GATEPOST_RECEIVE_PARAMS_H
#define GATEPOST_RECEIVE_PARAMS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/cidr.h"
#include "base/error.h"
#include "smtp/data.h"

struct tls_server;
struct receive_tls;

enum receive_batch { RECEIVE_BIFURCATE_ALWAYS, RECEIVE_BATCH_BY_DOMAIN };
/* What Received says of the client. */
enum receive_client_address { RECEIVE_CLIENT_KEEP, RECEIVE_CLIENT_MASK, RECEIVE_CLIENT_HASH, RECEIVE_CLIENT_OMIT };
enum receive_tls_mode { RECEIVE_TLS_STARTTLS, RECEIVE_TLS_IMPLICIT };

enum receive_refusal { RECEIVE_REFUSE_AS_RULES_SAY, RECEIVE_REFUSE_LATER, RECEIVE_REFUSE_AT_ONCE };

struct receive_cidrs {
    struct cidr *blocks;
    size_t count;
};

struct receive_names {
    char **names;
    size_t count;
};

/* One row of `via` or `peer`: what else holds for addresses in `block`. */
struct receive_override {
    struct cidr block;
    json_t *table;           /* its keys but the TLS ones */
    struct receive_tls *tls; /* NULL: it has none of its own */
};

struct receive_overrides {
    struct receive_override *rows;
    size_t count;
};

struct receive_params {
    atomic_uint refs;

    /* of the listener, not to be overridden */
    struct sockaddr_storage listen;
    uint64_t max_connections;
    enum receive_tls_mode tls_mode;

    /* who we say we are */
    char *hostname;
    char *banner;

    /* who may do what */
    struct receive_cidrs relay_hosts;
    bool allow_xclient;
    bool require_proxy_protocol;
    enum receive_refusal refuse_before_tls; /* clients whose address is blocked */

    /* which SASL mechanisms may be used: bit n is auth_mechanism_at(n) */
    uint32_t auth_mechanisms;          /* under TLS */
    uint32_t auth_mechanisms_in_clear; /* without it */

    /* times, all in milliseconds */
    uint64_t client_timeout_ms;
    uint64_t data_processing_timeout_ms;
    uint64_t transaction_deadline_ms; /* from MAIL to the end of data */
    uint64_t handshake_timeout_ms;
    uint64_t auth_timeout_ms;
    uint64_t auth_failure_delay_ms; /* before a refusal; doubles with each one */
    uint64_t junk_command_delay_ms;

    /* limits */
    uint64_t max_message_size;
    uint64_t max_messages_per_connection;
    uint64_t max_recipients_per_message;
    uint64_t line_length_hard_limit;
    uint64_t data_buffer_size;
    uint64_t min_data_rate;      /* bytes per second, on average, once a while has passed; 0: any */
    uint64_t data_rate_grace_ms; /* that while, which is no parameter */
    uint64_t max_received_headers;
    uint64_t auth_failure_limit;
    uint64_t junk_command_limit;

    /* what is done with a message */
    enum smtp_line_endings line_endings;
    enum receive_batch batch_handling;
    bool trace_received;
    bool trace_supplemental;
    char *trace_header_name;
    struct receive_names trace_meta_names;
    enum receive_client_address trace_client;
    char *trace_client_key; /* of hashes; NULL: the process's own */
    char *trace_id_header;  /* with the name of who logged in; NULL: none */
    json_t *meta;           /* preset connection metadata: an object */

    /* TLS and overrides */
    json_t *tls_table; /* the tls_ keys as given */
    struct receive_tls *tls;
    struct receive_overrides via;
    struct receive_overrides peer;
};

/* Parameters with their defaults and what `table` says. Reads certificate files: may block, so
 * it belongs in init. NULL with an error that names the key. */
struct receive_params *receive_params_new(const json_t *table, struct error *error);

struct receive_params *receive_params_ref(struct receive_params *params);
void receive_params_unref(struct receive_params **params);

/* What holds for one connection: `base`, then its `via` row for `local`, then its `peer` row
 * for `remote`, the most specific block each. No row: `base` itself. A new reference. */
struct receive_params *receive_params_for(struct receive_params *base, const struct ip *local, const struct ip *remote);

/* `base` with the keys of `table` (the result of smtp_server_get_dynamic_parameters), whose own
 * via and peer rows are applied too. NULL with an error that names the key. */
struct receive_params *receive_params_override(struct receive_params *base, const json_t *table, const struct ip *local,
                                               const struct ip *remote, struct error *error);

/* The context for handshakes; made when the parameters were. */
struct tls_server *receive_params_tls_server(const struct receive_params *params);

/* Reads the certificate files again, those of via and peer rows too. On failure the old ones
 * go on serving. From any thread; blocks. */
int receive_params_reload_tls(struct receive_params *params, struct error *error) __attribute__((warn_unused_result));

/* A block so wide that it is no network of anybody's own; NULL: none is. */
const struct cidr *receive_cidrs_everybody(const struct receive_cidrs *cidrs);
bool receive_cidrs_contain(const struct receive_cidrs *cidrs, const struct ip *ip);

#endif
