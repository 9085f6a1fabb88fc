/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a parameter table by a table of fields. Every refusal names the key and says what
 * was expected; values are not quoted, since one of them may be a password.
 */
#include <stdlib.h>

#include "base/duration.h"
#include "base/mem.h"
#include "base/span.h"
#include "route/route_private.h"

static int wrong(const struct route_field *field, const json_t *value, const char *expected, struct error *error)
{
    return error_set(error, ERROR_PERM, "'%s': expected %s, not %s", field->key, expected, data_type_name(value));
}

static void *at(void *object, size_t offset) { return (char *)object + offset; }

static int read_string(const struct route_field *field, const json_t *value, char **out, struct error *error)
{
    if (!json_is_string(value))
        return wrong(field, value, "a string", error);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return error_set(error, ERROR_PERM, "'%s': a string with a NUL in it", field->key);
    free(*out);
    *out = mem_strdup(json_string_value(value));
    return 0;
}

static int read_duration(const struct route_field *field, const json_t *value, uint64_t *out, struct error *error)
{
    double seconds;

    if (json_is_string(value)) {
        if (duration_parse(span_of(json_string_value(value)), out, error))
            return error_prefix(error, "'%s'", field->key);
        return 0;
    }
    if (!json_is_number(value))
        return wrong(field, value, "a duration such as '5 minutes', or a number of seconds", error);
    seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds < 9e12))
        return error_set(error, ERROR_PERM, "'%s': a duration cannot be negative or endless", field->key);
    *out = (uint64_t)(seconds * 1000 + 0.5);
    return 0;
}

static int read_rate(const struct route_field *field, const json_t *value, void *object, struct error *error)
{
    if (!json_is_string(value))
        return wrong(field, value, "a rate such as '100/minute'", error);
    if (rate_spec_parse(span_of(json_string_value(value)), at(object, field->at), error))
        return error_prefix(error, "'%s'", field->key);
    *(bool *)at(object, field->also) = true;
    return 0;
}

/* "1,000", "1_000", "local:20": every limit is local to the node here. */
static int count_of_text(struct span text, uint64_t *out)
{
    char digits[24];
    size_t len = 0;

    if (span_starts_with(text, SPAN_LIT("local:")))
        text = span_from(text, 6);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ',' || text.data[i] == '_')
            continue;
        if (len == sizeof digits)
            return -1;
        digits[len++] = text.data[i];
    }
    return span_to_u64(span_make(digits, len), out);
}

static int read_count(const struct route_field *field, const json_t *value, uint64_t *out, struct error *error)
{
    uint64_t count = 0;

    if (json_is_integer(value) && json_integer_value(value) > 0)
        count = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || count_of_text(span_of(json_string_value(value)), &count))
        return wrong(field, value, "a whole number of at least 1", error);
    if (count == 0)
        return error_set(error, ERROR_PERM, "'%s': must be at least 1", field->key);
    *out = count;
    return 0;
}

static int read_bool(const struct route_field *field, const json_t *value, bool *out, struct error *error)
{
    if (!json_is_boolean(value))
        return wrong(field, value, "true or false", error);
    *out = json_is_true(value);
    return 0;
}

static int read_port(const struct route_field *field, const json_t *value, uint16_t *out, struct error *error)
{
    if (!json_is_integer(value))
        return wrong(field, value, "a port number", error);
    if (json_integer_value(value) < 1 || json_integer_value(value) > 65535)
        return error_set(error, ERROR_PERM, "'%s': a port is between 1 and 65535", field->key);
    *out = (uint16_t)json_integer_value(value);
    return 0;
}

static int read_ip(const struct route_field *field, const json_t *value, void *object, struct error *error)
{
    if (!json_is_string(value))
        return wrong(field, value, "an IP address", error);
    if (ip_parse(span_of(json_string_value(value)), at(object, field->at)))
        return error_set(error, ERROR_PERM, "'%s': expected an IP address", field->key);
    *(bool *)at(object, field->also) = true;
    return 0;
}

