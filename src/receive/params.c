/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of parameters, one row each, and the life of a set. The awkward truth: a set that
 * workers share is read by all of them at once, so its JSON is never written and never lent
 * to a connection: copies are.
 */
#include "receive/params.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "receive/params_private.h"
#include "tls/tls.h"

#define NO_LIMIT ((uint64_t)1 << 53)
#define MESSAGE_SIZE_MOST ((uint64_t)1 << 31)
#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)

enum field_type {
    FIELD_STRING,
    FIELD_DURATION,
    FIELD_COUNT,
    FIELD_BOOL,
    FIELD_CIDRS,
    FIELD_SPECIAL,
    FIELD_TLS, /* collected into tls_table */
};

struct field {
    const char *key;
    enum field_type type;
    size_t at;
    uint64_t least, most; /* FIELD_COUNT */
    int (*read)(struct receive_params *params, const char *key, const json_t *value, struct error *error);
    bool listener_only;
};

/* ---- values with a meaning of their own ---- */

static int read_listen(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    struct span text = span_of(json_string_value(value));
    char *full;
    int failed;

    if (!text.data)
        return params_wrong_type(key, value, "an address such as '0.0.0.0:25'", error);
    /* ":25" and "0:25" are short for all of IPv4 */
    if (text.data[0] == ':' || span_starts_with(text, SPAN_LIT("0:"))) {
        full = mem_printf("0.0.0.0:%s", strchr(text.data, ':') + 1);
        failed = sockaddr_parse(span_of(full), &params->listen, error);
        free(full);
    } else {
        failed = sockaddr_parse(text, &params->listen, error);
    }
    return failed ? error_prefix(error, "'%s'", key) : 0;
}

int params_choose(const char *key, const json_t *value, const char *const *words, int *choice_out, struct error *error)
{
    char expected[128] = "one of";

    for (int i = 0; words[i]; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0) {
            *choice_out = i;
            return 0;
        }
        strncat(expected, i ? ", '" : " '", sizeof expected - strlen(expected) - 1);
        strncat(expected, words[i], sizeof expected - strlen(expected) - 1);
        strncat(expected, "'", sizeof expected - strlen(expected) - 1);
    }
    return error_set(error, ERROR_PERM, "'%s': expected %s", key, expected);
}

static int read_line_endings(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    static const char *const words[] = {"Deny", "Allow", "Fix", NULL};
    static const enum smtp_line_endings choices[] = {SMTP_LINE_ENDINGS_DENY, SMTP_LINE_ENDINGS_ALLOW,
                                                     SMTP_LINE_ENDINGS_FIX};
    int choice;

    if (params_choose(key, value, words, &choice, error))
        return -1;
    params->line_endings = choices[choice];
    return 0;
}

static int read_batch_handling(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    static const char *const words[] = {"BifurcateAlways", "BatchByDomain", NULL};
    int choice;

    if (params_choose(key, value, words, &choice, error))
        return -1;
    params->batch_handling = choice == 0 ? RECEIVE_BIFURCATE_ALWAYS : RECEIVE_BATCH_BY_DOMAIN;
    return 0;
}

static int read_tls_mode(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    static const char *const words[] = {"starttls", "implicit", NULL};
    int choice;

    if (params_choose(key, value, words, &choice, error))
        return -1;
    params->tls_mode = choice == 0 ? RECEIVE_TLS_STARTTLS : RECEIVE_TLS_IMPLICIT;
    return 0;
}

static int read_refuse_before_tls(struct receive_params *params, const char *key, const json_t *value,
                                  struct error *error)
{
    bool at_once;

    if (params_read_bool(key, value, &at_once, error))
        return -1;
    params->refuse_before_tls = at_once ? RECEIVE_REFUSE_AT_ONCE : RECEIVE_REFUSE_LATER;
    return 0;
}

static int read_implicit_tls(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    bool implicit;

    if (params_read_bool(key, value, &implicit, error))
        return -1;
    params->tls_mode = implicit ? RECEIVE_TLS_IMPLICIT : RECEIVE_TLS_STARTTLS;
    return 0;
}

