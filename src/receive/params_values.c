/* SPDX-License-Identifier: Apache-2.0
 *
 * Single values of a parameter table. A refusal names the key and what was expected, never
 * the value: it may be a key in the other sense.
 */
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/mem.h"
#include "receive/params_private.h"

int params_wrong_type(const char *key, const json_t *value, const char *expected, struct error *error)
{
    return error_set(error, ERROR_PERM, "'%s': expected %s, not %s", key, expected, data_type_name(value));
}

/* These strings end up in replies and headers: a line break in one would be two lines. */
int params_read_string(const char *key, const json_t *value, char **out, struct error *error)
{
    const char *text = json_string_value(value);

    if (!text)
        return params_wrong_type(key, value, "a string", error);
    if (strlen(text) != json_string_length(value) || strpbrk(text, "\r\n"))
        return error_set(error, ERROR_PERM, "'%s': must not hold line breaks or NUL", key);
    free(*out);
    *out = mem_strdup(text);
    return 0;
}

int params_read_duration(const char *key, const json_t *value, uint64_t *out, struct error *error)
{
    double seconds;

    if (json_is_string(value)) {
        if (duration_parse(span_of(json_string_value(value)), out, error))
            return error_prefix(error, "'%s'", key);
        return 0;
    }
    if (!json_is_number(value))
        return params_wrong_type(key, value, "a duration such as '5 minutes', or a number of seconds", error);
    seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds < 9e12))
        return error_set(error, ERROR_PERM, "'%s': a duration cannot be negative or endless", key);
    *out = (uint64_t)(seconds * 1000 + 0.5);
    return 0;
}

int params_read_count(const char *key, const json_t *value, uint64_t least, uint64_t most, uint64_t *out,
                      struct error *error)
{
    double number = json_number_value(value);

    if (!json_is_number(value) || number != (double)(long long)number)
        return params_wrong_type(key, value, "a whole number", error);
    if (number < (double)least || number > (double)most)
        return error_set(error, ERROR_PERM, "'%s': must be between %llu and %llu", key, (unsigned long long)least,
                         (unsigned long long)most);
    *out = (uint64_t)number;
    return 0;
}

int params_read_bool(const char *key, const json_t *value, bool *out, struct error *error)
{
    if (!json_is_boolean(value))
        return params_wrong_type(key, value, "true or false", error);
    *out = json_is_true(value);
    return 0;
}

void params_free_cidrs(struct receive_cidrs *cidrs)
{
    free(cidrs->blocks);
    *cidrs = (struct receive_cidrs){0};
}

int params_read_cidrs(const char *key, const json_t *value, struct receive_cidrs *out, struct error *error)
{
    struct receive_cidrs cidrs = {mem_zalloc((json_array_size(value) + 1) * sizeof *cidrs.blocks), 0};

    if (!data_is_list(value)) {
        params_free_cidrs(&cidrs);
        return params_wrong_type(key, value, "a list of addresses and CIDR blocks", error);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));

        if (!text || cidr_parse(span_of(text), &cidrs.blocks[cidrs.count])) {
            params_free_cidrs(&cidrs);
            return error_set(error, ERROR_PERM, "'%s': '%.80s' is not an address or CIDR block", key,
                             text ? text : data_type_name(json_array_get(value, i)));
        }
        cidrs.count++;
    }
    params_free_cidrs(out);
    *out = cidrs;
    return 0;
}

void params_free_names(struct receive_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct receive_names){0};
}

int params_read_names(const char *key, const json_t *value, struct receive_names *out, struct error *error)
{
    struct receive_names names = {mem_zalloc((json_array_size(value) + 1) * sizeof *names.names), 0};

    if (!data_is_list(value)) {
        params_free_names(&names);
        return params_wrong_type(key, value, "a list of names", error);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (params_read_string(key, json_array_get(value, i), &names.names[i], error)) {
            params_free_names(&names);
            return -1;
        }
        names.count++;
    }
    params_free_names(out);
    *out = names;
    return 0;
}

bool receive_cidrs_contain(const struct receive_cidrs *cidrs, const struct ip *ip)
{
    for (size_t i = 0; i < cidrs->count; i++)
        if (cidr_contains(&cidrs->blocks[i], ip))
            return true;
    return false;
}
