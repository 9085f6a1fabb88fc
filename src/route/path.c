/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_egress_path: how one source speaks to one site. The timeouts' defaults are the
 * manual's (RFC 5321, section 4.5.3.2 allows longer ones, and policy may ask for them).
 * A parameter that would make a delivery safer or slower than asked for is never accepted
 * and ignored: it is refused by name.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/span.h"
#include "route/route_private.h"

static const struct route_choice tls_modes[] = {
    {"Disabled", ROUTE_TLS_DISABLED},
    {"Opportunistic", ROUTE_TLS_OPPORTUNISTIC},
    {"OpportunisticInsecure", ROUTE_TLS_OPPORTUNISTIC_INSECURE},
    {"Required", ROUTE_TLS_REQUIRED},
    {"RequiredInsecure", ROUTE_TLS_REQUIRED_INSECURE},
    {NULL, 0},
};

static const struct route_choice refresh_strategies[] = {{"Ttl", 0}, {"Epoch", 1}, {NULL, 0}};

_Static_assert(sizeof(enum route_tls) == sizeof(int), "FIELD_CHOICE writes an int");
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "FIELD_COUNT writes 64 bits");

/* A map or a choice that is fine as long as it asks for what we do anyway. */
static int read_empty_map(const json_t *value, void *object, struct error *error)
{
    (void)object;
    if ((json_is_object(value) || json_is_array(value)) && json_object_size(value) == 0 && json_array_size(value) == 0)
        return 0;
    return error_set(error, ERROR_PERM,
                     "limits and rates shared by name (additional_...) are not available in this "
                     "version");
}

static int read_only(const json_t *value, const char *key, const char *only, struct error *error)
{
    if (json_is_string(value) && strcmp(json_string_value(value), only) == 0)
        return 0;
    return error_set(error, ERROR_PERM, "'%s': only '%s' is available in this version", key, only);
}

static int read_ip_lookup(const json_t *value, void *object, struct error *error)
{
    (void)object;
    return read_only(value, "ip_lookup_strategy", "Ipv4AndIpv6", error);
}

static int read_reconnect(const json_t *value, void *object, struct error *error)
{
    (void)object;
    return read_only(value, "reconnect_strategy", "ConnectNextHost", error);
}

static int read_tls_mode(const json_t *value, void *object, struct error *error)
{
    (void)object;
    return read_only(value, "tls_mode", "StartTls", error);
}

static int read_pipelining(const json_t *value, void *object, struct error *error)
{
    (void)object;
    if (json_is_true(value))
        return 0;
    return error_set(error, ERROR_PERM, "'enable_pipelining': only true is available in this version");
}

#define AT(member) offsetof(struct route_path, member)