/* Merged over what is there: a key can be replaced but not unset. */
static int read_meta(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    json_t *copy;

    if (!data_is_table(value))
        return params_wrong_type(key, value, "a table", error);
    copy = json_deep_copy(value);
    json_object_update(params->meta, copy);
    json_decref(copy);
    return 0;
}

static int read_via(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    return params_read_overrides(key, value, params, &params->via, error);
}

static int read_peer(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    return params_read_overrides(key, value, params, &params->peer, error);
}

static int read_absent(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    bool on;

    (void)params;
    if (params_read_bool(key, value, &on, error))
        return -1;
    return on ? error_set(error, ERROR_PERM, "'%s' is not available here; leave it out or false", key) : 0;
}

/* ---- the table ---- */

#define AT(member) offsetof(struct receive_params, member)

static const struct field fields[] = {
    {.key = "listen", .type = FIELD_SPECIAL, .read = read_listen, .listener_only = true},
    {.key = "max_connections",
     .type = FIELD_COUNT,
     .at = AT(max_connections),
     .least = 1,
     .most = NO_LIMIT,
     .listener_only = true},
    {.key = "tls_mode", .type = FIELD_SPECIAL, .read = read_tls_mode, .listener_only = true},
    {.key = "implicit_tls", .type = FIELD_SPECIAL, .read = read_implicit_tls, .listener_only = true},
    {.key = "hostname", .type = FIELD_STRING, .at = AT(hostname)},
    {.key = "banner", .type = FIELD_STRING, .at = AT(banner)},
    {.key = "relay_hosts", .type = FIELD_CIDRS, .at = AT(relay_hosts)},
    {.key = "allow_xclient", .type = FIELD_BOOL, .at = AT(allow_xclient)},
    {.key = "require_proxy_protocol", .type = FIELD_BOOL, .at = AT(require_proxy_protocol)},
    {.key = "refuse_before_tls", .type = FIELD_SPECIAL, .read = read_refuse_before_tls},
    {.key = "client_timeout", .type = FIELD_DURATION, .at = AT(client_timeout_ms)},
    {.key = "data_processing_timeout", .type = FIELD_DURATION, .at = AT(data_processing_timeout_ms)},
    {.key = "request_deadline", .type = FIELD_DURATION, .at = AT(transaction_deadline_ms)},
    {.key = "handshake_timeout", .type = FIELD_DURATION, .at = AT(handshake_timeout_ms)},
    {.key = "auth_timeout", .type = FIELD_DURATION, .at = AT(auth_timeout_ms)},
    {.key = "auth_failure_delay", .type = FIELD_DURATION, .at = AT(auth_failure_delay_ms)},
    {.key = "junk_command_delay", .type = FIELD_DURATION, .at = AT(junk_command_delay_ms)},
    {.key = "max_message_size", .type = FIELD_COUNT, .at = AT(max_message_size), .least = 1, .most = MESSAGE_SIZE_MOST},
    {.key = "max_messages_per_connection",
     .type = FIELD_COUNT,
     .at = AT(max_messages_per_connection),
     .least = 1,
     .most = NO_LIMIT},
    {.key = "max_recipients_per_message",
     .type = FIELD_COUNT,
     .at = AT(max_recipients_per_message),
     .least = 1,
     .most = 1000000},
    {.key = "line_length_hard_limit",
     .type = FIELD_COUNT,
     .at = AT(line_length_hard_limit),
     .least = 78,
     .most = MESSAGE_SIZE_MOST},
    {.key = "data_buffer_size", .type = FIELD_COUNT, .at = AT(data_buffer_size), .least = 512, .most = NO_LIMIT},
    {.key = "min_data_rate", .type = FIELD_COUNT, .at = AT(min_data_rate), .least = 0, .most = NO_LIMIT},
    {.key = "max_received_headers", .type = FIELD_COUNT, .at = AT(max_received_headers), .least = 1, .most = 10000},
    {.key = "auth_mechanisms", .type = FIELD_SPECIAL, .read = params_read_mechanisms},
    {.key = "auth_mechanisms_in_clear", .type = FIELD_SPECIAL, .read = params_read_mechanisms_in_clear},
    {.key = "auth_failure_limit", .type = FIELD_COUNT, .at = AT(auth_failure_limit), .least = 1, .most = 1000},
    {.key = "junk_command_limit", .type = FIELD_COUNT, .at = AT(junk_command_limit), .least = 1, .most = 100000},
    {.key = "invalid_line_endings", .type = FIELD_SPECIAL, .read = read_line_endings},
    {.key = "batch_handling", .type = FIELD_SPECIAL, .read = read_batch_handling},
    {.key = "trace_headers", .type = FIELD_SPECIAL, .read = params_read_trace},
    {.key = "meta", .type = FIELD_SPECIAL, .read = read_meta},
    {.key = "deferred_spool", .type = FIELD_SPECIAL, .read = read_absent},
    {.key = "deferred_queue", .type = FIELD_SPECIAL, .read = read_absent},
    {.key = "tls_certificate", .type = FIELD_TLS},
    {.key = "tls_private_key", .type = FIELD_TLS},
    {.key = "tls_certificates", .type = FIELD_TLS},
    {.key = "tls_required_client_ca", .type = FIELD_TLS},
    {.key = "via", .type = FIELD_SPECIAL, .read = read_via},
    {.key = "peer", .type = FIELD_SPECIAL, .read = read_peer},
};

