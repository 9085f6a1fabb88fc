/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_queue_config: how long mail waits, how often it is tried, and which pool sends
 * it. The retry schedule itself is the queue's (queue/backoff.c).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/span.h"
#include "route/route_private.h"

#define MX_LIST_LIMIT 100

static int read_mx_list(const json_t *list, struct route_queue_config *config, struct error *error)
{
    size_t count = json_array_size(list);

    if (!data_is_list(list) || count == 0 || count > MX_LIST_LIMIT)
        return error_set(error, ERROR_PERM, "'mx_list': expected a list of 1 to %d hosts", MX_LIST_LIMIT);
    config->mx_list = mem_zalloc(count * sizeof *config->mx_list);
    for (size_t i = 0; i < count; i++, config->mx_count++)
        if (route_host_parse(json_array_get(list, i), &config->mx_list[i], error))
            return -1;
    return 0;
}

static int read_smtp(const json_t *smtp, struct route_queue_config *config, struct error *error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(smtp) && !data_is_list(smtp))
        return error_set(error, ERROR_PERM, "'protocol': 'smtp' must be a table, not %s", data_type_name(smtp));
    json_object_foreach((json_t *)(uintptr_t)smtp, key, value)
    {
        if (strcmp(key, "mx_list") != 0)
            return error_set(error, ERROR_PERM, "'protocol': 'smtp' has no parameter '%.64s'", key);
        if (read_mx_list(value, config, error))
            return error_prefix(error, "'protocol'");
    }
    return 0;
}

static int read_protocol(const json_t *value, void *object, struct error *error)
{
    struct route_queue_config *config = object;
    const char *key;
    json_t *form;

    if (json_is_string(value) && strcmp(json_string_value(value), "null") == 0) {
        config->protocol = ROUTE_NULL;
        return 0;
    }
    if (!json_is_object(value) || json_object_size(value) == 0)
        return error_set(error, ERROR_PERM, "'protocol': expected a table such as { smtp = {} }, not %s",
                         json_is_object(value) ? "an empty one" : data_type_name(value));
    json_object_foreach((json_t *)(uintptr_t)value, key, form)
    {
        if (strcmp(key, "custom_lua") == 0 || strcmp(key, "maildir_path") == 0 || strcmp(key, "maildir") == 0)
            return error_set(error, ERROR_PERM, "'protocol': '%s' is not available in this version", key);
        if (strcmp(key, "smtp") != 0)
            return error_set(error, ERROR_PERM, "'protocol': there is no protocol '%.64s'", key);
        if (read_smtp(form, config, error))
            return -1;
    }
    return 0;
}

static const struct route_choice refresh_strategies[] = {{"Ttl", 0}, {"Epoch", 1}, {NULL, 0}};

#define AT(member) offsetof(struct route_queue_config, member)

static const struct route_field fields[] = {
    {"egress_pool", FIELD_STRING, AT(egress_pool), 0, NULL, NULL},
    {"max_age", FIELD_DURATION, AT(max_age_ms), 0, NULL, NULL},
    {"retry_interval", FIELD_DURATION, AT(retry_interval_ms), 0, NULL, NULL},
    {"max_retry_interval", FIELD_DURATION, AT(max_retry_interval_ms), 0, NULL, NULL},
    {"max_message_rate", FIELD_RATE, AT(max_message_rate), AT(has_max_message_rate), NULL, NULL},
    {"overall_max_message_rate", FIELD_RATE, AT(overall_max_message_rate), AT(has_overall_max_message_rate), NULL,
     NULL},
    {"overall_max_message_rate_key", FIELD_STRING, AT(overall_key), 0, NULL, NULL},
    {"protocol", FIELD_CUSTOM, 0, 0, NULL, read_protocol},
    {"refresh_interval", FIELD_DURATION, AT(refresh_interval_ms), 0, NULL, NULL},
    {"refresh_strategy", FIELD_FLAG, AT(refresh_by_epoch), 0, refresh_strategies, NULL},
    {"reap_interval", FIELD_DURATION, AT(reap_interval_ms), 0, NULL, NULL},
    {"strategy", FIELD_TUNING, 0, 0, NULL, NULL},
    {"timerwheel_tick_interval", FIELD_TUNING, 0, 0, NULL, NULL},
    {"shrink_policy", FIELD_TUNING, 0, 0, NULL, NULL},
};

static int check(const struct route_queue_config *config, struct error *error)
{
    if (config->retry_interval_ms < 1000)
        return error_set(error, ERROR_PERM, "'retry_interval': must be at least one second");
    if (config->has_overall_max_message_rate != (config->overall_key != NULL))
        return error_set(error, ERROR_PERM,
                         "'overall_max_message_rate' and 'overall_max_message_rate_key' belong together");
    return 0;
}

struct route_queue_config *route_queue_config_new(const json_t *params, struct error *error)
{
    struct route_queue_config *config = mem_zalloc(sizeof *config);

    config->refs = 1;
    config->max_age_ms = 7 * 86400000ULL;
    config->retry_interval_ms = 20 * 60000;
    config->refresh_interval_ms = 60000;
    config->reap_interval_ms = 10 * 60000;
    if (route_read_fields(fields, sizeof fields / sizeof fields[0], params, config, error) || check(config, error))
        route_queue_config_unref(&config);
    else if (!config->egress_pool)
        config->egress_pool = mem_strdup("unspecified");
    return config;
}

struct route_queue_config *route_queue_config_ref(struct route_queue_config *config)
{
    route_ref_take(&config->refs);
    return config;
}

void route_queue_config_unref(struct route_queue_config **config)
{
    struct route_queue_config *gone = *config;

    *config = NULL;
    if (!gone || !route_ref_drop(&gone->refs))
        return;
    for (size_t i = 0; i < gone->mx_count; i++)
        free(gone->mx_list[i].name);
    free(gone->mx_list);
    free(gone->egress_pool);
    free(gone->overall_key);
    free(gone);
}
