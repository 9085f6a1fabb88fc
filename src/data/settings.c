/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of settings: tables as they are asked for, the faults found in them, and the reckoning at the end that
 * names a key which nobody asked for. A misspelt key is thus an error where it stands, and never a default that an
 * operator believes to have changed.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "data/settings_private.h"
#include "data/toml.h"

int64_t settings_order_of(const json_t *place) { return json_integer_value(json_object_get(place, "at")); }

static bool is_bare(const char *key)
{
    for (const char *p = key; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_' ||
              *p == '-'))
            return false;
    return *key != '\0';
}

char *settings_path_of(const struct settings *settings, const char *key)
{
    const char *dot = *settings->path ? "." : "";

    if (!key)
        return mem_strdup(settings->path);
    return is_bare(key) ? mem_printf("%s%s%s", settings->path, dot, key)
                        : mem_printf("%s%s\"%s\"", settings->path, dot, key);
}

const json_t *settings_place_of(const struct settings *settings, const char *key)
{
    const json_t *inner = json_object_get(settings->place, "in");
    const json_t *place = key ? json_object_get(inner, key) : NULL;

    return place ? place : settings->place;
}

/* ---- nodes ---- */

static struct settings *node_new(struct settings_root *root, const char *key, char *path, const json_t *table,
                                 const json_t *place)
{
    struct settings *node = mem_zalloc(sizeof *node);

    node->root = root;
    node->key = mem_strdup(key);
    node->path = path;
    node->table = table;
    node->place = place;
    map_init(&node->asked);
    return node;
}

static void node_free(struct settings *node)
{
    while (node->children) {
        struct settings *child = node->children;

        node->children = child->next;
        node_free(child);
    }
    map_done(&node->asked, NULL);
    json_decref(node->names);
    free(node->fault);
    free(node->path);
    free(node->key);
    free(node);
}

struct settings *settings_new(struct settings_root *root)
{
    root->kept = json_array();
    root->empty = json_array();
    return node_new(root, "", mem_strdup(""), root->table, root->places);
}

/* Passwords stand in these texts. What somebody else still holds is left alone. */
static void wipe(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    if (!value || value->refcount != 1)
        return;
    if (json_is_string(value))
        secret_wipe((char *)json_string_value(value), json_string_length(value));
    json_array_foreach(value, i, item) wipe(item);
    json_object_foreach(value, key, item) wipe(item);
}

void settings_free(struct settings *settings)
{
    struct settings_root *root = settings ? settings->root : NULL;

    if (!root)
        return;
    node_free(settings);
    wipe(root->table);
    json_decref(root->table);
    json_decref(root->places);
    json_decref(root->kept);
    json_decref(root->empty);
    for (size_t i = 0; i < root->name_count; i++)
        free(root->names[i]);
    free(root);
}

const json_t *settings_ask(struct settings *settings, const char *key)
{
    if (!settings)
        return NULL;
    map_put(&settings->asked, span_of(key), settings);
    return json_object_get(settings->table, key);
}

const json_t *settings_peek(const struct settings *settings, const char *key)
{
    return settings ? json_object_get(settings->table, key) : NULL;
}

bool settings_has(const struct settings *settings, const char *key) { return settings_peek(settings, key); }

static struct settings *child_get(struct settings *settings, const char *key, char *path, const json_t *table,
                                  const json_t *place)
{
    for (struct settings *child = settings->children; child; child = child->next)
        if (!strcmp(child->key, key)) {
            free(path);
            return child;
        }
    struct settings *child = node_new(settings->root, key, path, table, place);
    child->next = settings->children;
    settings->children = child;
    return child;
}

struct settings *settings_table(struct settings *settings, const char *key)
{
    const json_t *table = settings_ask(settings, key);

    if (!table)
        return NULL;
    if (!json_is_object(table)) {
        settings_fault(settings, key, "must be a table");
        return NULL;
    }
    return child_get(settings, key, settings_path_of(settings, key), table, settings_place_of(settings, key));
}

struct settings *settings_table_at(struct settings *settings, const char *key, size_t index)
{
    const json_t *list = settings_ask(settings, key);
    const json_t *table = json_array_get(list, index);
    struct settings *child;
    char *path, *name;

