/* SPDX-License-Identifier: Apache-2.0
 *
 * The table given to kumo.configure_local_logs or kumo.aaa.configure_acct_log, checked key by key: a log that was not
 * configured as the operator meant is noticed when it is needed, so nothing unknown is
 * let through.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"
#include "base/mem.h"
#include "log/log_private.h"

#define DEFAULT_MAX_FILE_BYTES 1000000000
#define DEFAULT_MAX_RECORD_BYTES 134217728
#define DEFAULT_BACK_PRESSURE 128000
#define COMPRESSION_MOST 21
#define NAMES_MOST 256

typedef int read_key_fn(const json_t *value, const char *key, struct log_config *config, struct error *error);

/* ---- values ---- */

static int wrong_type(struct error *error, const char *key, const char *expected)
{
    return error_set(error, ERROR_PERM, "'%s' must be %s", key, expected);
}

static int read_text(const json_t *value, const char *key, char **out, struct error *error)
{
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return wrong_type(error, key, "a string");
    free(*out);
    *out = mem_strdup(json_string_value(value));
    return 0;
}

/* Lua has integers and floats; a float without a fraction is as good. */
static int read_count(const json_t *value, const char *key, uint64_t least, uint64_t most, uint64_t *out,
                      struct error *error)
{
    double number = json_is_number(value) ? json_number_value(value) : -1;

    if (!json_is_number(value) || number < 0 || number > 9e15 || (double)(uint64_t)number != number)
        return wrong_type(error, key, "a whole number");
    if ((uint64_t)number < least || (uint64_t)number > most)
        return error_set(error, ERROR_PERM, "'%s' must be between %llu and %llu", key, (unsigned long long)least,
                         (unsigned long long)most);
    *out = (uint64_t)number;
    return 0;
}

static int read_directory(const json_t *value, const char *key, char **out, struct error *error)
{
    if (read_text(value, key, out, error) < 0)
        return -1;
    if (!**out)
        return wrong_type(error, key, "the path of a directory");
    if (strchr(*out, '%'))
        return error_set(error, ERROR_PERM, "'%s': expanding '%%' into dates is not supported", key);
    return 0;
}

static int read_names(const json_t *value, const char *key, char ***out, struct error *error)
{
    size_t count = json_array_size(value);

    /* An empty Lua table may arrive as an empty object. */
    if (!json_is_array(value) && !(json_is_object(value) && json_object_size(value) == 0))
        return wrong_type(error, key, "a list of names");
    if (count > NAMES_MOST)
        return error_set(error, ERROR_PERM, "'%s' has more than %d names", key, NAMES_MOST);
    *out = mem_zalloc((count + 1) * sizeof **out);
    for (size_t i = 0; i < count; i++)
        if (read_text(json_array_get(value, i), key, &(*out)[i], error) < 0)
            return wrong_type(error, key, "a list of names");
    return 0;
}

/* "10%", or a number of bytes or inodes. */
static int read_floor(const json_t *value, const char *key, struct log_floor *out, struct error *error)
{
    struct span text = span_of(json_is_string(value) ? json_string_value(value) : "");
    uint64_t percent;

    if (json_is_number(value)) {
        out->percent = 0;
        return read_count(value, key, 0, UINT64_MAX, &out->count, error);
    }
    if (!span_ends_with(text, SPAN_LIT("%")) || span_to_u64(span_head(text, text.len - 1), &percent) < 0 ||
        percent > 100)
        return wrong_type(error, key, "a percentage such as '10%', or a number");
    *out = (struct log_floor){0, (unsigned)percent};
    return 0;
}

/* ---- per_record ---- */

static int find_type(const char *name)
{
    for (int i = 0; i < RECORD_DISPOSITION_COUNT; i++)
        if (strcmp(name, record_type_name((enum record_type)i)) == 0)
            return i;
    return -1;
}

static int read_stream_key(struct log_stream *stream, const char *key, const char *path, const json_t *value,
                           struct error *error)
{
    if (strcmp(key, "enable") == 0) {
        if (!json_is_boolean(value))
            return wrong_type(error, path, "true or false");
        stream->enable = json_is_true(value);
        return 0;
    }
    if (strcmp(key, "suffix") == 0) {
        if (read_text(value, path, &stream->suffix, error) < 0)
            return -1;
        return strchr(stream->suffix, '/') ? wrong_type(error, path, "a string without '/'") : 0;
    }
    if (strcmp(key, "log_dir") == 0)
        return read_directory(value, path, &stream->log_dir, error);
    if (strcmp(key, "segment_header") == 0)
        return read_text(value, path, &stream->segment_header, error);
    if (strcmp(key, "template") == 0)
        return error_set(error, ERROR_PERM, "'%s' is not supported: records are JSON", path);
    return error_set(error, ERROR_PERM, "unknown key '%s'", path);
}

