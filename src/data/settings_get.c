/* SPDX-License-Identifier: Apache-2.0
 *
 * The getters: one type and one range each. What they complain of names the key and what it should be, never the
 * value, which may be a secret put in the wrong place.
 */
#include <stdlib.h>

#include "base/duration.h"
#include "base/mem.h"
#include "data/settings_private.h"

static bool is_text(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

const char *settings_text(struct settings *settings, const char *key, const char *fallback)
{
    const json_t *value = settings_ask(settings, key);

    if (!value)
        return fallback;
    if (is_text(value))
        return json_string_value(value);
    settings_fault(settings, key, "must be a string");
    return fallback ? fallback : "";
}

const char *settings_need_text(struct settings *settings, const char *key)
{
    const char *text = settings_text(settings, key, NULL);

    if (text && *text)
        return text;
    settings_fault(settings, key, text ? "must not be empty" : "must be given");
    return "";
}

const char *settings_path(struct settings *settings, const char *key, const char *fallback)
{
    const char *path = settings_text(settings, key, NULL);
    const char *name, *slash;

    if (!path || !*path)
        return path ? path : fallback;
    name = settings_file(settings, key);
    slash = strrchr(name, '/');
    if (*path == '/' || !slash)
        return path;
    return settings_keep(settings, mem_printf("%.*s/%s", (int)(slash - name), name, path));
}

bool settings_flag(struct settings *settings, const char *key, bool fallback)
{
    const json_t *value = settings_ask(settings, key);

    if (json_is_boolean(value))
        return json_is_true(value);
    if (value)
        settings_fault(settings, key, "must be true or false");
    return fallback;
}

uint64_t settings_count(struct settings *settings, const char *key, uint64_t fallback, uint64_t least, uint64_t most)
{
    const json_t *value = settings_ask(settings, key);
    json_int_t count = json_integer_value(value);

    if (!value)
        return fallback;
    if (json_is_integer(value) && count >= 0 && (uint64_t)count >= least && (uint64_t)count <= most)
        return (uint64_t)count;
    settings_fault(settings, key, "must be a whole number from %llu to %llu", (unsigned long long)least,
                   (unsigned long long)most);
    return fallback;
}

static int duration_of(const json_t *value, uint64_t *ms_out)
{
    if (json_is_string(value))
        return duration_parse(span_of(json_string_value(value)), ms_out, NULL);
    if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) > 1e12)
        return -1;
    *ms_out = (uint64_t)(json_number_value(value) * 1000);
    return 0;
}

uint64_t settings_duration_ms(struct settings *settings, const char *key, uint64_t fallback_ms, uint64_t least_ms,
                              uint64_t most_ms)
{
    const json_t *value = settings_ask(settings, key);
    uint64_t ms;

    if (!value)
        return fallback_ms;
    if (duration_of(value, &ms))
        settings_fault(settings, key, "must be a duration such as \"5 minutes\", or a number of seconds");
    else if (ms < least_ms || ms > most_ms)
        settings_fault(settings, key, "must be from %g to %g seconds", (double)least_ms / 1000, (double)most_ms / 1000);
    else
        return ms;
    return fallback_ms;
}

static void say_choices(struct settings *settings, const char *key, const char *const *names)
{
    struct buf text;

    buf_init(&text, ERROR_SENTENCE_BYTES);
    for (size_t i = 0; names[i]; i++)
        if (buf_appendf(&text, "%s\"%s\"", i ? ", " : "", names[i]))
            break;
    settings_fault(settings, key, "must be one of %.*s", SPAN_ARG(buf_span(&text)));
    buf_done(&text);
}

size_t settings_choice(struct settings *settings, const char *key, const char *const *names, size_t fallback)
{
    const json_t *value = settings_ask(settings, key);

    if (!value)
        return fallback;
    for (size_t i = 0; is_text(value) && names[i]; i++)
        if (!strcmp(names[i], json_string_value(value)))
            return i;
    say_choices(settings, key, names);
    return fallback;
}

const json_t *settings_strings(struct settings *settings, const char *key)
{
    const json_t *value = settings_ask(settings, key);
    json_t *list, *item;
    size_t i;

    if (!value)
        return settings ? settings->root->empty : NULL;
    if (is_text(value)) {
        list = json_pack("[O]", value);
        json_array_append_new(settings->root->kept, list);
        return list;
    }
    json_array_foreach(value, i, item) if (!is_text(item)) break;
    if (json_is_array(value) && i == json_array_size(value))
        return value;
    settings_fault(settings, key, "must be a string or an array of strings");
    return settings->root->empty;
}

const json_t *settings_value(struct settings *settings, const char *key) { return settings_ask(settings, key); }