    if (list && !json_is_array(list))
        settings_fault(settings, key, "must be an array of tables");
    if (!table)
        return NULL;
    if (!json_is_object(table)) {
        settings_fault(settings, key, "must hold tables only");
        return NULL;
    }
    path = settings_path_of(settings, key);
    name = mem_printf("%s[%zu]", key, index);
    child = child_get(settings, name, mem_printf("%s[%zu]", path, index), table,
                      json_array_get(json_object_get(settings_place_of(settings, key), "in"), index));
    free(path);
    free(name);
    return child;
}

/* toml++ sorts its keys; operators expect their own order. Insertion keeps equals (of a text without places) as
 * they are. */
static json_t *names_in_order(const struct settings *settings)
{
    json_t *names = json_array();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)settings->table, key, value)
    {
        int64_t order = settings_order_of(settings_place_of(settings, key));
        size_t at = json_array_size(names);

        if (!json_is_object(value))
            continue;
        while (at > 0 &&
               settings_order_of(settings_place_of(settings, json_string_value(json_array_get(names, at - 1)))) > order)
            at--;
        json_array_insert_new(names, at, json_string(key));
    }
    return names;
}

const char *settings_name_at(struct settings *settings, size_t index)
{
    if (!settings)
        return NULL;
    if (!settings->names)
        settings->names = names_in_order(settings);
    return json_string_value(json_array_get(settings->names, index));
}

/* ---- where, and what is wrong ---- */

const char *settings_file(const struct settings *settings, const char *key)
{
    return settings->root->names[(uint64_t)settings_order_of(settings_place_of(settings, key)) >> SETTINGS_FILE_SHIFT];
}

/* "auth.toml:12: store.people.url" */
static char *where_of(const struct settings *settings, const char *key)
{
    uint64_t at = (uint64_t)settings_order_of(settings_place_of(settings, key));
    const char *name = settings_file(settings, key);
    unsigned line = (unsigned)((at & ((UINT64_C(1) << SETTINGS_FILE_SHIFT) - 1)) >> TOML_PLACE_LINE_SHIFT);
    char *path = settings_path_of(settings, key);
    const char *colon = *path ? ": " : "";
    char *text = line ? mem_printf("%s:%u%s%s", name, line, colon, path) : mem_printf("%s%s%s", name, colon, path);

    free(path);
    return text;
}

const char *settings_keep(struct settings *settings, char *text)
{
    json_t *kept = json_string_nocheck(text);

    json_array_append_new(settings->root->kept, kept);
    free(text);
    return json_string_value(kept);
}

const char *settings_where(struct settings *settings, const char *key)
{
    return settings ? settings_keep(settings, where_of(settings, key)) : "";
}

void settings_fault(struct settings *settings, const char *key, const char *format, ...)
{
    char sentence[ERROR_SENTENCE_BYTES];
    va_list args;
    char *where;

    if (!settings || settings->fault)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    settings->fault = mem_zalloc(sizeof *settings->fault);
    settings->fault->turn = ++settings->root->faults;
    where = where_of(settings, key);
    error_set(&settings->fault->error, ERROR_PERM, "%s: %s", where, sentence);
    free(where);
}

/* ---- the end ---- */

void settings_pass(struct settings *settings) { settings->is_passed = true; }

static const struct settings_fault *first_fault(const struct settings *settings)
{
    const struct settings_fault *first = settings->fault;

    for (const struct settings *child = settings->children; child; child = child->next) {
        const struct settings_fault *fault = first_fault(child);

        if (fault && (!first || fault->turn < first->turn))
            first = fault;
    }
    return first;
}

struct leftover {
    const struct settings *settings;
    const char *key;
    int64_t order;
};

static void look_for_leftover(const struct settings *settings, struct leftover *first)
{
    const char *key;
    json_t *value;

    if (settings->is_passed)
        return;
    json_object_foreach((json_t *)settings->table, key, value)
    {
        int64_t order = settings_order_of(settings_place_of(settings, key));

        if (!map_find(&settings->asked, span_of(key)) && (!first->key || order < first->order))
            *first = (struct leftover){settings, key, order};
    }
    for (const struct settings *child = settings->children; child; child = child->next)
        look_for_leftover(child, first);
}

int settings_end(struct settings *settings, struct error *error)
{
    const struct settings_fault *fault = settings ? first_fault(settings) : NULL;
    struct leftover first = {0};
    char *where;

    if (!settings)
        return 0;
    if (fault) {
        if (error)
            *error = fault->error;
        return -1;
    }
    look_for_leftover(settings, &first);
    if (!first.key)
        return 0;
    where = where_of(first.settings, first.key);
    error_set(error, ERROR_PERM, "%s: there is no such setting", where);
    free(where);
    return -1;
}