static void stream_done(struct log_stream *stream)
{
    free(stream->log_dir);
    free(stream->suffix);
    free(stream->segment_header);
    *stream = (struct log_stream){0};
}

static void stream_copy(struct log_stream *to, const struct log_stream *from)
{
    *to = *from;
    to->log_dir = from->log_dir ? mem_strdup(from->log_dir) : NULL;
    to->suffix = mem_strdup(from->suffix ? from->suffix : "");
    to->segment_header = mem_strdup(from->segment_header ? from->segment_header : "");
}

static int read_stream(const char *type_name, const json_t *params, struct log_stream *stream, struct error *error)
{
    const char *key;
    json_t *value;

    *stream = (struct log_stream){.enable = true};
    if (!json_is_object(params) && !(json_is_array(params) && json_array_size(params) == 0))
        return error_set(error, ERROR_PERM, "'per_record.%s' must be a table", type_name);
    json_object_foreach((json_t *)(uintptr_t)params, key, value)
    {
        char *path = mem_printf("per_record.%s.%s", type_name, key);
        int result = read_stream_key(stream, key, path, value, error);

        free(path);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* `Any` stands for the types that are not listed, in whatever order they are. */
static int read_per_record(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    struct log_stream streams[RECORD_DISPOSITION_COUNT + 1] = {{0}}; /* the last one: Any */
    bool listed[RECORD_DISPOSITION_COUNT + 1] = {false};
    const char *name;
    json_t *params;
    int result = 0;

    if (!json_is_object(value) && !(json_is_array(value) && json_array_size(value) == 0))
        return wrong_type(error, key, "a table");
    json_object_foreach((json_t *)(uintptr_t)value, name, params)
    {
        int type = strcmp(name, "Any") == 0 ? RECORD_DISPOSITION_COUNT : find_type(name);

        if (type < 0)
            result = error_set(error, ERROR_PERM, "unknown record type 'per_record.%s'", name);
        else
            result = read_stream(name, params, &streams[type], error);
        if (result < 0)
            break;
        listed[type] = true;
    }
    for (int i = 0; result == 0 && i < RECORD_DISPOSITION_COUNT; i++) {
        const struct log_stream *from = listed[i] ? &streams[i] : &streams[RECORD_DISPOSITION_COUNT];

        if (listed[i] || listed[RECORD_DISPOSITION_COUNT]) {
            stream_done(&config->streams[i]);
            stream_copy(&config->streams[i], from);
        }
    }
    for (int i = 0; i <= RECORD_DISPOSITION_COUNT; i++)
        stream_done(&streams[i]);
    return result;
}

/* ---- the keys ---- */

static int read_log_dir(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_directory(value, key, &config->log_dir, error);
}

/* It only says how '%' in log_dir expands, which is refused. */
static int read_timezone(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    const char *zone = json_string_value(value);

    (void)config;
    if (!zone || (strcmp(zone, "UTC") != 0 && strcmp(zone, "Local") != 0))
        return wrong_type(error, key, "'UTC' or 'Local'");
    return 0;
}

static int read_segment_duration(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    struct error why;

    if (json_is_number(value) && json_number_value(value) > 0 && json_number_value(value) < 1e9) {
        config->max_segment_ms = (uint64_t)(json_number_value(value) * 1000);
        return 0;
    }
    if (!json_is_string(value))
        return wrong_type(error, key, "a duration such as '5 minutes', or seconds");
    if (duration_parse(span_of(json_string_value(value)), &config->max_segment_ms, &why) < 0)
        return error_set(error, ERROR_PERM, "'%s': %s", key, why.sentence);
    return config->max_segment_ms > 0 ? 0 : wrong_type(error, key, "longer than nothing");
}

static int read_max_file_size(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_count(value, key, 1, UINT64_MAX, &config->max_file_bytes, error);
}

static int read_max_record_size(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_count(value, key, 1024, (uint64_t)1 << 30, &config->max_record_bytes, error);
}

static int read_back_pressure(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    uint64_t count = 0;

    if (read_count(value, key, 1, 100000000, &count, error) < 0)
        return -1;
    config->back_pressure = (size_t)count;
    return 0;
}

static int read_compression_level(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    uint64_t level = 0;

    if (read_count(value, key, 0, COMPRESSION_MOST, &level, error) < 0)
        return -1;
    config->compression_level = (int)level;
    return 0;
}

static int read_min_free_space(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_floor(value, key, &config->min_free_space, error);
}

static int read_min_free_inodes(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_floor(value, key, &config->min_free_inodes, error);
}

static int read_headers(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_names(value, key, &config->headers, error);
}

static int read_meta(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_names(value, key, &config->meta, error);
}

static int refuse_filter_event(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    (void)value;
    (void)config;
    return error_set(error, ERROR_PERM, "'%s' is not supported: use per_record to choose what is logged", key);
}

static int read_flag(const json_t *value, const char *key, bool *out, struct error *error)
{
    if (!json_is_boolean(value))
        return wrong_type(error, key, "true or false");
    *out = json_is_true(value);
    return 0;
}

static int read_logins(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_flag(value, key, &config->streams[RECORD_LOGIN].enable, error);
}

static int read_failed_logins(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    return read_flag(value, key, &config->streams[RECORD_FAILED_LOGIN].enable, error);
}

/* Of access to the HTTP listener's resources, for which there are no rules here: nothing to record. */
static int read_authz(const json_t *value, const char *key, struct log_config *config, struct error *error)
{
    bool on;

    (void)config;
    return read_flag(value, key, &on, error);
}

enum { LOCAL = 1, ACCT = 2 };

static const struct {
    const char *name;
    read_key_fn *read;
    int kinds;
} keys[] = {
    {"log_dir", read_log_dir, LOCAL | ACCT},
    {"log_dir_timezone", read_timezone, LOCAL | ACCT},
    {"max_segment_duration", read_segment_duration, LOCAL | ACCT},
    {"max_file_size", read_max_file_size, LOCAL | ACCT},
    {"max_record_size", read_max_record_size, LOCAL},
    {"back_pressure", read_back_pressure, LOCAL | ACCT},
    {"compression_level", read_compression_level, LOCAL | ACCT},
    {"min_free_space", read_min_free_space, LOCAL | ACCT},
    {"min_free_inodes", read_min_free_inodes, LOCAL | ACCT},
    {"headers", read_headers, LOCAL},
    {"meta", read_meta, LOCAL},
    {"per_record", read_per_record, LOCAL},
    {"filter_event", refuse_filter_event, LOCAL},
    {"log_authn_ok", read_logins, ACCT},
    {"log_authn_fail", read_failed_logins, ACCT},
    {"log_authz_allow", read_authz, ACCT},
    {"log_authz_deny", read_authz, ACCT},
};

static int read_key(const char *name, const json_t *value, struct log_config *config, struct error *error)
{
    int kind = config->is_accounting ? ACCT : LOCAL;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0 && (keys[i].kinds & kind))
            return keys[i].read(value, name, config, error);
    return error_set(error, ERROR_PERM, "unknown key '%s'", name);
}

static void set_defaults(struct log_config *config, bool is_accounting)
{
    *config = (struct log_config){
        .is_accounting = is_accounting,
        .max_file_bytes = DEFAULT_MAX_FILE_BYTES,
        .max_record_bytes = DEFAULT_MAX_RECORD_BYTES,
        .back_pressure = DEFAULT_BACK_PRESSURE,
        .min_free_space = {0, 10},
        .min_free_inodes = {0, 10},
    };
    for (int i = 0; i < RECORD_TYPE_COUNT; i++)
        stream_copy(&config->streams[i],
                    &(struct log_stream){.enable = is_accounting == (i >= RECORD_DISPOSITION_COUNT)});
}

static int read_config(const json_t *params, bool is_accounting, struct log_config *config_out, struct error *error)
{
    struct log_config config;
    const char *name;
    json_t *value;
    int result = 0;

    if (!json_is_object(params))
        return error_set(error, ERROR_PERM, "the parameters must be a table");
    set_defaults(&config, is_accounting);
    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        result = read_key(name, value, &config, error);
        if (result < 0)
            break;
    }
    if (result == 0 && !config.log_dir)
        result = error_set(error, ERROR_PERM, "'log_dir' is missing");
    if (result < 0) {
        log_config_done(&config);
        return -1;
    }
    *config_out = config;
    return 0;
}

int log_config_from_json(const json_t *params, struct log_config *config_out, struct error *error)
{
    return read_config(params, false, config_out, error);
}

int log_config_from_acct_json(const json_t *params, struct log_config *config_out, struct error *error)
{
    return read_config(params, true, config_out, error);
}

static void free_names(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

void log_config_done(struct log_config *config)
{
    free(config->log_dir);
    free_names(config->headers);
    free_names(config->meta);
    for (int i = 0; i < RECORD_TYPE_COUNT; i++)
        stream_done(&config->streams[i]);
    *config = (struct log_config){0};
}

static char **copy_names(char *const *names)
{
    size_t count = 0;
    char **copy;

    while (names && names[count])
        count++;
    copy = mem_zalloc((count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_strdup(names[i]);
    return copy;
}

void log_config_copy(struct log_config *to, const struct log_config *from)
{
    *to = *from;
    to->log_dir = mem_strdup(from->log_dir);
    to->headers = copy_names(from->headers);
    to->meta = copy_names(from->meta);
    for (int i = 0; i < RECORD_TYPE_COUNT; i++)
        stream_copy(&to->streams[i], &from->streams[i]);
}