static int read_blocks(const struct route_field *field, const json_t *value, void *object, struct error *error)
{
    size_t count = json_array_size(value);
    struct cidr *blocks;

    if (!data_is_list(value))
        return wrong(field, value, "a list of addresses and CIDR blocks", error);
    blocks = mem_zalloc((count ? count : 1) * sizeof *blocks);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);

        if (json_is_string(item) && cidr_parse(span_of(json_string_value(item)), &blocks[i]) == 0)
            continue;
        free(blocks);
        return error_set(error, ERROR_PERM, "'%s': entry %zu is not an address or CIDR block", field->key, i + 1);
    }
    free(*(struct cidr **)at(object, field->at));
    *(struct cidr **)at(object, field->at) = blocks;
    *(size_t *)at(object, field->also) = count;
    return 0;
}

static int choice_error(const struct route_field *field, struct error *error)
{
    char names[200] = "";
    size_t used = 0;

    for (const struct route_choice *choice = field->choices; choice->name; choice++) {
        size_t len = strlen(choice->name);

        if (used + len + 3 > sizeof names)
            break;
        if (used) {
            memcpy(names + used, ", ", 2);
            used += 2;
        }
        memcpy(names + used, choice->name, len + 1);
        used += len;
    }
    return error_set(error, ERROR_PERM, "'%s': expected one of %s", field->key, names);
}

static int read_choice(const struct route_field *field, const json_t *value, int *out, struct error *error)
{
    if (!json_is_string(value))
        return choice_error(field, error);
    for (const struct route_choice *choice = field->choices; choice->name; choice++)
        if (strcmp(choice->name, json_string_value(value)) == 0) {
            *out = choice->value;
            return 0;
        }
    return choice_error(field, error);
}

static int read_flag(const struct route_field *field, const json_t *value, bool *out, struct error *error)
{
    int chosen = 0;

    if (read_choice(field, value, &chosen, error))
        return -1;
    *out = chosen != 0;
    return 0;
}

static int unbuilt(const struct route_field *field, struct error *error)
{
    return error_set(error, ERROR_PERM, "'%s': this parameter is not available in this version", field->key);
}

static int read_field(const struct route_field *field, const json_t *value, void *object, struct error *error)
{
    switch (field->kind) {
    case FIELD_STRING:
        return read_string(field, value, at(object, field->at), error);
    case FIELD_DURATION:
        return read_duration(field, value, at(object, field->at), error);
    case FIELD_RATE:
        return read_rate(field, value, object, error);
    case FIELD_COUNT:
        return read_count(field, value, at(object, field->at), error);
    case FIELD_BOOL:
        return read_bool(field, value, at(object, field->at), error);
    case FIELD_PORT:
        return read_port(field, value, at(object, field->at), error);
    case FIELD_IP:
        return read_ip(field, value, object, error);
    case FIELD_BLOCKS:
        return read_blocks(field, value, object, error);
    case FIELD_CHOICE:
        return read_choice(field, value, at(object, field->at), error);
    case FIELD_FLAG:
        return read_flag(field, value, at(object, field->at), error);
    case FIELD_CUSTOM:
        return field->read(value, object, error);
    case FIELD_TUNING:
        return 0;
    case FIELD_OFF_ONLY:
        return json_is_false(value) ? 0 : unbuilt(field, error);
    case FIELD_UNBUILT:
        break;
    }
    return unbuilt(field, error);
}

static const struct route_field *find_field(const struct route_field *fields, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

int route_read_fields(const struct route_field *fields, size_t count, const json_t *params, void *object,
                      struct error *error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(params) && !(json_is_array(params) && json_array_size(params) == 0))
        return error_set(error, ERROR_PERM, "expected a table of parameters, not %s",
                         params ? data_type_name(params) : "nil");
    json_object_foreach((json_t *)(uintptr_t)params, key, value)
    {
        const struct route_field *field = find_field(fields, count, key);

        if (!field)
            return error_set(error, ERROR_PERM, "'%.64s': there is no such parameter", key);
        if (!json_is_null(value) && read_field(field, value, object, error))
            return -1;
    }
    return 0;
}