static const struct field *find_field(const char *key)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

bool params_is_tls_key(const char *key)
{
    const struct field *field = find_field(key);

    return field && field->type == FIELD_TLS;
}

static int read_field(struct receive_params *params, const struct field *field, const json_t *value,
                      struct error *error)
{
    void *at = (char *)params + field->at;

    switch (field->type) {
    case FIELD_STRING:
        return params_read_string(field->key, value, at, error);
    case FIELD_DURATION:
        return params_read_duration(field->key, value, at, error);
    case FIELD_COUNT:
        return params_read_count(field->key, value, field->least, field->most, at, error);
    case FIELD_BOOL:
        return params_read_bool(field->key, value, at, error);
    case FIELD_CIDRS:
        return params_read_cidrs(field->key, value, at, error);
    case FIELD_SPECIAL:
        return field->read(params, field->key, value, error);
    case FIELD_TLS:
        json_object_set_new(params->tls_table, field->key, json_deep_copy(value));
        return 0;
    }
    MUST_NOT_REACH("a field has a type");
}

/* via and peer come last: their rows are checked against everything else. */
int params_apply(struct receive_params *params, const json_t *table, bool overriding, struct error *error)
{
    const char *key;
    json_t *value;

    if (!data_is_table(table))
        return params_wrong_type("parameters", table, "a table", error);
    json_object_foreach((json_t *)(uintptr_t)table, key, value)
    {
        const struct field *field = find_field(key);

        if (!field)
            return error_set(error, ERROR_PERM, "'%.100s' is not a parameter of an ESMTP listener", key);
        if (field->listener_only && overriding)
            return error_set(error, ERROR_PERM, "'%s' holds for the whole listener: it cannot be overridden", key);
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        value = json_object_get(table, fields[i].key);
        if (value && !json_is_null(value) && read_field(params, &fields[i], value, error))
            return -1;
    }
    return 0;
}

/* ---- life ---- */

static char *own_hostname(void)
{
    char name[256];

    if (gethostname(name, sizeof name - 1))
        return mem_strdup("localhost");
    name[sizeof name - 1] = '\0';
    return mem_strdup(name[0] ? name : "localhost");
}

static struct receive_params *new_with_defaults(void)
{
    struct receive_params *params = mem_zalloc(sizeof *params);
    json_t *local = json_pack("[ss]", "127.0.0.1", "::1");

