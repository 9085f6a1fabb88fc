/* SPDX-License-Identifier: Apache-2.0
 *
 * The table given to kumo.start_http_listener. Without a word from the operator only this
 * machine may ask, and only over loopback.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/mem.h"

#define DEFAULT_LISTEN "127.0.0.1:8000"
#define DEFAULT_BODY_BYTES (2 * 1024 * 1024)
#define BODY_BYTES_MOST (64 * 1024 * 1024)

static int wrong_type(struct error *error, const char *key, const char *expected)
{
    return error_set(error, ERROR_PERM, "'%s' must be %s", key, expected);
}

static int read_listen(const json_t *value, const char *key, struct admin_params *params, struct error *error)
{
    struct error why;

    if (!json_is_string(value))
        return wrong_type(error, key, "a string such as '127.0.0.1:8000'");
    if (sockaddr_parse(span_of(json_string_value(value)), &params->listen, &why) < 0)
        return error_set(error, ERROR_PERM, "'%s': %s", key, why.sentence);
    return 0;
}

static int read_trusted(const json_t *value, const char *key, struct admin_params *params, struct error *error)
{
    bool is_empty_table = json_is_object(value) && json_object_size(value) == 0;

    if (!json_is_array(value) && !is_empty_table)
        return wrong_type(error, key, "a list of addresses and networks");
    if (json_array_size(value) > ADMIN_TRUSTED_MOST)
        return error_set(error, ERROR_PERM, "'%s' has more than %d entries", key, ADMIN_TRUSTED_MOST);
    params->trusted_count = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));

        if (!text || cidr_parse(span_of(text), &params->trusted[params->trusted_count]) < 0)
            return error_set(error, ERROR_PERM, "'%s': '%.64s' is not an address or network", key, text ? text : "?");
        params->trusted_count++;
    }
    return 0;
}

static int read_body_limit(const json_t *value, const char *key, struct admin_params *params, struct error *error)
{
    double number = json_is_number(value) ? json_number_value(value) : -1;

    if (number < 0 || number > BODY_BYTES_MOST || (double)(uint64_t)number != number)
        return wrong_type(error, key, "a number of bytes, 64 MiB at most");
    params->request_body_limit_bytes = (uint64_t)number;
    return 0;
}

static int read_use_tls(const json_t *value, const char *key, struct error *error)
{
    if (json_is_false(value))
        return 0;
    if (!json_is_true(value))
        return wrong_type(error, key, "true or false");
    return error_set(error, ERROR_PERM, "'%s' is not supported: listen on loopback behind a TLS proxy", key);
}

static int read_key(const char *key, const json_t *value, struct admin_params *params, struct error *error)
{
    if (strcmp(key, "listen") == 0)
        return read_listen(value, key, params, error);
    if (strcmp(key, "trusted_hosts") == 0)
        return read_trusted(value, key, params, error);
    if (strcmp(key, "request_body_limit") == 0)
        return read_body_limit(value, key, params, error);
    if (strcmp(key, "use_tls") == 0)
        return read_use_tls(value, key, error);
    if (strcmp(key, "hostname") == 0) /* for trace headers of injected mail, which there is none of */
        return json_is_string(value) ? 0 : wrong_type(error, key, "a string");
    if (strcmp(key, "tls_certificate") == 0 || strcmp(key, "tls_private_key") == 0)
        return 0; /* used with use_tls only, which is refused */
    return error_set(error, ERROR_PERM, "unknown key '%s'", key);
}

static void set_defaults(struct admin_params *params)
{
    static const char *const trusted[] = {"127.0.0.1", "::1"};
    struct error ignored;
    int result = sockaddr_parse(SPAN_LIT(DEFAULT_LISTEN), &params->listen, &ignored);

    for (size_t i = 0; i < 2; i++)
        result |= cidr_parse(span_of(trusted[i]), &params->trusted[i]);
    params->trusted_count = result == 0 ? 2 : 0;
    params->request_body_limit_bytes = DEFAULT_BODY_BYTES;
}

int admin_params_from_json(const json_t *params, struct admin_params *params_out, struct error *error)
{
    struct admin_params read = {.trusted_count = 0};
    const char *key;
    json_t *value;

    if (!json_is_object(params) && json_array_size(params) > 0)
        return error_set(error, ERROR_PERM, "the parameters must be a table");
    set_defaults(&read);
    json_object_foreach((json_t *)(uintptr_t)params, key, value)
    {
        if (read_key(key, value, &read, error) < 0)
            return -1;
    }
    *params_out = read;
    return 0;
}

struct admin_params *admin_params_copy(const struct admin_params *params)
{
    struct admin_params *copy = mem_alloc(sizeof *copy);

    *copy = *params;
    return copy;
}

void admin_params_free(struct admin_params *params) { free(params); }