static const struct route_field fields[] = {
    {"connection_limit", FIELD_COUNT, AT(connection_limit), 0, NULL, NULL},
    {"max_ready", FIELD_COUNT, AT(max_ready), 0, NULL, NULL},
    {"max_deliveries_per_connection", FIELD_COUNT, AT(max_deliveries_per_connection), 0, NULL, NULL},
    {"max_connection_rate", FIELD_RATE, AT(max_connection_rate), AT(has_max_connection_rate), NULL, NULL},
    {"max_message_rate", FIELD_RATE, AT(max_message_rate), AT(has_max_message_rate), NULL, NULL},
    {"connect_timeout", FIELD_DURATION, AT(connect_timeout_ms), 0, NULL, NULL},
    {"banner_timeout", FIELD_DURATION, AT(banner_timeout_ms), 0, NULL, NULL},
    {"ehlo_timeout", FIELD_DURATION, AT(ehlo_timeout_ms), 0, NULL, NULL},
    {"starttls_timeout", FIELD_DURATION, AT(starttls_timeout_ms), 0, NULL, NULL},
    {"auth_timeout", FIELD_DURATION, AT(auth_timeout_ms), 0, NULL, NULL},
    {"mail_from_timeout", FIELD_DURATION, AT(mail_from_timeout_ms), 0, NULL, NULL},
    {"rcpt_to_timeout", FIELD_DURATION, AT(rcpt_to_timeout_ms), 0, NULL, NULL},
    {"data_timeout", FIELD_DURATION, AT(data_timeout_ms), 0, NULL, NULL},
    {"data_dot_timeout", FIELD_DURATION, AT(data_dot_timeout_ms), 0, NULL, NULL},
    {"rset_timeout", FIELD_DURATION, AT(rset_timeout_ms), 0, NULL, NULL},
    {"idle_timeout", FIELD_DURATION, AT(idle_timeout_ms), 0, NULL, NULL},
    {"enable_tls", FIELD_CHOICE, AT(enable_tls), 0, tls_modes, NULL},
    {"smtp_port", FIELD_PORT, AT(smtp_port), 0, NULL, NULL},
    {"prohibited_hosts", FIELD_BLOCKS, AT(prohibited_hosts), AT(prohibited_count), NULL, NULL},
    {"skip_hosts", FIELD_BLOCKS, AT(skip_hosts), AT(skip_count), NULL, NULL},
    {"ehlo_domain", FIELD_STRING, AT(ehlo_domain), 0, NULL, NULL},
    {"smtp_auth_plain_username", FIELD_STRING, AT(auth_username), 0, NULL, NULL},
    {"smtp_auth_plain_password", FIELD_STRING, AT(auth_password), 0, NULL, NULL},
    {"allow_smtp_auth_plain_without_tls", FIELD_BOOL, AT(allow_auth_without_tls), 0, NULL, NULL},
    {"allow_smtp_auth_plain_without_valid_certificate", FIELD_BOOL, AT(allow_auth_without_valid_certificate), 0, NULL,
     NULL},
    {"opportunistic_tls_reconnect_on_failed_handshake", FIELD_BOOL, AT(reconnect_in_clear), 0, NULL, NULL},
    {"consecutive_connection_failures_before_delay", FIELD_COUNT, AT(consecutive_connection_failures_before_delay), 0,
     NULL, NULL},
    {"refresh_interval", FIELD_DURATION, AT(refresh_interval_ms), 0, NULL, NULL},
    {"refresh_strategy", FIELD_FLAG, AT(refresh_by_epoch), 0, refresh_strategies, NULL},

    /* no effect here: they tune the inner workings of another program, or name things for its
     * reports */
    {"aggressive_connection_opening", FIELD_TUNING, 0, 0, NULL, NULL},
    {"dispatcher_progress_watchdog_timeout", FIELD_TUNING, 0, 0, NULL, NULL},
    {"dispatcher_wakeup_strategy", FIELD_TUNING, 0, 0, NULL, NULL},
    {"enable_rset", FIELD_TUNING, 0, 0, NULL, NULL},
    {"low_memory_reduction_policy", FIELD_TUNING, 0, 0, NULL, NULL},
    {"maintainer_wakeup_strategy", FIELD_TUNING, 0, 0, NULL, NULL},
    {"max_mx_addresses_per_host", FIELD_TUNING, 0, 0, NULL, NULL},
    {"max_mx_plan_size", FIELD_TUNING, 0, 0, NULL, NULL},
    {"no_memory_reduction_policy", FIELD_TUNING, 0, 0, NULL, NULL},
    {"provider_name", FIELD_TUNING, 0, 0, NULL, NULL},
    {"readyq_pool_name", FIELD_TUNING, 0, 0, NULL, NULL},
    {"suspended", FIELD_TUNING, 0, 0, NULL, NULL},
    {"system_shutdown_timeout", FIELD_TUNING, 0, 0, NULL, NULL},
    {"tls_handshake_timeout", FIELD_TUNING, 0, 0, NULL, NULL}, /* starttls_timeout covers the handshake */
    {"tls_prefer_openssl", FIELD_TUNING, 0, 0, NULL, NULL},

    /* accepted where they ask for what we do */
    {"additional_connection_limits", FIELD_CUSTOM, 0, 0, NULL, read_empty_map},
    {"additional_message_rate_throttles", FIELD_CUSTOM, 0, 0, NULL, read_empty_map},
    {"additional_source_selection_rates", FIELD_CUSTOM, 0, 0, NULL, read_empty_map},
    {"enable_dane", FIELD_OFF_ONLY, 0, 0, NULL, NULL},
    {"enable_mta_sts", FIELD_OFF_ONLY, 0, 0, NULL, NULL},
    {"enable_pipelining", FIELD_CUSTOM, 0, 0, NULL, read_pipelining},
    {"ignore_8bit_checks", FIELD_OFF_ONLY, 0, 0, NULL, NULL},
    {"ip_lookup_strategy", FIELD_CUSTOM, 0, 0, NULL, read_ip_lookup},
    {"reconnect_strategy", FIELD_CUSTOM, 0, 0, NULL, read_reconnect},
    {"tls_mode", FIELD_CUSTOM, 0, 0, NULL, read_tls_mode},
    {"try_next_host_on_transport_error", FIELD_OFF_ONLY, 0, 0, NULL, NULL},
    {"use_lmtp", FIELD_OFF_ONLY, 0, 0, NULL, NULL},

    {"max_recipients_per_batch", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"openssl_cipher_list", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"openssl_cipher_suites", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"openssl_options", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"remember_broken_tls", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"rustls_cipher_suites", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"source_selection_rate", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"tls_certificate", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"tls_private_key", FIELD_UNBUILT, 0, 0, NULL, NULL},
};