    atomic_init(&params->refs, 1);
    MUST(sockaddr_parse(SPAN_LIT("127.0.0.1:2025"), &params->listen, NULL) == 0);
    MUST(params_read_cidrs("relay_hosts", local, &params->relay_hosts, NULL) == 0);
    json_decref(local);
    params->max_connections = 32768;
    params->hostname = own_hostname();
    params->banner = mem_strdup("Gatepost");
    params->client_timeout_ms = MINUTE;
    params->data_processing_timeout_ms = 5 * MINUTE;
    params->transaction_deadline_ms = 30 * MINUTE;
    params->handshake_timeout_ms = 10 * SECOND;
    params->auth_timeout_ms = MINUTE;
    params->auth_failure_delay_ms = SECOND;
    params->junk_command_delay_ms = SECOND;
    params->max_message_size = 20 * 1024 * 1024;
    params->max_messages_per_connection = 10000;
    params->max_recipients_per_message = 1024;
    params->line_length_hard_limit = 998;
    params->data_buffer_size = 128 * 1024;
    params->min_data_rate = 256;
    params->data_rate_grace_ms = 30 * SECOND;
    params->max_received_headers = 100;
    params->auth_failure_limit = 3;
    params->auth_mechanisms = params_default_mechanisms();
    params->junk_command_limit = 20;
    params->line_endings = SMTP_LINE_ENDINGS_DENY;
    params->batch_handling = RECEIVE_BIFURCATE_ALWAYS;
    params->trace_received = true;
    params->trace_supplemental = true;
    params->trace_header_name = mem_strdup("X-KumoRef");
    params->meta = json_object();
    params->tls_table = json_object();
    return params;
}

static void copy_names(struct receive_names *to, const struct receive_names *from)
{
    to->names = mem_zalloc((from->count + 1) * sizeof *to->names);
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++)
        to->names[i] = mem_strdup(from->names[i]);
}

/* Everything but via and peer, which are of no use once they have been applied. */
struct receive_params *params_clone(const struct receive_params *params)
{
    struct receive_params *clone = mem_zalloc(sizeof *clone);

    memcpy(clone, params, sizeof *clone);
    atomic_init(&clone->refs, 1);
    clone->hostname = mem_strdup(params->hostname);
    clone->banner = mem_strdup(params->banner);
    clone->trace_header_name = mem_strdup(params->trace_header_name);
    copy_names(&clone->trace_meta_names, &params->trace_meta_names);
    clone->trace_client_key = params->trace_client_key ? mem_strdup(params->trace_client_key) : NULL;
    clone->trace_id_header = params->trace_id_header ? mem_strdup(params->trace_id_header) : NULL;
    clone->relay_hosts.blocks = mem_zalloc((params->relay_hosts.count + 1) * sizeof *clone->relay_hosts.blocks);
    memcpy(clone->relay_hosts.blocks, params->relay_hosts.blocks,
           params->relay_hosts.count * sizeof *clone->relay_hosts.blocks);
    clone->meta = json_deep_copy(params->meta);
    clone->tls_table = json_deep_copy(params->tls_table);
    clone->tls = params_tls_ref(params->tls);
    clone->via = clone->peer = (struct receive_overrides){0};
    return clone;
}

struct receive_params *receive_params_new(const json_t *table, struct error *error)
{
    struct receive_params *params = new_with_defaults();
    char name[SOCKADDR_TEXT_BYTES];

    if (params_apply(params, table, false, error)) {
        receive_params_unref(&params);
        return NULL;
    }
    sockaddr_format((struct sockaddr *)&params->listen, name);
    params->tls = params_tls_new(params->tls_table, name, params->hostname, error);
    if (!params->tls) {
        receive_params_unref(&params);
        return NULL;
    }
    params_warn_of_clear_logins(params, name);
    params_warn_of_open_relay(params, name);
    return params;
}

struct receive_params *receive_params_ref(struct receive_params *params)
{
    atomic_fetch_add_explicit(&params->refs, 1, memory_order_relaxed);
    return params;
}

void receive_params_unref(struct receive_params **params_at)
{
    struct receive_params *params = *params_at;

    *params_at = NULL;
    if (!params || atomic_fetch_sub_explicit(&params->refs, 1, memory_order_acq_rel) > 1)
        return;
    free(params->hostname);
    free(params->banner);
    free(params->trace_header_name);
    params_free_names(&params->trace_meta_names);
    secret_free(params->trace_client_key);
    free(params->trace_id_header);
    params_free_cidrs(&params->relay_hosts);
    json_decref(params->meta);
    json_decref(params->tls_table);
    params_tls_unref(&params->tls);
    params_free_overrides(&params->via);
    params_free_overrides(&params->peer);
    free(params);
}

struct tls_server *receive_params_tls_server(const struct receive_params *params)
{
    return params_tls_server(params->tls);
}
