/* SPDX-License-Identifier: Apache-2.0
 *
 * From files to one table. Several files may be given (rules apart from users, say); their tables are merged, and a
 * key that two of them set is an error that names both places: which of the two would win is nothing to guess at.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "data/data.h"
#include "data/settings_private.h"
#include "data/toml.h"

#define SETTINGS_DEPTH_MOST 64

/* One file, read. */
struct reading {
    json_t *table, *places;
    size_t file;
};

/* JSON has no places: everything is in this file, and no more is known. */
static json_t *places_of_json(const json_t *value)
{
    json_t *place = json_object();
    const char *key;
    json_t *item, *inner = NULL;
    size_t i;

    if (json_is_object(value)) {
        inner = json_object();
        json_object_foreach((json_t *)value, key, item) json_object_set_new(inner, key, places_of_json(item));
    } else if (json_is_array(value)) {
        inner = json_array();
        json_array_foreach(value, i, item) json_array_append_new(inner, places_of_json(item));
    }
    json_object_set_new(place, "at", json_integer(0));
    if (inner)
        json_object_set_new(place, "in", inner);
    return place;
}

static void set_file(json_t *place, size_t file)
{
    json_t *inner = json_object_get(place, "in");
    json_int_t at = json_integer_value(json_object_get(place, "at"));
    const char *key;
    json_t *item;
    size_t i;

    json_object_set_new(place, "at", json_integer(at | ((json_int_t)file << SETTINGS_FILE_SHIFT)));
    json_array_foreach(inner, i, item) set_file(item, file);
    json_object_foreach(inner, key, item) set_file(item, file);
}

/* What is nested without end would end our stack. */
static bool is_too_deep(const json_t *value, unsigned depth)
{
    const char *key;
    json_t *item;
    size_t i;

    if (depth > SETTINGS_DEPTH_MOST)
        return true;
    json_array_foreach(value, i, item) if (is_too_deep(item, depth + 1)) return true;
    json_object_foreach((json_t *)value, key, item) if (is_too_deep(item, depth + 1)) return true;
    return false;
}

static int read_toml(struct span text, const char *name, struct reading *reading_out, struct error *error)
{
    struct toml_fault fault;

    reading_out->table = toml_read_with_places(text.data, text.len, &reading_out->places, &fault);
    if (reading_out->table)
        return 0;
    return fault.line ? error_set(error, ERROR_PERM, "%s:%u:%u: %s", name, fault.line, fault.column, fault.text)
                      : error_set(error, ERROR_PERM, "%s: %s", name, fault.text);
}

static int take_json(json_t *table, const char *name, struct reading *reading_out, struct error *error)
{
    if (!table)
        return -1;
    if (!json_is_object(table) || is_too_deep(table, 0)) {
        json_decref(table);
        return error_set(error, ERROR_PERM, "%s: must hold one table, and not nest without end", name);
    }
    *reading_out = (struct reading){.table = table, .places = places_of_json(table)};
    return 0;
}

static int read_file(const char *path, struct reading *reading_out, struct error *error)
{
    struct buf text;
    int result;

    buf_init(&text, DATA_FILE_LIMIT_BYTES * 2);
    result = data_read_file(path, DATA_FILE_LIMIT_BYTES, &text, error);
    if (!result && data_format_of(path) == DATA_TOML)
        result = read_toml(buf_span(&text), path, reading_out, error);
    else if (!result)
        result = take_json(data_parse_json(buf_span(&text), path, error), path, reading_out, error);
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_done(&text);
    return result;
}

/* ---- merging ---- */

static struct settings_root *root_new(void)
{
    struct settings_root *root = mem_zalloc(sizeof *root);

    root->table = json_object();
    root->places = json_pack("{s:I, s:{}}", "at", (json_int_t)0, "in");
    return root;
}

static int say_twice(const struct settings_root *root, const json_t *first, const json_t *second, const char *key,
                     struct error *error)
{
    uint64_t at[2] = {(uint64_t)settings_order_of(first), (uint64_t)settings_order_of(second)};
    uint64_t lines = (UINT64_C(1) << SETTINGS_FILE_SHIFT) - 1;

    return error_set(error, ERROR_PERM, "%s:%u: %s: is set in %s:%u already", root->names[at[1] >> SETTINGS_FILE_SHIFT],
                     (unsigned)((at[1] & lines) >> TOML_PLACE_LINE_SHIFT), key,
                     root->names[at[0] >> SETTINGS_FILE_SHIFT], (unsigned)((at[0] & lines) >> TOML_PLACE_LINE_SHIFT));
}

static int merge(const struct settings_root *root, json_t *table, json_t *place, const json_t *more,
                 const json_t *more_place, struct error *error)
{
    json_t *places = json_object_get(place, "in");
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)more, key, value)
    {
        json_t *old = json_object_get(table, key);
        json_t *new_place = json_object_get(json_object_get(more_place, "in"), key);

        if (!old) {
            json_object_set(table, key, value);
            json_object_set(places, key, new_place);
        } else if (!json_is_object(old) || !json_is_object(value)) {
            return say_twice(root, json_object_get(places, key), new_place, key, error);
        } else if (merge(root, old, json_object_get(places, key), value, new_place, error)) {
            return -1;
        }
    }
    return 0;
}

/* Takes `reading`. */
static int add(struct settings_root *root, const char *name, struct reading *reading, struct error *error)
{
    int result;

    root->names[root->name_count] = mem_strdup(name);
    set_file(reading->places, root->name_count++);
    if (root->name_count == 1) { /* a fault of the top itself is the first file's */
        json_decref(root->places);
        root->places = json_deep_copy(reading->places);
        json_object_clear(json_object_get(root->places, "in"));
    }
    result = merge(root, root->table, root->places, reading->table, reading->places, error);
    json_decref(reading->table);
    json_decref(reading->places);
    return result;
}

static struct settings *root_end(struct settings_root *root, int result)
{
    struct settings *settings;

    if (!root->name_count)
        root->names[root->name_count++] = mem_strdup("settings");
    settings = settings_new(root);
    if (!result)
        return settings;
    settings_free(settings);
    return NULL;
}

struct settings *settings_load(const char *const *paths, size_t count, struct error *error)
{
    struct settings_root *root = root_new();
    int result = 0;

    if (count > SETTINGS_FILES_MOST)
        result = error_set(error, ERROR_PERM, "more than %d files of settings", SETTINGS_FILES_MOST);
    for (size_t i = 0; i < count && !result; i++) {
        struct reading reading = {0};

        result = read_file(paths[i], &reading, error);
        if (!result)
            result = add(root, paths[i], &reading, error);
    }
    return root_end(root, result);
}

struct settings *settings_parse_toml(const char *text, const char *name, struct error *error)
{
    struct settings_root *root = root_new();
    struct reading reading = {0};
    int result = read_toml(span_of(text), name, &reading, error);

    if (!result)
        result = add(root, name, &reading, error);
    return root_end(root, result);
}

struct settings *settings_of_json(const json_t *table, const char *name)
{
    struct settings_root *root = root_new();
    struct reading reading = {.table = json_deep_copy(table), .places = places_of_json(table)};

    return root_end(root, add(root, name, &reading, NULL));
}