static int check(const struct route_path *path, struct error *error)
{
    if (!path->auth_username != !path->auth_password)
        return error_set(error, ERROR_PERM,
                         "'smtp_auth_plain_username' and 'smtp_auth_plain_password' belong together");
    if (path->auth_username && path->enable_tls == ROUTE_TLS_DISABLED && !path->allow_auth_without_tls)
        return error_set(error, ERROR_PERM,
                         "'smtp_auth_plain_username' with enable_tls = 'Disabled' would send the password in clear: "
                         "set 'allow_smtp_auth_plain_without_tls' if that is wanted");
    return 0;
}

static void set_default_timeouts(struct route_path *path)
{
    path->connect_timeout_ms = path->banner_timeout_ms = 60000;
    path->ehlo_timeout_ms = 300000;
    path->starttls_timeout_ms = 5000;
    path->auth_timeout_ms = 60000;
    path->mail_from_timeout_ms = path->rcpt_to_timeout_ms = 300000;
    path->data_timeout_ms = 30000;
    path->data_dot_timeout_ms = 60000;
    path->rset_timeout_ms = 5000;
    path->idle_timeout_ms = 60000;
}

/* What no mail exchanger can be: this machine itself. A domain whose MX says so would have us
 * talk to ourselves. */
static void set_default_prohibited(struct route_path *path)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1/128", "0.0.0.0/32", "::/128"};

    path->prohibited_count = sizeof blocks / sizeof blocks[0];
    path->prohibited_hosts = mem_zalloc(path->prohibited_count * sizeof *path->prohibited_hosts);
    for (size_t i = 0; i < path->prohibited_count; i++)
        MUST(cidr_parse(span_of(blocks[i]), &path->prohibited_hosts[i]) == 0);
}

struct route_path *route_path_new(const json_t *params, struct error *error)
{
    struct route_path *path = mem_zalloc(sizeof *path);

    path->refs = 1;
    path->connection_limit = 32;
    path->max_ready = 1024;
    path->max_deliveries_per_connection = 1024;
    path->enable_tls = ROUTE_TLS_OPPORTUNISTIC;
    path->smtp_port = 25;
    path->consecutive_connection_failures_before_delay = 100;
    path->refresh_interval_ms = 60000;
    set_default_timeouts(path);
    set_default_prohibited(path);
    if (route_read_fields(fields, sizeof fields / sizeof fields[0], params, path, error) || check(path, error))
        route_path_unref(&path);
    return path;
}

struct route_path *route_path_ref(struct route_path *path)
{
    route_ref_take(&path->refs);
    return path;
}

void route_path_unref(struct route_path **path)
{
    struct route_path *gone = *path;

    *path = NULL;
    if (!gone || !route_ref_drop(&gone->refs))
        return;
    free(gone->prohibited_hosts);
    free(gone->skip_hosts);
    free(gone->ehlo_domain);
    free(gone->auth_username);
    secret_free(gone->auth_password);
    free(gone);
}
